//! The client's side of a round: what it asks for, and what it is told over time.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_sdk_ecs::types::{
    ContainerDefinition, HostVolumeProperties, MountPoint, NetworkMode, PortMapping, Task, Volume,
};

use crate::plan::{Kind, Request};
use crate::system::{id_of, shell};

/// How many lines a writer prints.
pub const LINES: usize = 400;
/// What a container that obeys is given, in seconds: a busy machine may be slow to let it, and a SIGKILL would hide that it
/// was never asked.
const GRACE: i32 = 30;

/// A task as the client knows it.
pub struct Run {
    pub arn: String,
    pub kind: Kind,
    /// Whether the client has asked for its end before it was told of it.
    pub stopped: bool,
    /// When it first asked.
    pub stop_asked: Option<SystemTime>,
    /// Whether its shim was killed, so that codes may be unknown.
    pub shim_killed: bool,
    /// Where its containers witness that they started, a line each time.
    pub witness: PathBuf,
    /// What was told last.
    pub last: Option<Task>,
    /// What must not have been told.
    pub faults: Vec<String>,
}

/// The tasks of a round, shared by those who work on it at the same time.
#[derive(Default)]
pub struct Runs {
    list: RefCell<Vec<Run>>,
    /// Whether something was killed, so that the agent may not be connected.
    pub disturbed: Cell<bool>,
}

impl Deref for Runs {
    type Target = RefCell<Vec<Run>>;

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

/// Stands for a program that runs until SIGTERM, and then ends with 5.
const POLITE: &str = "polite";

/// The client of a round.
pub struct Client<'a> {
    pub ecs: aws_sdk_ecs::Client,
    pub image: String,
    pub dir: PathBuf,
    pub port: u16,
    pub runs: &'a Runs,
}

