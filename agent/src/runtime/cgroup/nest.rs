//! Groups inside a container's: what a session's processes are told apart and ended by.
//!
//! On v2 such a group has no controllers, so the container's own group stays a leaf of those, and may hold processes
//! beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use rustix::process::Signal;

use super::tree::{below, present, signal_member};
use super::{CgroupError, Cgroups, make};

/// What the kernel calls RLIMIT_RTTIME.
const LIMIT: &str = "Max realtime timeout";
/// The bytes of an environment that are looked at. The kernel starts no program with more than 6 MiB of arguments and
/// environment, but a process may say later that any memory is its environment, and has terabytes of nothing for free.
const ENVIRONMENT: u64 = 8 << 20;
/// Bytes that are read at a time.
const BLOCK: usize = 64 << 10;
/// What a v1 group of CPUs must be told before it takes processes: the same as the one above it.
const CPUSETS: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// What processes that belong together have from their first one. Either is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// A line of the environment.
    pub line: String,
    /// The hard limit on realtime processes' time, in microseconds.
    pub limit: u64,
}

impl Mark {
    /// Whether a process was started with this line, or has this limit. Reading an environment waits for whatever its
    /// process does to its memory: not for a thread that others need.
    fn is_on(&self, pid: i32) -> bool {
        let environment = || fs::File::open(format!("/proc/{pid}/environ"));
        self.limits(pid) || environment().is_ok_and(|file| has_line(file, self.line.as_bytes()))
    }

    fn limits(&self, pid: i32) -> bool {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let mut named = limits.lines().filter_map(|line| line.strip_prefix(LIMIT));
        let hard = named.next().and_then(|rest| rest.split_whitespace().nth(1));
        hard.is_some_and(|hard| hard.parse() == Ok(self.limit))
    }
}

/// Whether this is a line of an environment, in which each ends with a zero. Keeps none of it.
fn has_line(environment: impl Read, line: &[u8]) -> bool {
    let mut environment = BufReader::with_capacity(BLOCK, environment.take(ENVIRONMENT));
    // How much of `line` has come of the one that is read; none of one that is another.
    let mut matched = Some(0);
    loop {
        // A process that ends meanwhile has no environment.
        let block = environment.fill_buf().unwrap_or_default();
        if block.is_empty() {
            return matched == Some(line.len());
        }
        for byte in block {
            matched = match (byte, matched) {
                (0, Some(length)) if length == line.len() => return true,
                (0, _) => Some(0),
                (byte, Some(length)) if line.get(length) == Some(byte) => Some(length + 1),
                _ => None,
            };
        }
        let read = block.len();
        environment.consume(read);
    }
}

