//! Who has a port: from the kernel's socket tables to the process, for an error text that helps; and whether whoever has it
//! is in a container's way.
//!
//! It looks once, when a port could not be had; what it finds may be gone a moment later. A socket that is bound and does
//! no more is in no TCP table: it is seen neither as a holder nor as being in the way.

use std::fs;
use std::path::Path;

use crate::model::Protocol;

/// `TIME_WAIT` in the kernel's tables: nobody's socket any more.
const TIME_WAIT: &str = "06";

/// A socket in the kernel's tables.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// Whether it has a peer; else it takes what comes from anyone.
    connected: bool,
    /// 0 where no process has it any more.
    inode: u64,
}

/// What a line of `/proc/net/tcp` or `udp` says, if its local port is `port`.
fn row(line: &str, port: u16) -> Option<Row> {
    let port_of = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let mut fields = line.split_ascii_whitespace();
    if port_of(fields.nth(1)?)? != port {
        return None;
    }
    let connected = port_of(fields.next()?)? != 0;
    // After the addresses: state, queues, timer, retransmits, uid, timeout, inode.
    if fields.next()? == TIME_WAIT {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Row { connected, inode })
}

fn rows(protocol: Protocol, port: u16) -> Vec<Row> {
    let name = protocol.as_str();
    let mut found = Vec::new();
    for table in [name.to_owned(), format!("{name}6")] {
        // Without IPv6 there is no such table.
        let text = fs::read_to_string(Path::new("/proc/thread-self/net").join(table)).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| row(line, port)));
    }
    found
}

/// Whether all that have the TCP port are connections with a peer each, such as the kernel gives a port of its dynamic range.
/// What comes from elsewhere reaches none of them.
pub(super) fn only_connections(port: u16) -> bool {
    let rows = rows(Protocol::Tcp, port);
    !rows.is_empty() && rows.iter().all(|row| row.connected)
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
    let rows = rows(protocol, port);
    let inodes: Vec<_> = rows
        .iter()
        .map(|row| row.inode)
        .filter(|inode| *inode != 0)
        .collect();
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
    fn a_table_line_says_who_has_the_port() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 54321 1";
        let server = Row {
            connected: false,
            inode: 54321,
        };
        assert_eq!(row(line, 8080), Some(server));
        assert_eq!(row(line, 8081), None);
        let client = Row {
            connected: true,
            inode: 54321,
        };
        assert_eq!(
            row(&line.replace(" 00000000:0000 0A ", " 0100007F:0050 01 "), 8080),
            Some(client)
        );
        assert_eq!(row(&line.replace(" 0A ", " 06 "), 8080), None);
        for torn in ["", "0:", "0: 0100007F:1F90", "sl local_address"] {
            assert_eq!(row(torn, 8080), None, "{torn:?}");
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
