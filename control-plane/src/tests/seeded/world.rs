//! A control plane whose every access to its store is let through one at a time, and which dies where it is told to.

use std::path::PathBuf;
use std::sync::Arc;

use longshore_protocol::node::InstanceId;
use longshore_protocol::poll::{MAX_ASSIGNMENTS, PollRequest, PollResponse};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::bugs::Bug;
use crate::agents::poll::{self, Begun, Turn};
use crate::api::call_as;
use crate::app::{CREDENTIALS, ControlPlane, Settings};
use crate::auth::{self, OperatorKeys, Principal};
use crate::chance::Chance as _;
use crate::error::ApiError;
use crate::sessions::Limits;
use crate::store::nodes::{self, Node};
use crate::store::tap::{self, Tap};
use crate::store::{Store, system};
use crate::tasks::retention;
use crate::testing::{Dice, ManualClock, SeededChance, instance_request, scope};

/// How many nodes there are.
pub(super) const NODES: usize = 3;

/// A database with nodes, instances and task definitions in it, from which every life begins.
pub(super) struct Template {
    folder: tempfile::TempDir,
    /// Each node and its container instance.
    pub(super) nodes: Vec<(InstanceId, String)>,
}

/// Who calls an operation.
pub(super) type Who = (Principal, Option<String>);

/// A node, on the machine of this fingerprint.
pub(super) fn node(id: &InstanceId, fingerprint: &str) -> Who {
    (Principal::Node(id.clone()), Some(auth::machine(fingerprint)))
}

/// Something that the control plane is asked to do.
pub(super) enum Op {
    Call(Who, &'static str, Value),
    Poll(InstanceId, Box<PollRequest>),
    Look(Box<Turn>, bool),
    Sweep,
}

pub(super) enum Polled {
    Answer(PollResponse),
    Waits(Box<Turn>),
    /// Its machine may not be the node; what is answered if that is not known in time.
    Unproved(PollResponse),
}

pub(super) enum Done {
    Called(Result<Value, ApiError>),
    Polled(Result<Polled, ApiError>),
    Swept,
}

pub(super) struct World {
    folder: tempfile::TempDir,
    files: u32,
    chance: Arc<SeededChance>,
    /// Who gets on next.
    dice: Dice,
    bug: Option<Bug>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tap: Arc<Tap>,
    pub(super) plane: Arc<ControlPlane>,
}

fn settings(folder: &std::path::Path) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        scope: scope(),
        public_url: None,
        scheme: "http",
        sessions: Limits::default(),
    }
}

async fn open(
    folder: &std::path::Path,
    files: &mut u32,
    (tap, clock, chance): (&Arc<Tap>, &Arc<ManualClock>, &Arc<SeededChance>),
) -> Arc<ControlPlane> {
    loop {
        let path = folder.join(format!("db-{files}"));
        let operators = OperatorKeys::load_or_create(&folder.join(CREDENTIALS)).unwrap();
        let store = Store::open_tapped(&path, tap).await.unwrap();
        let (clock, chance) = (
            Arc::<ManualClock>::clone(clock),
            Arc::<SeededChance>::clone(chance),
        );
        let begun = ControlPlane::begin(settings(folder), operators, store.clone(), clock, chance).await;
        match begun {
            Ok(plane) if !tap.is_dead() => return plane,
            // It died while it began, or could not begin: the next one tries.
            _ => {
                *files += 1;
                tap.salvage(&folder.join(format!("db-{files}")));
                store.close().await;
            }
        }
    }
}

async fn fill(plane: &Arc<ControlPlane>, chance: &SeededChance) -> Vec<(InstanceId, String)> {
    let operator = || (Principal::Operator, None);
    let one = |name: &str, cpu: i32, memory: i32| json!({"name": name, "image": "busybox", "cpu": cpu, "memory": memory});
    let mut port = one("a", 10, 16);
    port["portMappings"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    port["resourceRequirements"] = json!([{"type": "GPU", "value": "1"}]);
    let mut second = one("b", 20, 16);
    second["essential"] = json!(false);
    let families = [
        vec![one("a", 100, 50)],
        vec![one("a", 600, 100)],
        vec![port],
        vec![one("a", 20, 16), second],
    ];
    for (number, containers) in families.into_iter().enumerate() {
        let body = json!({"family": format!("f{number}"), "containerDefinitions": containers});
        call_as(plane, operator(), "RegisterTaskDefinition", &body)
            .await
            .unwrap();
    }
    let mut all = Vec::new();
    for number in 0..NODES {
        let id = InstanceId::from_random(chance.uuid());
        let new = Node {
            id: id.clone(),
            activation: String::new(),
            name: None,
            iam_role: "r".into(),
            public_key: vec![u8::try_from(number).unwrap()],
            fingerprint: String::new(),
            registered_at: 0,
            tags: vec![],
        };
        let mut transaction = plane.store.write().await.unwrap();
        nodes::add(&mut transaction, &new).await.unwrap();
        transaction.commit().await.unwrap();
        let body = instance_request(
            "",
            &json!([{"id": "GPU-1", "type": "GPU"}, {"id": "GPU-2", "type": "GPU"}]),
        );
        let who = node(&id, &format!("machine {number}"));
        let answer = call_as(plane, who, "RegisterContainerInstance", &body)
            .await
            .unwrap();
        let arn = answer["containerInstance"]["containerInstanceArn"]
            .as_str()
            .unwrap()
            .to_owned();
        all.push((id, arn));
    }
    all
}

impl Template {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let nodes = runtime.block_on(async {
            let (tap, clock) = (Arc::new(Tap::default()), Arc::new(ManualClock::new()));
            let chance = Arc::new(SeededChance::new(0));
            let plane = open(folder.path(), &mut 0, (&tap, &clock, &chance)).await;
            let nodes = fill(&plane, &chance).await;
            plane.store.close().await;
            nodes
        });
        Self { folder, nodes }
    }
}

