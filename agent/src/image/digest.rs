//! Content digests, as OCI spells them: `sha256:…` or `sha512:…`.

use std::fmt::{Display, Formatter, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A digest that is known to be well formed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// A text that is no [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest of the form sha256:<64 hex digits> or sha512:<128 hex digits>")]
pub struct InvalidDigest(String);

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of("sha256", &aws_lc_rs::digest::SHA256, bytes)
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the digest of `bytes`.
    #[must_use]
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let own = match self.0.starts_with("sha512:") {
            true => Self::of("sha512", &aws_lc_rs::digest::SHA512, bytes),
            false => Self::sha256(bytes),
        };
        *self == own
    }

    fn of(name: &str, algorithm: &'static aws_lc_rs::digest::Algorithm, bytes: &[u8]) -> Self {
        let mut text = format!("{name}:");
        for byte in aws_lc_rs::digest::digest(algorithm, bytes).as_ref() {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

/// The chain ids of layers, the lowest first: what containerd calls the snapshots that they make.
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

impl Display for Digest {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let length = match text.split_once(':') {
            Some(("sha256", hex)) => (hex, 64),
            Some(("sha512", hex)) => (hex, 128),
            Some(_) | None => ("", 1),
        };
        let (hex, length) = length;
        let well_formed =
            hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match well_formed {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidDigest(text.chars().take(200).collect())),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_of_bytes_are_those_of_everyone_else() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::sha256(b"").as_str(), empty);
        assert!(empty.parse::<Digest>().unwrap().is_of(b""));
        assert!(!empty.parse::<Digest>().unwrap().is_of(b"x"));
        let long = Digest::of("sha512", &aws_lc_rs::digest::SHA512, b"abc");
        assert!(
            long.as_str()
                .starts_with("sha512:ddaf35a193617abacc417349ae204131")
        );
        assert!(long.is_of(b"abc"));
    }

    #[test]
    fn a_chain_begins_with_the_lowest_layer_and_hashes_the_rest() {
        let one = Digest::sha256(b"1");
        let two = Digest::sha256(b"2");
        let chain = chain_ids(&[one.clone(), two.clone()]);
        assert_eq!(chain.first(), Some(&one));
        assert_eq!(
            chain.get(1),
            Some(&Digest::sha256(format!("{one} {two}").as_bytes()))
        );
        assert!(chain_ids(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.as_str(), text);
            }
        }
    }
}
