//! A node's RSA key: 2048 bits, PKCS#8 in PEM.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// A key that can't be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The crypto library failed, without words of its own.
    #[error("the crypto library failed to {0}")]
    Crypto(&'static str),
    /// The text is no RSA key in PEM.
    #[error("it is no RSA private key in PEM (PKCS#8)")]
    Format,
}

/// A private key.
pub struct NodeKey(KeyPair);

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    /// A new key. It takes tenths of a second, so not on a thread that others wait for.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate(KeySize::Rsa2048)
            .map(Self)
            .map_err(|_| KeyError::Crypto("make an RSA key"))
    }

    /// From its text.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Format)?;
        KeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| KeyError::Format)
    }

    /// As text.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|_| KeyError::Crypto("write the key"))?;
        let digits = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = digits
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        Ok(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        ))
    }

    /// The public half as the API takes it: base64 of the PKIX form.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn public(&self) -> Result<String, KeyError> {
        let der: PublicKeyX509Der<'_> = self
            .0
            .public_key()
            .as_der()
            .map_err(|_| KeyError::Crypto("write the public key"))?;
        Ok(STANDARD.encode(der.as_ref()))
    }

    /// Base64 of the RSA-PSS signature (SHA-256, salt of 32 bytes).
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn sign(&self, text: &str) -> Result<String, KeyError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| KeyError::Crypto("sign"))?;
        Ok(STANDARD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_survives_its_text_and_its_signatures_verify() {
        let key = NodeKey::from_pem(&NodeKey::generate().unwrap().to_pem().unwrap()).unwrap();
        let public = STANDARD.decode(key.public().unwrap()).unwrap();
        let signature = STANDARD.decode(key.sign("words").unwrap()).unwrap();
        let verifier = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public);
        verifier.verify(b"words", &signature).unwrap();
        verifier.verify(b"other words", &signature).unwrap_err();
        // The API's model takes 392 characters or more.
        assert_eq!(key.public().unwrap().len(), 392);
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert_eq!(NodeKey::from_pem(text).unwrap_err(), KeyError::Format);
        }
    }
}
