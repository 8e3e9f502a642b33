//! Sessions in containers: ExecuteCommand, the relay, the agent, and what is left when they end.

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::ContainerDefinition;
use longshore_protocol::data_channel::payload::OpenDataChannel;
use longshore_tests::viewer::Viewer;
use longshore_tests::wait;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::system::{self, System, shell, variable};

/// Runs one container of a task that takes commands.
async fn run(system: &System, container: ContainerDefinition) -> String {
    let family = container.name().unwrap().to_owned();
    let definition = system.define(&family, vec![container]).await;
    system.run_open(&definition).await
}

/// Opens the client's side of a session.
async fn open(url: &str, token: &str) -> WebSocketStream<TcpStream> {
    let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    let open = OpenDataChannel {
        message_schema_version: "1.0".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        token_value: token.to_owned(),
        client_id: uuid::Uuid::new_v4().to_string(),
        client_version: None,
    };
    let text = serde_json::to_string(&open).unwrap();
    futures_util::SinkExt::send(&mut socket, Message::text(text))
        .await
        .unwrap();
    socket
}

/// A session, and the id it has.
async fn exec(
    system: &System,
    task: &str,
    command: &str,
    terminal: bool,
) -> (Viewer<TcpStream>, String, String) {
    let request = system
        .ecs
        .execute_command()
        .task(task)
        .command(command)
        .interactive(true);
    let answer = request
        .send()
        .await
        .unwrap_or_else(|error| panic!("{:?}", error.message()));
    let session = answer.session().unwrap();
    let (id, url) = (session.session_id().unwrap(), session.stream_url().unwrap());
    let mut viewer = Viewer::new(terminal);
    viewer.take(open(url, session.token_value().unwrap()).await);
    (viewer, id.to_owned(), url.to_owned())
}

/// A session that has begun.
async fn begin(system: &System, task: &str, command: &str, terminal: bool) -> Viewer<TcpStream> {
    let (mut viewer, ..) = exec(system, task, command, terminal).await;
    viewer.begin().await;
    viewer
}

async fn to_the_end(viewer: &mut Viewer<TcpStream>) {
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
}

/// What a command says, and its code.
async fn says(system: &System, task: &str, command: &str) -> (String, Option<u32>) {
    let mut viewer = begin(system, task, command, false).await;
    to_the_end(&mut viewer).await;
    (viewer.shown.clone() + &viewer.errors, viewer.code)
}

fn sleeper(system: &System) -> ContainerDefinition {
    shell("app", &system.busybox, "sleep 1000").build()
}

/// The processes in a container's cgroup, and below it, whose command line has this in it.
fn processes(system: &System, task: &str, of: &str) -> usize {
    let group = format!("{}/{}", system.host.cgroup_parent(), system.cgroup_of(task, 0));
    let read = |process: &std::path::Path, file: &str| {
        let text = std::fs::read_to_string(process.join(file)).unwrap_or_default();
        text.replace('\0', " ")
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.path())
        .filter(|process| read(process, "cgroup").contains(&group) && read(process, "cmdline").contains(of))
        .count()
}

#[test]
fn a_shell_echoes_is_resized_interrupted_and_ended_by_the_end_of_input() {
    system::with(|system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewer = begin(&system, &task, "/bin/sh", true).await;
        viewer.until_shown("# ").await;
        viewer.types("echo he''llo\r");
        viewer.until_shown("hello").await;
        viewer.size(132, 43);
        while !viewer.shown.contains("43 132") {
            viewer.clear();
            viewer.types("stty size; echo se''en\r");
            viewer.until_shown("seen").await;
        }
        viewer.types("sleep 995\r");
        viewer.until_shown("sleep 995").await;
        // Before it has the terminal, the shell's line editor would read the byte.
        wait::until_some("it sleeps", || {
            (processes(&system, &task, "sleep 995") == 1).then_some(())
        })
        .await;
        viewer.types("\u{3}");
        viewer.until_shown("^C").await;
        viewer.clear();
        viewer.types("echo $?\r");
        viewer.until_shown("130").await;
        viewer.types("\u{4}");
        to_the_end(&mut viewer).await;
        assert_eq!(viewer.closed.as_deref(), Some(""));
        assert!(viewer.code.is_some());
        system
    });
}

