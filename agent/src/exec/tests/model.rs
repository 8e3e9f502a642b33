//! A runtime, a relay and containers that a test looks into.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::*;
use crate::http::Connection;
use crate::link::{DialError, LinkError};
use crate::model::sample;
use crate::runtime::exec::{ExecEnd, ExecRequest, ExecStreams, TerminalSize};

const PIPE: usize = 64 * 1024;

pub fn offer(number: u32) -> SessionOffer {
    SessionOffer {
        session_id: format!("ecs-execute-command-{number:017x}"),
        task_arn: sample::arn(1),
        container_name: "app".to_owned(),
        kind: SessionKind::Exec {
            command: String::new(),
            transcript: None,
        },
    }
}

/// A clock that goes with tokio's.
struct Paused(tokio::time::Instant);

#[async_trait]
impl Clock for Paused {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::try_from(self.0.elapsed()).unwrap()
    }
    fn since_boot(&self) -> Duration {
        Duration::from_secs(1000) + self.0.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
    fn random(&self, bound: u64) -> u64 {
        bound
    }
}

/// How a process ended, once it has.
#[derive(Default)]
struct Fate {
    code: Mutex<Option<u32>>,
    ended: AtomicBool,
    changed: Notify,
}

impl Fate {
    fn exits(&self, code: u32) {
        self.code.lock().unwrap().get_or_insert(code);
        self.changed.notify_waiters();
    }

    async fn code(&self) -> u32 {
        loop {
            let changed = self.changed.notified();
            if let Some(code) = *self.code.lock().unwrap() {
                return code;
            }
            changed.await;
        }
    }
}

/// A process, as it sees itself.
pub struct Process {
    pub request: ExecRequest,
    pub stdin: DuplexStream,
    pub stdout: DuplexStream,
    fate: Arc<Fate>,
}

impl Process {
    /// Ends it; its streams end with it.
    pub fn exits(self, code: u32) {
        self.fate.exits(code);
    }

    /// Whether it was ended by its session.
    pub fn was_ended(&self) -> bool {
        self.fate.ended.load(Ordering::Relaxed)
    }

    pub async fn until_ended(self, limit: Duration) {
        let ended = tokio::time::timeout(limit, self.fate.code()).await;
        assert_eq!(ended, Ok(129));
    }
}

/// A runtime whose processes are the test's.
pub struct Model {
    begun: mpsc::Sender<Process>,
    next: tokio::sync::Mutex<mpsc::Receiver<Process>>,
    fates: Mutex<HashMap<String, Arc<Fate>>>,
    left: Mutex<Vec<ExecId>>,
    removed: Mutex<Vec<String>>,
    /// How many of the next calls fail as those to a runtime that is away.
    away: AtomicUsize,
    refused: AtomicBool,
    silent: AtomicBool,
    inputs_closed: AtomicUsize,
    sizes: Mutex<Vec<TerminalSize>>,
    /// A count or a list has changed.
    told: Notify,
}

impl Model {
    fn new() -> Self {
        let (begun, next) = mpsc::channel(16);
        Self {
            begun,
            next: tokio::sync::Mutex::new(next),
            fates: Mutex::default(),
            left: Mutex::default(),
            removed: Mutex::default(),
            away: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            inputs_closed: AtomicUsize::new(0),
            sizes: Mutex::default(),
            told: Notify::new(),
        }
    }

    /// The next process that is begun.
    pub async fn begun(&self) -> Process {
        self.next.lock().await.recv().await.unwrap()
    }

    pub fn count(&self) -> usize {
        self.fates.lock().unwrap().len()
    }

    /// An agent before this one has left it.
    pub fn left(&self, offer: SessionOffer) {
        self.left.lock().unwrap().push(ExecId {
            container: sample::task(Vec::new()).container_id(0),
            session: offer.session_id,
        });
    }

    pub fn removed(&self) -> Vec<String> {
        self.removed.lock().unwrap().clone()
    }

    /// The next calls about processes that have begun fail.
    pub fn goes_away_for(&self, calls: usize) {
        self.away.store(calls, Ordering::Relaxed);
    }

