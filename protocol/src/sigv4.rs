//! AWS Signature Version 4 in headers: for clients that sign and for servers that check.
//!
//! Source: the AWS General Reference, "Signature Version 4 signing process"; checked against the `aws-sigv4` crate by
//! a property test. Our own because a server needs the canonical request of what it received, and a node signs the
//! string to sign with an RSA key: neither is offered by a crate.
//!
//! Limits: headers only (no presigned URLs, no chunked bodies), and paths are normalised as every service but S3 does.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};

mod authorization;
pub use authorization::{Authorization, InvalidAuthorization};

/// The algorithm's name.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the clocks of client and server may differ.
pub const CLOCK_WINDOW_SECONDS: i64 = 300;

/// What a signature is for: `DATE/REGION/SERVICE/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialScope {
    /// `YYYYMMDD`.
    pub date: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// Such as `ecs`.
    pub service: String,
}

impl std::fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// The parts of a request that are signed.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query as sent, without `?`.
    pub query: &'a str,
    /// The headers to be signed, names in lower case. Order and repetition are as received.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The canonical request, whose hash goes into the string to sign.
    #[must_use]
    pub fn canonical(&self) -> String {
        let headers = canonical_headers(self.headers);
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.method,
            canonical_path(self.path),
            canonical_query(self.query)
        );
        for (name, value) in &headers {
            let _ = writeln!(text, "{name}:{value}");
        }
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let _ = write!(text, "\n{}\n{}", names.join(";"), sha256_hex(self.body));
        text
    }

    /// The string to sign at `amz_date` (`YYYYMMDDTHHMMSSZ`).
    #[must_use]
    pub fn string_to_sign(&self, amz_date: &str, scope: &CredentialScope) -> String {
        format!(
            "{ALGORITHM}\n{amz_date}\n{scope}\n{}",
            sha256_hex(self.canonical().as_bytes())
        )
    }
}

/// Sorted by name, the values of one name joined by commas, runs of blanks folded.
fn canonical_headers(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut sorted: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match sorted.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => sorted.push(((*name).to_owned(), value)),
        }
    }
    sorted.sort();
    sorted
}

/// Every byte but `A-Za-z0-9-._~/` percent-encoded again: AWS encodes the path twice.
fn canonical_path(path: &str) -> String {
    if path.is_empty() {
        "/".to_owned()
    } else {
        percent_encode(path, true)
    }
}

/// Parameters sorted by name, then value; they are taken as encoded by the sender.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn percent_encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The signature of a string to sign, by a secret access key: 64 hexadecimal digits.
#[must_use]
pub fn signature(secret: &str, scope: &CredentialScope, string_to_sign: &str) -> String {
    let mac = |key: &[u8], data: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes());
    let mut key = mac(format!("AWS4{secret}").as_bytes(), &scope.date);
    for part in [&scope.region, &scope.service, "aws4_request"] {
        key = mac(key.as_ref(), part);
    }
    hex(mac(key.as_ref(), string_to_sign).as_ref())
}

/// Whether two signatures are the same, in a time that does not tell where they differ.
#[must_use]
pub fn signatures_match(ours: &str, theirs: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(ours.as_bytes(), theirs.as_bytes()).is_ok()
}

/// A time as `X-Amz-Date` has it.
#[must_use]
pub fn amz_date(time: jiff::Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The time that an `X-Amz-Date` says; `None` if it says none.
#[must_use]
pub fn parse_amz_date(text: &str) -> Option<jiff::Timestamp> {
    if text.len() != 16 {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()
}

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    /// The id only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// What to sign a call with, beside the key: where it goes and when.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query as sent, without `?`.
    pub query: &'a str,
    /// Host and port as in the `Host` header.
    pub host: &'a str,
    /// Headers beside `host`, `x-amz-date` and the token; names in lower case. They are signed too.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
    /// The region to sign for.
    pub region: &'a str,
    /// The service to sign for: `ecs` or `ssm`.
    pub service: &'a str,
    /// The time to sign at, in the server's clock as far as that is known.
    pub time: jiff::Timestamp,
}

impl Call<'_> {
    /// The headers that sign this call: `x-amz-date`, the token where there is one, `authorization`.
    #[must_use]
    pub fn sign(&self, credentials: &Credentials) -> Vec<(&'static str, String)> {
        let token = credentials.session_token.as_deref();
        let sign =
            |text: &str, scope: &CredentialScope| signature(&credentials.secret_access_key, scope, text);
        self.sign_by(&credentials.access_key_id, token, |text, scope| {
            Ok::<_, std::convert::Infallible>(sign(text, scope))
        })
        .unwrap_or_else(|never| match never {})
    }

    /// As [`Call::sign`], with any way to sign the string to sign: a node signs by its RSA key.
    ///
    /// # Errors
    /// Whatever `sign` answers.
    pub fn sign_by<E>(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        sign: impl FnOnce(&str, &CredentialScope) -> Result<String, E>,
    ) -> Result<Vec<(&'static str, String)>, E> {
        let date = amz_date(self.time);
        let scope = CredentialScope {
            date: date[..8].to_owned(),
            region: self.region.to_owned(),
            service: self.service.to_owned(),
        };
        let mut headers = vec![("host", self.host), ("x-amz-date", date.as_str())];
        headers.extend(session_token.map(|token| ("x-amz-security-token", token)));
        headers.extend_from_slice(self.headers);
        let request = Request {
            method: self.method,
            path: self.path,
            query: self.query,
            headers: &headers,
            body: self.body,
        };
        let signature = sign(&request.string_to_sign(&date, &scope), &scope)?;
        let mut signed_headers: Vec<_> = headers.iter().map(|(name, _)| (*name).to_owned()).collect();
        signed_headers.sort();
        signed_headers.dedup();
        let authorization = Authorization {
            access_key_id: access_key_id.to_owned(),
            scope,
            signed_headers,
            signature,
        };
        let mut out = vec![("authorization", authorization.to_string())];
        out.extend(session_token.map(|token| ("x-amz-security-token", token.to_owned())));
        out.push(("x-amz-date", date));
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