#[test]
fn a_command_has_its_code_its_user_its_folder_and_its_environment() {
    system::with(|system| async move {
        let definition = shell("app", &system.busybox, "sleep 1000")
            .user("app")
            .working_directory("/data")
            .environment(variable("COLOUR", "blue"))
            .build();
        let task = run(&system, definition).await;
        let (shown, code) = says(&system, &task, r#"sh -c 'id -u; pwd; echo $COLOUR; exit 42'"#).await;
        assert_eq!((shown.as_str(), code), ("1000\n/data\nblue\n", Some(42)));
        let mut viewer = begin(&system, &task, "cat", false).await;
        viewer.types("through\n");
        viewer.end_of_input();
        to_the_end(&mut viewer).await;
        assert_eq!((viewer.shown.as_str(), viewer.code), ("through\n", Some(0)));
        let mut viewer = begin(&system, &task, "no-such-program", true).await;
        to_the_end(&mut viewer).await;
        let why = "there is no program \"no-such-program\" in the container";
        assert_eq!(viewer.closed.as_deref(), Some(why));
        system
    });
}

#[test]
fn children_end_with_their_session_those_in_sessions_of_their_own_too() {
    system::with(|system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewer = begin(&system, &task, "sh", true).await;
        viewer.until_shown("# ").await;
        viewer.types("setsid sleep 991 & sleep 992 & sleep 993 & echo be''gun\r");
        viewer.until_shown("begun").await;
        wait::until_some("they sleep", || {
            (processes(&system, &task, "sleep 99") == 3).then_some(())
        })
        .await;
        viewer.terminate();
        to_the_end(&mut viewer).await;
        wait::until_some("they are gone", || {
            (processes(&system, &task, "sleep 99") == 0).then_some(())
        })
        .await;
        assert_eq!(processes(&system, &task, "sleep 1000"), 1);
        system
    });
}

/// Before they could be put into a group, and without a variable that says whose they are: as by `su -`.
#[test]
fn children_that_are_forked_at_once_and_clear_their_environment_end_too() {
    system::with(|system| async move {
        let task = run(&system, sleeper(&system)).await;
        let fork = "sh -c 'busybox env -i /bin/busybox setsid sleep 991 & busybox env -i /bin/busybox sleep 992 & exit 0'";
        for _ in 0..10 {
            assert_eq!(says(&system, &task, fork).await.1, Some(0));
        }
        wait::until_some("they are gone", || {
            (processes(&system, &task, "sleep 99") == 0).then_some(())
        })
        .await;
        system
    });
}

#[test]
fn an_image_of_one_program_with_a_root_that_can_not_be_written_to_is_good_enough() {
    system::with(|system| async move {
        let definition = shell("app", &system.busybox, "sleep 1000")
            .readonly_root_filesystem(true)
            .build();
        let task = run(&system, definition).await;
        let mut viewer = begin(&system, &task, "/bin/busybox sh", true).await;
        viewer.until_shown("# ").await;
        viewer.types("echo x > /file; echo do''ne\r");
        viewer.until_shown("done").await;
        assert!(viewer.shown.contains("Read-only file system"), "{}", viewer.shown);
        viewer.types("exit\r");
        to_the_end(&mut viewer).await;
        system
    });
}

#[test]
fn a_stopped_task_ends_its_sessions_with_a_word() {
    system::with(|system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewer = begin(&system, &task, "sh", true).await;
        viewer.until_shown("# ").await;
        system.stop(&task).await;
        to_the_end(&mut viewer).await;
        assert_eq!(viewer.closed.as_deref(), Some("the container has stopped"));
        system.until(&task, "STOPPED").await;
        system
    });
}

