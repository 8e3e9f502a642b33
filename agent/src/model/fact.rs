//! What happens to a task, and what is done about it.

use std::time::Duration;

use longshore_protocol::status::ReportedStatus;

use super::{Attachment, Exit, Health, Order, PulledImage, StopDeadline};

/// Something that happened. Facts may come in any order, late, and twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// An order came, and is durable.
    Ordered(Order),
    /// Ports and GPUs are the task's own.
    Admitted,
    /// They are somebody else's.
    Blocked(String),
    /// The task has its cgroup.
    Prepared,
    /// The task can't be prepared.
    PrepareFailed(Failure),
    /// A pull has begun, at this wall clock time in milliseconds.
    PullStarted(i64),
    /// Something happened to the container at this index.
    Container(u16, ContainerFact),
    /// The runtime's list has been compared with the task.
    Listed,
    /// The control plane has acknowledged these statuses.
    Acknowledged {
        /// The task's.
        task: ReportedStatus,
        /// The containers', in their order.
        containers: Vec<ReportedStatus>,
    },
    /// All that the task had of the machine is given back; its log files are left.
    TornDown,
    /// It has stopped and all is told: when its files are to go, since boot.
    CleanDue(Duration),
    /// The log files are gone too.
    Cleaned,
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerFact {
    /// Its image is here, since this wall clock time in milliseconds.
    Pulled(Box<PulledImage>, i64),
    /// It has its network.
    Attached(Box<Attachment>),
    /// The runtime has it.
    Created,
    /// The runtime is asked to start it.
    StartCalled,
    /// It runs.
    Started {
        /// Which run of it that is, from 0.
        run: u32,
        /// Its first process.
        pid: u32,
        /// Since when, in milliseconds since 1970.
        at_millis: i64,
        /// In which boot of the machine.
        boot_id: String,
        /// When that was seen, since boot.
        seen: Duration,
    },
    /// What its health check says of it from now on.
    Health(Health),
    /// It can't be pulled, attached, created or started, or what it depends on can't come true. Nothing of it runs, or
    /// [`ContainerFact::Discarded`] follows.
    Failed(Failure),
    /// It is proved that nothing of it runs, though it may have been asked to start.
    Discarded,
    /// Its ports are held again.
    Adopted,
    /// When SIGKILL is due.
    StopDeadline(StopDeadline),
    /// The stop signal has gone.
    Terminated,
    /// SIGKILL has gone, at this time since boot.
    Killed(Duration),
    /// Its first process is no more.
    Exited,
    /// The runtime's list, asked for at this time since boot, does not have it running.
    NotRunning(Duration),
    /// It was thought to have ended, of an earlier run's end. It runs, seen at this time since boot.
    StillRuns(Duration),
    /// How it ended: no process is left.
    Reaped {
        /// How.
        exit: Exit,
        /// In which boot of the machine it was asked.
        boot_id: String,
        /// When, since boot.
        seen: Duration,
    },
    /// The runtime doesn't know it any more; nothing of it runs.
    Vanished {
        /// When that was seen, in milliseconds since 1970.
        at_millis: i64,
        /// In which boot of the machine.
        boot_id: String,
    },
    /// Record, snapshot, network and image are given back.
    TornDown,
}

/// Why something can't be done: ECS's name for it, and the words of whoever said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Such as `CannotPullContainerError`.
    pub name: &'static str,
    /// The words.
    pub text: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// Something to do. Each is idempotent, and ends in a [`Fact`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make the task's cgroup.
    PrepareTask,
    /// Have the image here.
    Pull(u16),
    /// Give it its network.
    Attach(u16),
    /// Make its layer and record.
    Create(u16),
    /// Start it.
    Start(u16),
    /// Hold its ports again.
    Adopt(u16),
    /// Send its first process the stop signal of this number.
    Terminate(u16, i32),
    /// Send all its processes SIGKILL, for the n-th time.
    Kill(u16, u32),
    /// Ask how it ended.
    Reap(u16),
    /// Make sure that nothing of it runs; [`ContainerFact::Started`] or [`ContainerFact::Exited`] if it did begin.
    Discard(u16),
    /// Give back its record, snapshot, network and image.
    TearDown(u16),
    /// Give back the task's cgroup and volumes.
    TearDownTask,
    /// Remove what was kept for people: log files.
    Clean,
}

/// What may go on at the same time: one step a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The task as a whole.
    Task,
    /// A container's life.
    Life(u16),
    /// Signals to a container: they must not wait for what goes on with it.
    Signal(u16),
}

impl Step {
    /// Its lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match *self {
            Self::PrepareTask | Self::TearDownTask | Self::Clean => Lane::Task,
            Self::Pull(index)
            | Self::Attach(index)
            | Self::Create(index)
            | Self::Start(index)
            | Self::Adopt(index)
            | Self::Reap(index)
            | Self::Discard(index)
            | Self::TearDown(index) => Lane::Life(index),
            Self::Terminate(index, _) | Self::Kill(index, _) => Lane::Signal(index),
        }
    }
}
