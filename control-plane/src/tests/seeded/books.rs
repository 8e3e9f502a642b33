//! What the control plane's books say at a moment, and what they must say whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_protocol::status::{DesiredStatus, TaskStatus};
use sqlx::Row as _;

use crate::store::Store;
use crate::tasks::Task;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) task: Task,
    /// As the store has it.
    record: String,
    cpu: i64,
    memory: i64,
}

impl Entry {
    pub(super) fn is_over(&self) -> bool {
        self.task.last == TaskStatus::Stopped
    }
}

/// An assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) instance: String,
    pub(super) task: String,
    pub(super) arn: String,
    pub(super) seq: i64,
    generation: i64,
    pub(super) desired: DesiredStatus,
    force: bool,
}

#[derive(Clone, Debug)]
struct Instance {
    cpu: (i64, i64),
    memory: (i64, i64),
    next_seq: i64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) tasks: BTreeMap<String, Arc<Entry>>,
    pub(super) orders: Vec<Order>,
    instances: BTreeMap<String, Instance>,
    /// Instance, what, task.
    taken: BTreeSet<(String, String, String)>,
    buried: BTreeSet<String>,
}

impl Books {
    /// Reads them. What is as it was `before` is not parsed again: that is most of them, and most of a life's time.
    pub(super) async fn read(store: &Store, before: &Self) -> Self {
        let mut connection = store.peek().await;
        let mut books = Self::default();
        let sql = "SELECT id, record, reserved_cpu, reserved_memory FROM tasks";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await.unwrap() {
            let (id, record): (String, &str) = (row.get(0), row.get(1));
            let (cpu, memory) = (row.get(2), row.get(3));
            let same = |old: &&Arc<Entry>| old.record == record && (old.cpu, old.memory) == (cpu, memory);
            let entry = before.tasks.get(&id).filter(same).cloned();
            let entry = entry.unwrap_or_else(|| {
                Arc::new(Entry {
                    task: serde_json::from_str(record).unwrap(),
                    record: record.to_owned(),
                    cpu,
                    memory,
                })
            });
            books.tasks.insert(id, entry);
        }
        let sql = "SELECT instance, task, task_arn, seq, generation, desired_status, force FROM assignments";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await.unwrap() {
            books.orders.push(Order {
                instance: row.get(0),
                task: row.get(1),
                arn: row.get(2),
                seq: row.get(3),
                generation: row.get(4),
                desired: row.get::<String, _>(5).parse().unwrap(),
                force: row.get(6),
            });
        }
        let sql =
            "SELECT id, total_cpu, free_cpu, total_memory, free_memory, next_seq FROM container_instances";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await.unwrap() {
            let instance = Instance {
                cpu: (row.get(1), row.get(2)),
                memory: (row.get(3), row.get(4)),
                next_seq: row.get(5),
            };
            books.instances.insert(row.get(0), instance);
        }
        let sql = "SELECT instance, protocol || port, task FROM taken_ports
            UNION ALL SELECT instance, gpu, task FROM taken_gpus UNION ALL SELECT '', '', task FROM tombstones";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await.unwrap() {
            let (instance, what, task): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            if what.is_empty() {
                books.buried.insert(task);
            } else {
                books.taken.insert((instance, what, task));
            }
        }
        books
    }

    fn alive(&self) -> impl Iterator<Item = (&String, &Arc<Entry>)> {
        self.tasks.iter().filter(|(_, entry)| !entry.is_over())
    }

    /// What is wrong in themselves.
    pub(super) fn faults(&self, restored: bool) -> Vec<String> {
        let mut faults = Vec::new();
        self.check_reservations(restored, &mut faults);
        self.check_orders(&mut faults);
        for (id, entry) in self.tasks.iter().filter(|(_, entry)| entry.is_over()) {
            if !self.buried.contains(id) {
                faults.push(format!("{id} is over and has no tombstone"));
            }
            if entry.task.stop.is_none() || entry.task.desired != DesiredStatus::Stopped {
                faults.push(format!("{id} is over for no reason"));
            }
        }
        faults
    }

    fn check_reservations(&self, restored: bool, faults: &mut Vec<String>) {
        for (id, instance) in &self.instances {
            let on_it = || {
                self.alive()
                    .filter(|(_, entry)| entry.task.instance.id.as_str() == id)
            };
            let cpu: i64 = on_it().map(|(_, entry)| entry.cpu).sum();
            let memory: i64 = on_it().map(|(_, entry)| entry.memory).sum();
            let taken = (
                instance.cpu.0 - instance.cpu.1,
                instance.memory.0 - instance.memory.1,
            );
            if taken != (cpu, memory) {
                faults.push(format!(
                    "reserved on {id} is {taken:?}, its tasks have {:?}",
                    (cpu, memory)
                ));
            }
            if !restored && (instance.cpu.1 < 0 || instance.memory.1 < 0) {
                faults.push(format!("{id} gave more than it has"));
            }
        }
        let mut needed = BTreeSet::new();
        for (id, entry) in self
            .alive()
            .filter(|(_, entry)| entry.task.definition.family == "f2")
        {
            let instance = entry.task.instance.id.to_string();
            needed.insert((instance.clone(), "tcp8080".to_owned(), id.clone()));
            for gpu in entry
                .task
                .containers
                .iter()
                .flat_map(|container| &container.gpu_ids)
            {
                needed.insert((instance.clone(), gpu.clone(), id.clone()));
            }
        }
        if self.taken != needed {
            faults.push(format!("taken are {:?}, needed {needed:?}", self.taken));
        }
        let things: BTreeSet<_> = self
            .taken
            .iter()
            .map(|(instance, what, _)| (instance, what))
            .collect();
        if !restored && things.len() != self.taken.len() {
            faults.push(format!("given twice: {:?}", self.taken));
        }
    }

    fn check_orders(&self, faults: &mut Vec<String>) {
        for (id, entry) in self.alive() {
            let instance = entry.task.instance.id.as_str();
            let mut own = self
                .orders
                .iter()
                .filter(|order| order.task == *id && order.instance == instance);
            if own.next().is_none_or(|order| order.desired != entry.task.desired) {
                faults.push(format!(
                    "{id} is to be {}, and its node is not told so",
                    entry.task.desired
                ));
            }
        }
        for order in &self.orders {
            let next = self
                .instances
                .get(&order.instance)
                .map_or(0, |instance| instance.next_seq);
            if order.seq >= next {
                faults.push(format!("{order:?} has a number that was not given"));
            }
            let alive = self.tasks.get(&order.task).is_some_and(|entry| !entry.is_over());
            if order.desired == DesiredStatus::Running && !alive {
                faults.push(format!("{order:?} is to run and is over"));
            }
            if !alive && !self.buried.contains(&order.task) {
                faults.push(format!("{order:?} is of a task that is not known"));
            }
        }
    }

    /// What is wrong in how they became what they are.
    pub(super) fn steps_back(&self, before: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        for (id, old) in &before.tasks {
            let Some(new) = self.tasks.get(id) else {
                if !old.is_over() {
                    faults.push(format!("{id} is lost"));
                }
                continue;
            };
            if Arc::ptr_eq(old, new) {
                continue;
            }
            let (old, new) = (&old.task, &new.task);
            if new.last < old.last || new.version < old.version {
                faults.push(format!("{id} goes back from {} to {}", old.last, new.last));
            }
            if old.desired == DesiredStatus::Stopped && new.desired != DesiredStatus::Stopped {
                faults.push(format!("{id} is to run again"));
            }
            let codes = (
                old.stop.as_ref().map(|stop| stop.code),
                new.stop.as_ref().map(|stop| stop.code),
            );
            if codes.0.is_some() && codes.0 != codes.1 {
                faults.push(format!("{id} stops for {codes:?}"));
            }
            if old.times.stopped.is_some() && old.times.stopped != new.times.stopped {
                faults.push(format!("{id} is stopped twice"));
            }
            for (old, new) in old.containers.iter().zip(&new.containers) {
                if new.status < old.status || (old.exit_code.is_some() && old.exit_code != new.exit_code) {
                    faults.push(format!("{id} goes back in a container: {old:?} {new:?}"));
                }
            }
        }
        for (id, old) in &before.instances {
            if self
                .instances
                .get(id)
                .is_some_and(|new| new.next_seq < old.next_seq)
            {
                faults.push(format!("the sequence of {id} goes back"));
            }
        }
        faults.extend(
            before
                .buried
                .difference(&self.buried)
                .map(|id| format!("the tombstone of {id} is lost")),
        );
        faults
    }

    /// What is left of what instances have when every task is over.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<_> = self
            .alive()
            .map(|(id, entry)| format!("{id} is {}", entry.task.last))
            .collect();
        left.extend(self.orders.iter().map(|order| format!("{order:?} is left")));
        left.extend(self.taken.iter().map(|taken| format!("{taken:?} is left")));
        left
    }
}
