//! Whether the machine has the bridge's network somewhere else already.
//!
//! A route of the bridge's beats one of the same network that a DHCP client has made, since those have a metric: the
//! first container would cut the machine off from its own network. So such a network is refused before anything is made.
//! A wider route may be meant: the bridge's network is cut out of it.
//!
//! Limit: only the main table is looked at, where links and routing daemons have their routes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::NetworkError;
use super::files::failed;
use crate::config::NetworkConfig;

/// Of the thread: others of this process may be in other namespaces.
const TABLE: &str = "/proc/thread-self/net/route";

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route<'a> {
    device: &'a str,
    address: Ipv4Addr,
    prefix: u8,
}

impl<'a> Route<'a> {
    /// Device, address, gateway, flags, two counters, metric, mask, …: numbers as the machine has them in memory.
    fn read(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let device = fields.next()?;
        let number = |hex: &str| Some(u32::from_be(u32::from_str_radix(hex, 16).ok()?));
        let address = number(fields.next()?)?;
        let mask = number(fields.nth(5)?)?;
        Some(Self {
            device,
            address: address.into(),
            prefix: u8::try_from(mask.leading_ones()).ok()?,
        })
    }

    fn is_within(&self, (address, prefix): (Ipv4Addr, u8)) -> bool {
        let first_bits = |address: Ipv4Addr| u64::from(u32::from(address)) >> (32 - prefix);
        self.prefix >= prefix && first_bits(self.address) == first_bits(address)
    }
}

/// The route that takes addresses of the bridge's network elsewhere.
fn taken<'a>(table: &'a str, network: &NetworkConfig) -> Option<Route<'a>> {
    table
        .lines()
        .skip(1)
        .filter_map(Route::read)
        .find(|route| route.device != network.bridge && route.is_within(network.subnet))
}

/// Refuses a network that would take addresses away from the machine.
///
/// # Errors
/// [`NetworkError::Subnet`], or the table can't be read.
pub(super) fn check(network: &NetworkConfig) -> Result<(), NetworkError> {
    let path = Path::new(TABLE);
    let table = fs::read_to_string(path).map_err(failed("cannot read", path))?;
    match taken(&table, network) {
        None => Ok(()),
        Some(route) => Err(NetworkError::Subnet {
            bridge: network.bridge.clone(),
            subnet: format!("{}/{}", network.subnet.0, network.subnet.1),
            route: format!("{}/{}", route.address, route.prefix),
            device: route.device.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    fn network(address: [u8; 4], prefix: u8) -> NetworkConfig {
        NetworkConfig {
            bridge: "longshore0".into(),
            subnet: (address.into(), prefix),
            ipam_dir: "/var/lib/longshore/ipam".into(),
            plugin_dirs: Vec::new(),
            dynamic_ports: None,
        }
    }

    /// A table with one route.
    fn table(device: &str, address: [u8; 4], prefix: u32) -> String {
        let hex = |number: u32| format!("{:08X}", number.to_be());
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let address = hex(Ipv4Addr::from(address).into());
        format!(
            "{HEAD}{device}\t{address}\t00000000\t0001\t0\t0\t100\t{}\t0\t0\t0\n",
            hex(mask)
        )
    }

    #[test]
    fn a_network_of_another_link_is_taken() {
        let ours = network([172, 29, 0, 0], 16);
        for (device, address, prefix, expected) in [
            ("eth0", [172, 29, 0, 0], 16, true),
            ("eth0", [172, 29, 5, 0], 24, true),
            ("wg0", [172, 29, 255, 255], 32, true),
            ("longshore0", [172, 29, 0, 0], 16, false),
            ("eth0", [172, 28, 0, 0], 16, false),
            ("eth0", [172, 30, 0, 0], 24, false),
            // Wider: cut out of it.
            ("tun0", [172, 16, 0, 0], 12, false),
            ("tun0", [128, 0, 0, 0], 1, false),
            ("eth0", [0, 0, 0, 0], 0, false),
        ] {
            let table = table(device, address, prefix);
            assert_eq!(
                taken(&table, &ours).is_some(),
                expected,
                "{device} {address:?}/{prefix}"
            );
        }
    }

    #[test]
    fn a_torn_table_is_no_route() {
        let ours = network([172, 29, 0, 0], 16);
        for text in [
            "",
            HEAD,
            &format!("{HEAD}eth0"),
            &format!("{HEAD}eth0\t00001DAC\tx"),
        ] {
            assert_eq!(taken(text, &ours), None, "{text:?}");
        }
    }
}