impl Cgroups {
    /// Makes the group `name` inside `path`, in every hierarchy in which that is.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn nest(&self, path: &str, name: &str) -> Result<(), CgroupError> {
        for root in self.roots(path).filter(|root| root.is_dir()) {
            let folder = root.join(name);
            make(&folder)?;
            for file in CPUSETS {
                let above = fs::read_to_string(root.join(file)).unwrap_or_default();
                if !above.trim().is_empty() {
                    present(fs::write(folder.join(file), above.trim()), "write", &folder)?;
                }
            }
        }
        Ok(())
    }

    /// Moves a process into the group `name` inside `path`, wherever that is. One that has ended needs none.
    ///
    /// # Errors
    /// It is in none of them now, though it is there.
    pub fn enter(&self, path: &str, name: &str, pid: u32) -> Result<(), CgroupError> {
        let (mut entered, mut refused) = (false, None);
        for root in self.roots(path) {
            let file = root.join(name).join("cgroup.procs");
            match fs::write(&file, pid.to_string()) {
                Ok(()) => entered = true,
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => refused = Some(CgroupError::io("write", &file)(source)),
            }
        }
        match refused {
            Some(error) if !entered => Err(error),
            Some(error) => {
                tracing::debug!(%error, "a process is not in all of its groups");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sends a signal to everything in `path` and below it; says who that was. Waits for nobody's memory.
    ///
    /// # Errors
    /// As [`Cgroups::pids`].
    pub fn signal(&self, path: &str, signal: Signal) -> Result<BTreeSet<i32>, CgroupError> {
        let pids = self.pids(path)?;
        self.signal_all(&pids, path, signal);
        Ok(pids)
    }

    /// Sends a signal to what is in `path` or below it and has `mark`; says who that was. Waits for the memory of processes
    /// that are not ours: not for a thread that others need.
    ///
    /// # Errors
    /// As [`Cgroups::pids`].
    pub fn signal_marked(
        &self,
        path: &str,
        mark: &Mark,
        signal: Signal,
    ) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = self.pids(path)?;
        pids.retain(|pid| mark.is_on(*pid));
        self.signal_all(&pids, path, signal);
        Ok(pids)
    }

    fn signal_all(&self, pids: &BTreeSet<i32>, path: &str, signal: Signal) {
        let group = format!("{}/{path}", self.parent);
        for pid in pids {
            signal_member(*pid, &group, signal);
        }
    }

    /// The names of the groups right inside `path` that begin with `prefix`.
    ///
    /// # Errors
    /// A folder can't be listed.
    pub fn nested(&self, path: &str, prefix: &str) -> Result<BTreeSet<String>, CgroupError> {
        let mut names = BTreeSet::new();
        for root in self.roots(path) {
            let folders = below(&root)?;
            let inside = folders.iter().filter(|folder| folder.parent() == Some(&root));
            let name = |folder: &Path| Some(folder.file_name()?.to_str()?.to_owned());
            names.extend(
                inside
                    .filter_map(|folder| name(folder))
                    .filter(|name| name.starts_with(prefix)),
            );
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is read of it.
    struct Counted<R>(R, u64);

    impl<R: Read> Read for &mut Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1 += u64::try_from(read).unwrap();
            Ok(read)
        }
    }

    #[test]
    fn an_environment_without_end_is_read_to_a_limit() {
        for byte in [0, b'x'] {
            let mut endless = Counted(std::io::repeat(byte).take(8 * ENVIRONMENT), 0);
            assert!(!has_line(&mut endless, b"MARK=1"));
            assert!(endless.1 <= ENVIRONMENT, "{} bytes were read", endless.1);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_line_is_found_wherever_it_is(
            lines in proptest::collection::vec("[ab]{0,3}", 0..6),
            line in "[ab]{1,3}",
            before in 0..BLOCK + 8,
        ) {
            // Over the seam of two blocks, too.
            let mut bytes = vec![b'x'; before];
            bytes.push(0);
            bytes.extend(lines.iter().flat_map(|line| line.bytes().chain([0])));
            let found = has_line(&*bytes, line.as_bytes());
            proptest::prop_assert_eq!(found, lines.contains(&line));
            bytes.extend(line.bytes());
            proptest::prop_assert!(has_line(&*bytes, line.as_bytes()));
        }
    }

    #[test]
    fn a_process_is_told_by_what_it_was_started_with() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("MARK", "1")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Until then it has this process's environment.
        let began = || {
            fs::read(format!("/proc/{pid}/cmdline"))
                .unwrap()
                .starts_with(b"sleep")
        };
        while !began() {
            std::thread::yield_now();
        }
        let mark = |line: &str, limit| Mark {
            line: line.to_owned(),
            limit,
        };
        assert!(mark("MARK=1", 7).is_on(pid));
        assert!(!mark("MARK=", 7).is_on(pid));
        let limit = 1 << 61 | 5;
        rustix::process::prlimit(
            rustix::process::Pid::from_raw(pid),
            rustix::process::Resource::Rttime,
            rustix::process::Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            },
        )
        .unwrap();
        assert!(mark("MARK=", limit).is_on(pid) && !mark("MARK=", limit + 1).is_on(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!mark("MARK=1", limit).is_on(pid));
    }
}
