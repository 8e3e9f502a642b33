//! From a record to a running process.

use std::path::Path;
use std::time::Duration;

use longshore_protocol::exit_record::LOG_SCHEME;

use super::record::{Record, StartAsked, read_asked, read_exit, read_run};
use super::{ContainerdRuntime, SLOW, bundle, is_longshore, made_with, never_ran, refused};
use crate::containerd::services::v1::snapshots::MountsRequest;
use crate::containerd::services::v1::{Container, CreateTaskRequest, DeleteTaskRequest, StartRequest};
use crate::containerd::types::Mount;
use crate::containerd::types::v1::{Process, Status};
use crate::containerd::{CallError, Class, Optional, QUICK, call};
use crate::model::ContainerId;
use crate::runtime::{RuntimeError, RuntimeEvent, Started};

/// A shim ends within milliseconds of its last container.
const SHIM_ENDS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];
/// containerd gives itself 5 s to take down a task that could not be made.
const CLEAN_UP: Duration = Duration::from_secs(6);
/// After the task is off its list, containerd runs the shim once more to remove what it left, by the container's name.
const AFTERMATH: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);

impl ContainerdRuntime {
    /// Starts a run of a container, by its number.
    pub(super) async fn start_container(&self, id: &ContainerId, run: u32) -> Result<Started, RuntimeError> {
        let name = id.to_string();
        let (record, mounts) = tokio::join!(self.record(&name), self.mounts(&name));
        let record = record?.ok_or_else(|| RuntimeError::NotFound(name.clone()))?;
        let task = self.task_request(&name, &record, mounts?)?;
        if read_run(&record) < run {
            self.begin_run(id, &name, run).await?;
        } else if let Some(started) = self.ended_already(id, &name, &record).await? {
            return Ok(started);
        }
        // Before the task is there, so that no event of this run comes too early.
        self.watch.begin(id);
        if let Some(process) = self.make_task(id, &name, &task).await? {
            return Ok(self.already_started(id, &process));
        }
        // Only now: what is made and not started stays made if the agent dies.
        if !is_longshore(made_with(&record)) {
            let at_millis = self.clock.now().as_millisecond();
            self.write_asked(&name, Some(&StartAsked { run, at_millis }))
                .await?;
        }
        let started = self.start_task(id, &name, &record).await?;
        self.watch.started(id, started.pid);
        Ok(started)
    }

    /// Has containerd make a task; the one that is there, if that has been started already.
    async fn make_task(
        &self,
        id: &ContainerId,
        name: &str,
        task: &CreateTaskRequest,
    ) -> Result<Option<Process>, RuntimeError> {
        let until = self.clock.since_boot() + CLEAN_UP;
        loop {
            match self.create_task_with_patience(id, task).await {
                Ok(()) => return Ok(None),
                Err(error) if error.class == Class::AlreadyExists => {}
                Err(error) => {
                    self.forget_failed_start(id, &error).await?;
                    return Err(error.into());
                }
            }
            match self.settled(name).await? {
                Some(process) if process.status() == Status::Created => return Ok(None),
                Some(process) if !never_ran(&process) => return Ok(Some(process)),
                None if self.clock.since_boot() < until => {}
                // One of containerd 1.6 that died before the shim had its container finds the shim, and says of the task
                // that it exists and that it does not, until it is told to delete it.
                Some(_) | None => {
                    self.delete_task(name).await?;
                    return Err(taken_down(name.to_owned()));
                }
            }
        }
    }

    /// Writes down that another run is to come. The one before is known to whoever asks for it, so nothing is kept of it:
    /// its shim's record goes first, since beside the new number it would be taken for the new run's.
    async fn begin_run(&self, id: &ContainerId, name: &str, run: u32) -> Result<(), RuntimeError> {
        match self.process(name).await?.map(|process| process.status()) {
            None => {}
            Some(Status::Stopped) => self.delete_task(name).await?,
            Some(Status::Created | Status::Running | Status::Paused | Status::Pausing | Status::Unknown) => {
                return Err(RuntimeError::Runs(name.to_owned()));
            }
        }
        self.forget_exit(id).await?;
        self.write_exit(name, None, Some(run)).await
    }

    /// A start that was lost on its way back, of what has ended since.
    async fn ended_already(
        &self,
        id: &ContainerId,
        name: &str,
        record: &Container,
    ) -> Result<Option<Started>, RuntimeError> {
        if let Some(exit) = read_exit(record) {
            self.tell_exit(id);
            return Ok(Some(Started {
                pid: 0,
                at_millis: exit.at_millis,
            }));
        }
        let asked = id.clone();
        let Some(exit) = self.exits(move |exits| exits.read(&asked)).await? else {
            return self.forgotten_already(id, name, record).await;
        };
        if let Some(process) = self.process(name).await? {
            return Ok(Some(self.already_started(id, &process)));
        }
        self.tell_exit(id);
        Ok(Some(Started {
            pid: 0,
            at_millis: exit.exited_at.wall.as_millisecond(),
        }))
    }

