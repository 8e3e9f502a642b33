//! What the agent thinks in: tasks and containers as they are to be, as they are, and what happened to them.
//!
//! Nothing here has an effect: no clock, no disk, no network. Wire types stop at `intake`, which makes these of them.

mod container;
mod exit;
mod host;
mod image;
mod task;

pub use container::{
    BindMount, ContainerId, LogOptions, MountPoint, PortMapping, Protocol, ResolvedContainer, Ulimit,
};
pub use exit::{Exit, OutOfMemory};
pub use host::{CgroupVersion, Gpu, HostFacts};
pub use image::{ImageConfig, PulledImage};
pub use task::{ResolvedTask, Volume, VolumeSource};
