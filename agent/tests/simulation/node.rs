//! A node: the real engine and store, between simulated neighbours. The agent can die and come back; the rest stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_agent::config::ResumeOnBoot;
use longshore_agent::executor::Limits;
use longshore_agent::image::Images;
use longshore_agent::intake::Rules;
use longshore_agent::link::ControlLink;
use longshore_agent::model::Boot;
use longshore_agent::plan::Policy;
use longshore_agent::reconcile::{self, Deps, EngineHandle, Polling, Settings};
use longshore_agent::runtime::Runtime;
use longshore_agent::store::{Contents, Store};
use longshore_agent::supervise::Supervisor;
use longshore_protocol::arn::{ContainerInstanceArn, TaskArn};
use longshore_protocol::ecs;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::link::FakeLink;
use crate::machine::{FakeAssembler, FakeImages, FakeNetwork};
use crate::runtime::FakeRuntime;
use crate::seeded::bugs::{Bug, Forgetful, Hasty, OneByOne};
use crate::seeded::oracle::judge_contents;
use crate::world::{SimClock, SimHand, World};

pub use crate::specs::{container, container_id, one, resource_id, scope, task, task_arn, with_port};

/// How long anything may take, in simulated time.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

pub struct Node {
    pub world: Arc<World>,
    pub runtime: Arc<FakeRuntime>,
    pub images: Arc<FakeImages>,
    pub network: Arc<FakeNetwork>,
    pub assembler: Arc<FakeAssembler>,
    pub link: Arc<FakeLink>,
    pub fingerprint: String,
    pub resume: ResumeOnBoot,
    pub cleanup_wait: Duration,
    /// How many stopped tasks the agent keeps.
    pub kept: usize,
    folder: TempDir,
    agent: Option<Agent>,
    commits_before: u64,
    pub bug: Option<Bug>,
    /// When the agent last began, in simulated milliseconds.
    pub began_at: i64,
    /// How many more crashes are to come, each some crossings after the one before.
    pub crashes_left: u64,
}

struct Agent {
    handle: EngineHandle,
    hand: SimHand,
    store: Store,
    parts: JoinSet<()>,
    polling: CancellationToken,
    all: CancellationToken,
}

impl Node {
    /// A machine with no agent yet.
    pub fn new(seed: u64) -> Self {
        let world = Arc::new(World::new(seed));
        Self {
            runtime: FakeRuntime::new(&world),
            images: FakeImages::new(&world),
            network: FakeNetwork::new(&world),
            assembler: FakeAssembler::new(&world),
            link: FakeLink::new(&world),
            world,
            fingerprint: "here".to_owned(),
            resume: ResumeOnBoot::default(),
            cleanup_wait: Duration::from_secs(60),
            kept: 1000,
            folder: folder(),
            agent: None,
            commits_before: 0,
            bug: None,
            began_at: 0,
            crashes_left: 0,
        }
    }

