//! What a machine has.

use std::collections::BTreeMap;

/// Which cgroup interface manages processes here. A hybrid machine is `V1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// A hierarchy a controller.
    V1,
    /// One unified hierarchy.
    V2,
}

/// A GPU: CDI devices that share their device nodes are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its UUID if it has one, else the CDI device's name: what is registered.
    pub id: String,
    /// The fully qualified CDI name to inject, such as `nvidia.com/gpu=0`.
    pub cdi_device: String,
}

/// What this machine has, read once at start (GPUs again when the CDI folders change).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Logical CPUs × 1024.
    pub cpu_units: u64,
    /// MemTotal in MiB.
    pub memory_mib: u64,
    /// As OCI has it: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// As OCI has it, such as `v7`; empty where there is none.
    pub variant: String,
    /// The machine's name.
    pub hostname: String,
    /// Random per boot.
    pub boot_id: String,
    /// What tells this machine from a copy of it.
    pub fingerprint: String,
    /// How processes are grouped.
    pub cgroup: CgroupVersion,
    /// Whether AppArmor profiles can be set.
    pub apparmor: bool,
    /// Whether the kernel has seccomp filters.
    pub seccomp: bool,
    /// The GPUs on offer.
    pub gpus: Vec<Gpu>,
    /// `ecs.os-type` and so on: the attributes that the machine itself gives.
    pub attributes: BTreeMap<String, Option<String>>,
}