    /// A start that was lost on its way back, of what containerd has forgotten since. How it ended nobody knows.
    async fn forgotten_already(
        &self,
        id: &ContainerId,
        name: &str,
        record: &Container,
    ) -> Result<Option<Started>, RuntimeError> {
        let Some(asked) = read_asked(record) else {
            return Ok(None);
        };
        if self.process(name).await?.is_some() {
            return Ok(None);
        }
        self.tell_exit(id);
        Ok(Some(Started {
            pid: 0,
            at_millis: asked.at_millis,
        }))
    }

    async fn forget_exit(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let id = id.clone();
        self.exits(move |exits| exits.remove(&id)).await
    }

    /// Nothing ran, and nothing must be left that looks as if something had.
    async fn forget_failed_start(&self, id: &ContainerId, error: &CallError) -> Result<(), RuntimeError> {
        match error.class {
            Class::Failed => self.forget_exit(id).await,
            Class::Unavailable
            | Class::NotFound
            | Class::AlreadyExists
            | Class::FailedPrecondition
            | Class::Invalid => Ok(()),
        }
    }

    /// A task that somebody else asked for, once it stays as it is; `None` if it went away. containerd takes down what
    /// it makes when whoever asked for it is gone: what is about to be started again must not be caught up in that.
    pub(super) async fn settled(&self, name: &str) -> Result<Option<Process>, RuntimeError> {
        let until = self.clock.since_boot() + CLEAN_UP;
        let mut gone = None;
        loop {
            let process = self.process(name).await?;
            let now = self.clock.since_boot();
            match process {
                None if gone.is_some_and(|since| now >= since + AFTERMATH) => return Ok(None),
                None => _ = gone.get_or_insert(now),
                Some(process) => {
                    gone = None;
                    let unsettled =
                        matches!(process.status(), Status::Created | Status::Unknown) || never_ran(&process);
                    if !unsettled || now >= until {
                        return Ok(Some(process));
                    }
                }
            }
            self.clock.sleep(LOOK).await;
        }
    }

    async fn mounts(&self, id: &str) -> Result<Vec<Mount>, RuntimeError> {
        let request = MountsRequest {
            snapshotter: self.settings.snapshotter.clone(),
            key: id.to_owned(),
        };
        let mut snapshots = self.client.snapshots();
        let response = call("SnapshotMounts", id, QUICK, snapshots.mounts(request)).await?;
        Ok(response.mounts)
    }