    pub fn started(seed: u64) -> Self {
        let mut node = Self::new(seed);
        node.start();
        node
    }

    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("agent.db")
    }

    pub fn start(&mut self) {
        let lies = self.bug == Some(Bug::AcknowledgesBeforeTheWrite);
        let hand = SimHand::new(&self.world, lies.then(|| self.store_path()));
        let (store, contents) = Store::open_with(&self.store_path(), Arc::new(hand.clone())).unwrap();
        let contents = self.began(contents);
        let all = CancellationToken::new();
        let mut supervisor = Supervisor::new(all.clone());
        let deps = Deps {
            store: store.clone(),
            contents,
            runtime: self.runtime(),
            images: self.images(),
            network: Arc::clone(&self.network) as _,
            assembler: Arc::clone(&self.assembler) as _,
            folders: Arc::clone(&self.assembler) as _,
            link: self.link(),
            clock: Arc::new(SimClock(Arc::clone(&self.world))),
        };
        let settings = Settings {
            boot: Boot {
                boot_id: self.world.moment().boot_id,
                fingerprint: self.fingerprint.clone(),
            },
            resume: self.resume,
            policy: self.policy(),
            limits: Limits {
                create: Duration::from_secs(240),
                start: Duration::from_secs(180),
            },
            rules: Rules::default(),
            kept: match self.bug {
                Some(Bug::KeepsWhatStopped) => usize::MAX,
                _ => self.kept,
            },
        };
        let handle = reconcile::start(deps, settings, &mut supervisor);
        let (network, token) = (Arc::clone(&self.network), all.clone());
        supervisor.spawn("networks of earlier boots", async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = network.forget_old_boots() => {}
            }
            Ok::<_, std::convert::Infallible>(())
        });
        let polling = CancellationToken::new();
        let polls = Polling {
            link: self.link(),
            container_instance: ContainerInstanceArn {
                scope: scope(),
                cluster: "default".to_owned(),
                id: resource_id(7),
            },
            agent_run: uuid::Uuid::from_u128(9),
            fingerprint: "here".to_owned(),
            agent_version: "0.0.0".to_owned(),
            sessions: tokio::sync::mpsc::channel(1).0,
        };
        let mut parts = JoinSet::new();
        let (poller, token) = (handle.clone(), polling.clone());
        parts.spawn(async move { poller.poll(polls, token).await.unwrap() });
        parts.spawn(async move { supervisor.run(Duration::from_secs(5)).await.unwrap() });
        self.agent = Some(Agent {
            handle,
            hand,
            store,
            parts,
            polling,
            all,
        });
    }

    /// The agent dies at once; nothing that it was about to do is done.
    pub async fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        while let Some(ended) = agent.parts.try_join_next() {
            ended.unwrap();
        }
        agent.parts.shutdown().await;
        agent.hand.stop();
        self.commits_before += agent.store.commits();
        let hand = agent.hand.clone();
        drop(agent);
        // Simulated time stands still until everything that was aborted is gone, and the store closed with it.
        tokio::time::sleep(Duration::from_millis(1)).await;
        hand.lose();
        self.world.revive();
    }

    /// The store's disk is replaced by an empty one.
    pub fn lose_store(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// What an agent finds in its store when it begins.
    fn began(&mut self, contents: Contents) -> Contents {
        self.began_at = self.world.millis();
        judge_contents(self, &contents);
        match self.bug {
            Some(bug) => bug.began(contents),
            None => contents,
        }
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        match self.bug {
            Some(Bug::ReportsBeforeTheEnd) => Arc::new(Hasty(Arc::clone(&self.runtime))),
            _ => Arc::clone(&self.runtime) as _,
        }
    }

    fn images(&self) -> Arc<dyn Images> {
        match self.bug {
            Some(Bug::PullsOneByOne) => Arc::new(OneByOne::new(&self.images)),
            _ => Arc::clone(&self.images) as _,
        }
    }

    fn link(&self) -> Arc<dyn ControlLink> {
        match self.bug {
            Some(Bug::FollowsLateAnswers) => Arc::new(Forgetful::new(&self.link)),
            _ => Arc::clone(&self.link) as _,
        }
    }

    pub fn policy(&self) -> Policy {
        Policy {
            stop_timeout: Duration::from_secs(30),
            cleanup_wait: self.cleanup_wait,
            forget: false,
        }
    }

    /// Of which tasks the store still knows.
    pub fn stored(&self) -> Vec<String> {
        let (_, contents) = Store::open(&self.store_path()).unwrap();
        let tasks = contents.tasks.iter();
        tasks.map(|task| task.assignment.arn.to_string()).collect()
    }

    pub fn is_alive(&self) -> bool {
        self.agent.is_some()
    }

    /// The machine is cut off and restarted; the agent is not started yet. What the network's plugins made is gone, what
    /// they gave out is not.
    pub async fn cut(&mut self, boot_id: &str) {
        if self.agent.is_some() {
            self.kill().await;
        }
        self.runtime.reboot();
        self.network.reboot();
        self.world.reboot(boot_id);
    }

    pub async fn restart(&mut self) {
        self.kill().await;
        self.start();
    }

    /// The agent is told to end.
    pub async fn end(&mut self) -> bool {
        let mut agent = self.agent.take().unwrap();
        agent.polling.cancel();
        let flushed = agent.handle.flush(Duration::from_secs(5)).await;
        agent.all.cancel();
        while let Some(part) = agent.parts.join_next().await {
            part.unwrap();
        }
        flushed
    }

    pub fn handle(&self) -> &EngineHandle {
        &self.agent.as_ref().unwrap().handle
    }

    pub fn commits(&self) -> u64 {
        self.commits_before + self.agent.as_ref().map_or(0, |agent| agent.store.commits())
    }

    /// Waits, in simulated time, until something is so. An agent that was to die meanwhile is started again.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(20);
        while !is_so(self) {
            let late = begun.elapsed() > PATIENCE;
            let tasks: Vec<_> = self.agent.iter().flat_map(|agent| agent.handle.tasks()).collect();
            assert!(!late, "not in time: {what}\n{}\n{tasks:#?}", self.world.log());
            let world = Arc::clone(&self.world);
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(2)),
                () = world.crashed.notified() => {
                    self.restart().await;
                    self.plant();
                }
            }
        }
    }

    /// Plants the next crash, at a crossing that chance picks.
    pub fn plant(&mut self) {
        if self.crashes_left > 0 {
            self.crashes_left -= 1;
            self.world.crash_after(self.world.roll() % 60);
        }
    }

    pub async fn until_told(&mut self, arn: &TaskArn, status: &str) {
        self.until(status, |node| node.link.status(arn).as_deref() == Some(status))
            .await;
    }

    pub async fn until_stopped(&mut self, arn: &TaskArn) -> ecs::SubmitTaskStateChangeRequest {
        self.until_told(arn, "STOPPED").await;
        self.link.last(arn).unwrap()
    }

    /// Waits until nothing is left of any task, anywhere.
    pub async fn until_clean(&mut self) {
        self.until("clean", |node| node.leftovers().is_empty()).await;
        let (store, contents) = {
            self.end().await;
            Store::open(&self.store_path()).unwrap()
        };
        assert_eq!(contents.tasks, Vec::new(), "the store has forgotten them");
        drop(store);
        self.start();
    }

    pub fn leftovers(&self) -> Vec<String> {
        let mut left = self.runtime.leftovers();
        left.extend((0..self.network.attached()).map(|_| "network".to_owned()));
        left.extend((0..self.images.held()).map(|_| "image".to_owned()));
        left.extend((0..self.assembler.volumes()).map(|_| "volumes".to_owned()));
        left.extend((0..self.assembler.logs()).map(|_| "logs".to_owned()));
        let tasks = self.agent.iter().flat_map(|agent| agent.handle.tasks());
        left.extend(tasks.map(|task| task.state.assignment.arn.to_string()));
        left
    }
}

/// In memory where there is room for it: a run's time is not the disk's.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
