//! HTTP clients for hosts whose TLS is special: other roots, an own certificate, or no check at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;

use super::hosts::{HostsError, TlsOptions};
use crate::blocking;
use crate::config::ProxyConfig;
use crate::http::{CertificateClock, Client, system_roots};

/// Special clients that are kept: one per host with TLS options, of which there are a handful.
const KEPT: usize = 32;

/// Which options, and how the files were when they were read.
type Key = (TlsOptions, Vec<Option<SystemTime>>);

/// Makes clients, and keeps them while their files stay as they are.
#[derive(Debug)]
pub struct Clients {
    plain: Client,
    proxy: ProxyConfig,
    time: Arc<CertificateClock>,
    made: Mutex<HashMap<Key, Client>>,
}

impl Clients {
    /// `plain` is for hosts with nothing special; the others go through `proxy`, and judge certificates by `time`.
    #[must_use]
    pub fn new(plain: Client, proxy: ProxyConfig, time: Arc<CertificateClock>) -> Self {
        Self {
            plain,
            proxy,
            time,
            made: Mutex::new(HashMap::new()),
        }
    }

    /// The client for a host.
    ///
    /// # Errors
    /// [`HostsError`] for a file that can't be read or holds no certificate or key.
    pub async fn get(&self, tls: &TlsOptions) -> Result<Client, HostsError> {
        if *tls == TlsOptions::default() {
            return Ok(self.plain.clone());
        }
        let mut key = (tls.clone(), Vec::new());
        let paths: Vec<_> = files(tls).cloned().collect();
        let modified = |path: &PathBuf| {
            std::fs::metadata(path)
                .and_then(|metadata| metadata.modified())
                .ok()
        };
        let stamps = blocking::DISK
            .run(move || paths.iter().map(modified).collect())
            .await;
        key.1 = stamps.map_err(|error| fault(Path::new("hosts.toml"), &error))?;
        let kept = self.lock().get(&key).cloned();
        if let Some(client) = kept {
            return Ok(client);
        }
        let client = Client::through(self.config(tls).await?, &self.proxy);
        let mut made = self.lock();
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(key, client.clone());
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Client>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn config(&self, tls: &TlsOptions) -> Result<ClientConfig, HostsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_details(provider, self.time.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(Path::new("hosts.toml"), &error))?;
        let builder = match tls.skip_verify {
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustAnyone(algorithms))),
            false => builder.with_root_certificates(roots(&tls.ca).await?),
        };
        // Rustls presents one certificate; a host that takes any of several takes the first.
        match tls.client.first() {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = certificates(certificate, &read(certificate).await?)?;
                let secret =
                    PrivateKeyDer::from_pem_slice(&read(key).await?).map_err(|error| fault(key, &error))?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| fault(certificate, &error))
            }
        }
    }
}

fn files(tls: &TlsOptions) -> impl Iterator<Item = &PathBuf> {
    let pairs = tls
        .client
        .iter()
        .flat_map(|(certificate, key)| [certificate, key]);
    tls.ca.iter().chain(pairs)
}

/// The system's roots and those of `ca`.
async fn roots(ca: &[PathBuf]) -> Result<RootCertStore, HostsError> {
    let mut roots = system_roots();
    for path in ca {
        for certificate in certificates(path, &read(path).await?)? {
            roots.add(certificate).map_err(|error| fault(path, &error))?;
        }
    }
    Ok(roots)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, HostsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(HostsError {
            path: path.to_owned(),
            why: "there is no certificate in it".to_owned(),
        }),
        Ok(found) => Ok(found),
        Err(error) => Err(fault(path, &error)),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, HostsError> {
    let file = path.to_owned();
    let read = blocking::DISK.io(move || std::fs::read(file)).await;
    read.map_err(|error| fault(path, &error))
}

fn fault(path: &Path, error: &dyn std::error::Error) -> HostsError {
    HostsError {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// `skip_verify`: any certificate will do, but its owner must have the key.
#[derive(Debug)]
struct TrustAnyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
