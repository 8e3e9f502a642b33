//! What the runtime's list and the networks that there are mean to the tasks: each hears of its own, what belongs to none
//! is adopted or taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::ResourceId;

use crate::model::{ContainerId, Fact, KnownStatus};
use crate::plan::Needs;
use crate::runtime::{Observed, ObservedState};

use super::super::{TaskView, observed};
use super::{Engine, Swept};

/// How long to wait for the list of networks, which is read from a folder: nothing begins before it is known.
const NETWORKS: Duration = Duration::from_secs(5);

impl Engine {
    /// A task whose agent died may have a network, and with it ports, that its record does not tell of yet.
    pub(super) fn list_first(&mut self, asked: Duration, observed: Vec<Observed>) {
        if self.first.replace((asked, observed)).is_some() {
            return;
        }
        let (janitor, shared) = (self.janitor.clone(), Arc::clone(&self.shared));
        self.sweeps.spawn(async move {
            let networks = tokio::select! {
                biased;
                networks = janitor.networks() => networks,
                () = shared.clock().sleep(NETWORKS) => Vec::new(),
            };
            Swept::Networks(networks)
        });
    }

    pub(super) async fn list(&mut self, asked: Duration, observed: Vec<Observed>) {
        let mut by_task: BTreeMap<ResourceId, Vec<Observed>> = BTreeMap::new();
        for each in observed {
            by_task.entry(each.id.task().clone()).or_default().push(each);
        }
        let listed = by_task.keys().cloned().collect();
        let tasks: Vec<_> = self.mailboxes.keys().cloned().collect();
        for id in &tasks {
            let observed = by_task.remove(id).unwrap_or_default();
            self.compare(id, asked, &observed).await;
        }
        if self.forgotten.is_some_and(|forgotten| forgotten >= asked) {
            // What is left in the list may be of a task that is gone by now.
            self.shared.list_now.notify_one();
        } else {
            by_task.retain(|id, _| !self.is_clearing(id));
            for observed in by_task.into_values() {
                self.found(asked, observed).await;
            }
        }
        self.look_for_folders(listed);
    }

    /// The first list, with the networks that there are.
    async fn begin(&mut self, networks: &[ContainerId]) {
        if let Some((asked, observed)) = self.first.take() {
            // Who has something already has it before anybody asks.
            let there = observed.iter().map(|each| &each.id).chain(networks);
            let there: BTreeSet<_> = there.map(|id| id.task().clone()).collect();
            // One that is over may have given it back already, with nobody told.
            let mut tasks: Vec<_> = self.mailboxes.keys().cloned().collect();
            tasks.sort_by_key(|id| self.is_over(id));
            for id in &tasks {
                self.hold_again(id, there.contains(id)).await;
            }
            self.list(asked, observed).await;
            self.listed = true;
        }
        for id in networks {
            // A power cut may have brought back what a task that is kept has given up.
            let given_up = |view: Arc<TaskView>| view.state.record.torn_down;
            if self.shared.view(id.task()).is_none_or(given_up) {
                self.sweep(id.clone());
            }
        }
    }

    fn is_over(&self, id: &ResourceId) -> bool {
        let view = self.shared.view(id);
        view.is_some_and(|view| view.state.known() == KnownStatus::Stopped)
    }

    async fn hold_again(&self, id: &ResourceId, in_the_list: bool) {
        let Some(view) = self.shared.view(id) else {
            return;
        };
        let Some(task) = view.state.task() else {
            return;
        };
        let record = &view.state.record;
        let had = record
            .containers
            .iter()
            .any(|each| each.attachment.is_some() || each.started.is_some());
        if (had || in_the_list) && !record.torn_down {
            self.shared.admission().hold(id, &Needs::of(task));
            self.tell(id, Fact::Admitted).await;
        }
    }

    /// Tells a task what the runtime's list says of its containers.
    async fn compare(&mut self, id: &ResourceId, asked: Duration, observed: &[Observed]) {
        let Some(view) = self.shared.view(id) else {
            return;
        };
        if view.state.record.torn_down {
            for leftover in observed {
                self.sweep(leftover.id.clone());
            }
        }
        for (index, ..) in view.state.containers() {
            let of_it = observed.iter().find(|each| each.id.index() == index);
            for fact in observed::facts(of_it, asked, &self.shared.executor.boot_id) {
                self.tell(id, Fact::Container(index, fact)).await;
            }
        }
        self.tell(id, Fact::Listed).await;
    }

    /// Containers of ours that belong to no task: adopted if something of them runs or ran, else taken away.
    async fn found(&mut self, asked: Duration, observed: Vec<Observed>) {
        let lives = |each: &&Observed| observed::lives(each.state);
        let task = observed.iter().filter(lives).find_map(|each| each.task.clone());
        let Some(task) = task else {
            for each in observed {
                match each.state {
                    ObservedState::Running(_) => {
                        tracing::error!(container = %each.id, "it runs, and its record can't be read: left alone");
                    }
                    ObservedState::Recorded | ObservedState::Created | ObservedState::Exited => {
                        self.sweep(each.id);
                    }
                }
            }
            return;
        };
        tracing::warn!(task = %task.arn, "a task that runs is not in the store; it is adopted");
        let state = observed::adopted(task, &observed);
        let assignment = state.assignment.clone();
        let id = assignment.arn.id.clone();
        self.intake.adopted(assignment);
        // Its actor stores it: until then a new agent finds it as this one did.
        self.spawn_actor(state, true);
        self.hold_again(&id, true).await;
        self.compare(&id, asked, &observed).await;
    }

    pub(super) fn sweep(&mut self, id: ContainerId) {
        if !self.sweeping.insert(id.clone()) {
            return;
        }
        let (janitor, token) = (self.janitor.clone(), self.token.clone());
        self.sweeps.spawn(async move {
            janitor.remove(&id, &token).await;
            Swept::Container(id)
        });
    }

    pub(super) async fn swept(&mut self, swept: Swept) {
        match swept {
            Swept::Container(id) => {
                self.sweeping.remove(&id);
            }
            Swept::Networks(networks) => self.begin(&networks).await,
            Swept::Folders(others) => self.found_folders(others),
            Swept::Cleared => self.cleared(),
        }
        self.take_held().await;
    }
}