impl Client<'_> {
    /// Makes the requests, each until it is answered.
    pub async fn make(&self, seed: u64, requests: &[(u64, Request)]) {
        for (place, (pause, request)) in requests.iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(*pause)).await;
            match request {
                Request::Run(kind) => self.run(*kind, &format!("chaos-{seed}-{place}")).await,
                Request::Stop(place) => self.stop(*place).await,
            }
        }
    }

    async fn run(&self, kind: Kind, name: &str) {
        let witness = self.dir.join(name);
        std::fs::create_dir_all(&witness).expect("a folder");
        let family = self.define(kind, name, &witness).await;
        let token = uuid::Uuid::new_v4().to_string();
        let port_held = kind == Kind::Bridge && self.runs.borrow().iter().any(Run::holds_the_port);
        let answer = again(|| {
            let request = self.ecs.run_task().task_definition(&family);
            // The answer may be lost: asked again with its token, it is the same task.
            request.client_token(&token).send()
        })
        .await;
        let mut run = Run::none(kind, witness);
        let Some(task) = answer.tasks.unwrap_or_default().pop() else {
            let failures = answer.failures.unwrap_or_default();
            let explained = match failures.as_slice() {
                [failure] => match failure.reason() {
                    Some("AGENT") => self.runs.disturbed.get(),
                    Some("RESOURCE:PORTS") => port_held,
                    _ => false,
                },
                _ => false,
            };
            if !explained {
                run.faults
                    .push(format!("{kind:?} was refused for no good reason: {failures:?}"));
            }
            self.runs.borrow_mut().push(run);
            return;
        };
        run.arn = task.task_arn().expect("an ARN").to_owned();
        run.see(task);
        self.runs.borrow_mut().push(run);
    }

    /// Asks for the end of a task, if there is one at that place.
    pub async fn stop(&self, place: usize) {
        let arn = match self.runs.borrow_mut().get_mut(place) {
            Some(run) if !run.arn.is_empty() => {
                run.stopped |= !run.has_ended();
                run.stop_asked.get_or_insert_with(now);
                run.arn.clone()
            }
            _ => return,
        };
        again(|| self.ecs.stop_task().task(&arn).send()).await;
    }

    async fn define(&self, kind: Kind, name: &str, witness: &Path) -> String {
        let host = HostVolumeProperties::builder().source_path(witness.to_str().expect("UTF-8"));
        let volume = Volume::builder().name("witness").host(host.build()).build();
        let mode = match kind {
            Kind::Bridge => NetworkMode::Bridge,
            _ => NetworkMode::None,
        };
        let answer = again(|| {
            let request = self.ecs.register_task_definition().family(name);
            let request = request.network_mode(mode.clone()).volumes(volume.clone());
            request
                .set_container_definitions(Some(self.containers(kind)))
                .send()
        })
        .await;
        let definition = answer.task_definition.expect("a definition");
        format!("{name}:{}", definition.revision())
    }

    fn containers(&self, kind: Kind) -> Vec<ContainerDefinition> {
        let container = |name: &str, script: &str| {
            let mount = MountPoint::builder()
                .source_volume("witness")
                .container_path("/witness");
            // What obeys says that it began once it can.
            let (before, script) = match script {
                POLITE => ("trap 'exit 5' TERM; ", "while :; do sleep 0.1; done"),
                script => ("", script),
            };
            let script = format!("{before}echo start >> /witness/{name}; {script}");
            let container = shell(name, &self.image, &script).mount_points(mount.build());
            container.set_stop_timeout((!before.is_empty()).then_some(GRACE))
        };
        let polite = POLITE;
        match kind {
            Kind::Polite => vec![container("app", polite).build()],
            Kind::Deaf => vec![container("app", "trap '' TERM; while :; do sleep 1; done").build()],
            Kind::Quick(code) => vec![container("app", &format!("exit {code}")).build()],
            Kind::Slow(code) => vec![container("app", &format!("sleep 1; exit {code}")).build()],
            Kind::Lines => {
                let script = format!(
                    "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); \
                     [ $((i % 40)) -ne 0 ] || sleep 0.1; done; exit 0"
                );
                vec![container("app", &script).build()]
            }
            Kind::Several => vec![
                container("app", "sleep 1; exit 3").build(),
                container("side", polite).essential(false).build(),
                container("third", "exec sleep 1000").essential(false).build(),
            ],
            Kind::Bridge => {
                let port = PortMapping::builder()
                    .container_port(80)
                    .host_port(i32::from(self.port));
                vec![container("app", polite).port_mappings(port.build()).build()]
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "held against the times of files, which are the machine's"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Asks until there is an answer: the control plane may be away.
async fn again<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(mut ask: impl FnMut() -> F) -> T {
    let mut last = String::new();
    for _ in 0..600 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = format!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the control plane does not answer as it should: {last}");
}

/// Watches the tasks of a round for ever.
pub async fn watch(ecs: &aws_sdk_ecs::Client, runs: &Runs) {
    loop {
        look(ecs, runs).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Looks once. An answer that does not come is none.
pub async fn look(ecs: &aws_sdk_ecs::Client, runs: &Runs) {
    let arns: Vec<String> = runs.borrow().iter().map(|run| run.arn.clone()).collect();
    let arns: Vec<String> = arns.into_iter().filter(|arn| !arn.is_empty()).collect();
    if arns.is_empty() {
        return;
    }
    let Ok(answer) = ecs.describe_tasks().set_tasks(Some(arns)).send().await else {
        return;
    };
    let mut runs = runs.borrow_mut();
    for failure in answer.failures() {
        if let Some(run) = runs.iter_mut().find(|run| failure.arn() == Some(&run.arn)) {
            run.faults.push(format!("it is gone: {failure:?}"));
        }
    }
    for task in answer.tasks.unwrap_or_default() {
        if let Some(run) = runs.iter_mut().find(|run| task.task_arn() == Some(&run.arn)) {
            run.see(task);
        }
    }
}

const ORDER: [&str; 8] = [
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
];

fn rank(status: Option<&str>) -> usize {
    let status = status.unwrap_or_default();
    ORDER
        .iter()
        .position(|known| *known == status)
        .unwrap_or_else(|| panic!("no status: {status:?}"))
}

impl Run {
    fn none(kind: Kind, witness: PathBuf) -> Self {
        Self {
            arn: String::new(),
            kind,
            stopped: false,
            stop_asked: None,
            shim_killed: false,
            witness,
            last: None,
            faults: Vec::new(),
        }
    }

    fn has_ended(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|task| task.last_status() == Some("STOPPED"))
    }

    /// Whether it has the round's host port, as far as the client was told.
    fn holds_the_port(&self) -> bool {
        self.kind == Kind::Bridge && !self.arn.is_empty() && !self.has_ended()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        id_of(&self.arn)
    }

    /// Takes what is told now, and holds it against what was told before.
    fn see(&mut self, task: Task) {
        if let Some(last) = &self.last {
            if rank(task.last_status()) < rank(last.last_status()) {
                let (from, to) = (last.last_status(), task.last_status());
                self.faults.push(format!("status went back: {from:?}, {to:?}"));
            }
            for before in last.containers() {
                let now = task.containers().iter().find(|now| now.name() == before.name());
                let Some(now) = now else { continue };
                if rank(now.last_status()) < rank(before.last_status()) {
                    self.faults.push(format!("status went back: {before:?}, {now:?}"));
                }
                if before.exit_code().is_some() && now.exit_code() != before.exit_code() {
                    self.faults
                        .push(format!("exit code changed: {before:?}, {now:?}"));
                }
            }
        }
        self.last = Some(task);
    }
}
