//! A machine with an agent, as the protocol wants one: what it keeps, what it says, what it does when it is told.

use std::collections::BTreeMap;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs::{ContainerStateChange, SubmitTaskStateChangeRequest};
use longshore_protocol::node::InstanceId;
use longshore_protocol::poll::{
    Assignment, Cursor, HeldTask, Inventory, InventoryTask, NodeStatus, PROTOCOL_VERSION, PollRequest,
    PollResponse, TaskSpec,
};
use longshore_protocol::status::{DesiredStatus, ReportedStatus};
use serde_json::{Value, json};
use uuid::Uuid;

/// How far a task is. The order is that of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Pending,
    Running,
    /// Its essential container has ended.
    Ending(i32),
    Stopped(Option<i32>),
}

impl Stage {
    fn status(self) -> ReportedStatus {
        match self {
            Self::Pending => ReportedStatus::Pending,
            Self::Running | Self::Ending(_) => ReportedStatus::Running,
            Self::Stopped(_) => ReportedStatus::Stopped,
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Stopped(_))
    }

    /// What of a task's containers is told; the first is the essential one.
    fn containers(self, spec: Option<&TaskSpec>) -> Vec<ContainerStateChange> {
        let names = spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .map(|each| each.definition.name.clone());
        let told = |(index, name)| {
            let (status, exit_code) = match self {
                Self::Ending(code) if index == 0 => ("STOPPED", Some(code)),
                Self::Stopped(code) => ("STOPPED", code),
                Self::Pending => ("PENDING", None),
                Self::Running | Self::Ending(_) => ("RUNNING", None),
            };
            ContainerStateChange {
                container_name: name,
                status: Some(status.to_owned()),
                exit_code,
                ..ContainerStateChange::default()
            }
        };
        names.enumerate().map(told).collect()
    }
}

/// A task that a machine has.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) arn: TaskArn,
    pub(super) generation: u64,
    pub(super) desired: DesiredStatus,
    pub(super) spec: Option<Box<TaskSpec>>,
    pub(super) stage: Stage,
    /// What was told of it and taken.
    pub(super) acknowledged: Option<Stage>,
    /// The newest order about it, by the machine's count. A report that was made before does not answer it.
    pub(super) ordered: u32,
}

impl Held {
    fn state(&self) -> SubmitTaskStateChangeRequest {
        SubmitTaskStateChangeRequest {
            cluster: Some("default".into()),
            task: Some(self.arn.to_string()),
            status: Some(self.stage.status().to_string()),
            containers: Some(self.stage.containers(self.spec.as_deref())),
            ..SubmitTaskStateChangeRequest::default()
        }
    }

    pub(super) fn report(&self) -> Value {
        serde_json::to_value(self.state()).unwrap()
    }

    /// There is an order to stop, and it is not over.
    pub(super) fn is_to_stop(&self) -> bool {
        self.desired == DesiredStatus::Stopped && !self.stage.is_over()
    }

    pub(super) fn is_told(&self) -> bool {
        self.acknowledged == Some(self.stage)
    }

    /// A task whose end is acknowledged is none of the control plane's concern any more.
    fn is_listed(&self) -> bool {
        !self.stage.is_over() || !self.is_told()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) node: InstanceId,
    pub(super) fingerprint: String,
    /// Switched on. One that is off never comes back.
    pub(super) on: bool,
    /// Whether its calls get through.
    pub(super) link: bool,
    // On its disk.
    pub(super) instance: String,
    pub(super) cursor: Cursor,
    pub(super) tasks: BTreeMap<String, Held>,
    // In the memory of its agent.
    pub(super) run: Uuid,
    pub(super) n: u64,
    pub(super) open: Option<u64>,
    pub(super) unregistered: bool,
    /// Whether its last poll was answered as one of the only machine of its node.
    pub(super) served: bool,
    pub(super) want_list: bool,
    want_tasks: Vec<TaskArn>,
    /// How many of its polls in a row were answered at once, and with nothing new.
    pub(super) hurried: u32,
    /// How many orders it has had.
    orders: u32,
}

impl Machine {
    pub(super) fn new(node: &InstanceId, instance: &str, fingerprint: String, run: Uuid) -> Self {
        Self {
            node: node.clone(),
            fingerprint,
            on: true,
            link: true,
            instance: instance.to_owned(),
            cursor: Cursor::default(),
            tasks: BTreeMap::new(),
            run,
            n: 0,
            open: None,
            unregistered: false,
            served: false,
            want_list: false,
            want_tasks: Vec::new(),
            hurried: 0,
            orders: 0,
        }
    }

