//! The task API: what containerd asks for, and what it is told.
//!
//! ```text
//! process:  added ──▶ created ──▶ running ──▶ stopped ──▶ deleted
//!           (exec)    (container)   (reaped, its record durable, a container's cgroup empty)
//! ```
//!
//! Invariants:
//! - An exit is shown to nobody, by State, Wait or event, before its record is on disk (a full disk apart, which is
//!   logged), and a container's not before its cgroup is empty, or SIGKILL has been in vain for [`UNDEAD`].
//! - What a process has written is where it goes before its exit is shown, unless that takes more than a second.
//! - Create is answered before its container's cgroup is found and noted; Start lets nothing run before, and fails if it
//!   can't be noted. Delete waits for it too, so that nothing is written into a bundle that has gone.
//! - Delete waits for a Create that is under way, and deletes what comes of it: containerd calls it for what it gives up.
//! - A start is published before its exit, however fast that is; a container's exit after those of its execs.
//! - No lock of a container's state is held while anything is waited for, so State and Wait always answer.
//! - A container's request that hangs holds up no other container.

mod container;
mod create;
mod error;
mod exec;
mod exit;
mod lifecycle;
mod output;
mod query;
mod signal;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::Message;
use crate::api::task::{Empty, SERVICE, StateRequest};
use crate::cgroup::Mounts;
use crate::events::Publisher;
use crate::io::Io;
use crate::logger::Logger;
use crate::pool::{Job, Pool};
use crate::reaper::Reaper;
use crate::ttrpc::Code;
use crate::ttrpc::server::{Call, Responder};
use crate::{clock, sockets};
use container::Container;
use error::TaskError;

/// How long a process may live on after SIGKILL before it counts as one that can't die.
pub const UNDEAD: Duration = Duration::from_secs(10);
/// How long a container that was announced by a `start` command is waited for.
const EXPECTED: Duration = Duration::from_secs(30);
/// How long a container that is being created is waited for: longer than its OCI runtime is.
const CREATED: Duration = Duration::from_secs(180);
/// A service of our own: a `start` command announces a container that is about to be created.
pub const OWN_SERVICE: &str = "longshore.shim.v1.Shim";
/// Its method; takes a [`StateRequest`].
pub const EXPECT: &str = "Expect";

/// What a service needs of the thread that waits.
pub trait Waiting: Send + Sync {
    /// Has a job done after some time.
    fn after(&self, delay: Duration, job: Job);
    /// Has it look again whether the shim is used: a container has gone.
    fn container_gone(&self);
    /// Watches for a want of memory; `job` is called whenever there was one. What the watch is called; none if the kernel
    /// refuses.
    fn watch_oom(&self, watch: crate::cgroup::OomWatch, job: Box<dyn Fn() + Send + Sync>) -> Option<u64>;
    /// Ends such a watch: the kernel does not always tell that a cgroup has gone.
    fn unwatch_oom(&self, watch: u64);
    /// Ends the shim, if it may: `may` is asked while no other shim can start in its place. That is waited for `within`
    /// this time, and then nothing is done.
    fn end(&self, within: Duration, may: &dyn Fn() -> bool);
}

/// What a shim works with.
pub struct Shim {
    /// containerd's namespace.
    pub namespace: String,
    /// Where sockets may be made.
    pub sockets: PathBuf,
    /// All children.
    pub reaper: Arc<Reaper>,
    /// All I/O.
    pub io: Io,
    /// The log.
    pub logger: Arc<Logger>,
    /// Events.
    pub publisher: Publisher,
    /// Where cgroups are.
    pub mounts: LazyLock<Mounts>,
    /// Does what was asked for.
    pub calls: Pool,
    /// Sends signals: apart, so that no calls that hang keep anybody from killing.
    pub kills: Pool,
    /// Sees to ends of containers: apart, so that calls can't keep them waiting.
    pub exits: Pool,
    /// Sees to ends of execs, which those of containers wait for.
    pub exec_exits: Pool,
    /// The thread that waits.
    pub waiting: Arc<dyn Waiting>,
    /// Everything that there is.
    pub table: Mutex<Table>,
    /// Told when a container has been created, or could not be.
    pub created: Condvar,
}

/// All containers.
#[derive(Debug, Default)]
pub struct Table {
    containers: HashMap<String, Arc<Container>>,
    /// Those that are being created.
    creating: HashSet<String>,
    /// Those of them that a Delete waits for.
    awaited: HashSet<String>,
    /// Those that were announced, and until when they are waited for.
    expected: HashMap<String, Duration>,
    /// Whether containerd has asked for the end.
    shutdown: bool,
}

impl Table {
    fn is_empty(&self) -> bool {
        let now = clock::monotonic();
        self.containers.is_empty() && self.none_to_come(now)
    }

    fn none_to_come(&self, now: Duration) -> bool {
        self.creating.is_empty() && self.expected.values().all(|deadline| *deadline <= now)
    }
}

