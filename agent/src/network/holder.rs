//! Who has a port: from the kernel's socket tables to the process, for an error text that helps.
//!
//! It looks once, when a port could not be had; what it finds may be gone a moment later.

use std::fs;
use std::path::Path;

use crate::model::Protocol;

/// `TIME_WAIT` in the kernel's tables: nobody's socket any more.
const TIME_WAIT: &str = "06";

/// A socket's inode in a line of `/proc/net/tcp` or `udp` whose local port is `port`.
fn inode_in_line(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let (_, hex) = local.rsplit_once(':')?;
    if u16::from_str_radix(hex, 16).ok()? != port {
        return None;
    }
    // After the local address: remote address, state, queues, timer, retransmits, uid, timeout, inode.
    let state = fields.nth(1)?;
    if state == TIME_WAIT {
        return None;
    }
    fields.nth(5)?.parse().ok().filter(|inode| *inode != 0)
}

fn inodes(tables: &Path, protocol: Protocol, port: u16) -> Vec<u64> {
    let name = protocol.as_str();
    let mut found = Vec::new();
    for table in [name.to_owned(), format!("{name}6")] {
        // Without IPv6 there is no such table.
        let text = fs::read_to_string(tables.join(table)).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| inode_in_line(line, port)));
    }
    found
}

/// The process that has one of these sockets open: its name and id.
fn process_with(inodes: &[u64]) -> Option<(String, u32)> {
    let wanted: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                return false;
            };
            open.flatten()
                .filter_map(|fd| fs::read_link(fd.path()).ok())
                .any(|target| wanted.iter().any(|socket| target == Path::new(socket)))
        })
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (name.trim_end().to_owned(), pid)
        })
}

/// Who has the port, in words; `None` if nobody is found.
pub(super) fn of(protocol: Protocol, port: u16) -> Option<String> {
    let inodes = inodes(Path::new("/proc/thread-self/net"), protocol, port);
    if inodes.is_empty() {
        return None;
    }
    Some(match process_with(&inodes) {
        Some((name, pid)) => format!("{name} (pid {pid}) has it"),
        None => "a process that can't be seen from here has it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_line_gives_its_inode() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 54321 1";
        assert_eq!(inode_in_line(line, 8080), Some(54321));
        assert_eq!(inode_in_line(line, 8081), None);
        let waiting = line.replace(" 0A ", " 06 ");
        assert_eq!(inode_in_line(&waiting, 8080), None);
        for torn in ["", "0:", "0: 0100007F:1F90", "sl local_address"] {
            assert_eq!(inode_in_line(torn, 8080), None, "{torn:?}");
        }
    }

    #[test]
    fn this_process_is_found_by_its_own_socket() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let words = of(Protocol::Tcp, port).unwrap();
        assert!(
            words.ends_with(&format!("(pid {}) has it", std::process::id())),
            "{words}"
        );
    }
}
