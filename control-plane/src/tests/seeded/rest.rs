//! How a life comes to rest: no trouble any more, and everybody has time.

use std::time::Duration;

use serde_json::json;

use super::life::{Life, Ticket, operator};
use super::machine::Stage;
use super::world::{NODES, Op};

impl Life<'_> {
    /// Ends all troubles and goes on until nothing happens any more.
    pub(super) async fn calm(&mut self) {
        self.say("-- calm");
        self.calm = true;
        self.world.tap.disarm();
        self.leave_one_machine_each();
        self.oracle.forget_lost(&self.machines);
        for machine in &mut self.machines {
            machine.link = true;
        }
        let mut quiet = 0;
        for _ in 0..100 {
            let before = self.world.tap.count();
            self.round().await;
            if !self.oracle.violations.is_empty() {
                return;
            }
            let settled = self.machines.iter().filter(|machine| machine.on).all(|machine| {
                machine.served
                    && !machine.want_list
                    && machine.tasks.values().all(super::machine::Held::is_told)
            });
            quiet = if settled && before == self.world.tap.count() {
                quiet + 1
            } else {
                0
            };
            if quiet == 2 {
                return;
            }
        }
        let told = self.machines.iter().filter(|machine| machine.on);
        let told: Vec<_> = told
            .map(|machine| (machine.served, machine.want_list, &machine.tasks))
            .collect();
        let what = format!("it does not come to rest: {told:?}");
        self.oracle.blame(what);
    }

    async fn round(&mut self) {
        self.world.clock.advance(Duration::from_secs(2));
        for packet in std::mem::take(&mut self.packets) {
            self.deliver(packet);
        }
        self.step().await;
        for at in 0..self.machines.len() {
            let machine = &mut self.machines[at];
            if !machine.on {
                continue;
            }
            for held in machine.tasks.values_mut() {
                held.stage = match held.stage {
                    Stage::Pending | Stage::Running if held.is_to_stop() => Stage::Stopped(None),
                    Stage::Pending => Stage::Running,
                    Stage::Ending(code) => Stage::Stopped(Some(code)),
                    Stage::Running | Stage::Stopped(_) => held.stage,
                };
            }
            if machine.unregistered {
                self.register(at, false);
            } else if machine.open.is_none() {
                self.poll(at, 1, false);
            } else if self.parked.iter().all(|parked| parked.machine != at) {
                // Its answer was lost.
                self.machines[at].open = None;
            }
            let untold: Vec<_> = self.machines[at]
                .tasks
                .iter()
                .filter(|(_, held)| !held.is_told())
                .map(|(arn, _)| arn.clone())
                .collect();
            for arn in untold {
                self.report(at, &arn);
            }
        }
        for packet in std::mem::take(&mut self.packets) {
            self.deliver(packet);
        }
        self.step().await;
    }

    /// Of several machines that are one node, one is left.
    fn leave_one_machine_each(&mut self) {
        for number in 0..NODES {
            let node = self.machines[number].node.clone();
            let same: Vec<_> = (0..self.machines.len())
                .filter(|at| self.machines[*at].on && self.machines[*at].node == node)
                .collect();
            if same.len() > 1 {
                let left = same[self.dice.below(same.len())];
                for at in same {
                    self.machines[at].on = at == left;
                    if at != left {
                        self.hang_up(at);
                    }
                }
            }
        }
    }

    pub(super) async fn stop_all(&mut self) {
        let alive = self
            .oracle
            .books()
            .tasks
            .values()
            .filter(|entry| !entry.is_over());
        let alive: Vec<_> = alive.map(|entry| entry.task.arn.to_string()).collect();
        for task in alive {
            self.batch.push((
                Ticket::Nothing,
                Op::Call(operator(), "StopTask", json!({"task": task})),
            ));
        }
        self.step().await;
    }
}
