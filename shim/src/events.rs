//! Publishing events: containerd takes them by ttrpc, and passes them on to whoever listens.
//!
//! Invariants: events go out in the order in which they happened; publishing never waits for containerd. While it is away
//! events are kept, at most [`MAX_EVENTS`], and tried again for ever; what is too many is dropped from the oldest on and
//! counted in the log. There is a thread only while there is something to send.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::events::{Envelope, Event, FORWARD, ForwardRequest, SERVICE};
use crate::api::task::Empty;
use crate::api::{any, timestamp};
use crate::clock;
use crate::logger::{Logger, chain};
use crate::ttrpc::client::{CallError, Client};

/// How many events wait at most: some twenty for each container of a large task. Exits are on disk too.
pub const MAX_EVENTS: usize = 4096;
/// How long containerd may take for one event.
const DEADLINE: Duration = Duration::from_secs(5);
/// The first and the longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long the thread waits for another event: they come in groups.
const LINGER: Duration = Duration::from_millis(500);
const STACK: usize = 128 * 1024;

/// Publishes events.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    socket: PathBuf,
    namespace: String,
    logger: Arc<Logger>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Envelope>,
    sending: bool,
    dropped: u64,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("socket", &self.shared.socket)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// Publishes to containerd's ttrpc socket.
    #[must_use]
    pub fn new(socket: PathBuf, namespace: String, logger: Arc<Logger>) -> Self {
        Self {
            shared: Arc::new(Shared {
                socket,
                namespace,
                logger,
                queue: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// Publishes an event, sooner or later.
    pub fn publish<E: Event>(&self, event: &E) {
        let shared = &self.shared;
        let envelope = Envelope {
            timestamp: Some(timestamp(clock::wall())),
            namespace: shared.namespace.clone(),
            topic: E::TOPIC.to_owned(),
            event: Some(any(E::TYPE, event)),
        };
        let mut queue = shared.queue();
        if queue.events.len() == MAX_EVENTS {
            queue.events.pop_front();
            queue.dropped += 1;
        }
        queue.events.push_back(envelope);
        shared.changed.notify_all();
        if queue.sending {
            return;
        }
        let sender = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("events".into())
            .stack_size(STACK);
        // Without a thread, the next event tries again.
        queue.sending = thread.spawn(move || sender.send()).is_ok();
    }

    /// Waits until nothing is left to send; false if that took too long.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        let queue = self.shared.queue();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(queue, within, |queue| !queue.events.is_empty());
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is there until nothing has come for a while.
    fn send(&self) {
        let mut client = None;
        let mut pause = PAUSES.0;
        loop {
            let Some(envelope) = self.next() else {
                return;
            };
            if client.is_none() {
                client = Client::connect(&self.socket, DEADLINE).ok();
            }
            let sent = client.as_mut().map(|client| {
                let request = ForwardRequest {
                    envelope: Some(envelope.clone()),
                };
                client.call::<Empty>(SERVICE, FORWARD, &request)
            });
            match sent {
                Some(Ok(_)) => self.done(&envelope),
                // It is there and won't have this one: the next may be better.
                Some(Err(error @ CallError::Refused(_))) => {
                    self.logger.warn(&format!(
                        "containerd refused event {}: {}",
                        envelope.topic,
                        chain(&error)
                    ));
                    self.done(&envelope);
                }
                Some(Err(CallError::Broken(_))) | None => {
                    client = None;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                    continue;
                }
            }
            pause = PAUSES.0;
        }
    }

    /// The oldest event, which stays in the queue until it was sent.
    fn next(&self) -> Option<Envelope> {
        let queue = self.queue();
        let (mut queue, _) = self
            .changed
            .wait_timeout_while(queue, LINGER, |queue| queue.events.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        if queue.dropped > 0 {
            self.logger.warn(&format!(
                "{} events were dropped while containerd was away",
                queue.dropped
            ));
            queue.dropped = 0;
        }
        let next = queue.events.front().cloned();
        if next.is_none() {
            queue.sending = false;
            queue.events = VecDeque::new();
        }
        next
    }

    fn done(&self, sent: &Envelope) {
        let mut queue = self.queue();
        // It may have been dropped meanwhile.
        if queue.events.front() == Some(sent) {
            queue.events.pop_front();
        }
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Message as _;
    use crate::api::events::TaskStart;
    use crate::ttrpc::Code;
    use crate::ttrpc::server::{Progress, Reader};
    use std::os::unix::net::UnixListener;

    fn publisher(socket: &std::path::Path) -> Publisher {
        Publisher::new(socket.to_owned(), "ns".into(), Arc::new(Logger::new(false)))
    }

    fn event(pid: u32) -> TaskStart {
        TaskStart {
            container_id: "c".into(),
            pid,
        }
    }

    /// Takes events until `count` have come; refuses the one of pid 2, and hangs up after the one of pid 3 without a
    /// word.
    fn take(listener: &UnixListener, count: usize) -> Vec<u32> {
        let mut pids = Vec::new();
        while pids.len() < count {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = Reader::new(stream).unwrap();
            let mut hang_up = false;
            while pids.len() < count && !hang_up {
                let progress = reader.read(|call| {
                    let request = ForwardRequest::decode(call.request.payload.as_slice()).unwrap();
                    let envelope = request.envelope.unwrap();
                    assert_eq!(
                        (envelope.namespace.as_str(), envelope.topic.as_str()),
                        ("ns", "/tasks/start")
                    );
                    let pid = TaskStart::decode(envelope.event.unwrap().value.as_slice())
                        .unwrap()
                        .pid;
                    hang_up = pid == 3 && !pids.contains(&3);
                    pids.push(pid);
                    match pid {
                        2 => call.responder.fail(Code::InvalidArgument, "not this one".into()),
                        3 if hang_up => std::mem::forget(call.responder),
                        _ => call.responder.answer(&Empty {}),
                    }
                });
                if progress == Progress::Closed {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        pids
    }

    #[test]
    fn events_outlast_containerds_absence_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("events");
        let publisher = publisher(&socket);
        for pid in 1..=5 {
            publisher.publish(&event(pid));
        }
        assert!(
            !publisher.flush(Duration::from_millis(1)),
            "nobody takes them yet"
        );
        let listener = UnixListener::bind(&socket).unwrap();
        let taken = take(&listener, 6);
        // What was refused is not sent again; what was not answered is.
        assert_eq!(taken, [1, 2, 3, 3, 4, 5]);
        assert!(publisher.flush(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_too_much_is_dropped_from_the_oldest_on() {
        let dir = tempfile::tempdir().unwrap();
        let publisher = publisher(&dir.path().join("nobody"));
        let count = u32::try_from(MAX_EVENTS).unwrap();
        for pid in 0..count + 3 {
            publisher.publish(&event(pid));
        }
        let queue = publisher.shared.queue();
        assert_eq!(queue.events.len(), MAX_EVENTS);
        let value = &queue.events.front().unwrap().event.as_ref().unwrap().value;
        assert_eq!(TaskStart::decode(value.as_slice()).unwrap().pid, 3);
    }
}
