//! Listens, serves, and ends in order.
//!
//! The end: no new connections; polls that wait are answered at once; sessions let go of their sockets; requests under way
//! get ten seconds; operations run to their commit; the database is closed.
//!
//! A connection that became a websocket is its session's: no deadline of HTTP ends it, and it keeps its [`Place`].

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::app::{ControlPlane, OpenError, Settings};
use crate::chance::SystemChance;
use crate::clock::Clock;
use crate::config::Config;
use crate::sessions::Limits;
use crate::tasks::retention;
use crate::tls::{self, TlsError};
use crate::{api, files};

/// How long requests under way may take at the end.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take for its TLS handshake: as long as agents and `longshore` give a call. Small machines that are
/// overloaded, or lose packets, have taken more than ten seconds; a request's head may take longer still.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a connection may sit without a whole request head.
const IDLE: Duration = Duration::from_secs(90);
/// The most connections: a few a node. Each costs some ten KiB.
const MAX_CONNECTIONS: usize = 8192;
/// Files that are open beside the connections: the database's, ten connections to it, the runtime's.
const OTHER_FILES: usize = 96;
/// How many connections wait for a place before the system refuses more.
const BACKLOG: u32 = 1024;
/// How long a client may leave an answer unread, or be gone with no word of it, in milliseconds.
const UNREAD: u32 = 60_000;

/// Why the control plane can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder can't be made or locked.
    #[error("can't use the data folder {path}: {source}")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else has the data folder.
    #[error("another control plane uses the data folder {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// HTTPS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The ready file can't be written.
    #[error("can't write the ready file {path}: {source}")]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Serves until `end`. Where it listens is said to `out`, for people.
///
/// # Errors
/// [`ServeError`]: what kept it from starting.
pub async fn serve(
    config: Config,
    clock: Arc<dyn Clock>,
    out: &mut impl Write,
    end: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let _lock = lock(&config)?;
    let tls = tls::set_up(&config)?;
    let settings = Settings {
        data_dir: config.data_dir.clone(),
        scope: config.scope.clone(),
        public_url: config.public_url.clone(),
        sessions: Limits::default(),
        scheme: if tls.is_some() { "https" } else { "http" },
    };
    // First: each opening begins an incarnation, and one that can't serve should not.
    let listen = |source| ServeError::Listen {
        address: config.listen,
        source,
    };
    let socket = bound(config.listen).map_err(listen)?;
    let plane = ControlPlane::open(settings, clock, Arc::new(SystemChance)).await?;
    // Not before all is there that a client who gets through may look for, such as the credentials file.
    let listener = socket.listen(BACKLOG).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let background = TaskTracker::new();
    let janitor = Arc::clone(&plane);
    background.spawn(async move { retention::run(&janitor).await });
    let url = format!("{}://{address}", plane.scheme);
    let mut text = format!("listening on {url}\n");
    if let Some(fingerprint) = tls.as_ref().and_then(|tls| tls.fingerprint.as_deref()) {
        text.push_str(&format!("certificate fingerprint (SHA-256): {fingerprint}\n"));
    }
    // Nobody may be reading; that is no reason not to serve.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    announce(&config, &url)?;
    tracing::info!(url, incarnation = plane.incarnation, "serving");
    accept(&plane, &listener, tls.map(|tls| tls.acceptor), end).await;
    background.close();
    background.wait().await;
    plane.sessions.ended().await;
    plane.operations.close();
    plane.operations.wait().await;
    plane.store.close().await;
    Ok(())
}

/// A socket that has its address and refuses connections yet.
fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of the start before may linger; a socket that listens still keeps us out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Makes the data folder and keeps others out for as long as this lives.
fn lock(config: &Config) -> Result<Flock<std::fs::File>, ServeError> {
    let path = &config.data_dir;
    let failed = |source| ServeError::DataDir {
        path: path.clone(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let file = std::fs::File::create(path.join("lock")).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => ServeError::InUse { path: path.clone() },
        other => failed(other.into()),
    })
}

/// Tells the programs that wait that requests are served.
fn announce(config: &Config, url: &str) -> Result<(), ServeError> {
    if let Some(path) = &config.ready_file {
        files::write_atomically(path, 0o644, format!("{url}\n").as_bytes()).map_err(|source| {
            ServeError::ReadyFile {
                path: path.clone(),
                source,
            }
        })?;
    }
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "can't tell the service manager that we are ready");
    }
    Ok(())
}

/// Ends with SIGTERM or SIGINT, from the call on: whoever sees the ready file may send one at once.
///
/// # Errors
/// Whatever the system says.
pub fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves connections until `end`, then lets those that are there finish.
pub(crate) async fn accept(
    plane: &Arc<ControlPlane>,
    listener: &TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    end: impl Future<Output = ()>,
) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(places()));
    let cut = CancellationToken::new();
    let router = api::router(Arc::clone(plane));
    let mut end = std::pin::pin!(end);
    loop {
        let (place, stream) = tokio::select! {
            next = next(listener, &places) => next,
            () = &mut end => break,
        };
        // Nobody closes the semaphore.
        let Ok(place) = place else { break };
        let connection = Connection {
            router: router.clone(),
            tls: tls.clone(),
            place: Place(Arc::new(place)),
            ending: plane.shutdown.clone(),
        };
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection.serve(stream) => {}
                () = cut.cancelled() => {}
            }
        });
    }
    tracing::info!("ending");
    plane.shutdown.cancel();
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "connections did not end in time; they are cut"
        );
    }
    cut.cancel();
    connections.wait().await;
}

/// The next connection, once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Result<OwnedSemaphorePermit, AcquireError>, TcpStream) {
    let place = Arc::clone(places).acquire_owned().await;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (place, stream),
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                // Most likely out of file descriptors; some get free in a while.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// How many connections there is room for. The limit on open files is raised as far as that goes without asking anybody:
/// many systems start with 1024, and whoever held those would keep all others out.
fn places() -> usize {
    let files = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(error) => {
                tracing::warn!(%error, soft, hard, "can't raise the limit on open files");
                soft
            }
        },
        Ok((soft, _)) => soft,
        Err(error) => {
            tracing::warn!(%error, "can't read the limit on open files");
            1024
        }
    };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    files.saturating_sub(OTHER_FILES).clamp(1, MAX_CONNECTIONS)
}

/// What a connection has for as long as it lives, as HTTP's or as a session's: one of the connections that there may be.
#[derive(Clone, Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held")] Arc<OwnedSemaphorePermit>);

struct Connection {
    router: axum::Router,
    tls: Option<tokio_rustls::TlsAcceptor>,
    place: Place,
    ending: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small and awaited.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't set TCP_NODELAY");
        }
        if let Err(error) = setsockopt(&stream, TcpUserTimeout, &UNREAD) {
            tracing::debug!(%error, "can't set TCP_USER_TIMEOUT");
        }
        let result = match self.tls.clone() {
            None => self.http(stream).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    return;
                }
                Err(_) => return,
            },
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended badly");
        }
    }

    /// Serves requests until the connection ends, or becomes a websocket; at the end the one that is under way.
    async fn http<S>(self, stream: S) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(IDLE);
        let (router, place) = (self.router, self.place);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(place.clone());
            router.clone().oneshot(request)
        });
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return result,
            () = self.ending.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}
