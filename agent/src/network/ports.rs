//! Host ports, each held by a bound socket as long as its container has it.
//!
//! The socket only reserves: the firewall sends what comes for the port to the container before a socket would see
//! it. So it does not listen, and what no rule catches is refused instead of hanging.
//!
//! The kernel gives ports of its dynamic range to whoever connects to elsewhere. Such a TCP connection is in nobody's way, nor
//! is a container in its way: what belongs to it is not sent on. So a container has its port beside it, without a socket. Not
//! so by UDP: the kernel forgets within seconds to which socket a peer's datagrams belong.
//!
//! Limit: the sockets die with the agent. Until [`PortKeeper::adopt`] a stranger can bind a port, and then gets no
//! traffic, since the rules stay; so can he where there is no socket, once that connection has ended. Other containers
//! can't: those ports are expected ([`PortKeeper::expect`]), or held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};

use super::{NetworkError, PortBinding, holder};
use crate::clock::Clock;
use crate::model::{ContainerId, PortMapping, Protocol};

const KERNEL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const KERNEL_RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// Where the kernel does not say: its own default.
const DEFAULT_RANGE: (u16, u16) = (32_768, 60_999);

/// A plugin that is being started has a copy of each socket between its fork and its exec, also of one that was let go
/// just now. So a port that is taken is tried again for a moment, on a thread that may wait.
const FORK_TRIES: u32 = 5;
const FORK_PAUSE: Duration = Duration::from_millis(5);

/// A port that is held.
#[derive(Debug)]
struct Held {
    protocol: Protocol,
    port: u16,
    /// Closing it lets the port go; none beside a TCP connection to elsewhere.
    _socket: Option<OwnedFd>,
}

/// Holds ports, each for its container.
pub(super) struct PortKeeper {
    range: Option<(u16, u16)>,
    never: BTreeMap<Protocol, Vec<u16>>,
    clock: Arc<dyn Clock>,
    held: Mutex<BTreeMap<ContainerId, Vec<Held>>>,
    /// What containers of an agent before this one had, and will hold again.
    expected: Mutex<BTreeMap<ContainerId, Vec<(Protocol, u16)>>>,
}

