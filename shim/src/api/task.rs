//! Requests and answers of the task API, and what containerd passes along in them.

use super::{Any, Message, Timestamp};

/// The service's name in requests.
pub const SERVICE: &str = "containerd.task.v2.Task";
/// The type of [`ProcessDetails`] in an [`Any`].
pub const PROCESS_DETAILS: &str = "containerd.runc.v1.ProcessDetails";
/// The type of [`Options`] in an [`Any`].
pub const OPTIONS: &str = "containerd.runc.v1.Options";

/// What a process is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Made, not started.
    Created = 1,
    /// It runs.
    Running = 2,
    /// It has ended.
    Stopped = 3,
    /// It is frozen.
    Paused = 4,
}

/// Nothing.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// A mount of the root file system.
#[derive(Clone, PartialEq, Message)]
pub struct Mount {
    /// The file system.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// What is mounted.
    #[prost(string, tag = "2")]
    pub source: String,
    /// Where, below the root file system.
    #[prost(string, tag = "3")]
    pub target: String,
    /// Options as in fstab.
    #[prost(string, repeated, tag = "4")]
    pub options: Vec<String>,
}

/// Make a container.
#[derive(Clone, PartialEq, Message)]
pub struct CreateTaskRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its bundle's folder.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// What makes up its root file system.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Whether it has a console.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
    /// Where its input comes from.
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// Where its output goes.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// Where its error output goes.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// What to restore; refused.
    #[prost(string, tag = "8")]
    pub checkpoint: String,
    /// Refused too.
    #[prost(string, tag = "9")]
    pub parent_checkpoint: String,
    /// [`Options`].
    #[prost(message, optional, tag = "10")]
    pub options: Option<Any>,
}

/// Its first process.
#[derive(Clone, PartialEq, Message)]
pub struct CreateTaskResponse {
    /// The process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Let a process run.
#[derive(Clone, PartialEq, Message)]
pub struct StartRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// It runs.
#[derive(Clone, PartialEq, Message)]
pub struct StartResponse {
    /// The process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Forget a process that has ended.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// How it ended.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteResponse {
    /// The process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// Its status.
    #[prost(uint32, tag = "2")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "3")]
    pub exited_at: Option<Timestamp>,
}

/// Make a process in a container.
#[derive(Clone, PartialEq, Message)]
pub struct ExecProcessRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Whether it has a console.
    #[prost(bool, tag = "3")]
    pub terminal: bool,
    /// Where its input comes from.
    #[prost(string, tag = "4")]
    pub stdin: String,
    /// Where its output goes.
    #[prost(string, tag = "5")]
    pub stdout: String,
    /// Where its error output goes.
    #[prost(string, tag = "6")]
    pub stderr: String,
    /// The OCI process, in JSON.
    #[prost(message, optional, tag = "7")]
    pub spec: Option<Any>,
}

/// The size of a console.
#[derive(Clone, PartialEq, Message)]
pub struct ResizePtyRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Columns.
    #[prost(uint32, tag = "3")]
    pub width: u32,
    /// Lines.
    #[prost(uint32, tag = "4")]
    pub height: u32,
}

/// Ask for a process.
#[derive(Clone, PartialEq, Message)]
pub struct StateRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// What a process is up to.
#[derive(Clone, PartialEq, Message)]
pub struct StateResponse {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its bundle.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// The process; 0 if there is none yet.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// A [`Status`].
    #[prost(int32, tag = "4")]
    pub status: i32,
    /// Where its input comes from.
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// Where its output goes.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// Where its error output goes.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// Whether it has a console.
    #[prost(bool, tag = "8")]
    pub terminal: bool,
    /// How it ended.
    #[prost(uint32, tag = "9")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "10")]
    pub exited_at: Option<Timestamp>,
    /// The exec.
    #[prost(string, tag = "11")]
    pub exec_id: String,
}

/// Send a signal.
#[derive(Clone, PartialEq, Message)]
pub struct KillRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its number.
    #[prost(uint32, tag = "3")]
    pub signal: u32,
    /// To every process of the container.
    #[prost(bool, tag = "4")]
    pub all: bool,
}

