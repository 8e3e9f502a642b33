//! The shim itself: the one thread that waits, for calls, for children, for the kernel, for time.

mod door;
mod unused;
mod waiting;

use std::collections::HashMap;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use rustix::event::epoll;
use rustix::process::Pid;

use crate::cgroup::Mounts;
use crate::command::Arguments;
use crate::events::Publisher;
use crate::io::{Io, IoError};
use crate::logger::Logger;
use crate::pool::Pool;
use crate::reaper::Reaper;
use crate::service::{Shim, Table};
use crate::ttrpc::server::{Progress, Reader};
use crate::{clock, limits, sockets};
use door::Door;
use unused::{Look, Unused};
use waiting::{LISTENER, Loop, SIGNALS, WAKE};

/// How many calls are worked on at once: those of a task's containers, a few for each.
const CALLS: usize = 32;
/// How many wait before them; a client that has more gets an error.
const WAITING_CALLS: usize = 1024;
/// How many signals are sent at once: none waits for anything but a freeze.
const KILLS: usize = 4;
/// How many ends of execs are seen to at once: each waits for the disk, and for output.
const EXEC_EXITS: usize = 16;
/// How many ends are seen to at once: each may wait for a process that doesn't die.
const EXITS: usize = 16;
/// How long events that containerd has not taken yet keep a shim that is done.
const FLUSH: Duration = Duration::from_secs(10);
/// How often it is looked whether a shim that was asked to end may: output does not tell when all of it is written.
const LOOK: Duration = Duration::from_millis(200);

/// How many children are reaped before calls are looked at again: a storm of forks must not keep Kill waiting.
const REAPED_AT_ONCE: usize = 256;

/// A shim that can't be.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system won't have it.
    #[error("can't {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// I/O can't begin.
    #[error(transparent)]
    Io(#[from] IoError),
}

fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> ServeError {
    move |source| ServeError::System {
        what,
        source: source.into(),
    }
}

/// Is the shim until nothing is left to do. `events` is containerd's ttrpc socket, `containerd` its process.
///
/// # Errors
/// [`ServeError`] if it can't begin. Nobody reads stderr any more then: it is for the log, if that can be had.
pub fn serve(
    arguments: &Arguments,
    listener: &UnixListener,
    events: PathBuf,
    containerd: Option<Pid>,
) -> Result<(), ServeError> {
    // First: containerd reads the command's stdout to its end.
    let let_go = let_go();
    protect(containerd);
    let logger = Arc::new(Logger::new(arguments.debug));
    if let Ok(bundle) = std::env::current_dir() {
        logger.attach(&bundle);
    }
    let served = let_go
        .map_err(system("let go of stdin, stdout and stderr"))
        .and_then(|()| serve_with(arguments, listener, events, &logger));
    if let Err(error) = &served {
        logger.error("the shim can't begin", error);
    }
    served
}

fn serve_with(
    arguments: &Arguments,
    listener: &UnixListener,
    events: PathBuf,
    logger: &Arc<Logger>,
) -> Result<(), ServeError> {
    limits::raise();
    listener.set_nonblocking(true).map_err(system("use the socket"))?;
    let socket = listener
        .local_addr()
        .ok()
        .and_then(|address| address.as_pathname().map(Path::to_owned))
        .unwrap_or_default();
    // A group of its own: no terminal's signals. Not a session: each is scheduled as one (autogroup), and a new one has
    // to make its way against all that runs already, which a busy machine's containers feel when they start.
    let _ = rustix::process::setpgid(None, None);
    nix::sys::prctl::set_child_subreaper(true).map_err(system("become the parent of orphans"))?;
    let (signals, asked) = signals().map_err(system("handle signals"))?;
    // The bundle may be removed while others of the group run.
    std::env::set_current_dir("/").map_err(system("change to /"))?;
    let waiting = Loop::new(socket).map_err(system("make an event queue"))?;
    let waiting = Arc::new(waiting);
    let shim = Arc::new(Shim {
        namespace: arguments.namespace.clone(),
        sockets: sockets::FOLDER.into(),
        reaper: Arc::new(Reaper::default()),
        io: Io::start(clock::wall)?,
        publisher: Publisher::new(events, arguments.namespace.clone(), Arc::clone(logger)),
        logger: Arc::clone(logger),
        mounts: LazyLock::new(Mounts::of_this_process),
        calls: Pool::new("call", CALLS, WAITING_CALLS),
        kills: Pool::new("kill", KILLS, WAITING_CALLS),
        exits: Pool::new("exit", EXITS, usize::MAX),
        exec_exits: Pool::new("exec exit", EXEC_EXITS, usize::MAX),
        waiting: Arc::clone(&waiting) as _,
        table: Mutex::new(Table::default()),
        created: Condvar::new(),
    });
    let mut door = Door::open(&waiting, listener).map_err(system("wait for calls"))?;
    waiting
        .add(&signals, SIGNALS)
        .map_err(system("wait for signals"))?;
    // The first call comes soon, and finds a thread.
    let _ = shim.calls.submit(Box::new(|| ()));
    run(&shim, &waiting, &mut door, &signals, &asked).map_err(system("wait"))?;
    shim.io.stop();
    if !shim.publisher.flush(FLUSH) {
        shim.logger
            .warn("the shim ends with events that containerd has not taken");
    }
    Ok(())
}