impl PortKeeper {
    /// `range` is that of dynamic ports, the kernel's where absent; `never` are those that no dynamic port may be.
    pub(super) fn new(
        range: Option<(u16, u16)>,
        never: BTreeMap<Protocol, Vec<u16>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            range,
            never,
            clock,
            held: Mutex::default(),
            expected: Mutex::default(),
        }
    }

    /// Holds a port for each mapping, in their order. The fixed ones first, so that no dynamic one takes a port that
    /// another mapping asks for. What the container held before is let go.
    pub(super) fn hold(
        &self,
        container: &ContainerId,
        mappings: &[PortMapping],
    ) -> Result<Vec<PortBinding>, NetworkError> {
        self.release(container);
        let mut held = Vec::new();
        let mut ports = vec![0; mappings.len()];
        for (mapping, port) in mappings.iter().zip(&mut ports) {
            if let Some(fixed) = mapping.host_port {
                held.push(self.fixed_for(container, mapping.protocol, fixed)?);
                *port = fixed;
            }
        }
        for (mapping, port) in mappings.iter().zip(&mut ports) {
            if mapping.host_port.is_none() {
                let found = self.dynamic(container, mapping.protocol, &held)?;
                *port = found.port;
                held.push(found);
            }
        }
        self.lock().insert(container.clone(), held);
        let bindings = mappings.iter().zip(ports).map(|(mapping, port)| PortBinding {
            mapping: PortMapping {
                host_port: Some(port),
                ..*mapping
            },
            bind_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        });
        Ok(bindings.collect())
    }

    /// Keeps ports for a container that had them under an agent before this one.
    pub(super) fn expect(&self, container: &ContainerId, bindings: &[PortBinding]) {
        let port = |binding: &PortBinding| Some((binding.mapping.protocol, binding.mapping.host_port?));
        let ports: Vec<_> = bindings.iter().filter_map(port).collect();
        if !ports.is_empty() {
            self.lock_expected().insert(container.clone(), ports);
        }
    }

    /// Keeps no ports for a container any more, but those that it holds.
    pub(super) fn expect_no_more(&self, container: &ContainerId) {
        self.lock_expected().remove(container);
    }

    /// Holds again the ports of a container that runs; those that it holds already are left alone. All that can be
    /// held are held, then the first that could not is the error.
    pub(super) fn adopt(
        &self,
        container: &ContainerId,
        bindings: &[PortBinding],
    ) -> Result<(), NetworkError> {
        let mut first = Ok(());
        for binding in bindings {
            let (protocol, Some(port)) = (binding.mapping.protocol, binding.mapping.host_port) else {
                continue;
            };
            let is_this = |held: &Held| held.protocol == protocol && held.port == port;
            if self
                .lock()
                .get(container)
                .is_some_and(|all| all.iter().any(is_this))
            {
                continue;
            }
            match self.fixed(container, protocol, port) {
                Ok(held) => self.lock().entry(container.clone()).or_default().push(held),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }

    /// Lets a container's ports go.
    pub(super) fn release(&self, container: &ContainerId) {
        self.lock().remove(container);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Vec<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ports that a container had, and those that others had.
    fn expected_by(&self, container: &ContainerId, protocol: Protocol) -> (Vec<u16>, BTreeSet<u16>) {
        let expected = self.lock_expected();
        let of = |ports: &Vec<(Protocol, u16)>| {
            let of = ports.iter().filter(|(of, _)| *of == protocol);
            of.map(|(_, port)| *port).collect::<Vec<_>>()
        };
        let own = expected.get(container).map(of).unwrap_or_default();
        let others = expected.iter().filter(|(other, _)| *other != container);
        let others = others.flat_map(|(_, ports)| of(ports)).collect();
        (own, others)
    }

    /// Not the kernel's to say where there is no socket.
    fn held_by_others(&self, container: &ContainerId, protocol: Protocol) -> BTreeSet<u16> {
        let held = self.lock();
        let others = held.iter().filter(|(other, _)| *other != container);
        others.flat_map(|(_, held)| ports(held, protocol)).collect()
    }

    fn lock_expected(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Vec<(Protocol, u16)>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever had a port himself is not refused it for another.
    fn fixed_for(
        &self,
        container: &ContainerId,
        protocol: Protocol,
        port: u16,
    ) -> Result<Held, NetworkError> {
        let (own, others) = self.expected_by(container, protocol);
        if others.contains(&port) && !own.contains(&port) {
            return Err(self.taken(container, protocol, port));
        }
        self.fixed(container, protocol, port)
    }

    fn fixed(&self, container: &ContainerId, protocol: Protocol, port: u16) -> Result<Held, NetworkError> {
        // Where there is no socket, the kernel says nothing.
        if self.held_by_others(container, protocol).contains(&port) {
            return Err(self.taken(container, protocol, port));
        }
        let attempt = || {
            reserve(protocol, port).or_else(|error| match (error, protocol) {
                // Connections of a server that has ended linger for a minute, and are in nobody's way.
                (Errno::EADDRINUSE, Protocol::Tcp) => reserve_over_lingering(port),
                (error, _) => Err(error),
            })
        };
        let mut found = attempt();
        for _ in 0..FORK_TRIES {
            if !matches!(found, Err(Errno::EADDRINUSE)) {
                break;
            }
            std::thread::sleep(FORK_PAUSE);
            found = attempt();
        }
        match found {
            Err(Errno::EADDRINUSE) if protocol == Protocol::Tcp && holder::only_connections(port) => {
                Ok(Held {
                    protocol,
                    port,
                    _socket: None,
                })
            }
            Err(Errno::EADDRINUSE) => Err(self.taken(container, protocol, port)),
            found => found.map_err(|error| refused(protocol, port, error.desc().to_owned())),
        }
    }

    /// Says who has a port that `wanting` can't have.
    fn taken(&self, wanting: &ContainerId, protocol: Protocol, port: u16) -> NetworkError {
        let held = self.lock().iter().find_map(|(container, all)| {
            let found = |held: &Held| held.protocol == protocol && held.port == port;
            (container != wanting && all.iter().any(found)).then(|| container.clone())
        });
        let expected = || {
            let expected = self.lock_expected();
            let mut of = expected
                .iter()
                .filter(|(container, ports)| *container != wanting && ports.contains(&(protocol, port)));
            of.next().map(|(container, _)| container.clone())
        };
        let who = held
            .or_else(expected)
            .map(|container| format!("container {container} has it"))
            .or_else(|| holder::of(protocol, port))
            .unwrap_or_else(|| "it is in use".to_owned());
        refused(protocol, port, who)
    }

    /// One that the container had before, if that can be, or else any.
    fn dynamic(
        &self,
        container: &ContainerId,
        protocol: Protocol,
        held: &[Held],
    ) -> Result<Held, NetworkError> {
        let (first, last) = self.range.unwrap_or_else(kernel_range);
        let reserved = kernel_reserved();
        let (own, others) = self.expected_by(container, protocol);
        let mut taken = self.held_by_others(container, protocol);
        taken.extend(ports(held, protocol));
        let never = |port: &u16| {
            let listed = self
                .never
                .get(&protocol)
                .is_some_and(|ports| ports.contains(port));
            taken.contains(port) || listed || reserved.iter().any(|(from, to)| (from..=to).contains(&port))
        };
        let own = own.into_iter().filter(|port| (first..=last).contains(port));
        let count = u64::from(last.saturating_sub(first)) + 1;
        let start = u16::try_from(self.clock.random(count - 1)).unwrap_or(0);
        let from_start = first.saturating_add(start)..=last;
        let wrapped = first..first.saturating_add(start);
        let mut why = "none is free";
        let any = from_start.chain(wrapped).filter(|port| !others.contains(port));
        for port in own.chain(any).filter(|port| !never(port)) {
            match reserve(protocol, port) {
                Ok(held) => return Ok(held),
                Err(Errno::EADDRINUSE | Errno::EACCES) => {}
                Err(error) => {
                    why = error.desc();
                    break;
                }
            }
        }
        let why = format!(
            "{why} of the dynamic ports {first}-{last}: stop a task, or widen ECS_DYNAMIC_HOST_PORT_RANGE"
        );
        Err(refused(protocol, 0, why))
    }
}

fn refused(protocol: Protocol, port: u16, why: String) -> NetworkError {
    NetworkError::Port {
        port,
        protocol: protocol.as_str(),
        why,
    }
}

fn ports(held: &[Held], protocol: Protocol) -> impl Iterator<Item = u16> {
    let of = held.iter().filter(move |held| held.protocol == protocol);
    of.map(|held| held.port)
}

/// Binds a port on all IPv4 addresses. Without SO_REUSEADDR, so that nobody can bind it beside us.
fn reserve(protocol: Protocol, port: u16) -> Result<Held, Errno> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if protocol == Protocol::Udp {
        // Nothing reads it: let the kernel keep as little as it can of what the rules don't catch.
        setsockopt(&socket, sockopt::RcvBuf, &0)?;
    }
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
    Ok(Held {
        protocol,
        port,
        _socket: Some(socket),
    })
}

/// Binds a TCP port whose only users are connections in TIME_WAIT. That needs SO_REUSEADDR; it must then listen, or
/// others could bind beside it.
fn reserve_over_lingering(port: u16) -> Result<Held, Errno> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
    listen(&socket, Backlog::new(0)?)?;
    Ok(Held {
        protocol: Protocol::Tcp,
        port,
        _socket: Some(socket),
    })
}

fn kernel_range() -> (u16, u16) {
    let text = fs::read_to_string(KERNEL_RANGE).unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => (first, last),
        _ => DEFAULT_RANGE,
    }
}

/// Ports that the kernel gives nobody who asks for any; an operator's list, `a,b-c`.
fn kernel_reserved() -> Vec<(u16, u16)> {
    reserved_list(&fs::read_to_string(KERNEL_RESERVED).unwrap_or_default())
}

fn reserved_list(text: &str) -> Vec<(u16, u16)> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    text.trim().split(',').filter_map(range).collect()
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
