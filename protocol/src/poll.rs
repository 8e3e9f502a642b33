//! The long poll: how an agent learns what to run, and shows that it lives.
//!
//! `POST {pollEndpoint}/v1/poll`, JSON, SigV4 with the node's credentials. The control plane answers at once when there
//! is something to say, else after `waitSeconds`.
//!
//! - The **cursor** is (incarnation, sequence). It only filters: nothing is deleted by it. The poll that carries a new
//!   cursor is what acknowledges the assignments up to it. A cursor of an incarnation that the control plane doesn't
//!   know, or beyond its end, gets every live assignment again.
//! - An [`Assignment`] is state, not history: for each task the newest one is all there is.
//! - **STOPPED wins** whatever its generation; generations guard the other fields.
//! - **Absence is never an order**: a task that isn't mentioned goes on running.

use serde::{Deserialize, Serialize};

use crate::arn::{ClusterArn, ContainerArn, ContainerInstanceArn, TaskArn, TaskDefinitionArn};
use crate::session::SessionOffer;
use crate::status::{DesiredStatus, InstanceStatus, NetworkMode, ReportedStatus};
use crate::{Timestamp, ecs};

/// The version of the poll that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;
/// The path of the poll below the poll endpoint.
pub const PATH: &str = "/v1/poll";
/// The most assignments in one response.
pub const MAX_ASSIGNMENTS: usize = 100;
/// The most bytes of one response's body; one assignment alone is always less. It has [`crate::shape::MAX_NODES`] objects
/// and lists at most.
pub const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
/// The most bytes of one assignment's task.
pub const MAX_ASSIGNMENT_BYTES: usize = MAX_RESPONSE_BYTES / 2;
/// The most objects and lists of one assignment.
pub const MAX_ASSIGNMENT_NODES: usize = crate::shape::MAX_NODES / 2;
/// The most bytes of one request's body: an inventory of a few thousand tasks.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of [`Inventory::bodies`] in one request; the first is sent whatever its size.
pub const MAX_BODIES_BYTES: usize = 1024 * 1024;
/// The most tasks whose bodies are asked for at a time.
pub const MAX_WANTED: usize = 100;
/// The longest `waitSeconds`.
pub const MAX_WAIT_SECONDS: u32 = 60;
/// `waitSeconds` where nobody chose.
pub const DEFAULT_WAIT_SECONDS: u32 = 30;
/// How much longer than `waitSeconds` an agent waits for the answer.
pub const WAIT_GRACE_SECONDS: u32 = 10;

/// Where in the stream of assignments a node is. The default is the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// The run of the control plane that gave the sequence; `0` at first.
    pub incarnation: String,
    /// The last sequence number that is durable on the node; 0 at first.
    pub cursor: u64,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            incarnation: "0".to_owned(),
            cursor: 0,
        }
    }
}

/// What an agent sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PollRequest {
    /// Whose assignments.
    pub container_instance: ContainerInstanceArn,
    /// The last stored cursor.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// Random per start of the agent: tells a restart from a copy.
    pub agent_run: uuid::Uuid,
    /// Counts this run's polls from 1; a lower one than the last seen is a late, proxied poll.
    pub n: u64,
    /// What the node has.
    pub inventory: Inventory,
    /// How it is doing; level-triggered, memory only.
    #[serde(default)]
    pub status: NodeStatus,
    /// What tells this machine from a copy of it.
    pub fingerprint: String,
    /// How long to hold the poll: 1 to [`MAX_WAIT_SECONDS`].
    pub wait_seconds: u32,
    /// [`PROTOCOL_VERSION`].
    pub protocol_version: u32,
    /// The agent's version, such as `0.1.0`.
    pub agent_version: String,
    /// The runtime's version, such as `containerd 1.6.20`; empty while it is away.
    #[serde(default)]
    pub runtime_version: String,
}

