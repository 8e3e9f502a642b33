//! `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` of a container.
//!
//! A name server on the host's loopback can't be reached from another namespace. The stub of systemd-resolved is
//! replaced by the file of its upstream servers; any other loopback server is dropped. A container on the bridge has
//! no IPv6, so such servers are dropped too. If none is left, [`FALLBACK`] is used, as Docker does, since a resolver
//! with no server at all asks loopback again.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::NetworkError;
use super::files::{failed, write_for_this_boot};
use crate::files::absent_is_none;

/// The stub listener of systemd-resolved.
const STUB: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
/// Asked where the host has no server that a container could reach.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
const LOCALHOST: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// The host's own files.
#[derive(Clone, Debug)]
pub(super) struct HostFiles {
    /// What the host's programs use.
    pub resolv_conf: PathBuf,
    /// Where systemd-resolved writes the servers behind its stub.
    pub upstream: PathBuf,
    /// The host's names.
    pub hosts: PathBuf,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            upstream: "/run/systemd/resolve/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

/// From where a container asks its name servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// From the host's namespace: its loopback servers answer.
    Host,
    /// From a namespace behind the bridge.
    Bridge,
}

/// The server that a `nameserver` line names; the line itself may have spaces around it.
fn nameserver(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next().unwrap_or_default())
}

/// Whether every C library reads the line as a server's: the word begins it, and a space or a tab follows. Other resolvers
/// take more for one.
pub(super) fn is_servers(line: &str) -> bool {
    line.strip_prefix("nameserver")
        .is_some_and(|rest| rest.starts_with([' ', '\t']))
}

fn address(server: &str) -> Option<IpAddr> {
    // A link-local server carries its interface: fe80::1%eth0.
    server.split('%').next()?.parse().ok()
}

fn has_stub(text: &str) -> bool {
    text.lines()
        .filter_map(nameserver)
        .filter_map(address)
        .any(|ip| ip == STUB)
}

/// Whether a server can be reached. One that is no address is kept: the resolver will say so. None
/// at all is not: it would count as one, and keep the fallback out.
fn reachable(server: &str, view: View) -> bool {
    match (address(server), view) {
        (Some(ip), View::Host) => ip != STUB,
        (Some(ip), View::Bridge) => ip.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified(),
        (None, _) => !server.is_empty(),
    }
}

