//! Names of what `up` makes outside of its folder, all derived from the folder.
//!
//! Invariant: two folders have different names, so that neither meets the other, nor a packaged agent. What was chosen
//! once stays, since tasks may outlive an `up`.

use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use longshore_protocol::sigv4::sha256_hex;
use serde::{Deserialize, Serialize};

/// Addresses of a bridge: 1022 containers.
const PREFIX: u8 = 22;
/// How many such subnets there are in 10.192.0.0/10.
const SUBNETS: u32 = 1 << (PREFIX - 10);

/// The names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Names {
    /// The containerd namespace.
    pub namespace: String,
    /// The cgroup under which tasks run.
    pub cgroup_parent: String,
    /// The bridge's interface; at most 15 characters.
    pub bridge: String,
    /// The bridge's subnet, `ADDRESS/PREFIX`.
    pub subnet: String,
}

impl Names {
    /// The names of a folder, which must be given as an absolute path without links. `taken` are the subnets that the
    /// machine has routes to.
    #[must_use]
    pub fn of(folder: &Path, taken: &[Subnet]) -> Self {
        let digest = sha256_hex(folder.as_os_str().as_bytes());
        let id = &digest[..8];
        let first = u32::from_str_radix(id, 16).unwrap_or(0);
        let candidates = (0..SUBNETS).map(|step| Subnet::nth(first.wrapping_add(step) % SUBNETS));
        let free = |subnet: &Subnet| !taken.iter().any(|other| other.overlaps(*subnet));
        let subnet = candidates
            .clone()
            .find(free)
            .or_else(|| candidates.clone().next());
        Self {
            namespace: format!("longshore-{id}"),
            cgroup_parent: format!("/longshore-{id}"),
            bridge: format!("ls-{id}"),
            subnet: subnet.map(|subnet| subnet.to_string()).unwrap_or_default(),
        }
    }
}

/// An IPv4 subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: u32,
    mask: u32,
}

impl Subnet {
    /// The nth subnet of [`PREFIX`] in 10.192.0.0/10.
    fn nth(index: u32) -> Self {
        let base = u32::from(Ipv4Addr::new(10, 192, 0, 0));
        Self {
            address: base | index << (32 - PREFIX),
            mask: u32::MAX << (32 - PREFIX),
        }
    }

    fn overlaps(self, other: Self) -> bool {
        let common = self.mask & other.mask;
        self.address & common == other.address & common
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.address), self.mask.leading_ones())
    }
}

/// The subnets of `/proc/net/route`, default routes aside: they are no claim to an address.
#[must_use]
pub fn routes(table: &str) -> Vec<Subnet> {
    let read = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u32::from_str_radix(fields.nth(1)?, 16).ok()?.swap_bytes();
        let mask = u32::from_str_radix(fields.nth(5)?, 16).ok()?.swap_bytes();
        (mask != 0).then_some(Subnet { address, mask })
    };
    table.lines().skip(1).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_folder_has_the_same_names_and_another_has_others() {
        let one = Names::of(Path::new("/var/lib/longshore-up"), &[]);
        assert_eq!(one, Names::of(Path::new("/var/lib/longshore-up"), &[]));
        let two = Names::of(Path::new("/var/lib/longshore-up2"), &[]);
        assert_ne!(one.namespace, two.namespace);
        assert_ne!(one.bridge, two.bridge);
        assert_ne!(one.cgroup_parent, two.cgroup_parent);
        assert_ne!(one.namespace, "longshore");
    }

    #[test]
    fn a_subnet_that_the_machine_knows_is_left_alone() {
        let folder = Path::new("/x");
        let first = Names::of(folder, &[]);
        let address: Ipv4Addr = first.subnet.split('/').next().unwrap().parse().unwrap();
        let inside = Subnet {
            address: u32::from(address) | 256,
            mask: u32::MAX << 8,
        };
        let second = Names::of(folder, &[inside]);
        assert_ne!(first.subnet, second.subnet);
        assert_eq!(first.bridge, second.bridge);
    }

    #[test]
    fn the_kernel_s_table_is_read() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let shown: Vec<_> = routes(table).iter().map(Subnet::to_string).collect();
        assert_eq!(shown, ["192.0.2.0/24"]);
    }

    proptest! {
        #[test]
        fn names_keep_to_the_system_s_limits(path in "/[^\0]{0,60}") {
            let names = Names::of(Path::new(&path), &[]);
            prop_assert!(names.bridge.len() <= 15);
            prop_assert!(names.subnet.ends_with("/22"));
            let address: Ipv4Addr = names.subnet.split('/').next().unwrap().parse().unwrap();
            prop_assert!(address.is_private() && address.octets()[1] >= 192 && u32::from(address) % 1024 == 0);
        }
    }
}
