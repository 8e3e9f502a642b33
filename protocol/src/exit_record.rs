//! What the shim writes about the end of a process, and the agent reads and then removes: one JSON file an exit.
//!
//! Also what the agent tells the shim: annotations of the container's OCI configuration ([`EXITS`], [`RUNTIME`],
//! [`RUNTIME_ROOT`]) and the scheme of a standard output that the shim itself writes to a log ([`LOG_SCHEME`]).
//!
//! Rules of the files, which the shim keeps and the agent may rely on:
//! - A record is in its folder, under [`file_name`], whole and synced, before containerd can learn of the exit. It is
//!   written under another name that ends in [`UNFINISHED`], synced, renamed, and the folder is synced.
//! - A container's record is written when its cgroup is empty; or, with [`ExitRecord::undead`] not empty, when what is
//!   left in the cgroup did not die of SIGKILL in time. Once it has died, the record is written again without.
//! - A record of a newer version than [`VERSION`] has all members that are here, with the same meaning: a reader ignores
//!   what it doesn't know. A change that can't keep to this gets another file name.
//!
//! There is no record of a process whose end nobody saw: of containers whose shim was killed. Nor of a container that
//! was created and never started: a record says that it ran.

use serde::{Deserialize, Serialize};

/// The version of the records that this code writes.
pub const VERSION: u32 = 1;
/// What the name of a file ends in that is being written: not a record, whatever is in it.
pub const UNFINISHED: &str = ".tmp";
/// Annotation: the absolute path of the folder for exit records; without it none are written.
pub const EXITS: &str = "longshore.exits";
/// Annotation: the OCI runtime, an absolute path or a name to look up in `PATH`; without it containerd's option
/// `BinaryName`, or else `runc`.
pub const RUNTIME: &str = "longshore.runtime";
/// Annotation: the OCI runtime's folder for its state, the namespace not included; without it containerd's option `Root`,
/// or else `/run/containerd/runc`.
pub const RUNTIME_ROOT: &str = "longshore.runtime-root";
/// A container's standard output, and standard error with it, goes to the log that an options file describes
/// ([`crate::json_file::WriterOptions`]): this, followed by the absolute path of that file, just as it is.
pub const LOG_SCHEME: &str = "longshore-log://";

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitRecord {
    /// [`VERSION`] of the shim that wrote it.
    pub version: u32,
    /// containerd's id of the container.
    pub container: String,
    /// containerd's id of the exec, if it was one; none for the container's first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
    /// The exit status as containerd has it: 0 to 255, 128 + the signal if one ended the process.
    pub status: u32,
    /// The signal that ended the process, as the kernel told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When the process was reaped.
    pub exited_at: ExitedAt,
    /// What the cgroup knows of memory; none for an exec, and where nobody could read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Processes of the container that SIGKILL has not ended in time, as pids of the shim's pid namespace: the
    /// container isn't gone. Empty if it is. The container's first process may be one of them; `status` is then 137,
    /// which is how it will end, and containerd still has the container as running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undead: Vec<i32>,
}

/// A time by both clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitedAt {
    /// The wall clock; RFC 3339 with nanoseconds, UTC.
    #[serde(with = "rfc_3339")]
    pub wall: jiff::Timestamp,
    /// The kernel's boot id, `/proc/sys/kernel/random/boot_id`: the other clock means something in this boot only.
    pub boot_id: String,
    /// `CLOCK_BOOTTIME`, in nanoseconds.
    pub boot_nanos: u64,
}

/// What a container's cgroup says of its memory at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// How many of the container's processes the kernel has killed for want of memory since it was created, whichever
    /// limit they met, of its own cgroup or one above.
    pub oom_kills: u64,
    /// How often the container's own limit, or one inside, was met with nothing left to free; none where the kernel does
    /// not count it (cgroup v1). Kills without any such are those of a limit above, or of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_limit_ooms: Option<u64>,
    /// The hard limit of the container's cgroup, in bytes; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The most that was ever in use, in bytes; none where the kernel does not keep it (cgroup v2 before Linux 5.19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
}

/// A file that is no record. Trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("this is no exit record: remove the file, its container's exit is not known by it")]
pub struct InvalidExitRecord(#[source] serde_json::Error);

impl ExitRecord {
    /// The record as the bytes of its file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers: nothing in it can fail to be JSON.
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Reads the bytes of a record's file.
    ///
    /// # Errors
    /// [`InvalidExitRecord`] if they are not one.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidExitRecord> {
        serde_json::from_slice(json).map_err(InvalidExitRecord)
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        file_name(&self.container, self.exec.as_deref())
    }
}

/// The name of a record's file: `CONTAINER.json`, or `CONTAINER+EXEC.json`. containerd's ids have no `+`, so no two
/// processes share one.
#[must_use]
pub fn file_name(container: &str, exec: Option<&str>) -> String {
    match exec {
        None => format!("{container}.json"),
        Some(exec) => format!("{container}+{exec}.json"),
    }
}

/// The container and the exec that a file name is of; none if it is not the name of a record.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<(&str, Option<&str>)> {
    let stem = name.strip_suffix(".json").filter(|stem| !stem.is_empty())?;
    Some(match stem.split_once('+') {
        None => (stem, None),
        Some((container, exec)) => (container, Some(exec)),
    })
}

mod rfc_3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &jiff::Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:.9}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<jiff::Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ExitRecord {
        ExitRecord {
            version: VERSION,
            container: "c-0".into(),
            exec: None,
            status: 137,
            signal: Some(9),
            exited_at: ExitedAt {
                wall: "2026-11-25T07:30:00.000000001Z".parse().unwrap(),
                boot_id: "5f0c".into(),
                boot_nanos: 12_000_000_034,
            },
            memory: Some(Memory {
                oom_kills: 1,
                own_limit_ooms: Some(1),
                limit: Some(1 << 20),
                peak: Some(1 << 20),
            }),
            undead: vec![],
        }
    }

    #[test]
    fn the_file_of_version_1() {
        let golden = concat!(
            r#"{"version":1,"container":"c-0","status":137,"signal":9,"#,
            r#""exitedAt":{"wall":"2026-11-25T07:30:00.000000001Z","bootId":"5f0c","bootNanos":12000000034},"#,
            r#""memory":{"oomKills":1,"ownLimitOoms":1,"limit":1048576,"peak":1048576}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(record().to_json()).unwrap(), golden);
        assert_eq!(ExitRecord::parse(golden.as_bytes()).unwrap(), record());
    }

    #[test]
    fn a_later_version_is_read_and_a_torn_file_is_not() {
        let later = r#"{"version":9,"container":"c","exec":"e","status":0,"new":[1],
            "exitedAt":{"wall":"2026-11-25T07:30:00Z","bootId":"b","bootNanos":1,"new":{}},"undead":[7]}"#;
        let read = ExitRecord::parse(later.as_bytes()).unwrap();
        assert_eq!((read.version, read.exec.as_deref()), (9, Some("e")));
        assert_eq!((read.signal, read.memory, read.undead), (None, None, vec![7]));
        let json = record().to_json();
        assert!(ExitRecord::parse(&json[..json.len() - 2]).is_err());
        assert!(ExitRecord::parse(b"").is_err());
    }

    #[test]
    fn file_names_lead_back() {
        for (container, exec) in [("c", None), ("a.b-c_d", None), ("c", Some("x.json"))] {
            assert_eq!(
                parse_file_name(&file_name(container, exec)),
                Some((container, exec))
            );
        }
        assert_eq!(parse_file_name(&format!("c.json{UNFINISHED}")), None);
        assert_eq!(parse_file_name(".json"), None);
    }
}
