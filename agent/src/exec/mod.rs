//! Sessions: a client's data channel at one end, a process in a container, or a container's log, at the other.
//!
//! An offer comes with a poll's answer, and is taken once ([`run`]). Each session is then on its own ([`session`]): it
//! dials the relay, speaks the protocol's host side, and ends with everything that it began.
//!
//! Invariants: sessions neither start nor stop a task, and no task's start or stop waits for one. A session ends when its
//! process does, so with its container at the latest; at its time-outs; and with the agent. What an agent that was killed
//! left is ended by the next one, which tells the clients. Their number is bounded, and what each holds in memory too. What
//! a session leaves, where the runtime does not answer for it, counts no more ([`left`]).

mod left;
mod memory;
mod process;
mod program;
mod session;
mod transcript;
mod uplink;
mod words;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::session::{SessionKind, SessionOffer};
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::link::SessionLink;
pub use crate::log::Records;
use crate::model::ContainerId;
use crate::runtime::RuntimeError;
use crate::runtime::exec::{ExecId, Execs};

use left::Left;
use memory::Memory;
use program::Program;
use session::{Over, Session};

/// Offers that wait to be taken: those of one answer. What is beyond comes again.
pub const OFFERS: usize = longshore_protocol::session::MAX_OFFERS;
/// How many may be told at a time that there is no room for them; others are told later.
const REFUSED: usize = OFFERS;
/// How often what an earlier agent left is tried to be ended.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// The node's containers, for sessions. Errors are for clients to read.
pub trait Containers: Send + Sync + 'static {
    /// A container that runs, of a task that takes commands.
    ///
    /// # Errors
    /// There is none.
    fn running(&self, task: &TaskArn, container: &str) -> Result<ContainerId, String>;

    /// A container whose log may be here.
    ///
    /// # Errors
    /// There is none.
    fn known(&self, task: &TaskArn, container: &str) -> Result<ContainerId, String>;

    /// Its log. With `follow` it ends with the container.
    ///
    /// # Errors
    /// There is none.
    fn records(&self, task: &TaskArn, container: &str, follow: bool) -> Result<Records, String>;
}

/// What sessions work with.
pub struct Deps {
    /// The way to the relay.
    pub link: Arc<dyn SessionLink>,
    /// Processes.
    pub execs: Arc<dyn Execs>,
    /// What runs here.
    pub containers: Arc<dyn Containers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where sessions are written down; below the data folder.
    pub folder: PathBuf,
}

/// What bounds sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `LONGSHORE_EXEC_MAX_SESSIONS`: of commands, and as many of logs.
    pub most: usize,
    /// `LONGSHORE_EXEC_IDLE_TIMEOUT`: how long nothing may be typed or shown.
    pub idle: Option<Duration>,
    /// `LONGSHORE_EXEC_MAX_DURATION`: how long a session may last.
    pub longest: Option<Duration>,
}

/// Takes offers until `token` is cancelled; then ends what there is.
///
/// # Errors
/// None.
pub async fn run(
    deps: Deps,
    settings: Settings,
    mut offers: mpsc::Receiver<SessionOffer>,
    token: CancellationToken,
) -> Result<(), Infallible> {
    let deps = Arc::new(deps);
    let memory = Memory::new(&deps.folder);
    let mut desk = Desk {
        settings,
        memory,
        token: token.clone(),
        running: JoinSet::new(),
        known: HashMap::new(),
        tasks: HashMap::new(),
        left: Left::default(),
        deps,
    };
    // Before there is anything new; on a disk that hangs that may take long.
    tokio::select! {
        biased;
        () = token.cancelled() => return Ok(()),
        left = desk.leftovers() => desk.end_leftovers(left),
    }
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => break,
            Some(ended) = desk.running.join_next_with_id() => desk.ended(ended),
            Some(()) = desk.left.next() => {}
            Some(offer) = offers.recv() => desk.take(offer, None),
            else => break,
        }
    }
    let told = desk.deps.clock.since_boot();
    while let Some(ended) = desk.running.join_next_with_id().await {
        desk.ended(ended);
    }
    desk.left.end(desk.deps.clock.as_ref(), told).await;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exec,
    Logs,
    Refused,
}

struct Desk {
    deps: Arc<Deps>,
    settings: Settings,
    memory: Memory,
    token: CancellationToken,
    /// The id of each, and what it leaves.
    running: JoinSet<(String, Program)>,
    known: HashMap<String, (Kind, SessionOffer)>,
    /// Which of `running` is which session.
    tasks: HashMap<task::Id, String>,
    left: Left,
}