#[test]
fn one_session_more_than_the_node_takes_is_refused_in_words() {
    system::with_settings(&[("LONGSHORE_EXEC_MAX_SESSIONS", "3")], |system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewers = Vec::new();
        for _ in 0..3 {
            let mut viewer = begin(&system, &task, "sh", true).await;
            viewer.until_shown("# ").await;
            viewers.push(viewer);
        }
        let (mut viewer, ..) = exec(&system, &task, "sh", true).await;
        to_the_end(&mut viewer).await;
        let why = viewer.closed.unwrap();
        assert!(why.contains("LONGSHORE_EXEC_MAX_SESSIONS"), "{why}");
        viewers[0].types("exit\r");
        to_the_end(&mut viewers[0]).await;
        // Its place is free once the relay knows.
        let mut viewer = wait::until("there is room again", || async {
            let (mut viewer, ..) = exec(&system, &task, "sh", true).await;
            viewer
                .until("an answer", |viewer| viewer.ready || viewer.closed.is_some())
                .await;
            viewer.ready.then_some(viewer)
        })
        .await;
        viewer.size(80, 24);
        viewer.until_shown("# ").await;
        system
    });
}

#[test]
fn an_agent_that_is_killed_leaves_no_process_and_tells_the_client() {
    system::with(|mut system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewer = begin(&system, &task, "sh", true).await;
        viewer.until_shown("# ").await;
        viewer.types("setsid sleep 991 & echo be''gun\r");
        viewer.until_shown("begun").await;
        system.agent.kill();
        system.agent.start();
        to_the_end(&mut viewer).await;
        let why = viewer.closed.unwrap();
        assert!(why.contains("the agent on the node was restarted"), "{why}");
        wait::until_some("it is gone", || {
            (processes(&system, &task, "sleep 991") == 0).then_some(())
        })
        .await;
        assert_eq!(system.describe(&task).await.last_status(), Some("RUNNING"));
        system
    });
}

#[test]
fn a_control_plane_that_is_killed_and_back_soon_costs_a_session_nothing() {
    system::with(|mut system| async move {
        let task = run(&system, sleeper(&system)).await;
        let (mut viewer, id, url) = exec(&system, &task, "sh", true).await;
        viewer.begin().await;
        viewer.until_shown("# ").await;
        viewer.types("A=kept\r");
        viewer.until_shown("A=kept").await;
        system.plane.start_again().await;
        viewer.lose();
        let token = resume(&system, &id).await;
        viewer.reconnected();
        viewer.take(open(&url, &token).await);
        viewer.types("echo it is $A\r");
        viewer.until_shown("it is kept").await;
        viewer.types("exit 9\r");
        to_the_end(&mut viewer).await;
        assert_eq!(viewer.code, Some(9));
        system
    });
}

/// A token for another socket of a session.
async fn resume(system: &System, id: &str) -> String {
    let answer = system.ssm.resume_session().session_id(id).send().await;
    let answer = answer.unwrap_or_else(|error| panic!("{:?}", error.message()));
    answer.token_value.expect("the session lives")
}

#[test]
fn a_hundred_megabytes_go_through_a_slow_reader_whole_and_in_bounded_memory() {
    system::with(|system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewer = begin(&system, &task, "dd if=/dev/zero bs=1M count=100", false).await;
        viewer.forgetful = true;
        let before = memory(system.agent.pid());
        let mut most = 0;
        let mut steps = 0_u32;
        while viewer.closed.is_none() {
            assert!(viewer.step().await);
            steps += 1;
            // Slower than it comes: everything before the client fills up.
            if steps.is_multiple_of(64) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                most = most.max(memory(system.agent.pid()));
            }
        }
        let bytes = viewer.bytes - viewer.errors.len();
        assert_eq!((bytes, viewer.code), (100 << 20, Some(0)), "{}", viewer.errors);
        assert!(most < before + (24 << 20), "{before} became {most}");
        system
    });
}

#[test]
fn an_idle_session_costs_the_agent_little() {
    system::with(|system| async move {
        let task = run(&system, sleeper(&system)).await;
        let mut viewers = Vec::new();
        let mut before = 0;
        // The first ones bring in what all of them use.
        for number in 0..16 {
            if number == 4 {
                before = memory(system.agent.pid());
            }
            let mut viewer = begin(&system, &task, "sh", true).await;
            viewer.until_shown("# ").await;
            viewers.push(viewer);
        }
        let each = memory(system.agent.pid()).saturating_sub(before) / 12;
        assert!(each <= 128 << 10, "{each} bytes");
        system
    });
}

/// The resident memory of a process, in bytes.
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
