//! A node's temporary credentials, made so that nothing has to be stored for them.
//!
//! The session token says who and until when, under a MAC of a key that only the control plane has; the secret is
//! derived from the same words. Whoever has that key (it lies in the database) can make credentials of any node.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use longshore_protocol::node::InstanceId;

use super::operator::{self, OperatorKeyError};

/// How long a node's credentials are good.
pub const LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);

/// Makes and opens session tokens.
pub struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

/// What a node gets.
pub struct Issued {
    /// The key's id: `ASIA` and 16 letters or digits.
    pub access_key_id: String,
    /// The key.
    pub secret: String,
    /// The session token.
    pub token: String,
}

/// What an authentic token says.
pub(super) struct Opened {
    pub(super) instance: InstanceId,
    pub(super) secret: String,
    /// Milliseconds since 1970.
    pub(super) expires_at: i64,
    /// Of the machine that asked for it.
    pub(super) machine: Option<String>,
}

/// A short word that stands for a machine's fingerprint.
#[must_use]
pub fn machine(fingerprint: &str) -> String {
    let mut word = longshore_protocol::sigv4::sha256_hex(fingerprint.as_bytes());
    word.truncate(16);
    word
}

impl TokenKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Credentials for a node, on the machine of this [`machine`] word, until `expires_at` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`OperatorKeyError::Random`].
    pub fn issue(
        &self,
        instance: &InstanceId,
        machine: &str,
        expires_at: i64,
    ) -> Result<Issued, OperatorKeyError> {
        let access_key_id = format!("ASIA{}", operator::random_letters(16)?);
        let words = format!("1 {access_key_id} {instance} {expires_at} {machine}");
        let mac = hmac::sign(&self.0, words.as_bytes());
        Ok(Issued {
            secret: self.secret(&words),
            token: format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(&words),
                URL_SAFE_NO_PAD.encode(mac)
            ),
            access_key_id,
        })
    }

    /// What a token says, if it is one of ours and belongs to this key id.
    pub(super) fn open(&self, access_key_id: &str, token: &str) -> Option<Opened> {
        let (words, mac) = token.split_once('.')?;
        let words = URL_SAFE_NO_PAD.decode(words).ok()?;
        hmac::verify(&self.0, &words, &URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let words = String::from_utf8(words).ok()?;
        let mut parts = words.split(' ');
        if parts.next() != Some("1") || parts.next() != Some(access_key_id) {
            return None;
        }
        Some(Opened {
            instance: InstanceId::try_from(parts.next()?.to_owned()).ok()?,
            expires_at: parts.next()?.parse().ok()?,
            // None in a token of an earlier version.
            machine: parts.next().map(ToOwned::to_owned),
            secret: self.secret(&words),
        })
    }

    fn secret(&self, words: &str) -> String {
        STANDARD.encode(hmac::sign(&self.0, format!("secret {words}").as_bytes()))
    }

    /// A tag that ties a page token to what it is for.
    #[must_use]
    pub fn tag(&self, text: &str) -> [u8; 12] {
        let mac = hmac::sign(&self.0, format!("page {text}").as_bytes());
        let mut tag = [0_u8; 12];
        tag.copy_from_slice(&mac.as_ref()[..12]);
        tag
    }

    /// Whether a tag is [`TokenKey::tag`]'s of this text.
    #[must_use]
    pub fn tag_matches(&self, text: &str, tag: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.tag(text), tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_tokens_open() {
        let (ours, theirs) = (TokenKey::new(&[1; 32]), TokenKey::new(&[2; 32]));
        let instance = InstanceId::from_random(uuid::Uuid::from_u128(5));
        let issued = ours.issue(&instance, &machine("f"), 77).unwrap();
        let opened = ours.open(&issued.access_key_id, &issued.token).unwrap();
        assert_eq!((opened.instance, opened.expires_at), (instance, 77));
        assert_eq!(opened.secret, issued.secret);
        assert_eq!(opened.machine, Some(machine("f")));
        assert!(theirs.open(&issued.access_key_id, &issued.token).is_none());
        assert!(ours.open("ASIAOTHER", &issued.token).is_none());
        assert!(ours.open(&issued.access_key_id, &issued.token[1..]).is_none());
        assert!(ours.open(&issued.access_key_id, "").is_none());
    }
}
