//! The `Authorization` header of SigV4, parsed and printed.

use super::{ALGORITHM, CredentialScope};

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Whose key; a node's instance id where it signs by its RSA key.
    pub access_key_id: String,
    /// What the signature is for.
    pub scope: CredentialScope,
    /// Lower-case names, sorted.
    pub signed_headers: Vec<String>,
    /// Hexadecimal digits; base64 where an RSA key signed.
    pub signature: String,
}

/// A header that is no SigV4 authorization. The text is what an `IncompleteSignatureException` says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorization {
    /// Another scheme, such as `Basic`.
    #[error("Authorization header requires the algorithm '{ALGORITHM}'.")]
    Algorithm,
    /// A part is absent.
    #[error("Authorization header requires '{0}' parameter.")]
    Missing(&'static str),
    /// The credential is not `KEY/DATE/REGION/SERVICE/aws4_request`.
    #[error(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request."
    )]
    Credential,
    /// A name stands twice, out of order, or not in lower case.
    #[error("'SignedHeaders' must be lower-case names, sorted, each of them once.")]
    SignedHeaders,
}

impl std::str::FromStr for Authorization {
    type Err = InvalidAuthorization;

    fn from_str(text: &str) -> Result<Self, InvalidAuthorization> {
        let parameters = text
            .strip_prefix(ALGORITHM)
            .ok_or(InvalidAuthorization::Algorithm)?;
        let find = |name: &'static str| {
            parameters
                .split(',')
                .filter_map(|parameter| parameter.trim().split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
                .filter(|value| !value.is_empty())
                .ok_or(InvalidAuthorization::Missing(name))
        };
        let (access_key_id, scope) =
            credential(find("Credential")?).ok_or(InvalidAuthorization::Credential)?;
        let signed_headers =
            signed_headers(find("SignedHeaders")?).ok_or(InvalidAuthorization::SignedHeaders)?;
        let signature = find("Signature")?.to_owned();
        Ok(Self {
            access_key_id,
            scope,
            signed_headers,
            signature,
        })
    }
}

fn credential(text: &str) -> Option<(String, CredentialScope)> {
    let mut parts = text.split('/');
    let key = parts.next()?.to_owned();
    let (date, region, service) = (
        parts.next()?.to_owned(),
        parts.next()?.to_owned(),
        parts.next()?.to_owned(),
    );
    if parts.next() != Some("aws4_request") || parts.next().is_some() {
        return None;
    }
    Some((
        key,
        CredentialScope {
            date,
            region,
            service,
        },
    ))
}

/// Names as every client writes them. Anything else is refused here, before a canonical request is made of it: a header
/// that is named again and again would make that as large as the sender likes.
fn signed_headers(text: &str) -> Option<Vec<String>> {
    let names: Vec<_> = text.split(';').map(str::to_owned).collect();
    let plain = |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let once = names.windows(2).all(|pair| pair[0] < pair[1]);
    (once && names.iter().all(plain)).then_some(names)
}

impl std::fmt::Display for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
            self.access_key_id,
            self.scope,
            self.signed_headers.join(";"),
            self.signature
        )
    }
}