impl Desk {
    /// An offer is repeated until it was dialled.
    fn take(&mut self, offer: SessionOffer, refused: Option<String>) {
        let id = offer.session_id.clone();
        if self.known.contains_key(&id) {
            return;
        }
        if !is_id(&id) {
            tracing::warn!(session = ?id.chars().take(80).collect::<String>(), "an offer is of no session: its id has other letters");
            return;
        }
        let kind = match &offer.kind {
            SessionKind::Exec { .. } => Kind::Exec,
            SessionKind::Logs { .. } => Kind::Logs,
        };
        let refused = refused.or_else(|| self.refusal(kind));
        let kind = if refused.is_some() { Kind::Refused } else { kind };
        if kind == Kind::Refused && self.count(kind) >= REFUSED {
            return;
        }
        tracing::info!(session = id, task = %offer.task_arn, container = offer.container_name, ?kind, "a session begins");
        self.known.insert(id.clone(), (kind, offer.clone()));
        let (deps, memory) = (Arc::clone(&self.deps), self.memory.clone());
        let (settings, token, clock) = (self.settings, self.token.clone(), Arc::clone(&self.deps.clock));
        let own = id.clone();
        let task = self.running.spawn(async move {
            // Before there is anything to be ended by another agent.
            memory.keep(&offer).await;
            let session = Session::new(deps, settings, offer, refused);
            let Over { told, mut program } = session.run(token.clone()).await;
            if told {
                memory.forget(&own).await;
            }
            // While its processes are being ended it counts: else clients could have any number of them.
            tokio::select! {
                biased;
                () = program.gone() => {}
                () = token.cancelled() => {}
                () = clock.sleep(left::ENDED) => {}
            }
            (own, program)
        });
        self.tasks.insert(task.id(), id);
    }

    fn count(&self, kind: Kind) -> usize {
        self.known.values().filter(|(known, _)| *known == kind).count()
    }

    fn refusal(&self, kind: Kind) -> Option<String> {
        let most = self.settings.most;
        (self.count(kind) >= most).then(|| {
            format!(
                "there are {most} sessions on the node already, which is the most that its agent takes \
                 (LONGSHORE_EXEC_MAX_SESSIONS); end one of them, or try again later"
            )
        })
    }

    fn ended(&mut self, ended: Result<(task::Id, (String, Program)), JoinError>) {
        match ended {
            Ok((task, (id, program))) => {
                tracing::info!(session = id, "a session has ended");
                self.tasks.remove(&task);
                self.known.remove(&id);
                self.left.take(&id, program);
            }
            Err(error) => {
                tracing::error!(%error, "a session broke off");
                if let Some(id) = self.tasks.remove(&error.id()) {
                    self.broke_off(id);
                }
            }
        }
    }

    /// A session's task has panicked: its place is free, its process is ended, and its client hears of it.
    fn broke_off(&mut self, id: String) {
        let offer = self.known.remove(&id);
        if self.token.is_cancelled() {
            // The next agent does the rest.
            return;
        }
        if let Some((_, offer)) = offer {
            self.take(
                offer,
                Some("the agent has failed in it, and its log says how".to_owned()),
            );
        }
        let deps = Arc::clone(&self.deps);
        self.left.work(async move {
            let left = deps.execs.leftovers().await.unwrap_or_else(|error| {
                tracing::warn!(session = id, %error, "what is left of a session can't be found");
                Vec::new()
            });
            end_all(
                &deps,
                left.into_iter().filter(|left| left.session == id).collect(),
            )
            .await;
        });
    }

    /// What an earlier agent left: sessions that it had written down, and processes.
    fn leftovers(
        &self,
    ) -> impl Future<Output = (Vec<SessionOffer>, Result<Vec<ExecId>, RuntimeError>)> + Send + use<> {
        let (deps, memory) = (Arc::clone(&self.deps), self.memory.clone());
        async move { (memory.all().await, deps.execs.leftovers().await) }
    }

    /// Ends it, and tells its clients.
    fn end_leftovers(&mut self, (offers, left): (Vec<SessionOffer>, Result<Vec<ExecId>, RuntimeError>)) {
        for offer in offers {
            self.take(
                offer,
                Some("the agent on the node was restarted, and the session ended with it".to_owned()),
            );
        }
        let left = left.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is left of earlier sessions can't be listed");
            Vec::new()
        });
        let deps = Arc::clone(&self.deps);
        self.left.work(async move { end_all(&deps, left).await });
    }
}

async fn end_all(deps: &Deps, mut left: Vec<ExecId>) {
    for _ in 0..TRIES {
        left = still_left(deps, left).await;
        if left.is_empty() {
            break;
        }
        deps.clock.sleep(PAUSE).await;
    }
}

/// Ends processes; those that could not be ended.
async fn still_left(deps: &Deps, ids: Vec<ExecId>) -> Vec<ExecId> {
    let mut left = Vec::new();
    for id in ids {
        if let Err(error) = deps.execs.remove_exec(&id).await {
            tracing::warn!(session = id.session, %error, "what is left of an earlier session can't be ended yet");
            left.push(id);
        }
    }
    left
}

/// Names of files are made of it.
fn is_id(id: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&id.len()) && id.bytes().all(good)
}

#[cfg(test)]
mod tests;