    /// Both streams go to one log, which Longshore's shim writes itself and others have a program for; with no options
    /// nobody reads them and they go nowhere.
    fn task_request(
        &self,
        id: &str,
        record: &Container,
        rootfs: Vec<Mount>,
    ) -> Result<CreateTaskRequest, RuntimeError> {
        let output = match Record::read(record).and_then(|record| record.log_options) {
            None => String::new(),
            Some(options) if is_longshore(made_with(record)) => format!("{LOG_SCHEME}{}", options.display()),
            Some(options) => log_uri(&self.settings.log_writer, &options)
                .map_err(|error| refused("CreateTask", id, &error))?,
        };
        Ok(CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdout: output.clone(),
            stderr: output,
            ..CreateTaskRequest::default()
        })
    }

    /// A shim that is just ending with the last container of the task can take this one down with it, in several ways
    /// that no status tells apart; a moment later there will be a new one. The bundle of a task that containerd has given
    /// up is in the way until it is taken down, and if that never comes, it is removed here. What really can't be made
    /// fails again.
    async fn create_task_with_patience(
        &self,
        id: &ContainerId,
        request: &CreateTaskRequest,
    ) -> Result<(), CallError> {
        let until = self.clock.since_boot() + CLEAN_UP;
        let mut pauses = SHIM_ENDS.into_iter();
        let mut removed = false;
        loop {
            let error = match self.create_task(request.clone()).await {
                Err(error) if error.class == Class::Failed => error,
                created => return created,
            };
            let is_late = self.clock.since_boot() >= until;
            let pause = match (pauses.next(), bundle::in_the_way(&error)) {
                (Some(pause), _) => pause,
                (None, Some(_)) if !is_late => LOOK,
                (None, Some(bundle)) if !removed => {
                    self.remove_bundle(id, bundle, error).await?;
                    removed = true;
                    pauses = SHIM_ENDS.into_iter();
                    continue;
                }
                (None, _) => return Err(error),
            };
            self.clock.sleep(pause).await;
        }
    }

    async fn create_task(&self, request: CreateTaskRequest) -> Result<(), CallError> {
        let id = request.container_id.clone();
        let mut tasks = self.client.tasks();
        call("CreateTask", &id, SLOW, tasks.create(request))
            .await
            .map(drop)
    }

    async fn start_task(
        &self,
        id: &ContainerId,
        name: &str,
        record: &Container,
    ) -> Result<Started, RuntimeError> {
        let request = StartRequest {
            container_id: name.to_owned(),
            exec_id: String::new(),
        };
        let mut tasks = self.client.tasks();
        match call("StartTask", name, SLOW, tasks.start(request)).await {
            Ok(response) => Ok(Started {
                pid: response.pid,
                at_millis: self.clock.now().as_millisecond(),
            }),
            Err(error) => {
                let never_ran = matches!(error.class, Class::Failed | Class::NotFound | Class::Invalid);
                let mut is_gone = true;
                if error.class == Class::Failed {
                    // Nothing ran, and nothing must be left that looks as if it could still be started.
                    let deleted = self.delete_task(name).await;
                    is_gone = deleted.is_ok();
                    tracing::debug!(
                        container = name,
                        ?deleted,
                        "removed a task that could not be started"
                    );
                }
                // Only now: a task that is still there must not look as if nobody had asked for its start.
                if never_ran && is_gone && !is_longshore(made_with(record)) {
                    self.write_asked(name, None).await?;
                }
                self.forget_failed_start(id, &error).await?;
                Err(error.into())
            }
        }
    }

    /// Has containerd and the shim forget a task that does not run; one that isn't there is forgotten already.
    pub(super) async fn delete_task(&self, id: &str) -> Result<(), RuntimeError> {
        let request = DeleteTaskRequest {
            container_id: id.to_owned(),
        };
        let mut tasks = self.client.tasks();
        call("DeleteTask", id, SLOW, tasks.delete(request))
            .await
            .optional()?;
        Ok(())
    }

    /// A start that was lost on its way back. What has ended meanwhile is told once more, for the event came before
    /// anybody knew that it would.
    fn already_started(&self, id: &ContainerId, process: &Process) -> Started {
        let ended = self.watch.started(id, process.pid);
        if ended || process.status() == Status::Stopped {
            self.tell_exit(id);
        }
        self.started(process.pid)
    }

    fn tell_exit(&self, id: &ContainerId) {
        for subscriber in self.streams().open() {
            // A full channel means that Lost is on its way, which says the same.
            let told = subscriber.try_send(RuntimeEvent::Exited(id.clone()));
            tracing::debug!(container = %id, ?told, "had ended before it was seen to start");
        }
    }

    /// When a process began, by the kernel's account; now, if it has gone.
    pub(super) fn started(&self, pid: u32) -> Started {
        let now = self.clock.now().as_millisecond();
        let age = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let begun = since_boot_millis(&stat)?;
            i64::try_from(self.clock.since_boot().as_millis())
                .ok()?
                .checked_sub(begun)
        };
        Started {
            pid,
            at_millis: now - age().unwrap_or(0).max(0),
        }
    }
}

/// Another try finds nothing in its way.
fn taken_down(name: String) -> RuntimeError {
    RuntimeError::Unavailable {
        operation: "CreateTask",
        subject: name,
        why: "an earlier attempt was still being taken down".to_owned(),
    }
}

/// Has the shim run `WRITER options FILE` with the container's output.
fn log_uri(writer: &Path, options: &Path) -> Result<String, url::ParseError> {
    let mut uri = url::Url::parse("binary:///")?;
    uri.set_path(&writer.to_string_lossy());
    uri.query_pairs_mut()
        .append_pair("options", &options.to_string_lossy());
    Ok(uri.into())
}

/// The 22nd field of `/proc/PID/stat`, in ticks since boot. The second is a name in brackets that may hold anything.
fn since_boot_millis(stat: &str) -> Option<i64> {
    let ticks: i64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    ticks.checked_mul(1000)?.checked_div(per_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn the_log_writer_gets_its_options_by_name() {
        let uri = log_uri(
            Path::new("/opt/long shore/log"),
            Path::new("/var/a&b c/options.json"),
        )
        .unwrap();
        assert_eq!(
            uri,
            "binary:///opt/long%20shore/log?options=%2Fvar%2Fa%26b+c%2Foptions.json"
        );
    }

    #[test]
    fn the_kernel_knows_when_this_process_began() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let begun = since_boot_millis(&stat).unwrap();
        let now = i64::try_from(SystemClock.since_boot().as_millis()).unwrap();
        assert!(begun > 0 && begun <= now, "{begun} of {now}");
        let odd = "7 (a) b) S".to_owned() + &" 1".repeat(30);
        assert!(since_boot_millis(&odd).is_some());
    }
}
