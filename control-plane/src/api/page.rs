//! Pages of lists: opaque tokens that are good only for the list that they came from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Call;
use crate::error::{ApiError, Code};

/// The length of a token's tag, in bytes.
const TAG: usize = 12;

/// One page that was asked for.
pub(super) struct Page<'a> {
    call: &'a Call,
    purpose: String,
    /// The key of the last item of the page before; empty at the start.
    pub(super) after: String,
    limit: usize,
}

impl<'a> Page<'a> {
    /// Reads a request's `nextToken` and `maxResults` (1 to 100; 100). `list` names the operation, `filters` is
    /// everything that decides what is in the list.
    ///
    /// # Errors
    /// `InvalidParameterException`.
    pub(super) fn read(
        call: &'a Call,
        list: &str,
        filters: &[Option<&str>],
        next_token: Option<&str>,
        max_results: Option<i32>,
    ) -> Result<Self, ApiError> {
        let limit = match max_results {
            None => 100,
            Some(limit @ 1..=100) => usize::try_from(limit).unwrap_or(100),
            Some(other) => {
                return Err(ApiError::invalid(format!(
                    "maxResults must be between 1 and 100, but is {other}."
                )));
            }
        };
        let bad = || ApiError::invalid("Invalid token: it belongs to another list, or to none.");
        Self::of(call, list, filters, next_token, limit, bad)
    }

    /// As [`Page::read`], for SSM: 1 to 50, `InvalidNextToken`.
    ///
    /// # Errors
    /// `ValidationException`, `InvalidNextToken`.
    pub(super) fn read_ssm(
        call: &'a Call,
        list: &str,
        filters: &str,
        next_token: Option<&str>,
        max_results: Option<i32>,
    ) -> Result<Self, ApiError> {
        let limit = max_results.unwrap_or(50).clamp(1, 50);
        let bad = || {
            ApiError::new(
                Code::InvalidNextToken,
                "The token belongs to another list, or to none.",
            )
        };
        Self::of(
            call,
            list,
            &[Some(filters)],
            next_token,
            usize::try_from(limit).unwrap_or(50),
            bad,
        )
    }

    fn of(
        call: &'a Call,
        list: &str,
        filters: &[Option<&str>],
        token: Option<&str>,
        limit: usize,
        bad: impl Fn() -> ApiError,
    ) -> Result<Self, ApiError> {
        let purpose = format!("{list} {filters:?}");
        let after = match token.filter(|token| !token.is_empty()) {
            None => String::new(),
            Some(token) => open(call, &purpose, token).ok_or_else(bad)?,
        };
        Ok(Self {
            call,
            purpose,
            after,
            limit,
        })
    }

    /// How many items to fetch: one more than is shown, to see whether there is another page.
    pub(super) fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1
    }

    /// Cuts the items to the page, and makes the token of the next one where there is one.
    pub(super) fn finish<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> String) -> Option<String> {
        if items.len() <= self.limit {
            return None;
        }
        items.truncate(self.limit);
        let key = key(items.last()?);
        let mut token = self
            .call
            .plane
            .auth
            .tokens
            .tag(&format!("{} {key}", self.purpose))
            .to_vec();
        token.extend_from_slice(key.as_bytes());
        Some(URL_SAFE_NO_PAD.encode(token))
    }
}

fn open(call: &Call, purpose: &str, token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (tag, key) = bytes.split_at_checked(TAG)?;
    let key = std::str::from_utf8(key).ok()?;
    call.plane
        .auth
        .tokens
        .tag_matches(&format!("{purpose} {key}"), tag)
        .then(|| key.to_owned())
}
