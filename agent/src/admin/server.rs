//! The serving end of the admin socket.

use std::convert::Infallible;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Answers, LogQuery, Records, Refusal, metrics};
use crate::blocking;
use crate::files;
use crate::http::Connection;

/// More connections wait in the listener's queue: a dozen followers of logs are already many on one machine.
const MAX_CONNECTIONS: usize = 32;
/// Of which so many may read logs: what reads a disk that hangs does not end, and must leave room to ask how the agent is.
pub(super) const MAX_LOGS: usize = 24;
/// How long a request's head may take, and an answer's beginning.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long the socket's removal may take at the end.
const REMOVED: Duration = Duration::from_secs(2);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Clients that may wait to be taken, beside those that are.
const BACKLOG: u32 = 128;

/// A socket that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The system says no.
    #[error("admin socket {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// The path belongs to somebody else.
    #[error("admin socket {path}: {what} is there already; name another path by LONGSHORE_ADMIN_SOCKET")]
    Taken {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
}

/// The listening socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket, and its folder if that is missing. One that an earlier agent left is replaced; the caller must hold
    /// the lock that keeps other agents from doing the same at the same time.
    ///
    /// # Errors
    /// [`ServerError`]: a path of more than 107 bytes, a folder that can't be written, or somebody else who is there.
    pub async fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent() {
            files::make_private_dir(folder).map_err(failed)?;
        }
        if let Some(what) = clear(path).await.map_err(failed)? {
            let path = path.to_owned();
            return Err(ServerError::Taken { path, what });
        }
        Ok(Self {
            listener: listen(path).map_err(failed)?,
            path: path.to_owned(),
        })
    }

    /// Serves until `token` is cancelled, then removes the socket.
    ///
    /// # Errors
    /// None: a failed accept is logged and tried again.
    pub async fn run(self, answers: Arc<dyn Answers>, token: CancellationToken) -> Result<(), Infallible> {
        serve_all(&Door::Admin(self.listener), answers, token).await;
        // Nobody can reach a socket whose file is gone. One that stays, since its disk hangs, is replaced by the next agent.
        let removed = blocking::DISK.io(move || std::fs::remove_file(self.path));
        let _ = tokio::time::timeout(REMOVED, removed).await;
        Ok(())
    }
}

/// Removes a socket on which nobody listens any more. Says what is there if it is anything else.
async fn clear(path: &Path) -> std::io::Result<Option<&'static str>> {
    let Some(found) = files::absent_is_none(std::fs::symlink_metadata(path))? else {
        return Ok(None);
    };
    if !found.file_type().is_socket() {
        return Ok(Some("something that is no socket"));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            files::absent_is_none(std::fs::remove_file(path)).map(|_| None)
        }
        // Also one that is too busy to answer, or that is of another kind.
        _ => Ok(Some("a socket of a program that runs")),
    }
}

/// Nobody can connect before the socket has its mode, even in a folder that is open to all.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)
}

/// Where somebody asks.
enum Door {
    /// Anything.
    Admin(UnixListener),
    /// For the metrics only.
    Metrics(TcpListener),
}

impl Door {
    async fn accept(&self) -> std::io::Result<Caller> {
        Ok(match self {
            Self::Admin(listener) => Box::new(listener.accept().await?.0),
            Self::Metrics(listener) => Box::new(listener.accept().await?.0),
        })
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Admin(_) => Scope::Everything,
            Self::Metrics(_) => Scope::Metrics,
        }
    }
}

/// Whatever the door: the server is there once, not once for each.
type Caller = Box<dyn Connection>;

/// What may be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Everything,
    Metrics,
}

/// Serves the metrics, and nothing else, until `token` is cancelled.
pub(super) async fn serve_metrics(
    listener: TcpListener,
    answers: Arc<dyn Answers>,
    token: CancellationToken,
) {
    serve_all(&Door::Metrics(listener), answers, token).await;
}

/// Takes connections until `token` is cancelled; those that there are end with it.
async fn serve_all(door: &Door, answers: Arc<dyn Answers>, token: CancellationToken) {
    let mut connections = JoinSet::new();
    let logs = Arc::new(Semaphore::new(MAX_LOGS));
    loop {
        while connections.try_join_next().is_some() {}
        tokio::select! {
            () = token.cancelled() => break,
            Some(_) = connections.join_next(), if connections.len() >= MAX_CONNECTIONS => {}
            accepted = door.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok(caller) => {
                    let desk = Desk {
                        answers: Arc::clone(&answers),
                        scope: door.scope(),
                        logs: Arc::clone(&logs),
                    };
                    connections.spawn(serve(caller, desk));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// What a caller finds behind a door.
#[derive(Clone)]
struct Desk {
    answers: Arc<dyn Answers>,
    scope: Scope,
    /// One for each log that may be read beside those that are.
    logs: Arc<Semaphore>,
}

async fn serve(caller: Caller, desk: Desk) {
    let service = service_fn(move |request| answer(desk.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEADLINE)
        .serve_connection(TokioIo::new(caller), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(desk: Desk, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let answer = tokio::time::timeout(DEADLINE, route(&desk, &request)).await;
    let late = || Err(Refusal::Unavailable("the agent is busy; try again".to_owned()));
    Ok(match answer.unwrap_or_else(|_| late()) {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    })
}

async fn route(desk: &Desk, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let (path, answers) = (request.uri().path(), desk.answers.as_ref());
    if request.method() != Method::GET {
        return Err(Refusal::BadRequest(format!(
            "{} is not supported",
            request.method()
        )));
    }
    match path {
        metrics::PATH => Ok(respond(
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            Full::from(metrics::scrape(answers).await?).boxed_unsync(),
        )),
        _ if desk.scope == Scope::Metrics => Err(Refusal::NotFound(format!(
            "there is no {path}; there is {}",
            metrics::PATH
        ))),
        "/v1/status" => Ok(json(StatusCode::OK, &answers.status().await)),
        "/v1/tasks" => Ok(json(StatusCode::OK, &answers.tasks().await?)),
        "/v1/logs" => {
            let query = LogQuery::parse(request.uri().query().unwrap_or_default())?;
            let turn = Arc::clone(&desk.logs).try_acquire_owned().map_err(|_| {
                let text = format!("{MAX_LOGS} logs are being read already; end one of them, or try again");
                Refusal::Unavailable(text)
            })?;
            Ok(stream(answers.logs(query).await?, turn))
        }
        _ => Err(Refusal::NotFound(format!("there is no {path}"))),
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    #[derive(Serialize)]
    struct ErrorBody {
        message: String,
    }
    let status = match refusal {
        Refusal::NotFound(_) => StatusCode::NOT_FOUND,
        Refusal::BadRequest(_) => StatusCode::BAD_REQUEST,
        Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let message = refusal.to_string();
    json(status, &ErrorBody { message })
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let body = line(value).unwrap_or_default();
    respond(status, "application/json", Full::new(body).boxed_unsync())
}

/// A log that counts as being read until its connection has ended with it.
fn stream(records: Records, turn: OwnedSemaphorePermit) -> Response<Body> {
    let lines = records.map(move |record| {
        let _held = &turn;
        Ok(Frame::data(line(&record).unwrap_or_default()))
    });
    respond(
        StatusCode::OK,
        "application/x-ndjson",
        http_body_util::BodyExt::boxed_unsync(StreamBody::new(lines)),
    )
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// A value as a line of JSON. These types always have one.
fn line<T: Serialize>(value: &T) -> Option<Bytes> {
    let mut line = serde_json::to_vec(value).ok()?;
    line.push(b'\n');
    Some(line.into())
}
