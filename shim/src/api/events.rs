//! Events that containerd publishes for the shim, and the call that hands them over.

use super::task::Mount;
use super::{Any, Message, Timestamp};

/// The service of containerd that takes events.
pub const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// Its one method.
pub const FORWARD: &str = "Forward";

/// An event: a message with a topic.
pub trait Event: Message {
    /// Its topic.
    const TOPIC: &'static str;
    /// Its type.
    const TYPE: &'static str;
}

/// Publish this.
#[derive(Clone, PartialEq, Message)]
pub struct ForwardRequest {
    /// The event.
    #[prost(message, optional, tag = "1")]
    pub envelope: Option<Envelope>,
}

/// An event with its circumstances.
#[derive(Clone, PartialEq, Message)]
pub struct Envelope {
    /// When it happened.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// containerd's namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// [`Event::TOPIC`].
    #[prost(string, tag = "3")]
    pub topic: String,
    /// The event.
    #[prost(message, optional, tag = "4")]
    pub event: Option<Any>,
}

/// Where a container's I/O goes.
#[derive(Clone, PartialEq, Message)]
pub struct TaskIo {
    /// Input.
    #[prost(string, tag = "1")]
    pub stdin: String,
    /// Output.
    #[prost(string, tag = "2")]
    pub stdout: String,
    /// Error output.
    #[prost(string, tag = "3")]
    pub stderr: String,
    /// Whether it has a console.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
}

/// A container was made.
#[derive(Clone, PartialEq, Message)]
pub struct TaskCreate {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its bundle.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// Its root file system.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Its I/O.
    #[prost(message, optional, tag = "4")]
    pub io: Option<TaskIo>,
    /// Never set.
    #[prost(string, tag = "5")]
    pub checkpoint: String,
    /// Its first process.
    #[prost(uint32, tag = "6")]
    pub pid: u32,
}

impl Event for TaskCreate {
    const TOPIC: &'static str = "/tasks/create";
    const TYPE: &'static str = "containerd.events.TaskCreate";
}

/// A container was started.
#[derive(Clone, PartialEq, Message)]
pub struct TaskStart {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its first process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

impl Event for TaskStart {
    const TOPIC: &'static str = "/tasks/start";
    const TYPE: &'static str = "containerd.events.TaskStart";
}

/// A container is gone.
#[derive(Clone, PartialEq, Message)]
pub struct TaskDelete {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// How it ended.
    #[prost(uint32, tag = "3")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "4")]
    pub exited_at: Option<Timestamp>,
    /// The exec; empty for the container.
    #[prost(string, tag = "5")]
    pub id: String,
}

impl Event for TaskDelete {
    const TOPIC: &'static str = "/tasks/delete";
    const TYPE: &'static str = "containerd.events.TaskDelete";
}

/// A process has ended.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExit {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec, or the container once more.
    #[prost(string, tag = "2")]
    pub id: String,
    /// The process.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// How it ended.
    #[prost(uint32, tag = "4")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "5")]
    pub exited_at: Option<Timestamp>,
}

impl Event for TaskExit {
    const TOPIC: &'static str = "/tasks/exit";
    const TYPE: &'static str = "containerd.events.TaskExit";
}

/// The kernel killed for want of memory.
#[derive(Clone, PartialEq, Message)]
pub struct TaskOom {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Event for TaskOom {
    const TOPIC: &'static str = "/tasks/oom";
    const TYPE: &'static str = "containerd.events.TaskOOM";
}

/// An exec was made.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExecAdded {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

impl Event for TaskExecAdded {
    const TOPIC: &'static str = "/tasks/exec-added";
    const TYPE: &'static str = "containerd.events.TaskExecAdded";
}

/// An exec was started.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExecStarted {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its process.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
}

impl Event for TaskExecStarted {
    const TOPIC: &'static str = "/tasks/exec-started";
    const TYPE: &'static str = "containerd.events.TaskExecStarted";
}

/// A container was frozen.
#[derive(Clone, PartialEq, Message)]
pub struct TaskPaused {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Event for TaskPaused {
    const TOPIC: &'static str = "/tasks/paused";
    const TYPE: &'static str = "containerd.events.TaskPaused";
}

/// It goes on.
#[derive(Clone, PartialEq, Message)]
pub struct TaskResumed {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Event for TaskResumed {
    const TOPIC: &'static str = "/tasks/resumed";
    const TYPE: &'static str = "containerd.events.TaskResumed";
}
