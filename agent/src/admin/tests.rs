use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_protocol::json_file::{Record, Stream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::supervise::Supervisor;

/// An agent with one task that printed two lines and prints more while it is followed.
struct Known;

fn record(log: &str) -> Record {
    Record {
        log: log.to_owned(),
        stream: Stream::Stdout,
        time: "2026-01-01T00:00:00Z".to_owned(),
    }
}

#[async_trait]
impl Answers for Known {
    async fn status(&self) -> Status {
        Status {
            agent_version: "0.1.0".to_owned(),
            runtime_version: "containerd 1.6.20".to_owned(),
            instance_id: "mi-0123456789abcdef0".to_owned(),
            container_instance_arn: None,
            cluster: "default".to_owned(),
            endpoint: "http://127.0.0.1:8474".to_owned(),
            connected: false,
            since: "2026-01-01T00:00:00Z".to_owned(),
            last_error: Some("no answer".to_owned()),
            trouble: None,
            tasks: 0,
            warnings: vec![],
        }
    }

    async fn tasks(&self) -> Result<Tasks, Refusal> {
        let container = ContainerView {
            name: "app".to_owned(),
            runtime_id: "0".to_owned(),
            last_status: "RUNNING".to_owned(),
            health_status: "UNKNOWN".to_owned(),
            restart_count: 2,
            exit_code: None,
            reason: None,
        };
        let task = TaskView {
            task_arn: "arn".to_owned(),
            task_definition_arn: "arn".to_owned(),
            last_status: "RUNNING".to_owned(),
            health_status: "UNKNOWN".to_owned(),
            desired_status: "RUNNING".to_owned(),
            containers: vec![container.clone(), container],
        };
        Ok(Tasks { tasks: vec![task] })
    }

    async fn logs(&self, query: LogQuery) -> Result<Records, Refusal> {
        if query.task == "hangs" {
            return Ok(Box::pin(futures_util::stream::pending()));
        }
        if query.task != "known" {
            return Err(Refusal::NotFound(format!("there is no task {}", query.task)));
        }
        Ok(Box::pin(futures_util::stream::iter(
            [
                "one
", "two
",
            ]
            .map(record),
        )))
    }
}

struct Served {
    client: AdminClient,
    supervisor: Supervisor,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

async fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    // As an agent that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind(&path).await.unwrap();
    let mut supervisor = Supervisor::new(CancellationToken::new());
    supervisor.spawn("admin", server.run(Arc::new(Known), supervisor.token()));
    Served {
        client: AdminClient::new(&path),
        supervisor,
        path,
        _dir: dir,
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn answers_go_to_the_owner_only_and_refusals_keep_their_words() {
    let served = serve().await;
    let path = served.path.clone();
    assert_eq!(mode(&path), 0o600);
    let status: Status = served.client.get("/v1/status").await.unwrap();
    assert_eq!(status, Known.status().await);
    let tasks: Tasks = served.client.get("/v1/tasks").await.unwrap();
    assert_eq!(tasks, Known.tasks().await.unwrap());
    for (path, text) in [
        ("/v1/nothing", "there is no /v1/nothing"),
        ("/v1/logs?task=other", "there is no task other"),
        ("/v1/logs", "task must be a task's id or ARN"),
    ] {
        let error = served.client.get::<Status>(path).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    served.supervisor.token().cancel();
    served
        .supervisor
        .run(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_folder_that_is_missing_is_made_for_its_owner_and_one_that_is_there_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o1755)).unwrap();
    let path = there.join("made/below/admin.sock");
    Server::bind(&path).await.unwrap();
    let modes = [&path, path.parent().unwrap(), &there.join("made"), &there].map(mode);
    assert_eq!(modes, [0o600, 0o700, 0o700, 0o1755]);
}

#[tokio::test]
async fn what_is_somebody_elses_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let datagrams = dir.path().join("datagrams");
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&datagrams).unwrap();
    let live = dir.path().join("live");
    let listener = std::os::unix::net::UnixListener::bind(&live).unwrap();
    for path in [&file, &link, &datagrams, &live, dir.path()] {
        let error = Server::bind(path).await.unwrap_err();
        assert!(matches!(error, ServerError::Taken { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("LONGSHORE_ADMIN_SOCKET"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "kept");
    std::os::unix::net::UnixStream::connect(&live).unwrap();
    drop(listener);
    Server::bind(&live).await.unwrap();
}

#[tokio::test]
async fn logs_come_line_by_line() {
    let served = serve().await;
    let query = LogQuery {
        task: "known".to_owned(),
        ..LogQuery::default()
    };
    let mut lines = served.client.logs(&query).await.unwrap();
    let mut read = Vec::new();
    while let Some(record) = lines.next::<Record>().await.unwrap() {
        read.push(record.log);
    }
    assert_eq!(read, ["one\n", "two\n"]);
}

#[tokio::test]
async fn logs_that_hang_leave_room_for_questions_and_give_it_back() {
    let served = serve().await;
    let query = LogQuery {
        task: "hangs".to_owned(),
        ..LogQuery::default()
    };
    let mut reading = Vec::new();
    for _ in 0..server::MAX_LOGS {
        reading.push(served.client.logs(&query).await.unwrap());
    }
    let Err(error) = served.client.logs(&query).await else {
        panic!("one more than may be read");
    };
    assert!(
        error.to_string().contains("24 logs are being read already"),
        "{error}"
    );
    served.client.get::<Status>("/v1/status").await.unwrap();
    drop(reading);
    while served.client.logs(&query).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_what_to_do() {
    let error = AdminClient::new(Path::new("/none/admin.sock"))
        .get::<Status>("/v1/status")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("is `longshore-agent run` running"),
        "{error}"
    );
}

/// What a server says at a path, whole.
async fn asked(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_monitor_sees_the_node_and_nothing_else() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = CancellationToken::new();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(server::serve_metrics(listener, Arc::new(Known), token.clone()));
    let answer = asked(address, "/metrics").await;
    for line in [
        "longshore_agent_info{version=\"0.1.0\",runtime=\"containerd 1.6.20\",cluster=\"default\"} 1",
        "longshore_control_plane_connected 0",
        "longshore_control_plane_link_change_timestamp_seconds 1767225600",
        "longshore_runtime_up 1",
        "longshore_node_healthy 1",
        "longshore_tasks{status=\"RUNNING\"} 1",
        "longshore_containers{status=\"RUNNING\"} 2",
        "longshore_container_restarts 4",
        "# EOF",
    ] {
        assert!(answer.lines().any(|each| each == line), "{line} in {answer}");
    }
    for path in ["/v1/status", "/v1/tasks", "/v1/logs?task=known"] {
        assert!(asked(address, path).await.starts_with("HTTP/1.1 404 "), "{path}");
    }
    token.cancel();
    serving.join_next().await.unwrap().unwrap();
}