    /// A new start of the agent: what was in memory is gone.
    pub(super) fn restart(&mut self, run: Uuid) {
        (self.run, self.n, self.open) = (run, 0, None);
        (self.want_list, self.want_tasks) = (false, Vec::new());
        self.served = false;
        self.hurried = 0;
    }

    /// A copy of its disk in another machine, on which nothing runs any more.
    pub(super) fn copy(&self, run: Uuid) -> Self {
        let mut copy = self.clone();
        copy.fingerprint.push_str(" copy");
        copy.restart(run);
        for held in copy.tasks.values_mut().filter(|held| !held.stage.is_over()) {
            held.stage = Stage::Stopped(None);
        }
        copy
    }

    /// Whether its list has this task.
    pub(super) fn lists(&self, arn: &str) -> bool {
        self.tasks.get(arn).is_some_and(Held::is_listed)
    }

    pub(super) fn poll(&mut self, wait_seconds: u32, list: bool) -> PollRequest {
        self.n += 1;
        self.open = Some(self.n);
        let list = list || self.want_list;
        let held = self.tasks.values().filter(|held| held.is_listed());
        let held = held.map(|held| InventoryTask {
            task_arn: held.arn.clone(),
            generation: held.generation,
            status: held.stage.status(),
        });
        let held: Vec<_> = held.collect();
        let wanted = self
            .want_tasks
            .iter()
            .filter_map(|arn| self.tasks.get(&arn.to_string()));
        let bodies = wanted.filter_map(|held| {
            Some(HeldTask {
                task_arn: held.arn.clone(),
                generation: held.generation,
                desired_status: held.desired,
                task: held.spec.clone()?,
                state: Box::new(held.state()),
            })
        });
        PollRequest {
            container_instance: self.instance.parse().unwrap(),
            cursor: self.cursor.clone(),
            agent_run: self.run,
            n: self.n,
            inventory: Inventory {
                hash: Inventory::hash_of(&held),
                bodies: if list { bodies.collect() } else { vec![] },
                tasks: list.then_some(held),
            },
            status: NodeStatus::default(),
            fingerprint: self.fingerprint.clone(),
            wait_seconds,
            protocol_version: PROTOCOL_VERSION,
            agent_version: "0.1.0".into(),
            runtime_version: "containerd 1.6.20".into(),
        }
    }

    /// Stores what an answer says, with its cursor, in one piece. Says what is wrong with it.
    pub(super) fn take(&mut self, answer: PollResponse) -> Vec<String> {
        self.open = None;
        self.served = !answer.cloned;
        let faults: Vec<_> = answer
            .assignments
            .into_iter()
            .filter_map(|order| self.obey(order))
            .collect();
        self.cursor = answer.cursor;
        (self.want_list, self.want_tasks) = (answer.want_inventory, answer.want_tasks);
        faults
    }

    fn obey(&mut self, order: Assignment) -> Option<String> {
        self.orders += 1;
        let name = order.task_arn.to_string();
        let stops = order.desired_status == DesiredStatus::Stopped;
        if let Some(held) = self.tasks.get_mut(&name) {
            held.ordered = self.orders;
            if stops || order.generation > held.generation {
                if held.desired != DesiredStatus::Stopped {
                    held.desired = order.desired_status;
                }
                held.generation = held.generation.max(order.generation);
            }
            if held.stage.is_over() {
                held.acknowledged = None;
            }
            return None;
        }
        if !stops && order.task.is_none() {
            return Some(format!("{name} is to run, and nobody says what it is"));
        }
        // What never came here starts nothing.
        let stage = if stops {
            Stage::Stopped(None)
        } else {
            Stage::Pending
        };
        let held = Held {
            arn: order.task_arn,
            generation: order.generation,
            desired: order.desired_status,
            spec: order.task,
            stage,
            acknowledged: None,
            ordered: self.orders,
        };
        self.tasks.insert(name, held);
        None
    }

    /// The call by which it registers: anew where the instance that it has is not its own any more.
    pub(super) fn registration(&self, anew: bool) -> Value {
        let gpus = json!([{"id": "GPU-1", "type": "GPU"}, {"id": "GPU-2", "type": "GPU"}]);
        crate::testing::instance_request(if anew { "" } else { &self.instance }, &gpus)
    }

    /// It is this container instance now.
    pub(super) fn registered(&mut self, instance: &str) {
        self.unregistered = false;
        if self.instance != instance {
            instance.clone_into(&mut self.instance);
            self.cursor = Cursor::default();
        }
    }
}