impl World {
    pub(super) async fn new(seed: u64, template: &Template, bug: Option<Bug>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        tap::copy(&template.folder.path().join("db-0"), &folder.path().join("db-0"));
        let (tap, clock) = (Arc::new(Tap::default()), Arc::new(ManualClock::new()));
        let chance = Arc::new(SeededChance::new(seed));
        let mut files = 0;
        let plane = open(folder.path(), &mut files, (&tap, &clock, &chance)).await;
        if bug == Some(Bug::ForgetsWhereItEnded) {
            let mut transaction = plane.store.write().await.unwrap();
            sqlx::query(super::bugs::TRIGGER)
                .execute(&mut *transaction)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        Self {
            folder,
            files,
            chance,
            dice: Dice::new(seed ^ 0x5eed),
            bug,
            clock,
            tap,
            plane,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a new program does with the disk of one that is dead.
    pub(super) async fn begin_again(&mut self) {
        self.files += 1;
        self.tap.salvage(&self.path(&format!("db-{}", self.files)));
        self.plane.store.close().await;
        let parts = (&self.tap, &self.clock, &self.chance);
        self.plane = open(self.folder.path(), &mut self.files, parts).await;
    }

    pub(super) fn back_up(&self) {
        tap::copy(&self.path(&format!("db-{}", self.files)), &self.path("backup"));
    }

    /// Ends the program, and begins one on the backup.
    pub(super) async fn restore(&mut self) {
        self.plane.store.close().await;
        self.files += 1;
        tap::copy(&self.path("backup"), &self.path(&format!("db-{}", self.files)));
        let parts = (&self.tap, &self.clock, &self.chance);
        self.plane = open(self.folder.path(), &mut self.files, parts).await;
    }

    /// Does these side by side, in an order that the seed decides. `None` for an answer that does not go out, because the
    /// control plane died before.
    pub(super) async fn play(&mut self, ops: Vec<Op>) -> Vec<Option<Done>> {
        let mut set = JoinSet::new();
        let mut done: Vec<_> = ops.iter().map(|_| None).collect();
        for (index, op) in ops.into_iter().enumerate() {
            let (plane, tap, bug) = (Arc::clone(&self.plane), Arc::clone(&self.tap), self.bug);
            self.tap.begins();
            set.spawn(async move {
                let done = run(&plane, op, bug).await;
                let lost = tap.is_dead() && !tap.answers_early();
                tap.ends();
                (index, (!lost).then_some(done))
            });
            self.tap.settled().await;
        }
        loop {
            let waiting = self.tap.settled().await;
            if waiting == 0 {
                break;
            }
            self.tap.release(self.dice.below(waiting));
        }
        while let Some(ended) = set.join_next().await {
            let (index, answer) = ended.unwrap();
            done[index] = answer;
        }
        self.tap.rest();
        done
    }
}

async fn run(plane: &Arc<ControlPlane>, op: Op, bug: Option<Bug>) -> Done {
    match op {
        Op::Call(who, name, body) => Done::Called(call_as(plane, who, name, &body).await),
        Op::Poll(node, request) => match poll::begin(plane, &node, *request).await {
            Ok(Begun::Turn(turn)) => Done::Polled(look(plane, turn, false, bug).await),
            Ok(Begun::Unproved(_, nothing)) => Done::Polled(Ok(Polled::Unproved(nothing))),
            Err(error) => Done::Polled(Err(error)),
        },
        Op::Look(turn, over) => Done::Polled(look(plane, turn, over, bug).await),
        Op::Sweep => {
            let _ = retention::sweep(plane).await;
            Done::Swept
        }
    }
}

async fn look(
    plane: &ControlPlane,
    mut turn: Box<Turn>,
    over: bool,
    bug: Option<Bug>,
) -> Result<Polled, ApiError> {
    turn.listen();
    let Some(mut response) = turn.look(plane, over).await? else {
        return Ok(Polled::Waits(turn));
    };
    if bug == Some(Bug::LooksAtTheHeadLast)
        && !response.cloned
        && response.assignments.len() < MAX_ASSIGNMENTS
    {
        let instance = turn.instance();
        response.cursor.cursor = system::head(&mut *plane.store.read().await?, &instance).await?;
    }
    Ok(Polled::Answer(response))
}
