//! What the agent thinks in: tasks and containers as they are to be, as they are, and what happened to them.
//!
//! Nothing here has an effect: no clock, no disk, no network. Wire types stop at `intake`, which makes these of them.

mod apply;
mod assignment;
mod attachment;
mod boot;
mod container;
mod depends;
mod exit;
mod fact;
mod host;
mod image;
mod report;
mod restart;
#[cfg(test)]
pub(crate) mod sample;
mod state;
mod task;

pub use apply::{Effect, apply};
pub use assignment::{Assignment, Body, Order, OrderError};
pub use attachment::{Attachment, PortBinding};
pub use boot::{Boot, judge as judge_boot};
pub use container::{
    BindMount, ContainerId, LogOptions, MountPoint, PortMapping, Protocol, ResolvedContainer, Ulimit,
};
pub use depends::{Condition, Dependency, Health};
pub use exit::{Exit, OutOfMemory};
pub use fact::{ContainerFact, Fact, Failure, Lane, Step};
pub use host::{CgroupVersion, Gpu, HostFacts};
pub use image::{ImageConfig, PulledImage};
pub use report::{ContainerReport, Report};
pub use restart::{Moment, RestartPolicy, Restarts, Run, boot_of, times};
pub use state::{
    Acknowledged, ContainerRecord, FirstStart, KnownStatus, Live, LiveContainer, StopDeadline, TaskRecord,
    TaskState,
};
pub use task::{ResolvedTask, Volume, VolumeSource};
