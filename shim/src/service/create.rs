//! Create: a container with its first process, which waits to be started.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::Shim;
use super::container::{Container, Phase, Process};
use super::error::TaskError;
use crate::api::events::{TaskCreate, TaskIo, TaskOom};
use crate::api::task::{CreateTaskRequest, CreateTaskResponse, Options};
use crate::bundle::{Config, Notes};
use crate::cgroup::Cgroup;
use crate::io::{ProcessIo, ProcessName, StdioRequest};
use crate::reaper::Exit;
use crate::rootfs;
use crate::runtime::{Console, On, Runtime, options};

/// A container that is being created; its name is free again when this is dropped.
struct Creating<'a> {
    shim: &'a Shim,
    id: String,
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        self.shim.table().creating.remove(&self.id);
        self.shim.created.notify_all();
        self.shim.waiting.container_gone();
    }
}

/// What is left to do once Create has been answered.
pub(super) struct Created {
    container: Arc<Container>,
    notes: Notes,
    event: TaskCreate,
    /// How it ended, if it has already.
    ended: Option<Exit>,
}

/// A process that the OCI runtime has made.
pub(super) struct Made {
    pub(super) pid: i32,
    pub(super) io: ProcessIo,
    pub(super) console: Option<std::os::fd::OwnedFd>,
}