/// A resolv.conf made of the host's.
pub(super) fn resolv_conf(host: &str, upstream: Option<&str>, view: View) -> String {
    let source = match upstream {
        Some(upstream) if has_stub(host) => upstream,
        _ => host,
    };
    let mut out = String::new();
    let mut servers = 0;
    for line in source.lines() {
        match nameserver(line) {
            Some(server) if !reachable(server, view) => continue,
            Some(_) => servers += u32::from(is_servers(line)),
            None => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    if servers == 0 {
        tracing::warn!(
            fallback = ?FALLBACK,
            "the host has no name server that a container can reach; containers ask the fallback"
        );
        for server in FALLBACK {
            out.push_str(&format!("nameserver {server}\n"));
        }
    }
    out
}

/// A hosts file with the container's own name, where it has an address.
pub(super) fn hosts(hostname: &str, addresses: &[IpAddr]) -> String {
    let mut out = LOCALHOST.to_owned();
    for address in addresses {
        out.push_str(&format!("{address}\t{hostname}\n"));
    }
    if addresses.is_empty() {
        out.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    out
}

fn host_text(path: &Path) -> Result<Option<String>, NetworkError> {
    let bytes = absent_is_none(fs::read(path)).map_err(failed("cannot read", path))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Which of the files a container gets.
pub(super) enum Names<'a> {
    /// The host's own.
    Host,
    /// Its name and addresses, and the host's name servers as seen from the bridge.
    Bridge(&'a [IpAddr]),
    /// Its name; no name server could be reached.
    None,
}

/// Writes the files into `folder`; answers with what to bind over what.
pub(super) fn write_files(
    folder: &Path,
    host: &HostFiles,
    names: &Names<'_>,
    hostname: &str,
) -> Result<Vec<(PathBuf, PathBuf)>, NetworkError> {
    let resolv = |view| -> Result<String, NetworkError> {
        let own = host_text(&host.resolv_conf)?.unwrap_or_default();
        Ok(resolv_conf(&own, host_text(&host.upstream)?.as_deref(), view))
    };
    let (resolv, hosts) = match names {
        // A copy, so that the container's root can't change the host's.
        Names::Host => (
            Some(resolv(View::Host)?),
            host_text(&host.hosts)?.unwrap_or_else(|| hosts(hostname, &[])),
        ),
        Names::Bridge(addresses) => (Some(resolv(View::Bridge)?), hosts(hostname, addresses)),
        Names::None => (None, hosts(hostname, &[])),
    };
    let mut files = vec![("hosts", hosts), ("hostname", format!("{hostname}\n"))];
    files.extend(resolv.map(|text| ("resolv.conf", text)));
    files
        .into_iter()
        .map(|(name, text)| {
            let path = folder.join(name);
            write_for_this_boot(&path, text.as_bytes(), 0o644)?;
            Ok((path, Path::new("/etc").join(name)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_replaced_by_its_upstream_servers() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
        let upstream = "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch lan\n";
        assert_eq!(
            resolv_conf(stub, Some(upstream), View::Bridge),
            "nameserver 10.0.0.1\nsearch lan\n"
        );
        assert_eq!(resolv_conf(stub, Some(upstream), View::Host), upstream);
    }

    #[test]
    fn loopback_servers_are_dropped_behind_the_bridge_only() {
        let host = "# mine\n  nameserver\t127.0.0.1\nnameserver ::1\nnameserver 9.9.9.9\n";
        assert_eq!(
            resolv_conf(host, None, View::Bridge),
            "# mine\nnameserver 9.9.9.9\n"
        );
        assert_eq!(resolv_conf(host, None, View::Host), host);
    }

    #[test]
    fn with_no_server_left_the_fallback_is_asked() {
        for host in ["", "nameserver 127.0.0.1\n", "nameserver 127.0.0.53\n"] {
            let made = resolv_conf(host, None, View::Bridge);
            assert_eq!(made, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n", "{host:?}");
        }
        // Lines that some resolvers read and some don't: the latter are left with no server.
        for host in [" nameserver 9.9.9.9\n", "nameserver\u{c}9.9.9.9\n"] {
            let made = resolv_conf(host, None, View::Bridge);
            assert_eq!(made, format!("{host}nameserver 8.8.8.8\nnameserver 8.8.4.4\n"));
        }
    }

    #[test]
    fn the_hosts_file_names_the_container() {
        let ip = IpAddr::from([172, 29, 0, 7]);
        assert!(hosts("web", &[ip]).ends_with("172.29.0.7\tweb\n"));
        assert!(hosts("web", &[]).ends_with("127.0.1.1\tweb\n"));
    }

    proptest::proptest! {
        #[test]
        fn no_loopback_server_ever_reaches_a_container(
            octets in proptest::collection::vec(proptest::prelude::any::<[u8; 2]>(), 0..6),
            with_upstream: bool,
        ) {
            let mut host = String::new();
            for [first, last] in octets {
                let first = if first % 2 == 0 { 127 } else { first };
                host.push_str(&format!("nameserver {first}.0.0.{last}\n"));
            }
            let made = resolv_conf(&host, with_upstream.then_some(host.as_str()), View::Bridge);
            let servers: Vec<_> = made.lines().filter_map(nameserver).filter_map(address).collect();
            proptest::prop_assert!(!servers.is_empty());
            proptest::prop_assert!(servers.iter().all(|ip| !ip.is_loopback()));
        }
    }
}
