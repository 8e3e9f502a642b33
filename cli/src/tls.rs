//! Whom this program trusts, and whether an endpoint's certificate is its own authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::sigv4::sha256_hex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

/// How long a handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Trust that can't be made, or an endpoint that can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The bundle can't be read.
    #[error("AWS_CA_BUNDLE {}: {why}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The TLS library refuses.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The endpoint did not show its certificate.
    #[error("{endpoint} does not show its certificate: {why}")]
    Look {
        /// The endpoint.
        endpoint: String,
        /// Why.
        why: String,
    },
}

/// Trusts the certificates of a bundle, or the system's.
///
/// # Errors
/// [`TlsError::Bundle`], [`TlsError::Setup`].
pub fn config(bundle: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match bundle {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| TlsError::Bundle {
                    path: path.to_owned(),
                    why: error.to_string(),
                })?;
            }
        }
        // A machine without certificates can still talk plain HTTP on loopback.
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bundle = |why: String| TlsError::Bundle {
        path: path.to_owned(),
        why,
    };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| bundle(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = read.collect();
    let certificates = certificates.map_err(|error| bundle(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bundle("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// How another machine can come to trust an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// As this one does, by the system's authorities; or there is no TLS.
    System,
    /// By its certificate's SHA-256, in hexadecimal: the certificate itself is what we trust.
    Fingerprint(String),
    /// By the authority in our bundle.
    Bundle(PathBuf),
}

/// Finds out how we come to trust an endpoint.
///
/// # Errors
/// [`TlsError`].
pub async fn trust(endpoint: &url::Url, bundle: Option<&Path>) -> Result<Trust, TlsError> {
    let (Some(bundle), "https") = (bundle, endpoint.scheme()) else {
        return Ok(Trust::System);
    };
    let shown = certificate_of(endpoint, config(Some(bundle))?).await?;
    let is_own_authority = certificates(bundle)?.contains(&shown);
    Ok(match is_own_authority {
        true => Trust::Fingerprint(sha256_hex(&shown)),
        false => Trust::Bundle(bundle.to_owned()),
    })
}

async fn certificate_of(
    endpoint: &url::Url,
    config: ClientConfig,
) -> Result<CertificateDer<'static>, TlsError> {
    let look = |why: String| TlsError::Look {
        endpoint: endpoint.to_string(),
        why,
    };
    let handshake = async {
        let host = endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = endpoint.port_or_known_default().unwrap_or(443);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| look(error.to_string()))?;
        let tcp = tokio::net::TcpStream::connect((host, port)).await;
        let tcp = tcp.map_err(|error| look(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = connector
            .connect(name, tcp)
            .await
            .map_err(|error| look(error.to_string()))?;
        let shown = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first)
            .cloned();
        shown.ok_or_else(|| look("it has none".to_owned()))
    };
    tokio::time::timeout(HANDSHAKE_DEADLINE, handshake)
        .await
        .unwrap_or_else(|_| {
            Err(look(format!(
                "no answer within {} s",
                HANDSHAKE_DEADLINE.as_secs()
            )))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = config(Some(file.path())).unwrap_err().to_string();
        assert!(text.contains("there is no certificate in it"), "{text}");
        assert!(
            config(Some(Path::new("/none")))
                .unwrap_err()
                .to_string()
                .contains("/none")
        );
    }
}
