//! When there may be a new way to the control plane: a route was added, as it is when a lease, a cable or a modem comes.
//!
//! Limits: of IPv6 only default routes count, since every interface brings others. A way that comes back without a change
//! of routes on this machine is not seen; whoever waits for it tries again after a pause.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt,
};
use tokio::net::UnixDatagram;

/// Of what the kernel keeps for us while nobody listens. What has no room counts as a route.
const ROOM: usize = 8 * 1024;
/// The longest message about one route that the kernel sends is far below a page.
const DATAGRAM: usize = 4096;
/// The length of `struct nlmsghdr`, and what messages are aligned to: netlink(7).
const HEAD: usize = 16;
const ALIGNMENT: usize = 4;

/// The ways of this machine. Nobody listens before the first who waits.
#[derive(Debug, Default)]
pub(super) struct Ways {
    routes: tokio::sync::Mutex<Option<Routes>>,
}

impl Ways {
    /// Waits until a route was added, since the first who waited or since the last that was waited for; for ever where the
    /// kernel can't be listened to.
    pub(super) async fn new_one(&self) {
        let mut routes = self.routes.lock().await;
        let result = match &mut *routes {
            Some(routes) => routes.added().await,
            none => match Routes::open() {
                Ok(opened) => none.insert(opened).added().await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = result {
            *routes = None;
            tracing::debug!(%error, "can't listen to changes of routes");
            std::future::pending().await
        }
    }
}

/// The kernel's messages about routes.
#[derive(Debug)]
struct Routes {
    /// A netlink socket: recv(2) is the same for every family.
    socket: UnixDatagram,
}

impl Routes {
    fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let route = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, route)?;
        setsockopt(&socket, sockopt::RcvBuf, &ROOM)?;
        let groups = (libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE).cast_unsigned();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket.into())?,
        })
    }

    async fn added(&self) -> io::Result<()> {
        let mut datagram = [0; DATAGRAM];
        loop {
            match self.socket.recv(&mut datagram).await {
                Ok(length) if has_a_way(datagram.get(..length).unwrap_or_default()) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether one of these messages says that a way was added.
fn has_a_way(mut messages: &[u8]) -> bool {
    while let Some(([a, b, c, d, e, f, ..], _)) = messages.split_first_chunk::<HEAD>() {
        let length = usize::try_from(u32::from_ne_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let Some(body) = messages.get(HEAD..length) else {
            return false;
        };
        if u16::from_ne_bytes([*e, *f]) == libc::RTM_NEWROUTE && is_a_way(body) {
            return true;
        }
        let next = length.next_multiple_of(ALIGNMENT);
        messages = messages.get(next..).unwrap_or_default();
    }
    false
}

/// Of a `struct rtmsg`: rtnetlink(7).
fn is_a_way(route: &[u8]) -> bool {
    let [family, bits, _, _, table, _, _, kind, ..] = *route else {
        return false;
    };
    let leads_on = table == libc::RT_TABLE_MAIN && kind == libc::RTN_UNICAST;
    let is_known = match i32::from(family) {
        libc::AF_INET => true,
        libc::AF_INET6 => bits == 0,
        _ => false,
    };
    leads_on && is_known
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAIN: u8 = libc::RT_TABLE_MAIN;
    const LOCAL: u8 = libc::RT_TABLE_LOCAL;

    fn message(kind: u16, family: i32, bits: u8, table: u8, route: u8) -> Vec<u8> {
        let family = u8::try_from(family).unwrap();
        let body = [family, bits, 0, 0, table, 0, 0, route, 0, 0, 0, 0, 9];
        let length = u32::try_from(HEAD + body.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
        message
    }

    #[test]
    fn a_new_route_is_a_way_and_what_every_interface_brings_is_none() {
        let new = |family, bits, table, kind| message(libc::RTM_NEWROUTE, family, bits, table, kind);
        let way = new(libc::AF_INET, 24, MAIN, libc::RTN_UNICAST);
        let noise = [
            message(libc::RTM_DELROUTE, libc::AF_INET, 0, MAIN, libc::RTN_UNICAST),
            new(libc::AF_INET, 32, LOCAL, libc::RTN_LOCAL),
            new(libc::AF_INET, 0, MAIN, libc::RTN_UNREACHABLE),
            new(libc::AF_INET6, 64, MAIN, libc::RTN_UNICAST),
        ];
        assert!(has_a_way(&way));
        assert!(has_a_way(&new(libc::AF_INET6, 0, MAIN, libc::RTN_UNICAST)));
        for other in &noise {
            assert!(!has_a_way(other), "{other:?}");
        }
        assert!(!has_a_way(&noise.concat()));
        assert!(has_a_way(&[noise.concat(), way].concat()));
    }

    proptest! {
        #[test]
        fn anything_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            has_a_way(&bytes);
        }
    }
}