/// Lets go of the descriptors of whoever started the shim: containerd waits for the end of stdout.
fn let_go() -> std::io::Result<()> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

/// Makes this process a little more likely to be killed for want of memory than containerd, and less than containers.
fn protect(containerd: Option<Pid>) {
    let containerd = containerd.map_or(1, |pid| pid.as_raw_nonzero().get());
    let score = std::fs::read_to_string(format!("/proc/{containerd}/oom_score_adj"));
    if let Some(score) = score.ok().and_then(|text| text.trim().parse::<i32>().ok()) {
        // Without the right to, it stays as it is.
        let _ = std::fs::write("/proc/self/oom_score_adj", (score + 1).min(1000).to_string());
    }
}

/// A socket that can be read after SIGCHLD, SIGTERM or SIGINT, and whether one of the last two came. No other signal that
/// can be caught does anything. Handlers, and not a mask or SIG_IGN, since children would inherit those.
fn signals() -> std::io::Result<(UnixStream, Arc<std::sync::atomic::AtomicBool>)> {
    use signal_hook::consts::{
        SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ,
    };
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGCHLD, SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    let ignored = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGALRM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXFSZ] {
        signal_hook::flag::register(signal, Arc::clone(&ignored))?;
    }
    Ok((read, asked))
}

/// Waits, until there is nothing more to wait for.
fn run(
    shim: &Arc<Shim>,
    waiting: &Loop,
    door: &mut Door<'_>,
    signals: &UnixStream,
    asked: &std::sync::atomic::AtomicBool,
) -> std::io::Result<()> {
    let mut readers: HashMap<u64, Reader> = HashMap::new();
    let mut events = Vec::with_capacity(32);
    let mut unused = Unused::default();
    let mut to_reap = false;
    while !waiting.is_ending() {
        let asked = asked.load(std::sync::atomic::Ordering::Relaxed);
        let is_unused = readers.is_empty() && shim.is_idle();
        let forgotten = match unused.look(clock::monotonic(), is_unused) {
            Look::Used => None,
            Look::Again(left) => Some(left),
            Look::Forgotten => {
                crate::service::Waiting::end(waiting, Duration::ZERO, &|| shim.is_forgotten());
                continue;
            }
        };
        let most = [
            asked.then_some(LOOK),
            forgotten,
            door.reopen(),
            to_reap.then_some(Duration::ZERO),
        ];
        let most = most.into_iter().flatten().min();
        waiting.wait(&mut events, most)?;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => door.accept(&mut readers),
                SIGNALS => {
                    drain(signals);
                    to_reap = true;
                }
                WAKE => waiting.woken(),
                id => read(shim, waiting, &mut readers, id),
            }
        }
        if to_reap {
            let each = |owner, pid, exit| shim.ended(owner, pid, exit);
            to_reap = shim.reaper.reap(REAPED_AT_ONCE, each);
        }
        do_what_is_due(shim, waiting);
        if asked {
            end_if_done(shim, waiting);
        }
    }
    Ok(())
}

fn do_what_is_due(shim: &Shim, waiting: &Loop) {
    for job in waiting.due() {
        // Without room, it is done late, by this thread.
        if let Err(job) = shim.exits.submit(job) {
            job();
        }
    }
}

/// As when a machine goes down: what runs is seen to its end, so that exit and output are on disk.
fn end_if_done(shim: &Shim, waiting: &Loop) {
    let done = || shim.is_done();
    if done() {
        // This thread must not wait: the lock's holder may wait for an answer of ours.
        crate::service::Waiting::end(waiting, Duration::ZERO, &done);
    }
}

fn drain(mut signals: &UnixStream) {
    use std::io::Read as _;
    let mut bytes = [0; 64];
    while signals.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

fn read(shim: &Arc<Shim>, waiting: &Loop, readers: &mut HashMap<u64, Reader>, id: u64) {
    let Some(reader) = readers.get_mut(&id) else {
        return waiting.short_of_memory(id);
    };
    if reader.read(|call| shim.call(call)) == Progress::Closed {
        // Whoever still answers on it learns that it is closed; the kernel forgets it only when the last has.
        waiting.remove(reader);
        readers.remove(&id);
    }
}

/// One event, as the kernel tells it.
type Event = epoll::Event;
