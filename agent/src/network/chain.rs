//! The plugins of the bridge, in their order: bridge (with host-local), portmap, firewall; and loopback beside them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::PortBinding;
use crate::config::NetworkConfig;
use crate::model::{PortMapping, Protocol};

/// Spoken by every release of the plugins since 0.7.
const CNI_VERSION: &str = "0.4.0";
/// The interface inside.
pub(super) const INTERFACE: &str = "eth0";

/// What is written into every configuration.
fn plugin(config: &NetworkConfig, kind: &str, more: Value) -> Value {
    let mut value = json!({"cniVersion": CNI_VERSION, "name": config.bridge, "type": kind});
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

/// Brings loopback up.
pub(super) fn loopback(config: &NetworkConfig) -> Value {
    plugin(config, "loopback", json!({}))
}

fn bridge(config: &NetworkConfig) -> Value {
    let (address, prefix) = config.subnet;
    let more = json!({
        "bridge": config.bridge,
        "isGateway": true,
        "ipMasq": true,
        // So that a container reaches itself through its own port of the host.
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": config.ipam_dir,
            "ranges": [[{"subnet": format!("{address}/{prefix}")}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    });
    plugin(config, "bridge", more)
}

fn portmap(config: &NetworkConfig, mappings: &[PortMapping]) -> Value {
    let mappings: Vec<_> = mappings
        .iter()
        .map(|mapping| {
            json!({
                "hostPort": mapping.host_port,
                "containerPort": mapping.container_port,
                "protocol": mapping.protocol.as_str(),
            })
        })
        .collect();
    let more = json!({
        "snat": true,
        "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": mappings},
    });
    plugin(config, "portmap", more)
}

fn firewall(config: &NetworkConfig) -> Value {
    plugin(config, "firewall", json!({"backend": "iptables"}))
}

/// The chain for a container with these ports.
pub(super) fn plugins(config: &NetworkConfig, bindings: &[PortBinding]) -> Vec<Value> {
    let mut plugins = vec![bridge(config)];
    if !bindings.is_empty() {
        let mappings: Vec<_> = bindings.iter().map(|binding| binding.mapping).collect();
        plugins.push(portmap(config, &mappings));
    }
    plugins.push(firewall(config));
    plugins
}

/// The chain to take back an attachment of which nobody knows what it had.
pub(super) fn every_plugin(config: &NetworkConfig) -> Vec<Value> {
    // The portmap plugin removes all that is the container's, but only if it is told of any port.
    let any = PortMapping {
        container_port: 1,
        host_port: Some(1),
        protocol: Protocol::Tcp,
    };
    vec![bridge(config), portmap(config, &[any]), firewall(config)]
}

/// As much of a result as taking back needs.
pub(super) fn result(addresses: &[IpAddr]) -> Value {
    let ips: Vec<_> = addresses
        .iter()
        .map(|address| json!({"version": "4", "address": format!("{address}/32")}))
        .collect();
    json!({"cniVersion": CNI_VERSION, "ips": ips})
}

/// A configuration with what the plugins before it made.
pub(super) fn with_previous(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    if !result.is_null() {
        config["prevResult"] = result.clone();
    }
    config
}

/// The addresses in a result.
pub(super) fn addresses(result: &Value) -> Vec<IpAddr> {
    let list = result["ips"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig {
            bridge: "longshore0".into(),
            subnet: (Ipv4Addr::new(172, 29, 0, 0), 16),
            ipam_dir: "/var/lib/longshore/ipam".into(),
            plugin_dirs: Vec::new(),
            dynamic_ports: None,
        }
    }

    #[test]
    fn the_chain_is_what_the_plugins_take() {
        let mapping = PortMapping {
            container_port: 80,
            host_port: Some(8080),
            protocol: Protocol::Tcp,
        };
        let bind_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        insta::assert_json_snapshot!(plugins(&config(), &[PortBinding { mapping, bind_ip }]));
    }

    #[test]
    fn without_ports_there_is_no_portmap() {
        let kinds: Vec<_> = plugins(&config(), &[])
            .iter()
            .map(|p| p["type"].to_string())
            .collect();
        assert_eq!(kinds, ["\"bridge\"", "\"firewall\""]);
    }

    #[test]
    fn addresses_are_read_from_a_result_of_any_form() {
        let result =
            json!({"ips": [{"version": "4", "address": "172.29.0.2/16"}, {"address": 7}, {"address": "x"}]});
        assert_eq!(addresses(&result), [IpAddr::from([172, 29, 0, 2])]);
        assert!(addresses(&Value::Null).is_empty());
    }
}
