//! The client of an agent's admin socket: what the agent on this machine knows about its tasks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use longshore_protocol::json_file::Record;
use longshore_protocol::settings_file;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// The socket's name in an agent's data folder.
pub const SOCKET: &str = "admin.sock";
/// The settings of an agent that was installed as a service, and its data folder where they name none.
pub const SERVICE_SETTINGS: &str = "/etc/ecs/ecs.config";
const SERVICE_DATA_DIR: &str = "/var/lib/longshore";
/// How long an answer may take to begin.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of an error's text.
const MAX_ERROR: usize = 64 * 1024;
/// The most bytes of a line: a record of the log is far below.
const MAX_LINE: usize = 1024 * 1024;

/// The socket that settings name, as the agent reads them: by itself, or by the data folder.
#[must_use]
pub fn named_socket(setting: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let setting = |name| setting(name).filter(|value| !value.trim().is_empty());
    let path = |value: String| PathBuf::from(value.trim());
    let in_folder = || {
        let folder = setting("LONGSHORE_DATA_DIR").or_else(|| setting("ECS_DATADIR"))?;
        Some(path(folder).join(SOCKET))
    };
    setting("LONGSHORE_ADMIN_SOCKET").map(path).or_else(in_folder)
}

/// The socket of an agent that was installed as a service; `file` is the text of its settings, if they can be read.
#[must_use]
pub fn service_socket(file: Option<&str>) -> PathBuf {
    // Lines that are none stop the agent; where it would be is all that is asked here.
    let settings = file.map(|text| settings_file::parse(text).0).unwrap_or_default();
    let last = |name: &str| {
        // An empty value is none.
        let mut named = settings
            .iter()
            .rev()
            .filter(|(other, value)| other == name && !value.is_empty());
        named.next().map(|(_, value)| value.clone())
    };
    named_socket(last).unwrap_or_else(|| Path::new(SERVICE_DATA_DIR).join(SOCKET))
}

/// A question to the agent that wasn't answered.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No agent there. May be tried again once one runs.
    #[error("no agent answers at {}: {why}. Logs are read on the machine where the task runs, as root.", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        why: String,
    },
    /// The agent refused.
    #[error("the agent at {}: {message}", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// Its words.
        message: String,
    },
    /// The stream ended in the middle, or something else than a record came.
    #[error("the agent at {} broke off: {why}", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// Why.
        why: String,
    },
}

impl AdminError {
    /// Whether there was no answer at all.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// What to read of a task's output.
#[derive(Clone, Debug)]
pub struct LogQuery<'a> {
    /// The task's id.
    pub task: &'a str,
    /// The container; needed where the task has several.
    pub container: Option<&'a str>,
    /// Whether to go on with what is written from now on, until the container has stopped.
    pub follow: bool,
}

impl LogQuery<'_> {
    fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("task", self.task);
        if let Some(container) = self.container {
            query.append_pair("container", container);
        }
        query.append_pair("follow", if self.follow { "true" } else { "false" });
        format!("/v1/logs?{}", query.finish())
    }
}

/// The records of a container, as they come.
#[derive(Debug)]
pub struct Logs {
    socket: PathBuf,
    body: Incoming,
    buffer: BytesMut,
    /// Drives the connection; ends with this value.
    _connection: JoinSet<()>,
}

/// Asks for a container's output.
///
/// # Errors
/// [`AdminError`].
pub async fn logs(socket: &Path, query: &LogQuery<'_>) -> Result<Logs, AdminError> {
    let (body, connection) = get(socket, &query.path()).await?;
    Ok(Logs {
        socket: socket.to_owned(),
        body,
        buffer: BytesMut::new(),
        _connection: connection,
    })
}

impl Logs {
    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// [`AdminError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Record>, AdminError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| self.broken(error.to_string()));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(self.broken(format!("a line is longer than {MAX_LINE} bytes")));
            }
            match self.body.frame().await {
                None if self.buffer.has_remaining() => {
                    return Err(self.broken("the last line has no end".to_owned()));
                }
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(self.broken(crate::api::chain(&error))),
            }
        }
    }

    fn broken(&self, why: String) -> AdminError {
        AdminError::Broken {
            socket: self.socket.clone(),
            why,
        }
    }
}

