//! HTTPS: somebody's certificate, or one of our own that is made once and kept.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_protocol::sigv4;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Transport};
use crate::files;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why HTTPS can't be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read as PEM.
    #[error("can't read {what} from {path}: {source}")]
    Pem {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key don't go together, or are of an unknown kind.
    #[error("can't serve HTTPS with the certificate {path}: {source}")]
    Use {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// No certificate can be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate can't be kept.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// How to serve HTTPS.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, for nodes that trust this one only; said where it is our own.
    pub(crate) fingerprint: Option<String>,
}

/// What a configuration asks for; `None` is plain HTTP.
pub(crate) fn set_up(config: &Config) -> Result<Option<Tls>, TlsError> {
    let (certificate, key, own) = match &config.transport {
        Transport::Plain => return Ok(None),
        Transport::Tls { certificate, key } => (certificate.clone(), key.clone(), false),
        Transport::SelfSigned => {
            let (certificate, key) = (config.data_dir.join(CERTIFICATE), config.data_dir.join(KEY));
            if !certificate.exists() || !key.exists() {
                make(config, &certificate, &key)?;
            }
            (certificate, key, true)
        }
    };
    let pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { what, path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect)
        .map_err(pem("a certificate", &certificate))?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(pem("a private key", &key))?;
    let fingerprint = chain
        .first()
        .filter(|_| own)
        .map(|first| sigv4::sha256_hex(first));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let in_use = |source| TlsError::Use {
        path: certificate.clone(),
        source,
    };
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(in_use)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(in_use)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Tls {
        acceptor: TlsAcceptor::from(Arc::new(server)),
        fingerprint,
    }))
}

/// Makes a key and a certificate for every name by which this machine may be called. The key is written first: a
/// certificate without its key is made anew.
fn make(config: &Config, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let pair = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(names(config, &addresses()))?;
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Longshore control plane");
    let made = parameters.self_signed(&pair)?;
    let write = |path: &Path, mode, text: String| {
        files::write_atomically(path, mode, text.as_bytes()).map_err(|source| TlsError::Write {
            path: path.to_owned(),
            source,
        })
    };
    write(key, 0o600, pair.serialize_pem())?;
    write(certificate, 0o644, made.pem())
}

/// The addresses of this machine by which others may call it.
fn addresses() -> Vec<IpAddr> {
    // Without them the certificate still has the names that were given.
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    addresses.filter(|address| !link_local(address)).collect()
}

fn names(config: &Config, addresses: &[IpAddr]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let mut add = |name: String| {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    };
    let ip: IpAddr = config.listen.ip();
    match ip.is_unspecified() {
        true => addresses.iter().for_each(|address| add(address.to_string())),
        false => add(ip.to_string()),
    }
    let url = config
        .public_url
        .as_deref()
        .and_then(|url| url.parse::<http::Uri>().ok());
    if let Some(host) = url.as_ref().and_then(http::Uri::host) {
        add(host.trim_matches(['[', ']']).to_owned());
    }
    if let Some(host) = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
    {
        add(host);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_protocol::arn::Scope;
    use std::os::unix::fs::PermissionsExt as _;

    fn config(folder: &Path, transport: Transport) -> Config {
        Config {
            data_dir: folder.to_owned(),
            listen: "0.0.0.0:0".parse().unwrap(),
            public_url: Some("https://cp.example:8474".into()),
            scope: Scope::new("us-east-1", "000000000000"),
            transport,
            ready_file: None,
        }
    }

    #[test]
    fn whoever_listens_everywhere_may_be_called_by_every_address() {
        let folder = tempfile::tempdir().unwrap();
        let addresses = ["127.0.0.1".parse().unwrap(), "192.0.2.7".parse().unwrap()];
        let mut config = config(folder.path(), Transport::SelfSigned);
        let count = |names: &[String], name: &str| names.iter().filter(|each| *each == name).count();
        let everywhere = names(&config, &addresses);
        assert_eq!(count(&everywhere, "192.0.2.7"), 1);
        assert_eq!(count(&everywhere, "127.0.0.1"), 1);
        config.listen = "192.0.2.8:0".parse().unwrap();
        let one = names(&config, &addresses);
        assert_eq!((count(&one, "192.0.2.7"), count(&one, "192.0.2.8")), (0, 1));
        assert!(super::addresses().iter().all(|address| !address.is_unspecified()));
    }

    #[test]
    fn our_own_certificate_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Transport::SelfSigned);
        let first = set_up(&config).unwrap().unwrap().fingerprint.unwrap();
        let again = set_up(&config).unwrap().unwrap().fingerprint.unwrap();
        assert_eq!(first, again);
        assert_eq!(first.len(), 64);
        let mode = std::fs::metadata(folder.path().join(KEY))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(names(&config, &[]).contains(&"cp.example".to_owned()));
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let error = set_up(&config(folder.path(), Transport::Tls { certificate, key }))
            .err()
            .unwrap();
        assert!(error.to_string().contains("c.pem"), "{error}");
    }
}