/// The tasks that a node holds: a hash always, the list when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// [`Inventory::hash_of`] the list.
    pub hash: String,
    /// The list itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<InventoryTask>>,
    /// Of the tasks that were asked for by [`PollResponse::want_tasks`], as many as fit into [`MAX_BODIES_BYTES`] and
    /// [`crate::shape::MAX_NODES`]. Only with the list. An agent that sends none of those it was asked for has none to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bodies: Vec<HeldTask>,
}

/// A task that a node holds, whole: what a control plane that has forgotten it must know to take it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldTask {
    /// Which.
    pub task_arn: TaskArn,
    /// The generation of the order that the node obeys; 0 where it has none.
    pub generation: u64,
    /// Where that order sends it.
    pub desired_status: DesiredStatus,
    /// What it is, its overrides merged into its containers.
    pub task: Box<TaskSpec>,
    /// How far it is, in the form in which that is reported.
    pub state: Box<ecs::SubmitTaskStateChangeRequest>,
}

/// A task that a node holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryTask {
    /// Which.
    pub task_arn: TaskArn,
    /// The generation of the assignment that the node obeys.
    pub generation: u64,
    /// How far it is.
    pub status: ReportedStatus,
}

impl Inventory {
    /// The hash of a list, whatever its order: SHA-256 over its sorted lines, in hexadecimal.
    #[must_use]
    pub fn hash_of(tasks: &[InventoryTask]) -> String {
        let mut sorted: Vec<_> = tasks.iter().collect();
        sorted.sort();
        let lines = sorted
            .iter()
            .map(|task| format!("{} {} {}\n", task.task_arn, task.generation, task.status));
        crate::sigv4::sha256_hex(lines.collect::<String>().as_bytes())
    }
}

/// How a node's tasks are doing, beyond what is reported for good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// What is wrong with the node itself, in words, such as a disk that takes no writes; absent while it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Only those that have something to say.
    pub tasks: Vec<TaskProgress>,
}

/// Why a task's containers are where they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskProgress {
    /// Which.
    pub task_arn: TaskArn,
    /// Its containers that wait for something.
    pub containers: Vec<ContainerProgress>,
}

/// What a container waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProgress {
    /// The container's name.
    pub name: String,
    /// In words, such as `pulling 127.0.0.1:5000/busybox:1`. Shown as the container's `reason` until it is over.
    pub cause: String,
    /// How far, where that can be said: 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// When it is given up, or goes on, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How often it was restarted by its restart policy, or since the machine was restarted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restart_count: u32,
}

/// A number that goes without saying.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What the control plane answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PollResponse {
    /// What to send next, once the assignments are durable.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// In the order of their sequence numbers; at most [`MAX_ASSIGNMENTS`], [`MAX_RESPONSE_BYTES`] and
    /// [`crate::shape::MAX_NODES`].
    #[serde(default)]
    pub assignments: Vec<Assignment>,
    /// Whether the next poll shall carry the list of tasks.
    #[serde(default)]
    pub want_inventory: bool,
    /// The tasks whose bodies the next poll shall carry with the list: the control plane does not know them. At most
    /// [`MAX_WANTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub want_tasks: Vec<TaskArn>,
    /// Whether another machine polls with the identity of this one. Then nobody gets new tasks until one of them is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cloned: bool,
    /// Whether the node takes new tasks.
    pub instance: InstanceStatus,
    /// Sessions that wait for the node; each is repeated until the node has dialled it. At most
    /// [`crate::session::MAX_OFFERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionOffer>,
}

impl PollResponse {
    /// Nothing but a cursor and the node's status.
    #[must_use]
    pub fn nothing(cursor: Cursor, instance: InstanceStatus) -> Self {
        Self {
            cursor,
            assignments: Vec::new(),
            want_inventory: false,
            want_tasks: Vec::new(),
            cloned: false,
            instance,
            sessions: Vec::new(),
        }
    }
}

