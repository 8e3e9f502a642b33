//! Sessions, from the offer to the end, against a relay that a test plays.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_agent::clock::SystemClock;
use longshore_agent::exec::{self, Containers, Deps, Records, Settings};
use longshore_agent::http::Connection;
use longshore_agent::link::{DialError, SessionLink};
use longshore_agent::model::ContainerId;
use longshore_agent::runtime::Runtime;
use longshore_agent::runtime::exec::Execs;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::session::{SessionEnd, SessionKind, SessionOffer};
use longshore_tests::viewer::Viewer;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use crate::daemon::PATIENCE;
use crate::stage::{Stage, eventually};

/// Hands the far end of each socket that is dialled to the test.
struct Relay(mpsc::Sender<(String, DuplexStream)>);

#[async_trait]
impl SessionLink for Relay {
    async fn dial(&self, session: &str) -> Result<Box<dyn Connection>, DialError> {
        let (near, far) = tokio::io::duplex(16 * 1024);
        if self.0.send((session.to_owned(), far)).await.is_err() {
            return Err(DialError::Over("the test is over".to_owned()));
        }
        Ok(Box::new(near))
    }
}

/// The one container of a stage.
struct One(ContainerId);

impl Containers for One {
    fn running(&self, _: &TaskArn, _: &str) -> Result<ContainerId, String> {
        Ok(self.0.clone())
    }
    fn known(&self, _: &TaskArn, _: &str) -> Result<ContainerId, String> {
        Ok(self.0.clone())
    }
    fn records(&self, _: &TaskArn, _: &str, _: bool) -> Result<Records, String> {
        Err("there is no log".to_owned())
    }
}

/// An agent's sessions.
struct Sessions {
    offers: mpsc::Sender<SessionOffer>,
    dialled: mpsc::Receiver<(String, DuplexStream)>,
    token: CancellationToken,
    parts: JoinSet<()>,
}

impl Sessions {
    fn start(stage: &Stage) -> Self {
        let (sockets, dialled) = mpsc::channel(4);
        let (offers, offered) = mpsc::channel(exec::OFFERS);
        let deps = Deps {
            link: Arc::new(Relay(sockets)),
            execs: Arc::new(stage.another()),
            containers: Arc::new(One(stage.id(0))),
            clock: Arc::new(SystemClock),
            folder: folder(stage),
        };
        let settings = Settings {
            most: 16,
            idle: None,
            longest: None,
        };
        let token = CancellationToken::new();
        let mut parts = JoinSet::new();
        let run = exec::run(deps, settings, offered, token.clone());
        parts.spawn(async move {
            let Ok(()) = run.await;
        });
        Self {
            offers,
            dialled,
            token,
            parts,
        }
    }

    async fn dialled(&mut self) -> (String, DuplexStream) {
        let dialled = tokio::time::timeout(PATIENCE, self.dialled.recv()).await;
        dialled.expect("nobody dials").unwrap()
    }

    /// Offers a session, as often as a control plane that is not sure, and joins it.
    async fn open(
        &mut self,
        stage: &Stage,
        number: u32,
        command: &str,
        terminal: bool,
    ) -> Viewer<DuplexStream> {
        for _ in 0..3 {
            self.offers.send(offer(stage, number, command)).await.unwrap();
        }
        let (session, socket) = self.dialled().await;
        assert_eq!(session, offer(stage, number, command).session_id);
        let mut viewer = Viewer::new(terminal);
        viewer.meet(socket).await;
        viewer
    }

    /// A shell in a terminal that has shown its prompt.
    async fn shell(&mut self, stage: &Stage) -> Viewer<DuplexStream> {
        let mut viewer = self.open(stage, 1, "sh", true).await;
        viewer.begin().await;
        viewer.until_shown("# ").await;
        viewer
    }

    async fn end(mut self) {
        self.token.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.parts.join_next()).await;
        ended.expect("sessions do not end").unwrap().unwrap();
    }
}

fn folder(stage: &Stage) -> PathBuf {
    stage.daemon.folder().join("sessions")
}

fn offer(stage: &Stage, number: u32, command: &str) -> SessionOffer {
    SessionOffer {
        session_id: format!("ecs-execute-command-{number:017x}"),
        task_arn: stage.task.arn.clone(),
        container_name: "main".to_owned(),
        kind: SessionKind::Exec {
            command: command.to_owned(),
            transcript: None,
        },
    }
}

/// Until the relay was told how it ended; then it closes the socket, as it should.
async fn told(viewer: &mut Viewer<DuplexStream>) -> SessionEnd {
    viewer.until("the end", |viewer| !viewer.texts.is_empty()).await;
    let end = serde_json::from_str(&viewer.texts[0]).unwrap();
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "over".into(),
    };
    viewer.lose().unwrap().close(Some(frame)).await.unwrap();
    end
}