/// Sends a GET and gives the body of a good answer.
async fn get(socket: &Path, path: &str) -> Result<(Incoming, JoinSet<()>), AdminError> {
    let unreachable = |why: String| AdminError::Unreachable {
        socket: socket.to_owned(),
        why,
    };
    let mut connections = JoinSet::new();
    let exchange = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(crate::api::chain(&error)))?;
        connections.spawn(async move {
            // What goes wrong here is seen by the one who reads the body.
            let _ = connection.await;
        });
        let request = http::Request::get(path)
            .header(http::header::HOST, "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|error| unreachable(error.to_string()))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(crate::api::chain(&error)))
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await;
    let answer =
        answer.unwrap_or_else(|_| Err(unreachable(format!("no answer within {} s", DEADLINE.as_secs()))))?;
    let status = answer.status();
    if status.is_success() {
        return Ok((answer.into_body(), connections));
    }
    let text = Limited::new(answer.into_body(), MAX_ERROR).collect().await;
    let text = text
        .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
        .unwrap_or_default();
    Err(AdminError::Refused {
        socket: socket.to_owned(),
        message: words_of(&text).unwrap_or_else(|| status.to_string()),
    })
}

/// The text of an error answer: JSON with a `message` or an `error`, or plain words.
fn words_of(text: &str) -> Option<String> {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let member = |name| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let plain = || Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    member("message").or_else(|| member("error")).or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_protocol::json_file::Stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn the_service_s_socket_is_where_its_settings_say() {
        for (file, socket) in [
            (None, "/var/lib/longshore/admin.sock"),
            (
                Some("ECS_CLUSTER=a\nno setting\n"),
                "/var/lib/longshore/admin.sock",
            ),
            (Some("ECS_DATADIR=/a\n"), "/a/admin.sock"),
            (
                Some("ECS_DATADIR=/a\nLONGSHORE_DATA_DIR='/b c'\n"),
                "/b c/admin.sock",
            ),
            (
                Some("LONGSHORE_ADMIN_SOCKET=/run/a.sock\nLONGSHORE_DATA_DIR=/b\n"),
                "/run/a.sock",
            ),
            (
                Some("LONGSHORE_ADMIN_SOCKET=/a\nLONGSHORE_ADMIN_SOCKET=/b\n"),
                "/b",
            ),
            (
                Some("LONGSHORE_ADMIN_SOCKET=\nLONGSHORE_DATA_DIR=/b\n"),
                "/b/admin.sock",
            ),
            (Some("LONGSHORE_ADMIN_SOCKET=/a\nLONGSHORE_ADMIN_SOCKET=\n"), "/a"),
        ] {
            assert_eq!(service_socket(file), Path::new(socket), "{file:?}");
        }
    }

    /// An agent that answers one request with these bytes, and says what was asked.
    fn agent(folder: &Path, answer: &'static str, during: &mut JoinSet<String>) -> PathBuf {
        let socket = folder.join(SOCKET);
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        during.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length])
                .lines()
                .next()
                .unwrap()
                .to_owned()
        });
        socket
    }

    #[tokio::test]
    async fn records_come_one_by_one_and_the_question_is_encoded() {
        let folder = tempfile::tempdir().unwrap();
        let mut agents = JoinSet::new();
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
            {\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00Z\",\"log\":\"a\\n\"}\n\
            {\"stream\":\"stderr\",\"time\":\"2024-01-01T00:00:01Z\",\"log\":\"b\"}\n";
        let socket = agent(folder.path(), answer, &mut agents);
        let query = LogQuery {
            task: "0a",
            container: Some("a&b"),
            follow: true,
        };
        let mut logs = logs(&socket, &query).await.unwrap();
        assert_eq!(logs.next().await.unwrap().unwrap().log, "a\n");
        assert_eq!(logs.next().await.unwrap().unwrap().stream, Stream::Stderr);
        assert_eq!(logs.next().await.unwrap(), None);
        let asked = agents.join_next().await.unwrap().unwrap();
        assert_eq!(asked, "GET /v1/logs?task=0a&container=a%26b&follow=true HTTP/1.1");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_agent_s_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut agents = JoinSet::new();
        let answer = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"message\":\"no such task\"}";
        let socket = agent(folder.path(), answer, &mut agents);
        let query = LogQuery {
            task: "0a",
            container: None,
            follow: false,
        };
        let error = logs(&socket, &query).await.unwrap_err();
        assert!(error.to_string().ends_with("no such task"), "{error}");
        assert!(!error.is_silence());
    }

    #[tokio::test]
    async fn no_agent_is_silence() {
        let query = LogQuery {
            task: "0a",
            container: None,
            follow: false,
        };
        assert!(
            logs(Path::new("/none/admin.sock"), &query)
                .await
                .unwrap_err()
                .is_silence()
        );
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_a_broken_stream() {
        let folder = tempfile::tempdir().unwrap();
        let mut agents = JoinSet::new();
        let socket = agent(
            folder.path(),
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"str",
            &mut agents,
        );
        let query = LogQuery {
            task: "0a",
            container: None,
            follow: false,
        };
        let mut logs = logs(&socket, &query).await.unwrap();
        assert!(matches!(logs.next().await, Err(AdminError::Broken { .. })));
    }
}
