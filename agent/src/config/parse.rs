//! From names and texts to [`Config`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::auth::{self, AuthType};
use super::duration::{self, TRUTH_FORM};
use super::forms::{
    ENDPOINT_FORM, SOCKET_FORM, absolute, endpoint, identifier, interface, json, log_level, paths,
    port_range, program, proxy_address, pull_behavior, resume_on_boot, socket, subnet,
};
use super::reader::{PATH_FORM, Reader};
use super::{
    Config, ExecConfig, Fault, Faults, ImageConfig, ImageLimits, NetworkConfig, ProxyConfig, PullBehavior,
    ResourceConfig, Warning,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The kernel's PID_MAX_LIMIT.
const MAX_PIDS: u64 = 4_194_304;
const MOST_SESSIONS: usize = 1000;

/// Where the existing agent serves its metrics.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 51680);

const PATHS_FORM: &str = "absolute paths separated by colons";
const PORTS_FORM: &str = "a JSON array of port numbers, such as [22,8080]";
const MAP_FORM: &str = r#"a JSON object of texts, such as {"stack":"prod"}"#;
const NAMESPACE_FORM: &str = "letters, digits and single . - _ between them, at most 76";

impl Config {
    /// Reads the settings: `file` is the text of the settings file where there is one; of the environment only
    /// `ECS_*`, `LONGSHORE_*` and the proxy names count, and they go first.
    ///
    /// # Errors
    /// [`Faults`]: all of them.
    pub fn parse(
        file: Option<&str>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Warning>), Faults> {
        let mut reader = Reader::gather(file, environment);
        reader.judge_names();
        let config = reader.config();
        match reader.faults.is_empty() {
            true => Ok((config, reader.warnings)),
            false => Err(Faults(reader.faults)),
        }
    }
}

impl Reader {
    fn config(&mut self) -> Config {
        if self.parsed("ECS_EXTERNAL", TRUTH_FORM, duration::truth) == Some(false) {
            self.warn(
                "ECS_EXTERNAL",
                "false is not possible: this agent's launch type is always EXTERNAL",
            );
        }
        let data_dir = self
            .preferred("LONGSHORE_DATA_DIR", "ECS_DATADIR", PATH_FORM, absolute)
            .unwrap_or_else(|| PathBuf::from("/var/lib/longshore"));
        let mut cleanup_wait = self.duration("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", 3 * HOUR);
        if cleanup_wait < SECOND {
            cleanup_wait = 3 * HOUR;
            self.warn(
                "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION",
                "is less than 1s; 3h is used",
            );
        }
        let metrics_address = self.metrics_address();
        let runtime_form =
            "the name of a containerd shim, such as io.containerd.runc.v2, or an absolute path";
        Config {
            cluster: self.text(
                "ECS_CLUSTER",
                "letters, digits, - and _, at most 255",
                "default",
                longshore_protocol::arn::is_valid_name,
            ),
            endpoint: self.preferred("LONGSHORE_ENDPOINT", "ECS_BACKEND_HOST", ENDPOINT_FORM, endpoint),
            admin_socket: self
                .parsed("LONGSHORE_ADMIN_SOCKET", SOCKET_FORM, socket)
                .unwrap_or_else(|| data_dir.join("admin.sock")),
            containerd_address: self.path("LONGSHORE_CONTAINERD_ADDRESS", "/run/containerd/containerd.sock"),
            containerd_namespace: self.text(
                "LONGSHORE_CONTAINERD_NAMESPACE",
                NAMESPACE_FORM,
                "longshore",
                identifier,
            ),
            snapshotter: self.text("LONGSHORE_SNAPSHOTTER", NAMESPACE_FORM, "overlayfs", identifier),
            runtime: self.parsed("LONGSHORE_RUNTIME", runtime_form, program),
            oci_runtime: self.parsed(
                "LONGSHORE_OCI_RUNTIME",
                "the name of a program, such as crun, or an absolute path",
                program,
            ),
            cgroup_parent: self.text(
                "LONGSHORE_CGROUP_PARENT",
                "an absolute path without ..",
                "/longshore",
                |text| absolute(text).is_some() && text != "/",
            ),
            log_writer: self
                .parsed("LONGSHORE_LOG_WRITER", PATH_FORM, absolute)
                .unwrap_or_else(|| PathBuf::from("longshore-log")),
            network: self.network(&data_dir),
            image: self.image(),
            resources: self.resources(metrics_address),
            stop_timeout: self.duration("ECS_CONTAINER_STOP_TIMEOUT", 30 * SECOND),
            start_timeout: self.at_least("ECS_CONTAINER_START_TIMEOUT", 45 * SECOND, 3 * MINUTE),
            create_timeout: self.at_least("ECS_CONTAINER_CREATE_TIMEOUT", MINUTE, 4 * MINUTE),
            cleanup_wait,
            resume_on_boot: self
                .parsed(
                    "LONGSHORE_RESUME_ON_BOOT",
                    "restart-policy, all or none",
                    resume_on_boot,
                )
                .unwrap_or_default(),
            disable_privileged: self.flag("ECS_DISABLE_PRIVILEGED"),
            task_pids_limit: self.pids_limit(),
            exec: self.exec(),
            log_filter: self.log_filter(),
            metrics_address,
            proxy: self.proxy(),
            data_dir,
        }
    }

    fn network(&mut self, data_dir: &std::path::Path) -> NetworkConfig {
        NetworkConfig {
            bridge: self.text(
                "LONGSHORE_BRIDGE",
                "an interface name of 1 to 15 characters",
                "longshore0",
                interface,
            ),
            subnet: self
                .parsed(
                    "LONGSHORE_BRIDGE_SUBNET",
                    "an IPv4 network such as 172.29.0.0/16, from /8 to /29",
                    subnet,
                )
                .unwrap_or((Ipv4Addr::new(172, 29, 0, 0), 16)),
            ipam_dir: self
                .parsed("LONGSHORE_IPAM_DIR", PATH_FORM, absolute)
                .unwrap_or_else(|| data_dir.join("ipam")),
            plugin_dirs: self
                .parsed("LONGSHORE_CNI_BIN_DIRS", PATHS_FORM, paths)
                .unwrap_or_else(|| {
                    ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"]
                        .map(PathBuf::from)
                        .to_vec()
                }),
            dynamic_ports: self.parsed(
                "ECS_DYNAMIC_HOST_PORT_RANGE",
                "two ports FIRST-LAST, from 1 to 65535, the first not above the last",
                port_range,
            ),
        }
    }

    fn image(&mut self) -> ImageConfig {
        ImageConfig {
            pull_behavior: self
                .parsed(
                    "ECS_IMAGE_PULL_BEHAVIOR",
                    "default, always, once or prefer-cached",
                    pull_behavior,
                )
                .unwrap_or(PullBehavior::Default),
            auth: self.auth(),
            registry_config_dir: self.path("LONGSHORE_REGISTRY_CONFIG_DIR", "/etc/containerd/certs.d"),
            pull_timeout: self.at_least("ECS_IMAGE_PULL_TIMEOUT", Duration::ZERO, 2 * HOUR),
            inactivity_timeout: self.at_least("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", MINUTE, MINUTE),
            limits: self.image_limits(),
        }
    }

    fn image_limits(&mut self) -> ImageLimits {
        let default = ImageLimits::default();
        let mut mebibytes = |name| {
            let form = "a number of MiB, or 0 for no limit";
            self.parsed(name, form, |text| text.parse::<u64>().ok()?.checked_mul(1 << 20))
        };
        let layer = mebibytes("LONGSHORE_LAYER_SIZE_LIMIT").unwrap_or(default.layer);
        let image = mebibytes("LONGSHORE_IMAGE_SIZE_LIMIT").unwrap_or(default.image);
        let form = "a number, or 0 for no limit";
        let ratio = self.parsed("LONGSHORE_LAYER_RATIO_LIMIT", form, |text| text.parse().ok());
        ImageLimits {
            layer,
            image,
            ratio: ratio.unwrap_or(default.ratio),
            ..default
        }
    }

    fn auth(&mut self) -> BTreeMap<String, super::RegistryAuth> {
        let shape = self.parsed("ECS_ENGINE_AUTH_TYPE", AuthType::FORM, AuthType::parse);
        let data = self.values.remove("ECS_ENGINE_AUTH_DATA");
        match (shape, data) {
            (None, None) => BTreeMap::new(),
            (Some(shape), Some(data)) => auth::logins(shape, &data).unwrap_or_else(|| {
                self.faults.push(Fault::Value {
                    name: "ECS_ENGINE_AUTH_DATA",
                    value: "(not shown)".to_owned(),
                    allowed: shape.form(),
                });
                BTreeMap::new()
            }),
            (Some(_), None) => {
                self.warn(
                    "ECS_ENGINE_AUTH_TYPE",
                    "does nothing without ECS_ENGINE_AUTH_DATA",
                );
                BTreeMap::new()
            }
            (None, Some(_)) => {
                self.warn(
                    "ECS_ENGINE_AUTH_DATA",
                    "does nothing without ECS_ENGINE_AUTH_TYPE",
                );
                BTreeMap::new()
            }
        }
    }

    fn resources(&mut self, metrics: Option<SocketAddr>) -> ResourceConfig {
        let mut reserved_memory = self
            .parsed("ECS_RESERVED_MEMORY", "a number of MiB", |text| {
                text.parse::<u64>().ok()
            })
            .unwrap_or(0);
        if reserved_memory > u64::from(u16::MAX) {
            reserved_memory = 0;
            self.warn("ECS_RESERVED_MEMORY", "is more than 65535; nothing is reserved");
        }
        let mut reserved_ports = self
            .parsed("ECS_RESERVED_PORTS", PORTS_FORM, json)
            .unwrap_or_else(|| vec![22, 51678, 51679]);
        reserved_ports.extend(metrics.map(|address| address.port()));
        ResourceConfig {
            reserved_ports,
            reserved_ports_udp: self
                .parsed("ECS_RESERVED_PORTS_UDP", PORTS_FORM, json)
                .unwrap_or_default(),
            reserved_memory,
            attributes: self
                .parsed("ECS_INSTANCE_ATTRIBUTES", MAP_FORM, json)
                .unwrap_or_default(),
            tags: self
                .parsed("ECS_CONTAINER_INSTANCE_TAGS", MAP_FORM, json)
                .unwrap_or_default(),
            cdi_dirs: self
                .parsed("LONGSHORE_CDI_DIRS", PATHS_FORM, paths)
                .unwrap_or_default(),
        }
    }

    fn exec(&mut self) -> ExecConfig {
        let max_sessions = self.parsed("LONGSHORE_EXEC_MAX_SESSIONS", "a number from 0 to 1000", |text| {
            text.parse().ok().filter(|number| *number <= MOST_SESSIONS)
        });
        let limit = |duration: Duration| (!duration.is_zero()).then_some(duration);
        ExecConfig {
            max_sessions: max_sessions.unwrap_or(16),
            idle_timeout: limit(self.duration("LONGSHORE_EXEC_IDLE_TIMEOUT", 20 * MINUTE)),
            max_duration: limit(self.duration("LONGSHORE_EXEC_MAX_DURATION", Duration::ZERO)),
        }
    }

    fn pids_limit(&mut self) -> Option<u32> {
        let limit = self.parsed(
            "ECS_TASK_PIDS_LIMIT",
            "a number from 1 to 4194304, or 0 for no limit",
            |text| text.parse::<u64>().ok(),
        )?;
        if limit > MAX_PIDS {
            self.warn("ECS_TASK_PIDS_LIMIT", "is more than 4194304; there is no limit");
            return None;
        }
        u32::try_from(limit).ok().filter(|limit| *limit > 0)
    }

    fn log_filter(&mut self) -> String {
        let level = self.parsed("ECS_LOGLEVEL", "debug, info, warn, error or crit", log_level);
        let filter = self.parsed(
            "LONGSHORE_LOG",
            "a filter such as info or longshore_agent::link=debug",
            |text| {
                tracing_subscriber::EnvFilter::try_new(text)
                    .is_ok()
                    .then(|| text.to_owned())
            },
        );
        filter
            .or(level.map(str::to_owned))
            .unwrap_or_else(|| "info".to_owned())
    }

    fn metrics_address(&mut self) -> Option<SocketAddr> {
        let enabled = self.flag("ECS_ENABLE_PROMETHEUS_METRICS");
        let form = "an address and a port, such as 127.0.0.1:51680";
        let named = self.parsed("LONGSHORE_METRICS_ADDRESS", form, |text| text.parse().ok());
        named.or_else(|| enabled.then_some(METRICS))
    }

    fn proxy(&mut self) -> ProxyConfig {
        let form = "an http:// address";
        ProxyConfig {
            https: self.parsed("HTTPS_PROXY", form, proxy_address),
            http: self.parsed("HTTP_PROXY", form, proxy_address),
            no: self.values.remove("NO_PROXY"),
        }
    }
}