/// End a process's input.
#[derive(Clone, PartialEq, Message)]
pub struct CloseIoRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Whether to.
    #[prost(bool, tag = "3")]
    pub stdin: bool,
}

/// Ask for a container's processes.
#[derive(Clone, PartialEq, Message)]
pub struct PidsRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// They are.
#[derive(Clone, PartialEq, Message)]
pub struct PidsResponse {
    /// In no order.
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<ProcessInfo>,
}

/// One process.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessInfo {
    /// Its pid.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// [`ProcessDetails`] of an exec.
    #[prost(message, optional, tag = "2")]
    pub info: Option<Any>,
}

/// Which exec a process is.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessDetails {
    /// The exec.
    #[prost(string, tag = "1")]
    pub exec_id: String,
}

/// Change limits.
#[derive(Clone, PartialEq, Message)]
pub struct UpdateTaskRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// OCI's resources, in JSON.
    #[prost(message, optional, tag = "2")]
    pub resources: Option<Any>,
}

/// Wait for a process's end.
#[derive(Clone, PartialEq, Message)]
pub struct WaitRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// How it ended.
#[derive(Clone, PartialEq, Message)]
pub struct WaitResponse {
    /// Its status.
    #[prost(uint32, tag = "1")]
    pub exit_status: u32,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub exited_at: Option<Timestamp>,
}

/// Ask for a container's use of resources.
#[derive(Clone, PartialEq, Message)]
pub struct StatsRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// It is.
#[derive(Clone, PartialEq, Message)]
pub struct StatsResponse {
    /// Metrics of the cgroup version that the host has.
    #[prost(message, optional, tag = "1")]
    pub stats: Option<Any>,
}

/// Ask for the shim.
#[derive(Clone, PartialEq, Message)]
pub struct ConnectRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Who the shim is.
#[derive(Clone, PartialEq, Message)]
pub struct ConnectResponse {
    /// Its pid.
    #[prost(uint32, tag = "1")]
    pub shim_pid: u32,
    /// The container's first process.
    #[prost(uint32, tag = "2")]
    pub task_pid: u32,
    /// The API's version.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// End, if nothing is left.
#[derive(Clone, PartialEq, Message)]
pub struct ShutdownRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Without delay.
    #[prost(bool, tag = "2")]
    pub now: bool,
}

/// Freeze a container.
#[derive(Clone, PartialEq, Message)]
pub struct PauseRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Let it go on.
#[derive(Clone, PartialEq, Message)]
pub struct ResumeRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// How the OCI runtime is called: containerd's own options for runc.
#[derive(Clone, PartialEq, Message)]
pub struct Options {
    /// Without pivot_root.
    #[prost(bool, tag = "1")]
    pub no_pivot_root: bool,
    /// Without a keyring of its own.
    #[prost(bool, tag = "2")]
    pub no_new_keyring: bool,
    /// The shim's cgroup; `start` sees to it.
    #[prost(string, tag = "3")]
    pub shim_cgroup: String,
    /// Who shall own the pipes.
    #[prost(uint32, tag = "4")]
    pub io_uid: u32,
    /// Their group.
    #[prost(uint32, tag = "5")]
    pub io_gid: u32,
    /// The program.
    #[prost(string, tag = "6")]
    pub binary_name: String,
    /// The folder of its state, without the namespace.
    #[prost(string, tag = "7")]
    pub root: String,
    /// Not used: checkpoints are refused.
    #[prost(string, tag = "8")]
    pub criu_path: String,
    /// Cgroups are systemd's.
    #[prost(bool, tag = "9")]
    pub systemd_cgroup: bool,
    /// Refused.
    #[prost(string, tag = "10")]
    pub criu_image_path: String,
    /// Refused.
    #[prost(string, tag = "11")]
    pub criu_work_path: String,
}

/// A program's version.
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeVersion {
    /// As people say it.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Of the source.
    #[prost(string, tag = "2")]
    pub revision: String,
}

/// What `-info` tells.
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeInfo {
    /// The runtime.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The shim's.
    #[prost(message, optional, tag = "2")]
    pub version: Option<RuntimeVersion>,
}
