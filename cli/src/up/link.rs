//! Removing a network interface, by one message to the kernel (rtnetlink's RTM_DELLINK).

use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, socket,
};

const RTM_DELLINK: u16 = 17;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
/// A netlink header and an `ifinfomsg`: 16 bytes each.
const MESSAGE: usize = 32;

/// Removes an interface; one that isn't there is no error.
pub(super) fn remove(name: &str) -> io::Result<()> {
    // Not by /sys/class/net, which may show another network namespace.
    match nix::net::if_::if_nametoindex(name) {
        Ok(index) => delete(index),
        Err(Errno::ENODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn delete(index: u32) -> io::Result<()> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    connect(kernel.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    send(kernel.as_raw_fd(), &message(index), MsgFlags::empty())?;
    let mut answer = [0; 4096];
    // The kernel answers before `send` returns.
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    error_of(&answer[..length])
}

fn message(index: u32) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    message[0..4].copy_from_slice(&(MESSAGE as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_DELLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    message[20..24].copy_from_slice(&index.to_ne_bytes());
    message
}

/// An acknowledgement is an error of 0; else it is a negative errno.
fn error_of(answer: &[u8]) -> io::Result<()> {
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let error = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, error) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(error)) => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_needs_no_removal() {
        remove("ls-none").unwrap();
    }

    #[test]
    fn the_kernel_s_refusal_is_an_error() {
        // No interface has this index: as root the kernel says so, as anybody else it says "not permitted".
        let error = delete(u32::MAX >> 1).unwrap_err();
        let known = [Errno::ENODEV, Errno::EPERM, Errno::EINVAL].map(|errno| errno as i32);
        assert!(known.contains(&error.raw_os_error().unwrap()), "{error}");
    }

    #[test]
    fn the_message_is_as_the_kernel_reads_it() {
        let message = message(7);
        assert_eq!(u32::from_ne_bytes(message[0..4].try_into().unwrap()), 32);
        assert_eq!(i32::from_ne_bytes(message[20..24].try_into().unwrap()), 7);
    }
}