impl std::fmt::Debug for Shim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shim")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Shim {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn container(&self, id: &str) -> Result<Arc<Container>, TaskError> {
        let found = self.table().containers.get(id).cloned();
        found.ok_or_else(|| TaskError::NoContainer(id.to_owned()))
    }

    /// The same, waiting for one that is being created. One waits for each: others would only hold up calls that don't.
    fn container_to_come(&self, id: &str) -> Result<Arc<Container>, TaskError> {
        let mut table = self.table();
        if table.creating.contains(id) && !table.awaited.insert(id.to_owned()) {
            return Err(TaskError::StillCreating(id.to_owned()));
        }
        let created = self
            .created
            .wait_timeout_while(table, CREATED, |table| table.creating.contains(id));
        let (mut table, waited) = created.unwrap_or_else(PoisonError::into_inner);
        table.awaited.remove(id);
        match table.containers.get(id) {
            Some(container) => Ok(Arc::clone(container)),
            None if waited.timed_out() => Err(TaskError::StillCreating(id.to_owned())),
            None => Err(TaskError::NoContainer(id.to_owned())),
        }
    }

    /// Takes a call. What answers at once is answered here, on the thread that waits; all else by the pool.
    pub fn call(self: &Arc<Self>, call: Call) {
        let Call { request, responder } = call;
        let payload = request.payload;
        match (request.service.as_str(), request.method.as_str()) {
            (SERVICE, "State") => answer(responder, with(&payload, |request| self.state(&request))),
            (SERVICE, "Pids") => answer(responder, with(&payload, |request| self.pids(&request))),
            (SERVICE, "Connect") => answer(responder, with(&payload, |request| self.connect(&request))),
            (SERVICE, "Wait") => self.wait(&payload, responder),
            (SERVICE, _) => self.queue(request.method, payload, responder),
            (OWN_SERVICE, EXPECT) => answer(responder, with(&payload, |request| self.expect(&request))),
            (service, method) => {
                responder.fail(
                    Code::Unimplemented,
                    format!("this shim has no {service}/{method}"),
                );
            }
        }
    }

    fn queue(self: &Arc<Self>, method: String, payload: Vec<u8>, responder: Responder) {
        let kill = method == "Kill";
        let shim = Arc::clone(self);
        let slot = Arc::new(Mutex::new(Some(responder)));
        let taken = Arc::clone(&slot);
        let job: Job = Box::new(move || {
            let responder = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(responder) = responder {
                shim.dispatch(&method, &payload, responder);
            }
        });
        let pool = if kill { &self.kills } else { &self.calls };
        if pool.submit(job).is_err() {
            let responder = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(responder) = responder {
                let text = "too many calls wait for this shim: call again later";
                responder.fail(Code::ResourceExhausted, text.into());
            }
        }
    }

    fn dispatch(self: &Arc<Self>, method: &str, payload: &[u8], responder: Responder) {
        match method {
            "Create" => match with(payload, |request| self.create(request)) {
                Ok((message, created)) => {
                    responder.answer(&message);
                    self.settle(created);
                }
                Err(error) => answer::<Empty>(responder, Err(error)),
            },
            "Start" => answer(responder, with(payload, |request| self.start(&request))),
            "Delete" => answer(responder, with(payload, |request| self.delete(&request))),
            "Exec" => answer(responder, with(payload, |request| self.exec(request))),
            "Kill" => answer(responder, with(payload, |request| self.kill(&request))),
            "Pause" => answer(responder, with(payload, |request| self.pause(&request))),
            "Resume" => answer(responder, with(payload, |request| self.resume(&request))),
            "Update" => answer(responder, with(payload, |request| self.update(&request))),
            "ResizePty" => answer(responder, with(payload, |request| self.resize(&request))),
            "CloseIO" => answer(responder, with(payload, |request| self.close_io(&request))),
            "Stats" => answer(responder, with(payload, |request| self.stats(&request))),
            "Shutdown" => {
                responder.answer(&Empty {});
                self.shutdown();
            }
            "Checkpoint" => answer::<Empty>(responder, Err(TaskError::NoCheckpoints)),
            other => responder.fail(Code::Unimplemented, format!("this shim has no {SERVICE}/{other}")),
        }
    }

    /// A container is about to be created: the shim must not end before.
    fn expect(self: &Arc<Self>, request: &StateRequest) -> Result<Empty, TaskError> {
        let deadline = clock::monotonic() + EXPECTED;
        self.table().expected.insert(request.id.clone(), deadline);
        let shim = Arc::clone(self);
        let look = Box::new(move || {
            let mut table = shim.table();
            let now = clock::monotonic();
            table.expected.retain(|_, deadline| *deadline > now);
            let asked = table.shutdown;
            drop(table);
            if asked {
                shim.shutdown();
            }
        });
        self.waiting.after(EXPECTED + Duration::from_secs(1), look);
        Ok(Empty {})
    }

    /// Ends the shim if nothing is left in it.
    fn shutdown(&self) {
        self.table().shutdown = true;
        self.waiting.end(sockets::LOCK, &|| self.table().is_empty());
    }

    /// Whether there is no container, nor one that is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// Whether all containers have ended, and none is to come.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let table = self.table();
        let mut containers = table.containers.values();
        table.none_to_come(clock::monotonic()) && containers.all(|container| container.has_stopped())
    }

    /// Whether nobody needs to ask for a container any more: all have ended, and either never ran, of which there is nothing
    /// to tell that `delete` does not tell too, or their bundles are gone, without which containerd knows of none. So it is
    /// when containerd gave up a container while it was being created: it called `delete`, and never Delete. A record that is
    /// still to be written keeps it here.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        let containers = || self.table().containers.values().cloned().collect::<Vec<_>>();
        self.is_idle() && containers().iter().all(|container| container.is_forgotten())
    }

    /// Whether nothing more can come of any container: all have ended, and what they wrote is written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let table = self.table();
        let idle = table.containers.values().all(|container| container.is_done());
        idle && table.creating.is_empty() && self.reaper.processes() == 0
    }
}

/// Decodes a request and has it answered.
fn with<R: Message + Default, A>(
    payload: &[u8],
    answer: impl FnOnce(R) -> Result<A, TaskError>,
) -> Result<A, TaskError> {
    answer(R::decode(payload).map_err(TaskError::Request)?)
}

fn answer<A: Message>(responder: Responder, result: Result<A, TaskError>) {
    match result {
        Ok(message) => responder.answer(&message),
        Err(error) => responder.fail(error.code(), crate::logger::chain(&error)),
    }
}
