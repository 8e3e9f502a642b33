//! The forms of single values: from a text to what it stands for, or `None`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::{PullBehavior, ResumeOnBoot};

/// The longest name of a network interface: IFNAMSIZ without its closing zero.
const MAX_INTERFACE_NAME: usize = 15;

/// The longest path of a Unix socket: `sun_path` without its closing zero.
const MAX_SOCKET_PATH: usize = 107;
/// What [`socket`] takes, for error texts.
pub(super) const SOCKET_FORM: &str = "an absolute path with a file name, of at most 107 bytes";

/// What [`endpoint`] takes, for error texts.
pub const ENDPOINT_FORM: &str = "an address http(s)://HOST[:PORT]";

/// A control plane's address in its one form: without the slash at the end. Without a scheme it is https, as for the
/// existing agent.
#[must_use]
pub fn endpoint(text: &str) -> Option<String> {
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let url = url::Url::parse(&text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let plain = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !bare || !plain {
        return None;
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    let up = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    (path.is_absolute() && !up).then_some(path)
}

/// A path that a socket can be bound to: with a name, and of the length that the kernel has room for.
pub(super) fn socket(text: &str) -> Option<PathBuf> {
    let path = absolute(text).filter(|_| text.len() <= MAX_SOCKET_PATH)?;
    let ends_with = |name: &std::ffi::OsStr| text.as_bytes().ends_with(name.as_encoded_bytes());
    path.file_name().is_some_and(ends_with).then_some(path)
}

pub(super) fn paths(text: &str) -> Option<Vec<PathBuf>> {
    text.split(':').map(absolute).collect()
}

/// What containerd takes for namespaces and plugins.
pub(super) fn identifier(text: &str) -> bool {
    let parts = |text: &str| text.split(['.', '-', '_']).all(|part| !part.is_empty());
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    text.len() <= 76 && text.bytes().all(letters) && parts(text)
}

/// A program by its name or absolute path.
pub(super) fn program(text: &str) -> Option<String> {
    (identifier(text) || absolute(text).is_some()).then(|| text.to_owned())
}

pub(super) fn subnet(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (Ipv4Addr, u8) = (address.parse().ok()?, length.parse().ok()?);
    // A bridge needs an address of its own, and a container one beside network and broadcast.
    let host_bits = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    let fits = (8..=29).contains(&length) && u32::from(address) & host_bits == 0;
    fits.then_some((address, length))
}

pub(super) fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}

pub(super) fn pull_behavior(text: &str) -> Option<PullBehavior> {
    match text {
        "default" => Some(PullBehavior::Default),
        "always" => Some(PullBehavior::Always),
        "once" => Some(PullBehavior::Once),
        "prefer-cached" => Some(PullBehavior::PreferCached),
        _ => None,
    }
}

pub(super) fn resume_on_boot(text: &str) -> Option<ResumeOnBoot> {
    match text {
        "restart-policy" => Some(ResumeOnBoot::RestartPolicy),
        "all" => Some(ResumeOnBoot::All),
        "none" => Some(ResumeOnBoot::None),
        _ => None,
    }
}

pub(super) fn log_level(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Some("debug"),
        "info" => Some("info"),
        "warn" => Some("warn"),
        "error" | "crit" => Some("error"),
        _ => None,
    }
}

pub(super) fn proxy_address(text: &str) -> Option<String> {
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = url::Url::parse(&text).ok()?;
    (url.scheme() == "http" && url.host().is_some()).then_some(text)
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// What the kernel takes for a network interface's name.
pub(super) fn interface(text: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
    (1..=MAX_INTERFACE_NAME).contains(&text.len()) && text.bytes().all(fit) && text != "." && text != ".."
}
