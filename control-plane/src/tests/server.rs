//! The listener: starts, says that it is ready, keeps others out of its folder, ends in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use longshore_protocol::arn::Scope;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::config::{Config, Transport};
use crate::server::{ServeError, serve};

fn config(folder: &Path, transport: Transport) -> Config {
    Config {
        data_dir: folder.join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: None,
        scope: Scope::new("us-east-1", "000000000000"),
        transport,
        ready_file: Some(folder.join("ready")),
    }
}

async fn ready(folder: &Path) -> String {
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Ok(text) = std::fs::read_to_string(folder.join("ready")) {
                return text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap()
}

/// The whole answer to a question whether it is well.
async fn health(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let question = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(question).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_serves_where_the_ready_file_says_and_ends_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (end, mut out) = (CancellationToken::new(), Vec::new());
    let served = serve(
        config(folder.path(), Transport::Plain),
        Arc::new(SystemClock::new()),
        &mut out,
        end.clone().cancelled_owned(),
    );
    let client = async {
        let url = ready(folder.path()).await;
        let address = url.strip_prefix("http://").unwrap();
        let answer = health(TcpStream::connect(address).await.unwrap()).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"status":"ok"}"#),
            "{answer}"
        );

        // One that is open and says nothing does not hold up the end.
        let idle = TcpStream::connect(address).await.unwrap();
        let (never, mut nobody) = (std::future::pending(), std::io::sink());
        let plain = config(folder.path(), Transport::Plain);
        let second = serve(plain, Arc::new(SystemClock::new()), &mut nobody, never).await;
        assert!(matches!(second, Err(ServeError::InUse { .. })));
        end.cancel();
        idle
    };
    let (served, _idle) = tokio::join!(served, client);
    served.unwrap();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .starts_with("listening on http://127.0.0.1:")
    );
}

#[tokio::test]
async fn a_start_that_finds_its_address_taken_leaves_the_data_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        listen: taken.local_addr().unwrap(),
        ..config(folder.path(), Transport::Plain)
    };
    let (never, mut nobody) = (std::future::pending(), std::io::sink());
    let refused = serve(config, Arc::new(SystemClock::new()), &mut nobody, never).await;
    assert!(matches!(refused, Err(ServeError::Listen { .. })));
    assert!(!folder.path().join("data").join(crate::app::DATABASE).exists());
}

#[tokio::test]
async fn it_opens_as_many_files_as_the_system_lets_it() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 200, hard).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (end, mut out) = (CancellationToken::new(), Vec::new());
    let served = serve(
        config(folder.path(), Transport::Plain),
        Arc::new(SystemClock::new()),
        &mut out,
        end.clone().cancelled_owned(),
    );
    let client = async {
        let url = ready(folder.path()).await;
        let address = url.strip_prefix("http://").unwrap();
        // Both ends of each are in this process.
        let mut idle = Vec::new();
        for _ in 0..150 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = health(TcpStream::connect(address).await.unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        end.cancel();
    };
    let (served, ()) = tokio::join!(served, client);
    served.unwrap();
}

#[tokio::test]
async fn it_speaks_tls_by_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (end, mut out) = (CancellationToken::new(), Vec::new());
    let served = serve(
        config(folder.path(), Transport::SelfSigned),
        Arc::new(SystemClock::new()),
        &mut out,
        end.clone().cancelled_owned(),
    );
    let client = async {
        use rustls::pki_types::pem::PemObject as _;
        let url = ready(folder.path()).await;
        let address = url.strip_prefix("https://").unwrap();
        let file = folder.path().join("data/tls.crt");
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_file(file).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name: rustls::pki_types::ServerName<'static> = "127.0.0.1".try_into().unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let stream = connector.connect(name.clone(), stream).await.unwrap();
        let answer = health(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

        let stream = TcpStream::connect(address).await.unwrap();
        let stream = connector.connect(name.clone(), stream).await.unwrap();
        let url = format!("wss://{address}/v1/data-channel/x?role=publish_subscribe");
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        socket.send(Message::text(r#"{"TokenValue":"x"}"#)).await.unwrap();
        let refused = socket.next().await.unwrap().unwrap();
        assert!(refused.is_binary(), "{refused:?}");
        drop(socket);

        // One that is open does not hold up the end.
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let url = format!("wss://{address}/v1/data-channel/x?role=publish_subscribe");
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        end.cancel();
        let closed = socket.next().await.unwrap().unwrap();
        assert!(closed.is_close(), "{closed:?}");
    };
    let (served, ()) = tokio::join!(served, client);
    served.unwrap();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("certificate fingerprint (SHA-256): ")
    );
}
