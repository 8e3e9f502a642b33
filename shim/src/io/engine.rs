//! The thread that moves the bytes of all processes.
//!
//! It waits in epoll, with every descriptor armed for one event at a time, and owns all streams: what others want of it
//! comes as [`Command`]s. A tick of 10 ms runs only while something has to be looked for, such as a client that has
//! not opened its FIFO. Streams that are read without end rest between their reads ([`Rests`]).

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::IoError;
use super::commands::{Command, Commands};
use super::copy::{Copy, READ, Want};
use super::logger::Logger;
use super::rests::Rests;
use super::sink::Tools;

const TICK: Duration = Duration::from_millis(10);
/// It calls nothing that goes deep.
const STACK: usize = 128 * 1024;

/// The event of new commands.
const COMMANDS: u64 = 0;
/// The event of the timer.
const TIMER: u64 = 1;
/// The event of the end of a rest.
const RESTED: u64 = 2;
/// The first event of a stream or logger.
const FIRST: u64 = 3;

/// What the thread looks after.
#[derive(Debug)]
pub(super) enum Entry {
    Copy(Copy),
    Logger(Logger),
}

/// The running thread. Dropping it stops and joins it.
#[derive(Debug)]
pub(super) struct Engine {
    commands: Arc<Commands>,
    thread: Mutex<Option<JoinHandle<()>>>,
    processes: AtomicU64,
}

impl Engine {
    pub(super) fn start(now: fn() -> jiff::Timestamp) -> Result<Self, IoError> {
        let mover = Mover::new(now)?;
        let commands = Arc::clone(&mover.commands);
        let thread = std::thread::Builder::new()
            .name("io".into())
            .stack_size(STACK)
            .spawn(move || mover.run())
            .map_err(IoError::system("start the thread"))?;
        Ok(Self {
            commands,
            thread: Mutex::new(Some(thread)),
            processes: AtomicU64::new(0),
        })
    }

    pub(super) fn commands(&self) -> Arc<Commands> {
        Arc::clone(&self.commands)
    }