impl Shim {
    fn creating(&self, id: &str) -> Result<Creating<'_>, TaskError> {
        let valid = |id: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed)
        };
        if !valid(id) {
            return Err(TaskError::Value {
                what: "the container's id",
                value: id.to_owned(),
                allowed: "letters, digits and . _ -, a letter or digit first",
            });
        }
        let mut table = self.table();
        if table.containers.contains_key(id) || !table.creating.insert(id.to_owned()) {
            return Err(TaskError::Exists(id.to_owned()));
        }
        Ok(Creating {
            shim: self,
            id: id.to_owned(),
        })
    }

    /// Makes a container. Whoever calls answers, and then has [`Shim::settle`] do the rest, which Start waits for.
    pub(super) fn create(
        &self,
        request: CreateTaskRequest,
    ) -> Result<(CreateTaskResponse, Created), TaskError> {
        if !request.checkpoint.is_empty() || !request.parent_checkpoint.is_empty() {
            return Err(TaskError::NoCheckpoints);
        }
        let creating = self.creating(&request.id)?;
        let bundle = PathBuf::from(&request.bundle);
        let config = Config::read(&bundle)?;
        let options = options(request.options.as_ref())?;
        let runtime = Runtime::new(&self.namespace, &config, &options);
        self.logger.attach(&bundle);
        let notes = Notes {
            runtime: runtime.clone(),
            exits: config.exits().map(Path::to_owned),
            pid: 0,
            cgroup: None,
        };
        notes.write(&bundle).map_err(|source| TaskError::Notes {
            id: request.id.clone(),
            source: Arc::new(source),
        })?;
        let rootfs = bundle.join("rootfs");
        rootfs::mount(&request.rootfs, &rootfs)?;
        let on = On {
            bundle: &bundle,
            id: &request.id,
        };
        let (made, watch) = match self.make(&request, on, &runtime, &options) {
            Ok(created) => created,
            Err(error) => {
                // The runtime has cleaned up, if it could; it may not know that it failed.
                let _ = runtime.delete(&self.reaper, on, true);
                if let Err(error) = rootfs::unmount(&rootfs) {
                    self.logger.error("after a failed create", &error);
                }
                return Err(error);
            }
        };
        let created = self.created(request, bundle, notes, made, watch);
        drop(creating);
        Ok(created)
    }

    /// Has the runtime make the container.
    fn make(
        &self,
        request: &CreateTaskRequest,
        on: On<'_>,
        runtime: &Runtime,
        options: &Options,
    ) -> Result<(Made, crate::reaper::Watch<'_>), TaskError> {
        let owner = (options.io_uid, options.io_gid);
        let stdio = StdioRequest {
            stdin: &request.stdin,
            stdout: &request.stdout,
            stderr: &request.stderr,
            terminal: request.terminal,
            owner: (owner != (0, 0)).then_some(owner),
        };
        let name = ProcessName {
            namespace: &self.namespace,
            container: &request.id,
        };
        let (child, io) = self.io.open(&stdio, &name)?;
        let console = request
            .terminal
            .then(|| Console::listen(&self.sockets))
            .transpose()?;
        let watch = self.reaper.watch();
        let pid = runtime.create(&self.reaper, on, child, console.as_ref())?;
        let console = attach(console, &io)?;
        Ok((Made { pid, io, console }, watch))
    }

    fn cgroup(&self, id: &str, pid: i32) -> Option<Cgroup> {
        match Cgroup::of(pid, &self.mounts) {
            Ok(cgroup) => {
                if !cgroup.is_own() {
                    let text = format!(
                        "container {id} shares its cgroup with others: what it leaves there is not killed"
                    );
                    self.logger.warn(&text);
                }
                Some(cgroup)
            }
            Err(error) => {
                self.logger.error(&format!("container {id}"), &error);
                None
            }
        }
    }

    /// Puts a container that was made into the table.
    fn created(
        &self,
        request: CreateTaskRequest,
        bundle: PathBuf,
        mut notes: Notes,
        made: Made,
        watch: crate::reaper::Watch<'_>,
    ) -> (CreateTaskResponse, Created) {
        let pid = made.pid.cast_unsigned();
        notes.pid = pid;
        let event = TaskCreate {
            container_id: request.id.clone(),
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: Some(TaskIo {
                stdin: request.stdin.clone(),
                stdout: request.stdout.clone(),
                stderr: request.stderr.clone(),
                terminal: request.terminal,
            }),
            checkpoint: String::new(),
            pid,
        };
        let mut init = Process::new(
            request.stdin,
            request.stdout,
            request.stderr,
            request.terminal,
            Phase::Created,
        );
        init.pid = made.pid;
        init.io = Some(Arc::new(made.io));
        init.console = made.console;
        let id = request.id;
        let container = Container::new(id.clone(), bundle, &notes, init);
        let container = Arc::new(container);
        {
            let mut table = self.table();
            table.expected.remove(&id);
            table.containers.insert(id.clone(), Arc::clone(&container));
        }
        let created = Created {
            ended: watch.claim(made.pid, container.owner()),
            container,
            notes,
            event,
        };
        (CreateTaskResponse { pid }, created)
    }

    /// Finds a new container's cgroup, and notes it. Nothing runs in it before: its process waits for Start, and Start waits
    /// for this. So does an end, which must not be told before the container's beginning is.
    pub(super) fn settle(self: &Arc<Self>, created: Created) {
        let Created {
            container,
            mut notes,
            event,
            ended,
        } = created;
        self.publisher.publish(&event);
        notes.cgroup = self.cgroup(&container.id, notes.pid.cast_signed());
        container.found(notes.cgroup.clone());
        self.watch_oom(&container);
        container.set_noted(notes.write(&container.bundle));
        if let Some(exit) = ended {
            self.ended(container.owner(), notes.pid.cast_signed(), exit);
        }
    }

    fn watch_oom(self: &Arc<Self>, container: &Arc<Container>) {
        let watch = container.cgroup().and_then(|cgroup| cgroup.watch_oom().ok());
        let Some(watch) = watch else {
            return;
        };
        let (shim, weak): (Weak<Shim>, Weak<Container>) = (Arc::downgrade(self), Arc::downgrade(container));
        let job = move || {
            if let (Some(shim), Some(container)) = (shim.upgrade(), weak.upgrade()) {
                shim.publish_oom(&container);
            }
        };
        let watch = self.waiting.watch_oom(watch, Box::new(job));
        container.state().oom_watch = watch;
    }

    /// Publishes that the kernel has killed for want of memory, if it has since the last time.
    pub(super) fn publish_oom(&self, container: &Container) {
        let memory = container.cgroup().and_then(Cgroup::memory);
        let kills = memory.map_or(0, |memory| memory.oom_kills);
        let mut state = container.state();
        if kills > state.oom_kills {
            state.oom_kills = kills;
            self.publisher.publish(&TaskOom {
                container_id: container.id.clone(),
            });
        }
    }
}

/// Takes the console over from the runtime, if there is one; a duplicate of its master, to set its size by.
pub(super) fn attach(
    console: Option<Console>,
    io: &ProcessIo,
) -> Result<Option<std::os::fd::OwnedFd>, TaskError> {
    let Some(console) = console else {
        return Ok(None);
    };
    let master = console.receive()?;
    let size = master.as_fd().try_clone_to_owned().ok();
    io.attach_console(master)?;
    Ok(size)
}
