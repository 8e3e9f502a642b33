//! Listens to the runtime, and asks it for its list whenever something may have been missed.
//!
//! Invariants: it subscribes before it lists, so that nothing falls between; a list says when it was asked for, so that
//! an old one is not mistaken for news.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::{Backoff, Clock};
use crate::model::ContainerId;
use crate::outage::Outage;
use crate::runtime::{Observed, Runtime, RuntimeError, RuntimeEvent};

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);
/// For one call. The runtime has deadlines of its own; this is the second line.
const DEADLINE: Duration = Duration::from_secs(120);
/// An event can be lost with nobody saying so; the list is asked for this often besides. It costs one call.
const LIST_EVERY: Duration = Duration::from_secs(300);

/// What the runtime says.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Its list, asked for at this time since boot.
    Listed(Duration, Vec<Observed>),
    /// The first process of a container has ended.
    Exited(ContainerId),
}

/// Listens to the runtime.
pub struct Watcher {
    /// To whom.
    pub runtime: Arc<dyn Runtime>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whom to tell.
    pub notices: mpsc::Sender<Notice>,
    /// Asked when somebody wants a new list.
    pub list_now: Arc<Notify>,
}

impl Watcher {
    /// Listens until `token` is cancelled, or nobody wants to be told any more. While the runtime is away it asks again
    /// and again.
    pub async fn run(self, token: CancellationToken) {
        let (mut backoff, outage) = (Backoff::new(FIRST, MOST), Outage::new("containerd", "events"));
        let listening = async {
            loop {
                match self.listen(&mut backoff, &outage).await {
                    Ok(()) => return,
                    Err(error) => outage.failed(self.clock.since_boot(), &error),
                }
                let pause = backoff.next(self.clock.as_ref());
                self.clock.sleep(pause).await;
            }
        };
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            () = listening => {}
        }
    }

    /// One subscription, from its beginning to its end. `Ok` when nobody wants to be told any more. Events go on while a
    /// list is on its way: a slow one delays nobody's end.
    async fn listen(&self, backoff: &mut Backoff, outage: &Outage) -> Result<(), RuntimeError> {
        let mut events = self.within("subscribe", self.runtime.events()).await?;
        let mut list = Some(Box::pin(self.list()));
        let mut next = self.clock.sleep(LIST_EVERY);
        loop {
            let idle = list.is_none();
            let listed = async {
                match &mut list {
                    Some(list) => list.await,
                    None => std::future::pending().await,
                }
            };
            let notice = tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(RuntimeEvent::Exited(id)) => Notice::Exited(id),
                    Some(RuntimeEvent::Lost) | None => return Err(lost()),
                },
                notice = listed => {
                    let notice = notice?;
                    backoff.reset();
                    outage.succeeded(self.clock.since_boot());
                    list = None;
                    next = self.clock.sleep(LIST_EVERY);
                    notice
                }
                () = self.list_now.notified(), if idle => {
                    list = Some(Box::pin(self.list()));
                    continue;
                }
                () = &mut next, if idle => {
                    list = Some(Box::pin(self.list()));
                    continue;
                }
            };
            if self.notices.send(notice).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn list(&self) -> Result<Notice, RuntimeError> {
        let asked = self.clock.since_boot();
        let observed = self.within("list", self.runtime.list()).await?;
        Ok(Notice::Listed(asked, observed))
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, RuntimeError>>,
    ) -> Result<T, RuntimeError> {
        tokio::select! {
            biased;
            result = call => result,
            () = self.clock.sleep(DEADLINE) => Err(RuntimeError::Unavailable {
                operation,
                subject: "all containers".to_owned(),
                why: format!("no answer within {} s", DEADLINE.as_secs()),
            }),
        }
    }
}

fn lost() -> RuntimeError {
    RuntimeError::Unavailable {
        operation: "events",
        subject: "the event stream".to_owned(),
        why: "it broke, or could not keep up".to_owned(),
    }
}