fn nothing_is_left(stage: &Stage) -> bool {
    let empty = |folder: PathBuf| std::fs::read_dir(folder).map_or(true, |entries| entries.count() == 0);
    empty(folder(stage).join("sessions")) && empty(stage.daemon.folder().join("exec"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_shown_typed_into_resized_interrupted_and_left() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    let mut viewer = sessions.shell(&stage).await;
    viewer.types("stty size\r");
    viewer.until_shown("24 80").await;
    viewer.size(132, 43);
    viewer.clear();
    // A resize is told on its own way; a person would look again too.
    while !viewer.shown.contains("43 132") {
        viewer.clear();
        viewer.types("stty size; echo se''en\r");
        viewer.until_shown("seen").await;
    }
    viewer.clear();
    viewer.types("sleep 995\r");
    viewer.until_shown("sleep 995").await;
    // Before it has the terminal, the shell's line editor would read the byte.
    let group = format!("{}/{}", stage.task.arn.id, stage.id(0));
    let line = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let sleeps = || {
        let pids = stage.cgroups.pids(&group).unwrap();
        pids.iter().any(|pid| line(pid).starts_with("sleep\0995"))
    };
    eventually("it sleeps", sleeps).await;
    viewer.types("\u{3}");
    viewer.until_shown("^C").await;
    viewer.types("echo $LONGSHORE_EXEC_SESSION $TERM\r");
    viewer.until_shown("0001 xterm-256color").await;
    viewer.types("exit 7\r");
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    assert_eq!((viewer.code, viewer.closed.as_deref()), (Some(7), Some("")));
    let end = told(&mut viewer).await;
    assert_eq!((end.exit_code, end.reason), (Some(7), None));
    assert!(
        end.bytes_in > 20 && end.bytes_out as usize == viewer.bytes,
        "{}",
        viewer.bytes
    );
    eventually("nothing is left", || nothing_is_left(&stage)).await;
    sessions.end().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_end_by_themselves_and_both_streams_and_the_code_come() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    let command = r#"sh -c "cat; echo 'to err' >&2; exit 3""#;
    let mut viewer = sessions.open(&stage, 1, command, false).await;
    viewer.begin().await;
    viewer.types("one\ntwo\n");
    viewer.end_of_input();
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    assert_eq!(viewer.shown, "one\ntwo\n");
    assert_eq!(viewer.errors, "to err\n");
    assert_eq!(viewer.code, Some(3));
    told(&mut viewer).await;
    sessions.end().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_is_dialled_again_and_nothing_is_lost_or_twice() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    let command = "sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done'";
    let mut viewer = sessions.open(&stage, 1, command, false).await;
    viewer.begin().await;
    for lines in [100, 3000, 9000] {
        viewer.until_shown(&format!("line {lines}\n")).await;
        drop(viewer.lose());
        let (_, socket) = sessions.dialled().await;
        viewer.resume(socket).await;
    }
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    let expected: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
    assert!(
        viewer.shown == expected,
        "{} of {} bytes",
        viewer.shown.len(),
        expected.len()
    );
    assert_eq!(viewer.code, Some(0));
    told(&mut viewer).await;
    sessions.end().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_run_is_said_in_plain_words() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    for (number, (command, why)) in [
        ("nope", "there is no program \"nope\" in the container"),
        (
            "sh 'a",
            "the command ends inside quotes, or after a backslash: sh 'a",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut viewer = sessions
            .open(&stage, u32::try_from(number).unwrap(), command, true)
            .await;
        while viewer.closed.is_none() {
            if viewer.ready {
                viewer.size(80, 24);
                viewer.ready = false;
            }
            assert!(viewer.step().await);
        }
        assert_eq!(viewer.closed.as_deref(), Some(why));
        let end = told(&mut viewer).await;
        assert_eq!((end.exit_code, end.reason.as_deref()), (None, Some(why)));
    }
    eventually("nothing is left", || nothing_is_left(&stage)).await;
    sessions.end().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_container_ends_the_session_with_a_word() {
    let stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    let mut viewer = sessions.shell(&stage).await;
    let signal = nix::sys::signal::Signal::SIGKILL as i32;
    let scope = longshore_agent::runtime::SignalScope::Init;
    stage.runtime.kill(&stage.id(0), signal, scope).await.unwrap();
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    assert_eq!(viewer.closed.as_deref(), Some("the container has stopped"));
    stage.exited(&mut events, 0).await;
    stage.runtime.reap(&stage.id(0)).await.unwrap();
    let end = told(&mut viewer).await;
    assert_eq!(end.exit_code, Some(137));
    sessions.end().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_killed_leaves_a_session_that_the_next_one_ends() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    let mut viewer = sessions.shell(&stage).await;
    viewer.types("setsid sleep 991 & sleep 992 & echo be''gun\r");
    viewer.until_shown("begun").await;
    sessions.parts.abort_all();
    drop(sessions);
    viewer.lose();

    let mut sessions = Sessions::start(&stage);
    let (_, socket) = sessions.dialled().await;
    viewer.resume(socket).await;
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    let why = "the agent on the node was restarted, and the session ended with it";
    assert_eq!(viewer.closed.as_deref(), Some(why));
    told(&mut viewer).await;
    eventually("nothing is left", || nothing_is_left(&stage)).await;
    let group = format!("{}/{}", stage.task.arn.id, stage.id(0));
    assert_eq!(stage.cgroups.pids(&group).unwrap().len(), 1);
    sessions.end().await;
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_end_tells_the_client_and_leaves_nothing() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let mut sessions = Sessions::start(&stage);
    let mut viewer = sessions.shell(&stage).await;
    sessions.token.cancel();
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    let why = "the agent on the node ends, and with it the session";
    assert_eq!(viewer.closed.as_deref(), Some(why));
    told(&mut viewer).await;
    sessions.end().await;
    assert!(stage.runtime.leftovers().await.unwrap().is_empty());
    stage.clear().await;
}