    /// Nobody knows what comes of starts.
    pub fn answers_no_start(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Nobody hears of the end of a process.
    pub fn tells_no_end(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    pub fn inputs_closed(&self) -> usize {
        self.inputs_closed.load(Ordering::Relaxed)
    }

    pub fn sizes(&self) -> Vec<(u16, u16)> {
        let sizes = self.sizes.lock().unwrap();
        sizes.iter().map(|size| (size.columns, size.rows)).collect()
    }

    /// Until something is so of what it was told.
    pub async fn until(&self, mut so: impl FnMut(&Self) -> bool) {
        let waiting = async {
            loop {
                let told = self.told.notified();
                if so(self) {
                    return;
                }
                told.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        waited.expect("the runtime was not told");
    }

    fn is_there(&self) -> Result<(), RuntimeError> {
        let left = |left: usize| left.checked_sub(1);
        match self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            Ok(_) => Err(away()),
            Err(_) => Ok(()),
        }
    }

    fn fate(&self, id: &ExecId) -> Option<Arc<Fate>> {
        self.fates.lock().unwrap().get(&id.session).cloned()
    }
}

fn away() -> RuntimeError {
    RuntimeError::Unavailable {
        operation: "a call",
        subject: "a process".to_owned(),
        why: "it is away".to_owned(),
    }
}

#[async_trait]
impl Execs for Model {
    async fn exec(&self, request: ExecRequest) -> Result<ExecStreams, RuntimeError> {
        if self.refused.load(Ordering::Relaxed) {
            return Err(away());
        }
        let fate = Arc::new(Fate::default());
        let id = request.id.session.clone();
        assert!(self.fates.lock().unwrap().insert(id, Arc::clone(&fate)).is_none());
        let (stdin, to) = tokio::io::duplex(PIPE);
        let (stdout, from) = tokio::io::duplex(PIPE);
        let process = Process {
            request,
            stdin,
            stdout,
            fate,
        };
        self.begun.send(process).await.ok().unwrap();
        Ok(ExecStreams {
            stdin: Box::new(to),
            stdout: Box::new(from),
            stderr: None,
        })
    }

    async fn wait_exec(&self, id: &ExecId) -> Result<ExecEnd, RuntimeError> {
        if self.silent.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let code = self.fate(id).unwrap().code().await;
        Ok(ExecEnd {
            code,
            container_ended: false,
        })
    }

    async fn resize(&self, _: &ExecId, size: TerminalSize) -> Result<(), RuntimeError> {
        self.is_there()?;
        self.sizes.lock().unwrap().push(size);
        self.told.notify_waiters();
        Ok(())
    }

    async fn close_input(&self, _: &ExecId) -> Result<(), RuntimeError> {
        self.is_there()?;
        self.inputs_closed.fetch_add(1, Ordering::Relaxed);
        self.told.notify_waiters();
        Ok(())
    }

    async fn end_exec(&self, id: &ExecId) -> Result<(), RuntimeError> {
        if let Some(fate) = self.fate(id) {
            if fate.code.lock().unwrap().is_none() {
                fate.ended.store(true, Ordering::Relaxed);
            }
            fate.exits(129);
        }
        Ok(())
    }

    async fn remove_exec(&self, id: &ExecId) -> Result<(), RuntimeError> {
        self.is_there()?;
        self.end_exec(id).await?;
        self.removed.lock().unwrap().push(id.session.clone());
        self.told.notify_waiters();
        Ok(())
    }

    async fn leftovers(&self) -> Result<Vec<ExecId>, RuntimeError> {
        Ok(self.left.lock().unwrap().clone())
    }
}

/// A relay that can be away, or know of no session.
pub struct Relay {
    sockets: mpsc::Sender<DuplexStream>,
    away: AtomicBool,
    forgetful: AtomicBool,
    dialled: AtomicUsize,
}

impl Relay {
    pub fn forget(&self) {
        self.forgetful.store(true, Ordering::Relaxed);
    }

    pub fn leave(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    pub fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl SessionLink for Relay {
    async fn dial(&self, _: &str) -> Result<Box<dyn Connection>, DialError> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        if self.forgetful.load(Ordering::Relaxed) {
            return Err(DialError::Over("it is over".to_owned()));
        }
        let (near, far) = tokio::io::duplex(16 * 1024);
        if self.away.load(Ordering::Relaxed) || self.sockets.send(far).await.is_err() {
            return Err(DialError::Link(LinkError::Unavailable {
                operation: "dial",
                why: "it is away".to_owned(),
            }));
        }
        Ok(Box::new(near))
    }
}

/// One container, and what it has written.
#[derive(Default)]
pub struct Node {
    refusal: Mutex<Option<String>>,
    broken: AtomicBool,
    log: Mutex<Vec<Record>>,
}

impl Node {
    pub fn refuse(&self, why: &str) {
        *self.refusal.lock().unwrap() = Some(why.to_owned());
    }

    /// The next session panics.
    pub fn breaks(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub fn logged(&self, records: Vec<Record>) {
        *self.log.lock().unwrap() = records;
    }
}

impl Containers for Node {
    fn running(&self, task: &TaskArn, container: &str) -> Result<ContainerId, String> {
        assert!(!self.broken.swap(false, Ordering::Relaxed), "a test's own panic");
        match &*self.refusal.lock().unwrap() {
            Some(why) => Err(why.clone()),
            None => self.known(task, container),
        }
    }
    fn known(&self, _: &TaskArn, _: &str) -> Result<ContainerId, String> {
        Ok(sample::task(Vec::new()).container_id(0))
    }
    fn records(&self, _: &TaskArn, _: &str, _: bool) -> Result<Records, String> {
        let records = self.log.lock().unwrap().clone();
        Ok(Box::pin(futures_util::stream::iter(records)))
    }
}

/// All of it, and an agent's sessions.
pub struct World {
    pub offers: mpsc::Sender<SessionOffer>,
    pub execs: Arc<Model>,
    pub relay: Arc<Relay>,
    pub containers: Arc<Node>,
    sockets: mpsc::Receiver<DuplexStream>,
    token: CancellationToken,
    parts: JoinSet<Result<(), Infallible>>,
    pub folder: tempfile::TempDir,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        Self::after(|_| {}, settings)
    }

    /// After something has happened to the runtime.
    pub fn after(before: impl FnOnce(&Model), settings: Settings) -> Self {
        let (far, sockets) = mpsc::channel(4);
        let (offers, offered) = mpsc::channel(OFFERS);
        let (execs, containers) = (Arc::new(Model::new()), Arc::new(Node::default()));
        before(&execs);
        let relay = Arc::new(Relay {
            sockets: far,
            away: AtomicBool::new(false),
            forgetful: AtomicBool::new(false),
            dialled: AtomicUsize::new(0),
        });
        let folder = tempfile::tempdir().unwrap();
        let deps = Deps {
            link: Arc::clone(&relay) as _,
            execs: Arc::clone(&execs) as _,
            containers: Arc::clone(&containers) as _,
            clock: Arc::new(Paused(tokio::time::Instant::now())),
            folder: folder.path().to_owned(),
        };
        let token = CancellationToken::new();
        let mut parts = JoinSet::new();
        parts.spawn(run(deps, settings, offered, token.clone()));
        Self {
            offers,
            execs,
            relay,
            containers,
            sockets,
            token,
            parts,
            folder,
        }
    }

    async fn join(&mut self, offer: SessionOffer, terminal: bool) -> Viewer<DuplexStream> {
        self.offers.send(offer).await.unwrap();
        let socket = self.sockets.recv().await.unwrap();
        let mut viewer = Viewer::new(terminal);
        viewer.meet(socket).await;
        viewer
    }

    /// The agent's next socket of the same session, at which there is a client.
    pub async fn again(&mut self, viewer: &mut Viewer<DuplexStream>) {
        let socket = self.sockets.recv().await.unwrap();
        viewer.resume(socket).await;
    }

    /// Offers a command, and joins it.
    pub async fn open(&mut self, number: u32) -> Viewer<DuplexStream> {
        self.join(offer(number), true).await
    }

    /// The same, with pipes instead of a terminal.
    pub async fn open_pipes(&mut self, number: u32) -> Viewer<DuplexStream> {
        self.join(offer(number), false).await
    }

    /// Offers a log, and joins it.
    pub async fn open_logs(
        &mut self,
        number: u32,
        since: Option<longshore_protocol::Timestamp>,
    ) -> Viewer<DuplexStream> {
        let kind = SessionKind::Logs { follow: false, since };
        let offer = SessionOffer {
            kind,
            ..offer(number)
        };
        self.join(offer, true).await
    }

    /// Ends the agent; it must not take long. What it wrote goes with what this answers.
    pub async fn end(mut self) -> tempfile::TempDir {
        self.token.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(9), self.parts.join_next()).await;
        ended.expect("sessions do not end").unwrap().unwrap().unwrap();
        self.folder
    }
}
