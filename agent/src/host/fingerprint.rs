//! What tells this machine from a copy of it.
//!
//! A hash of three things, each of which may be missing: the machine id (a reinstallation changes it), the board's
//! product uuid (a cloned disk in another machine, or a cloned VM, has another), and the address of the first network
//! card that is soldered or plugged in for good. It is the same after each boot.
//!
//! Limit: a node whose first card is replaced is another machine.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::HostError;

/// Hexadecimal SHA-256.
pub(super) fn read(root: &Path) -> Result<String, HostError> {
    let parts = [machine_id(root), product_uuid(root), card_address(root)];
    if parts.iter().all(Option::is_none) {
        return Err(HostError::NoIdentity);
    }
    let mut text = String::from("longshore-fingerprint-1");
    for part in parts {
        // A separator that no part contains, so that parts can't change places.
        text.push('\n');
        text.push_str(&part.unwrap_or_default());
    }
    let hash = digest(&SHA256, text.as_bytes());
    Ok(longshore_protocol::sigv4::hex(hash.as_ref()))
}

/// The first line of a file, if there is one and it says something.
fn line(path: PathBuf) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .next()?
        .trim()
        .trim_matches('\0')
        .to_ascii_lowercase();
    (!line.is_empty()).then_some(line)
}

fn machine_id(root: &Path) -> Option<String> {
    let id = line(root.join("etc/machine-id")).or_else(|| line(root.join("var/lib/dbus/machine-id")));
    // What systemd writes into an image that has not booted yet.
    id.filter(|id| id != "uninitialized")
}

/// The board's: by DMI, or on ARM by the device tree.
fn product_uuid(root: &Path) -> Option<String> {
    let is_real = |id: &String| !id.chars().all(|digit| matches!(digit, '0' | 'f' | '-'));
    line(root.join("sys/class/dmi/id/product_uuid"))
        .filter(is_real)
        .or_else(|| line(root.join("proc/device-tree/serial-number")).filter(is_real))
}

/// The address of the first card that is a device, by its place on the bus. Cards on USB come last, since they come
/// and go; addresses that are not the card's own (random, or set by somebody) don't count.
fn card_address(root: &Path) -> Option<String> {
    let cards = fs::read_dir(root.join("sys/class/net")).ok()?.flatten();
    cards
        .filter_map(|card| {
            let device = fs::canonicalize(card.path().join("device")).ok()?;
            // NET_ADDR_PERM of linux/netdevice.h.
            if line(card.path().join("addr_assign_type"))? != "0" {
                return None;
            }
            let address = line(card.path().join("address"))?;
            let is_usb = device.components().any(|part| {
                let name = part.as_os_str().to_string_lossy();
                name.starts_with("usb")
            });
            (address != "00:00:00:00:00:00").then_some((is_usb, device, address))
        })
        .min()
        .map(|(_, _, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with all three.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            "etc/machine-id",
            "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
        );
        write(
            root.path(),
            "sys/class/dmi/id/product_uuid",
            "4C4C4544-0032-4A10-8056-B7C04F333534\n",
        );
        card(
            root.path(),
            "eth0",
            "pci0000:00/0000:00:03.0",
            "02:fc:00:00:00:01",
            "0",
        );
        root
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn card(root: &Path, name: &str, bus: &str, address: &str, assigned: &str) {
        let device = root.join("sys/devices").join(bus);
        fs::create_dir_all(&device).unwrap();
        let class = format!("sys/class/net/{name}");
        write(root, &format!("{class}/address"), address);
        write(root, &format!("{class}/addr_assign_type"), assigned);
        std::os::unix::fs::symlink(device, root.join(class).join("device")).unwrap();
    }

    #[test]
    fn any_two_parts_may_be_missing_but_not_all() {
        let whole = read(machine().path()).unwrap();
        assert_eq!(whole.len(), 64);
        let parts = ["etc/machine-id", "sys/class/dmi", "sys/class/net"];
        let mut seen = vec![whole];
        for kept in parts {
            let root = machine();
            for part in parts.iter().filter(|part| **part != kept) {
                let path = root.path().join(part);
                if path.is_dir() {
                    fs::remove_dir_all(path).unwrap();
                } else {
                    fs::remove_file(path).unwrap();
                }
            }
            let fingerprint = read(root.path()).unwrap();
            assert!(!seen.contains(&fingerprint), "{kept}");
            seen.push(fingerprint);
        }
        let nothing = tempfile::tempdir().unwrap();
        assert!(matches!(read(nothing.path()), Err(HostError::NoIdentity)));
    }

    #[test]
    fn cards_that_come_and_go_change_nothing() {
        let root = machine();
        let before = read(root.path()).unwrap();
        card(
            root.path(),
            "a0",
            "pci0000:00/0000:00:01.0/usb1/1-1",
            "02:fc:00:00:00:02",
            "0",
        );
        card(
            root.path(),
            "b0",
            "pci0000:00/0000:00:01.1",
            "02:fc:00:00:00:03",
            "3",
        );
        write(root.path(), "sys/class/net/veth1/address", "02:fc:00:00:00:04");
        write(root.path(), "sys/class/net/veth1/addr_assign_type", "0");
        assert_eq!(read(root.path()).unwrap(), before);
    }

    #[test]
    fn a_board_with_an_empty_uuid_has_none() {
        let root = machine();
        write(
            root.path(),
            "sys/class/dmi/id/product_uuid",
            "00000000-0000-0000-0000-000000000000\n",
        );
        assert_eq!(product_uuid(root.path()), None);
        write(
            root.path(),
            "proc/device-tree/serial-number",
            "10000000a3b4c5d6\0",
        );
        assert_eq!(product_uuid(root.path()).unwrap(), "10000000a3b4c5d6");
    }
}
