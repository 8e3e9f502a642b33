use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::clock::SystemClock;
use crate::config::ProxyConfig;
use crate::http::Client;

struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    key: KeyPair,
    authority_pem: String,
}

/// An authority and a certificate that it signed for 127.0.0.1.
fn chain() -> Chain {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    Chain {
        certificates: vec![leaf.der().clone(), authority.der().clone()],
        key,
        authority_pem: authority.pem(),
    }
}

/// A server that answers every connection's first request with 200.
async fn serve(chain: &Chain, owner: &mut JoinSet<()>) -> SocketAddr {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(chain.key.serialize_der()));
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.certificates.clone(), key)
            .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    owner.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            // A client that does not trust us ends the handshake.
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

async fn get(
    trust: &Trust,
    clock: Arc<dyn crate::clock::Clock>,
    address: SocketAddr,
) -> Result<Bytes, HttpError> {
    let tls = client_config(trust, Arc::new(CertificateClock::new(clock)))?;
    fetch(&Client::new(tls), address).await
}

async fn fetch(client: &Client, address: SocketAddr) -> Result<Bytes, HttpError> {
    let request = http::Request::get(format!("https://{address}/"))
        .body(Full::default())
        .unwrap();
    let answer = client.fetch(request, 100, Duration::from_secs(20)).await?;
    Ok(answer.into_body())
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_told_so() {
    let (chain, mut owner) = (chain(), JoinSet::new());
    let address = serve(&chain, &mut owner).await;
    let private = Trust::AlsoPem(chain.authority_pem.clone());
    assert_eq!(get(&private, Arc::new(SystemClock), address).await.unwrap(), "ok");
    let refused = get(&Trust::System, Arc::new(SystemClock), address)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[tokio::test]
async fn a_pin_takes_the_server_itself_or_its_authority_and_nobody_else() {
    let (ours, theirs, mut owner) = (chain(), chain(), JoinSet::new());
    let address = serve(&ours, &mut owner).await;
    for certificate in &ours.certificates {
        let pin = Trust::Only(Fingerprint::of(certificate));
        assert_eq!(get(&pin, Arc::new(SystemClock), address).await.unwrap(), "ok");
    }
    for certificate in &theirs.certificates {
        let pin = Trust::Only(Fingerprint::of(certificate));
        assert!(get(&pin, Arc::new(SystemClock), address).await.is_err());
    }
}

#[tokio::test]
async fn a_shown_but_unsigned_chain_does_not_satisfy_a_pin() {
    // Anybody can show our authority's certificate beside their own.
    let (ours, mut theirs, mut owner) = (chain(), chain(), JoinSet::new());
    theirs.certificates.push(ours.certificates[1].clone());
    let address = serve(&theirs, &mut owner).await;
    let pin = Trust::Only(Fingerprint::of(&ours.certificates[1]));
    assert!(get(&pin, Arc::new(SystemClock), address).await.is_err());
}

#[tokio::test]
async fn a_tunnel_leads_through_the_proxy_but_never_to_this_machine() {
    let (chain, mut owner) = (chain(), JoinSet::new());
    let target = serve(&chain, &mut owner).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://user:pass@{}", listener.local_addr().unwrap());
    owner.spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        let length = client.read(&mut buffer).await.unwrap();
        let head = String::from_utf8_lossy(&buffer[..length]).to_string();
        assert!(
            head.starts_with("CONNECT control.example:8474 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.to_lowercase()
                .contains("proxy-authorization: basic dxnlcjpwyxnz"),
            "{head}"
        );
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let settings = ProxyConfig {
        https: Some(proxy),
        ..ProxyConfig::default()
    };
    let pin = Trust::Only(Fingerprint::of(&chain.certificates[0]));
    let tls = client_config(&pin, Arc::new(CertificateClock::new(Arc::new(SystemClock)))).unwrap();
    let client = Client::through(tls, &settings);
    // The name means nothing here: only the proxy knows where it is.
    let request = http::Request::get("https://control.example:8474/")
        .body(Full::default())
        .unwrap();
    let answer = client.fetch(request, 100, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.into_body(), "ok");
    assert_eq!(fetch(&client, target).await.unwrap(), "ok");
}

struct Year(i64);

#[async_trait::async_trait]
impl crate::clock::Clock for Year {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second((self.0 - 1970) * 31_556_952).unwrap()
    }
    fn since_boot(&self) -> Duration {
        Duration::ZERO
    }
    async fn sleep(&self, _: Duration) {}
    fn random(&self, _: u64) -> u64 {
        0
    }
}

/// A chain whose server certificate is good from the first of one year to the first of another.
fn chain_of(from: i32, to: i32) -> Chain {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let leaf = params.signed_by(&key, &authority).unwrap();
    Chain {
        certificates: vec![leaf.der().clone(), authority.der().clone()],
        key,
        authority_pem: authority.pem(),
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_says_what_to_do() {
    let mut owner = JoinSet::new();
    let (past, future) = (chain_of(2020, 2070), chain_of(2060, 2070));
    let ask = async |chain: &Chain, year, owner: &mut JoinSet<()>| {
        let address = serve(chain, owner).await;
        let trust = Trust::AlsoPem(chain.authority_pem.clone());
        get(&trust, Arc::new(Year(year)), address).await
    };
    // Boxes without a battery are no earlier than the build.
    assert_eq!(ask(&past, 1970, &mut owner).await.unwrap(), "ok");
    let ahead = ask(&past, 2076, &mut owner).await.unwrap_err().to_string();
    assert!(
        ahead.contains("expired") && ahead.contains("clock is ahead"),
        "{ahead}"
    );
    assert!(ahead.contains("last-date"), "{ahead}");
    let behind = ask(&future, 2026, &mut owner).await.unwrap_err().to_string();
    assert!(behind.contains("clock is behind"), "{behind}");
    let stranger = get(
        &Trust::System,
        Arc::new(SystemClock),
        serve(&past, &mut owner).await,
    )
    .await;
    let stranger = stranger.unwrap_err().to_string();
    assert!(!stranger.contains("clock"), "{stranger}");
}

#[test]
fn fingerprints_read_with_and_without_colons() {
    let plain = "0F".repeat(32);
    let colons = vec!["0f"; 32].join(":");
    let fingerprint: Fingerprint = plain.parse().unwrap();
    assert_eq!(colons.parse(), Ok(fingerprint));
    assert_eq!(fingerprint.to_string(), plain.to_lowercase());
    for bad in ["", "0f", &plain[1..], &format!("{}gg", &plain[2..])] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}
