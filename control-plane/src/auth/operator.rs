//! The operators' access keys: a file in the form of AWS's shared credentials, made at the first start.
//!
//! Every profile of the file is an operator, so a key is rotated by adding one, restarting, and taking the old one away.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::files;

/// The keys, by their ids.
pub struct OperatorKeys(HashMap<String, String>);

/// Why there are no operator keys.
#[derive(Debug, thiserror::Error)]
pub enum OperatorKeyError {
    /// The file can't be read.
    #[error("can't read the credentials file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("can't write the credentials file {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds no complete key.
    #[error(
        "the credentials file {path} has no profile with aws_access_key_id and aws_secret_access_key; \
         mend it, or remove it to get a new key"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No randomness.
    #[error("the system's random generator failed")]
    Random,
}

impl std::fmt::Debug for OperatorKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl OperatorKeys {
    /// Reads the file, or makes it with one new key.
    ///
    /// # Errors
    /// [`OperatorKeyError`]; none is mended by trying again.
    pub fn load_or_create(path: &Path) -> Result<Self, OperatorKeyError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| OperatorKeyError::Empty { path: path.into() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(OperatorKeyError::Read {
                path: path.into(),
                source,
            }),
        }
    }

    /// The secret of a key.
    #[must_use]
    pub fn secret(&self, access_key_id: &str) -> Option<&str> {
        self.0.get(access_key_id).map(String::as_str)
    }

    fn create(path: &Path) -> Result<Self, OperatorKeyError> {
        let id = format!("AKIA{}", random_letters(16)?);
        let mut secret = [0_u8; 30];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| OperatorKeyError::Random)?;
        let secret = base64::engine::general_purpose::STANDARD.encode(secret);
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        files::write_atomically(path, 0o600, text.as_bytes()).map_err(|source| OperatorKeyError::Write {
            path: path.into(),
            source,
        })?;
        Ok(Self(HashMap::from([(id, secret)])))
    }

    /// `None` where no profile is complete.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut keys = HashMap::new();
        let mut id = None;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                id = None;
            }
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim().to_owned()),
                "aws_secret_access_key" => {
                    if let Some(id) = id.take() {
                        keys.insert(id, value.trim().to_owned());
                    }
                }
                _ => {}
            }
        }
        (!keys.is_empty()).then_some(Self(keys))
    }
}

/// So many random letters and digits, five bits each; no sign that a shell or a command line could take for its own.
pub(super) fn random_letters(length: usize) -> Result<String, OperatorKeyError> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = vec![0_u8; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| OperatorKeyError::Random)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_start_makes_a_key_and_the_next_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let made = OperatorKeys::load_or_create(&path).unwrap();
        let read = OperatorKeys::load_or_create(&path).unwrap();
        assert_eq!(made.0, read.0);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let (id, secret) = made.0.iter().next().unwrap();
        assert_eq!((id.len(), secret.len()), (20, 40));
        assert!(!format!("{made:?}").contains(secret.as_str()));
    }

    #[test]
    fn every_profile_is_a_key() {
        let text = "[a]\naws_access_key_id=1\naws_secret_access_key=x=\n\n[b]\naws_access_key_id = 2\n\
                    region = r\naws_secret_access_key = y\n[c]\naws_secret_access_key = z\n";
        let keys = OperatorKeys::parse(text).unwrap();
        assert_eq!(keys.secret("1"), Some("x="));
        assert_eq!(keys.secret("2"), Some("y"));
        assert_eq!(keys.0.len(), 2);
    }

    #[test]
    fn a_file_without_a_key_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "[default]\n").unwrap();
        assert!(matches!(
            OperatorKeys::load_or_create(&path),
            Err(OperatorKeyError::Empty { .. })
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[default]\n");
    }
}
