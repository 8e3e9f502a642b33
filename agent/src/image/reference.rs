//! Image references, in Docker's grammar: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! A first part is a host if it has a dot, a colon or a capital in it, or is `localhost`; else the host is `docker.io`,
//! whose one-part paths live under `library/`. Without tag and digest the tag is `latest`; with a digest, the tag is
//! only a name.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use super::digest::Digest;

/// The registry that a reference without a host means.
pub const DOCKER_HUB: &str = "docker.io";
/// Host and path together are no longer than this.
const NAME_LIMIT: usize = 255;
/// Nor is a tag longer than this.
const TAG_LIMIT: usize = 128;

/// A reference with everything filled in that Docker fills in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no [`Reference`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// The host.
    #[error("{0:?} is no host[:port]")]
    Host(String),
    /// The path.
    #[error("{0:?} is no repository name: parts of a-z and 0-9, with ., _, __ or - inside, and / between")]
    Path(String),
    /// The tag.
    #[error("{0:?} is no tag: at most 128 of letters, digits, _, . and -, not beginning with . or -")]
    Tag(String),
    /// The digest.
    #[error(transparent)]
    Digest(#[from] super::digest::InvalidDigest),
    /// It looks like an image id.
    #[error("64 hexadecimal digits are an image id, not a name")]
    Id,
    /// Host and path are too long.
    #[error("host and path are longer than {NAME_LIMIT} characters")]
    TooLong,
}

impl Reference {
    /// The registry, with its port if one is written: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in the registry: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The digest, where one is written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for: the digest if there is one, else the tag.
    #[must_use]
    pub fn target(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }
}

impl Display for Reference {
    /// In full: the name under which containerd keeps the image.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.is_empty() {
            return Err(InvalidReference::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
        };
        // A colon after the last slash begins a tag; one before it, a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            Some(_) | None => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(InvalidReference::Tag(tag.to_owned()));
        }
        let (host, path) = split_host(name);
        if !is_host(&host) {
            return Err(InvalidReference::Host(host));
        }
        if !path.split('/').all(is_path_part) {
            return Err(InvalidReference::Path(path));
        }
        if name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference::Id);
        }
        if host.len() + 1 + path.len() > NAME_LIMIT {
            return Err(InvalidReference::TooLong);
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self {
            host,
            path,
            tag,
            digest,
        })
    }
}

/// Host and path, as Docker tells them apart.
fn split_host(name: &str) -> (String, String) {
    let (host, path) = match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(|letter| letter.is_ascii_uppercase()) =>
        {
            (first, path)
        }
        Some(_) | None => (DOCKER_HUB, name),
    };
    let host = match host {
        "index.docker.io" => DOCKER_HUB,
        other => other,
    };
    match host == DOCKER_HUB && !path.contains('/') {
        true => (host.to_owned(), format!("library/{path}")),
        false => (host.to_owned(), path.to_owned()),
    }
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match after.strip_prefix(':') {
                None => return after.is_empty(),
                Some(port) => ("ip", port),
            }
        }
        None => match text.split_once(':') {
            None => return is_domain(text),
            Some((name, port)) => (name, port),
        },
    };
    is_domain(name) && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// Runs of a-z and 0-9 with `.`, `_`, `__` or any number of `-` between them.
fn is_path_part(part: &str) -> bool {
    let ends_well = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends_well(part.bytes().next())
        && ends_well(part.bytes().next_back())
        && separators
            .into_iter()
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag.len() <= TAG_LIMIT
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn what_is_left_out_is_filled_in_as_docker_does() {
        for (short, long) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("library/busybox:1.36", "docker.io/library/busybox:1.36"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("grafana/grafana", "docker.io/grafana/grafana:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b__c:v1", "localhost:5000/a/b__c:v1"),
            ("Registry/a", "Registry/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("[fd00::1]/a", "[fd00::1]/a:latest"),
            ("quay.io/a--b/c.d", "quay.io/a--b/c.d:latest"),
        ] {
            assert_eq!(full(short), long);
        }
    }

    #[test]
    fn a_digest_says_what_to_ask_for_and_needs_no_tag() {
        let plain: Reference = format!("busybox@{DIGEST}").parse().unwrap();
        assert_eq!(plain.to_string(), format!("docker.io/library/busybox@{DIGEST}"));
        assert_eq!(plain.target(), DIGEST);
        let tagged: Reference = format!("busybox:1@{DIGEST}").parse().unwrap();
        assert_eq!(
            tagged.to_string(),
            format!("docker.io/library/busybox:1@{DIGEST}")
        );
        assert_eq!(tagged.target(), DIGEST);
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let hex = "0".repeat(64);
        let long = "a/".repeat(127) + "aa";
        let tag = format!("a:{}", "t".repeat(129));
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "A",
            "a/B",
            "a:",
            "a:-x",
            "a@",
            "a@sha256:00",
            "a b",
            "a_-b",
            "a..b",
            "-a",
            "a-",
            "a___b",
            "a//b",
            "host.:5/a",
            "h.x:port/a",
            "h.x:70000/a",
            "h.x:/a",
            "[::g]:1/a",
            "[::1/a",
            "[::1]x/a",
            "ä",
            &hex,
            &long,
            &tag,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn the_full_form_reads_back_as_itself(
            host in "((([a-z0-9]{1,5}\\.){1,3}[a-z]{2,3}|localhost)(:[1-9][0-9]{0,3})?/)?",
            path in "[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?(/[a-z0-9]{1,8}){0,2}",
            tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?",
            digest in any::<bool>(),
        ) {
            let digest = if digest { format!("@{DIGEST}") } else { String::new() };
            let text = format!("{host}{path}{tag}{digest}");
            let read: Reference = text.parse().unwrap();
            prop_assert_eq!(read.to_string().parse::<Reference>().unwrap(), read);
        }
    }
}
