//! Whether what must never be so was so, and whether everything came to rest.

use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::status::{DesiredStatus, TaskStatus};

use super::books::{Books, Order};
use super::machine::{Machine, Stage};
use crate::app::ControlPlane;

/// What was known at one moment; a restored backup takes all of it back.
#[derive(Clone, Default)]
struct Memory {
    books: Books,
    /// What each number of each instance stands for.
    named: BTreeMap<(String, i64), Order>,
}

#[derive(Default)]
pub(super) struct Oracle {
    now: Memory,
    backup: Option<Memory>,
    commits: u64,
    pub(super) restored: bool,
    /// Every exit code that a machine saw, by task.
    pub(super) codes: BTreeMap<String, BTreeSet<i32>>,
    /// What a client was told to run, and how many tasks that is at most.
    pub(super) started: BTreeMap<String, usize>,
    /// The tasks that a client was told of.
    pub(super) told: BTreeSet<String>,
    pub(super) violations: Vec<String>,
}

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

impl Oracle {
    pub(super) fn books(&self) -> &Books {
        &self.now.books
    }

    pub(super) fn blame(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(super) fn back_up(&mut self) {
        self.backup = Some(self.now.clone());
    }

    /// The backup is what there is; what a client was told and no machine has is gone with the rest.
    pub(super) fn restore(&mut self, machines: &[Machine]) {
        if let Some(backup) = self.backup.clone() {
            self.now = backup;
        }
        self.restored = true;
        self.started.clear();
        self.forget_lost(machines);
    }

    /// After a restore, what is neither in the books nor in the list of a machine is lost: there is nobody left who tells
    /// of it.
    pub(super) fn forget_lost(&mut self, machines: &[Machine]) {
        if !self.restored {
            return;
        }
        let known = &self.now.books.tasks;
        let left = machines.iter().filter(|machine| machine.on);
        self.told
            .retain(|arn| known.contains_key(id(arn)) || left.clone().any(|machine| machine.lists(arn)));
    }

    /// After each step.
    pub(super) async fn look(&mut self, plane: &ControlPlane, commits: u64, machines: &[Machine]) {
        if commits != self.commits {
            self.commits = commits;
            let books = Books::read(&plane.store, &self.now.books).await;
            self.violations.extend(books.faults(self.restored));
            self.violations.extend(books.steps_back(&self.now.books));
            for order in &books.orders {
                let known = self.now.named.entry((order.instance.clone(), order.seq));
                let known = known.or_insert_with(|| order.clone());
                if known != order {
                    self.violations
                        .push(format!("one number is {known:?} and {order:?}"));
                }
            }
            for (token, most) in &self.started {
                let by_it = |task: &crate::tasks::Task| task.started_by.as_ref() == Some(token);
                let count = books.tasks.values().filter(|entry| by_it(&entry.task)).count();
                if count > *most {
                    self.violations
                        .push(format!("{count} tasks were started for {token}, not {most}"));
                }
            }
            self.now.books = books;
        }
        for machine in machines.iter().filter(|machine| machine.on && machine.link) {
            self.check_cursor(plane, machine);
        }
    }

    /// What is at or below a node's cursor it has; one of several machines that are one node has the orders to stop what
    /// it holds.
    fn check_cursor(&mut self, plane: &ControlPlane, machine: &Machine) {
        let incarnation = &machine.cursor.incarnation;
        let cloned = incarnation.strip_prefix("cloned.") == Some(&plane.incarnation);
        if !cloned && *incarnation != plane.incarnation {
            return;
        }
        let seen = i64::try_from(machine.cursor.cursor).unwrap();
        let orders = self.now.books.orders.iter();
        for order in orders.filter(|order| order.instance == id(&machine.instance) && order.seq <= seen) {
            let stops = order.desired == DesiredStatus::Stopped;
            let obeyed = match machine.tasks.get(&order.arn) {
                Some(held) if cloned && held.stage.is_over() => true,
                Some(held) => !stops || held.desired == order.desired,
                None => cloned,
            };
            if !obeyed {
                self.violations
                    .push(format!("{order:?} was skipped: its node is at {seen}"));
            }
        }
    }

    /// When nothing more happens: both sides say the same.
    pub(super) fn judge(&mut self, machines: &[Machine]) {
        let books = self.now.books.clone();
        for arn in self.told.clone() {
            if !books.tasks.contains_key(id(&arn)) {
                self.blame(format!("a client was told of {arn}, and nobody knows it"));
            }
        }
        for machine in machines.iter().filter(|machine| machine.on) {
            for (arn, held) in machine.tasks.iter().filter(|(_, held)| !held.stage.is_over()) {
                let known = books.tasks.get(id(arn));
                if known.is_none_or(|entry| {
                    entry.is_over() || entry.task.instance.id.as_str() != id(&machine.instance)
                }) {
                    self.blame(format!(
                        "{arn} is {:?} on its node, and in the books {known:?}",
                        held.stage
                    ));
                }
            }
        }
        for (name, entry) in &books.tasks {
            let arn = entry.task.arn.to_string();
            let held = machines
                .iter()
                .filter(|machine| machine.on)
                .find_map(|machine| machine.tasks.get(&arn));
            let same = match held.map(|held| held.stage) {
                Some(Stage::Stopped(_)) => entry.is_over(),
                Some(_) => !entry.is_over() && entry.task.last >= TaskStatus::Running,
                None => entry.is_over(),
            };
            if !same {
                self.blame(format!(
                    "{name} is {} in the books, and on its node {held:?}",
                    entry.task.last
                ));
            }
            let told = entry
                .task
                .containers
                .first()
                .and_then(|container| container.exit_code);
            if told.is_some_and(|code| !self.codes.get(&arn).is_some_and(|codes| codes.contains(&code))) {
                self.blame(format!("{name} has the exit code {told:?}, and never ended so"));
            }
        }
    }
}
