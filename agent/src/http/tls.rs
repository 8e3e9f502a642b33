//! Whom to trust: the machine's own roots, a private authority, or exactly one certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{CertificateClock, HttpError};

/// The SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// A text that is no [`Fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 fingerprint: 64 hexadecimal digits, colons between them or not")]
pub struct InvalidFingerprint(String);

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b':')
            .map(|byte| {
                char::from(byte)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect::<Option<_>>()
            .filter(|digits: &Vec<u8>| digits.len() == 64)
            .ok_or_else(|| InvalidFingerprint(text.to_owned()))?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The machine's own roots.
    System,
    /// These too: certificates in PEM.
    AlsoPem(String),
    /// Only a server that shows this certificate, or one that this certificate has signed.
    Only(Fingerprint),
}

/// A TLS configuration that trusts so, and judges certificates by `clock`.
///
/// # Errors
/// [`HttpError::Tls`] where the PEM text holds no certificate.
pub fn client_config(trust: &Trust, clock: Arc<CertificateClock>) -> Result<ClientConfig, HttpError> {
    let tls = |error: &dyn std::fmt::Display| HttpError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(Arc::clone(&provider), clock)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?;
    Ok(match trust {
        Trust::System => builder.with_root_certificates(system_roots()),
        Trust::AlsoPem(pem) => {
            let mut roots = system_roots();
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(|error| tls(&error))?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Only(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                fingerprint: *fingerprint,
                provider,
            })),
    }
    .with_no_client_auth())
}

/// What an operator can do about a certificate that is not good at this time.
pub(super) fn advice(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let tls = of_rustls(error);
        if let Some(rustls::Error::InvalidCertificate(certificate)) = tls {
            return match certificate {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(
                    "; either the server needs a new certificate, or this machine's clock is ahead: look at `date` and \
                     set it; if it was ahead of time before, or a control plane's was, also remove the file last-date in \
                     the agent's data folder and start the agent again",
                ),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Some(
                    "; this machine's clock is behind, or the server's was ahead: look at `date` and set it",
                ),
                _ => None,
            };
        }
        cause = error.source();
    }
    None
}

/// The TLS error that an error is or was made from: an I/O error's source leaves that out.
fn of_rustls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) => of_rustls(error.get_ref()?),
        None => error.downcast_ref(),
    }
}

/// The certificates of a PEM text, at least one.
///
/// # Errors
/// [`HttpError::Tls`] where there is none or one can't be read.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| HttpError::Tls(format!("the CA file is no PEM: {error}")))?;
    match found.is_empty() {
        true => Err(HttpError::Tls("the CA file holds no CERTIFICATE".to_owned())),
        false => Ok(found),
    }
}

/// The roots that this machine trusts. A machine without any still speaks plain HTTP and to pinned servers, so that is
/// no error here.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a part of the machine's certificate store can't be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Takes one certificate and what it signed. The pin stands for name and validity of the certificate itself; what it
/// signed must be good in every other way.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Fingerprint::of(end_entity) == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        let pinned = intermediates
            .iter()
            .find(|each| Fingerprint::of(each) == self.fingerprint);
        let root = pinned.ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
