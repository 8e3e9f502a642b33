//! The ladders that tasks and containers climb. Each enum is ordered as its ladder is; nothing steps down.

use serde::{Deserialize, Serialize};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the ladder.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value as the wire has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownValue;

            fn from_str(text: &str) -> Result<Self, UnknownValue> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownValue { kind: stringify!($name), value: text.to_owned() }),
                }
            }
        }
    };
}

/// A text that is none of an enum's values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no {kind}")]
pub struct UnknownValue {
    /// The enum.
    pub kind: &'static str,
    /// The text.
    pub value: String,
}

wire_enum! {
    /// `lastStatus` of a task.
    TaskStatus {
        /// Resources are being made; can't be seen on EXTERNAL, where RunTask places or fails.
        Provisioning = "PROVISIONING",
        /// Placed; no container runs yet.
        Pending = "PENDING",
        /// Some containers run, others wait.
        Activating = "ACTIVATING",
        /// All containers run, or did.
        Running = "RUNNING",
        /// A stop was ordered; the node does not have the order yet.
        Deactivating = "DEACTIVATING",
        /// The node has the order to stop.
        Stopping = "STOPPING",
        /// Proof of death is awaited.
        Deprovisioning = "DEPROVISIONING",
        /// No process of the task is left.
        Stopped = "STOPPED",
    }
}

wire_enum! {
    /// `desiredStatus` of a task: where it is to go.
    DesiredStatus {
        /// To run.
        Running = "RUNNING",
        /// To stop, for good.
        Stopped = "STOPPED",
    }
}

wire_enum! {
    /// `lastStatus` of a container, and the status words that an agent reports for tasks and containers.
    ReportedStatus {
        /// Not running yet.
        Pending = "PENDING",
        /// Running.
        Running = "RUNNING",
        /// No process is left.
        Stopped = "STOPPED",
    }
}

wire_enum! {
    /// `status` of a container instance.
    InstanceStatus {
        /// Takes tasks.
        Active = "ACTIVE",
        /// Takes no new tasks; those that it has go on.
        Draining = "DRAINING",
        /// Deregistered.
        Inactive = "INACTIVE",
    }
}

wire_enum! {
    /// Why a task stopped.
    StopCode {
        /// It never ran.
        TaskFailedToStart = "TaskFailedToStart",
        /// A container without which it is nothing exited.
        EssentialContainerExited = "EssentialContainerExited",
        /// Somebody called StopTask.
        UserInitiated = "UserInitiated",
        /// A service's scheduler stopped it.
        ServiceSchedulerInitiated = "ServiceSchedulerInitiated",
        /// Its machine went away.
        TerminationNotice = "TerminationNotice",
    }
}

wire_enum! {
    /// `networkMode` of a task definition.
    NetworkMode {
        /// A namespace a container, behind a bridge.
        Bridge = "bridge",
        /// The host's own network.
        Host = "host",
        /// A namespace with nothing but loopback.
        None = "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladders_are_ordered_and_round_trip() {
        assert!(TaskStatus::ALL.is_sorted());
        for status in TaskStatus::ALL {
            assert_eq!(status.as_str().parse::<TaskStatus>().unwrap(), *status);
            assert_eq!(
                serde_json::to_string(status).unwrap(),
                format!("{:?}", status.as_str())
            );
        }
        assert!("DELETED".parse::<TaskStatus>().is_err());
    }
}