/// What is to become of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Its place in the instance's stream.
    pub seq: u64,
    /// Which task.
    pub task_arn: TaskArn,
    /// Grows with every change of the fields below.
    pub generation: u64,
    /// Where it is to go.
    pub desired_status: DesiredStatus,
    /// Stop by SIGKILL at once, without the stop sequence. Only with STOPPED.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// What it is; until the node has acknowledged the task's first assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<TaskSpec>>,
}

/// A task, resolved: everything that a node must know to run it, secrets aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// The cluster.
    pub cluster_arn: ClusterArn,
    /// The definition it was made from.
    pub task_definition_arn: TaskDefinitionArn,
    /// When RunTask took it.
    pub created_at: Timestamp,
    /// The group, `family:FAMILY` unless said otherwise.
    pub group: String,
    /// Who started it, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// The network of its containers.
    pub network_mode: NetworkMode,
    /// The definition's task-level CPU units: a hard quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// The definition's task-level memory in MiB: a hard limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The definition's containers, in its order, without the overrides.
    pub containers: Vec<AssignedContainer>,
    /// The definition's volumes.
    #[serde(default)]
    pub volumes: Vec<ecs::Volume>,
    /// RunTask's overrides, as given.
    #[serde(default)]
    pub overrides: ecs::TaskOverride,
    /// Whether `ExecuteCommand` may run commands in its containers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_execute_command: bool,
}

/// A container of a task, and what was chosen for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignedContainer {
    /// Its ARN.
    pub container_arn: ContainerArn,
    /// Its definition.
    pub definition: ecs::ContainerDefinition,
    /// The ids of the GPUs that it was given, by container instance's `platformDevices`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_ids: Vec<String>,
}

impl TaskSpec {
    /// The override of a container, where there is one.
    #[must_use]
    pub fn container_override(&self, name: &str) -> Option<&ecs::ContainerOverride> {
        let overrides = self.overrides.container_overrides.as_deref().unwrap_or_default();
        overrides.iter().find(|each| each.name.as_deref() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u128, generation: u64) -> InventoryTask {
        let scope = crate::arn::Scope::new("us-east-1", "000000000000");
        let id = crate::arn::ResourceId::from_random(uuid::Uuid::from_u128(id));
        let task_arn = TaskArn {
            scope,
            cluster: "default".into(),
            id,
        };
        InventoryTask {
            task_arn,
            generation,
            status: ReportedStatus::Running,
        }
    }

    #[test]
    fn the_inventory_hash_does_not_depend_on_order_and_sees_every_field() {
        let hash = Inventory::hash_of(&[task(1, 1), task(2, 1)]);
        assert_eq!(hash, Inventory::hash_of(&[task(2, 1), task(1, 1)]));
        assert_ne!(hash, Inventory::hash_of(&[task(1, 2), task(2, 1)]));
        assert_ne!(hash, Inventory::hash_of(&[task(1, 1)]));
    }

    #[test]
    fn the_cursor_lies_flat_in_request_and_response() {
        let json = serde_json::json!({"incarnation": "7", "cursor": 3, "instance": "ACTIVE", "later": true});
        let response: PollResponse = serde_json::from_value(json).unwrap();
        assert_eq!(
            response.cursor,
            Cursor {
                incarnation: "7".into(),
                cursor: 3
            }
        );
        assert!(response.assignments.is_empty());
        assert!(response.want_tasks.is_empty() && !response.cloned);
    }

    #[test]
    fn what_came_later_is_not_sent_where_it_says_nothing() {
        let old = serde_json::json!({"hash": ""});
        assert_eq!(serde_json::to_value(Inventory::default()).unwrap(), old);
        let old = serde_json::json!({"incarnation": "7", "cursor": 3, "assignments": [], "wantInventory": false,
            "instance": "ACTIVE"});
        let response: PollResponse = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(serde_json::to_value(response).unwrap(), old);
    }
}