    pub(super) fn next_process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes out what is there, and ends the thread.
    pub(super) fn stop(&self) {
        self.commands.stop();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It does not panic; if it did, there is nothing left to do.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Item {
    process: u64,
    entry: Entry,
}

/// The thread's own state.
struct Mover {
    commands: Arc<Commands>,
    epoll: Epoll,
    timer: TimerFd,
    /// What waits for the next tick.
    ticking: HashSet<u64>,
    /// Whether the timer runs.
    timing: bool,
    rests: Rests,
    items: HashMap<u64, Item>,
    next: u64,
    buffer: Box<[u8]>,
    tools: Tools,
}

impl Mover {
    fn new(now: fn() -> jiff::Timestamp) -> Result<Self, IoError> {
        let system = |what| move |error: Errno| IoError::system(what)(error.into());
        let commands = Arc::new(Commands::new().map_err(system("make an event descriptor"))?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(system("make an event queue"))?;
        let timer = || {
            let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
            TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(system("make a timer"))
        };
        let (timer, rests) = (timer()?, Rests::new(timer()?));
        for (fd, event) in [
            (commands.waker(), COMMANDS),
            (timer.as_fd(), TIMER),
            (rests.timer(), RESTED),
        ] {
            epoll
                .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, event))
                .map_err(system("fill the event queue"))?;
        }
        Ok(Self {
            commands,
            epoll,
            timer,
            ticking: HashSet::new(),
            timing: false,
            rests,
            items: HashMap::new(),
            next: FIRST,
            buffer: vec![0; READ].into_boxed_slice(),
            tools: Tools {
                batch: Vec::new(),
                time: String::new(),
                now,
            },
        })
    }

    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            // Of its errors only EINTR can happen to a queue that is open.
            let count = self.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
            for event in &events[..count] {
                match event.data() {
                    COMMANDS => {
                        if self.obey() {
                            return;
                        }
                    }
                    TIMER => self.tick(),
                    RESTED => self.rested(),
                    id => self.ready(id, event.events()),
                }
            }
        }
    }

    /// True if it is time to stop.
    fn obey(&mut self) -> bool {
        let (commands, stop) = self.commands.take();
        for command in commands {
            match command {
                Command::Add(process, entries) => {
                    for entry in entries {
                        let id = self.next;
                        self.next += 1;
                        self.items.insert(id, Item { process, entry });
                        self.arm(id);
                    }
                }
                Command::CloseStdin(process) => self.each_of(process, |mover, id| {
                    if let Some(copy) = mover.copy(id) {
                        copy.close_stdin();
                    }
                }),
                Command::Drain(process) => self.each_of(process, Self::drain),
                Command::Close(process) => self.each_of(process, Self::close),
            }
        }
        if stop {
            let copies = self
                .items
                .iter()
                .filter(|(_, item)| matches!(item.entry, Entry::Copy(_)));
            for id in copies.map(|(id, _)| *id).collect::<Vec<_>>() {
                self.close(id);
            }
        }
        stop
    }

    fn each_of(&mut self, process: u64, mut act: impl FnMut(&mut Self, u64)) {
        let of_process = self.items.iter().filter(|(_, item)| item.process == process);
        for id in of_process.map(|(id, _)| *id).collect::<Vec<_>>() {
            act(self, id);
        }
    }

    fn copy(&mut self, id: u64) -> Option<&mut Copy> {
        match self.items.get_mut(&id) {
            Some(Item {
                entry: Entry::Copy(copy),
                ..
            }) => Some(copy),
            _ => None,
        }
    }

    fn ready(&mut self, id: u64, events: EpollFlags) {
        if let Some(&Item { process, .. }) = self.items.get(&id) {
            self.catch_up(process, id);
        }
        let Some(item) = self.items.get_mut(&id) else {
            return;
        };
        match &mut item.entry {
            Entry::Copy(copy) => {
                if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                    copy.hung_up();
                }
                copy.step(&mut self.buffer, &mut self.tools);
                self.arm(id);
            }
            Entry::Logger(_) => self.logger_ended(id),
        }
    }

    fn logger_ended(&mut self, id: u64) {
        self.ticking.remove(&id);
        let Some(Item {
            process,
            entry: Entry::Logger(logger),
        }) = self.items.remove(&id)
        else {
            return;
        };
        logger.ended();
        self.each_of(process, |mover, id| {
            if let Some(copy) = mover.copy(id) {
                copy.logger_ended();
                mover.arm(id);
            }
        });
    }

    fn drain(&mut self, id: u64) {
        if let Some(Item {
            entry: Entry::Copy(copy),
            ..
        }) = self.items.get_mut(&id)
        {
            copy.drain(&mut self.buffer, &mut self.tools);
            self.arm(id);
        }
    }

    fn close(&mut self, id: u64) {
        let Some(item) = self.items.get_mut(&id) else {
            return;
        };
        match &mut item.entry {
            Entry::Copy(copy) => {
                if copy.close(&mut self.buffer, &mut self.tools) {
                    self.items.remove(&id);
                    self.ticking.remove(&id);
                } else {
                    self.arm(id);
                }
            }
            Entry::Logger(logger) => {
                logger.terminate();
                self.ticking.insert(id);
                self.set_timer();
            }
        }
    }

    fn tick(&mut self) {
        // How many ticks were missed does not matter.
        let _ = self.timer.wait();
        self.timing = false;
        for id in std::mem::take(&mut self.ticking) {
            match self.items.get_mut(&id).map(|item| &mut item.entry) {
                Some(Entry::Copy(copy)) => {
                    copy.tick(&mut self.buffer, &mut self.tools);
                    self.arm(id);
                }
                Some(Entry::Logger(logger)) => {
                    if logger.has_ended() {
                        self.logger_ended(id);
                    } else if logger.tick() {
                        self.ticking.insert(id);
                    } else {
                        self.arm(id);
                    }
                }
                None => {}
            }
        }
        self.set_timer();
    }

    fn rested(&mut self) {
        for id in self.rests.take() {
            self.step_resting(id, false);
        }
    }

    /// Reads what the other stream of a process has held back, for it was written before. It rests on.
    fn catch_up(&mut self, process: u64, reader: u64) {
        let of_process = |id: &u64| self.items.get(id).is_some_and(|item| item.process == process);
        let others = self.rests.streams().filter(of_process).filter(|id| *id != reader);
        for id in others.collect::<Vec<_>>() {
            self.step_resting(id, true);
        }
    }

    fn step_resting(&mut self, id: u64, rests_on: bool) {
        let (buffer, tools) = (&mut self.buffer, &mut self.tools);
        if let Some(Item {
            entry: Entry::Copy(copy),
            ..
        }) = self.items.get_mut(&id)
            && matches!(copy.want(), Want::Rest)
        {
            copy.step(buffer, tools);
            if rests_on {
                copy.rest();
            }
            self.arm(id);
        }
    }

    /// Has the kernel, or the timer, say when there is something to do for an entry; or ends it.
    fn arm(&mut self, id: u64) {
        let Some(item) = self.items.get_mut(&id) else {
            return;
        };
        let tick = match &mut item.entry {
            Entry::Logger(logger) => !arm_fd(&self.epoll, logger.pidfd(), EpollFlags::EPOLLIN, id),
            Entry::Copy(copy) => {
                let armed = match copy.want() {
                    Want::Read(fd) => arm_fd(&self.epoll, fd, EpollFlags::EPOLLIN, id),
                    Want::HangUp(fd) => arm_fd(&self.epoll, fd, EpollFlags::empty(), id),
                    Want::Write(fd) => arm_fd(&self.epoll, fd, EpollFlags::EPOLLOUT, id),
                    Want::Tick => false,
                    Want::Rest => self.rests.add(id),
                    Want::End => {
                        copy.finish(&mut self.tools);
                        self.items.remove(&id);
                        self.ticking.remove(&id);
                        return;
                    }
                };
                // The kernel may be out of memory for its queue: then it is looked at with each tick.
                !armed || copy.expects_client()
            }
        };
        if tick {
            self.ticking.insert(id);
            self.set_timer();
        }
    }

    fn set_timer(&mut self) {
        if self.timing || self.ticking.is_empty() {
            return;
        }
        let tick = Expiration::OneShot(TimeSpec::from_duration(TICK));
        // The kernel refuses only what is no timer or no time.
        self.timing = self.timer.set(tick, TimerSetTimeFlags::empty()).is_ok();
    }
}

/// One event, then silence: an end that nobody can take note of now must not wake the thread over and over.
fn arm_fd(epoll: &Epoll, fd: BorrowedFd<'_>, events: EpollFlags, id: u64) -> bool {
    let mut event = EpollEvent::new(events | EpollFlags::EPOLLONESHOT, id);
    match epoll.modify(fd, &mut event) {
        Err(Errno::ENOENT) => epoll.add(fd, event).is_ok(),
        result => result.is_ok(),
    }
}

#[cfg(test)]
mod tests;
