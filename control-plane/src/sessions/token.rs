//! The tokens that let clients in: random, stored as their hash, good once and for a while.

use aws_lc_rs::constant_time;

use crate::auth;
use crate::error::ApiError;
use crate::store::sessions::Token;

/// Letters and digits of a token: 200 bits.
const LENGTH: usize = 40;

/// Makes a token; what the client gets, and what is stored.
///
/// # Errors
/// `ServerException` if the system has no randomness.
pub(super) fn make(now: i64, seconds: u32) -> Result<(String, Token), ApiError> {
    let text = auth::random_text(LENGTH)?;
    let token = Token {
        hash: auth::hash_code(&text),
        expires_at: now + i64::from(seconds) * 1000,
    };
    Ok((text, token))
}

/// Whether this text is the token, and it is still good.
pub(super) fn opens(token: &Token, text: &str, now: i64) -> bool {
    let hash = auth::hash_code(text);
    let same = constant_time::verify_slices_are_equal(hash.as_bytes(), token.hash.as_bytes()).is_ok();
    same && now < token.expires_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_until_its_time_is_over_and_no_other_does() {
        let (text, token) = make(1_000, 60).unwrap();
        assert!(!token.hash.contains(&text));
        assert!(opens(&token, &text, 60_999));
        assert!(!opens(&token, &text, 61_000));
        let (other, _) = make(1_000, 60).unwrap();
        for wrong in [other.as_str(), &text[1..], "", token.hash.as_str()] {
            assert!(!opens(&token, wrong, 1_000), "{wrong:?}");
        }
    }
}
