use proptest::prelude::*;

use super::*;

fn pairs(settings: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = settings
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    owned.into_iter()
}

fn good(settings: &[(&str, &str)]) -> (Config, Vec<Warning>) {
    Config::parse(None, pairs(settings)).unwrap_or_else(|faults| panic!("{settings:?}: {faults}"))
}

#[test]
fn without_settings_the_defaults_hold_and_nothing_is_said() {
    let (config, warnings) = good(&[]);
    assert_eq!(warnings, []);
    assert_eq!(config.cluster, "default");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/longshore"));
    assert_eq!(
        config.admin_socket,
        PathBuf::from("/var/lib/longshore/admin.sock")
    );
    assert_eq!(config.network.ipam_dir, PathBuf::from("/var/lib/longshore/ipam"));
    assert_eq!(config.stop_timeout, Duration::from_secs(30));
    assert_eq!(config.start_timeout, Duration::from_secs(180));
    assert_eq!(config.create_timeout, Duration::from_secs(240));
    assert_eq!(config.cleanup_wait, Duration::from_secs(10_800));
    assert_eq!(config.image.pull_timeout, Duration::from_secs(7200));
    assert_eq!(config.resources.reserved_ports, [22, 51678, 51679]);
    assert_eq!(config.task_pids_limit, None);
    assert_eq!(config.log_filter, "info");
}

/// What a setting makes of a configuration, as text; the golden table below is read by people too.
fn effect(name: &str, config: &Config) -> String {
    match name {
        "ECS_CONTAINER_STOP_TIMEOUT" => format!("{:?}", config.stop_timeout),
        "ECS_CONTAINER_START_TIMEOUT" => format!("{:?}", config.start_timeout),
        "ECS_CONTAINER_CREATE_TIMEOUT" => format!("{:?}", config.create_timeout),
        "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION" => format!("{:?}", config.cleanup_wait),
        "ECS_IMAGE_PULL_TIMEOUT" => format!("{:?}", config.image.pull_timeout),
        "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT" => format!("{:?}", config.image.inactivity_timeout),
        "LONGSHORE_LAYER_SIZE_LIMIT" => format!("{}", config.image.limits.layer),
        "LONGSHORE_IMAGE_SIZE_LIMIT" => format!("{}", config.image.limits.image),
        "LONGSHORE_LAYER_RATIO_LIMIT" => format!("{}", config.image.limits.ratio),
        "LONGSHORE_RESUME_ON_BOOT" => format!("{:?}", config.resume_on_boot),
        "ECS_IMAGE_PULL_BEHAVIOR" => format!("{:?}", config.image.pull_behavior),
        "ECS_TASK_PIDS_LIMIT" => format!("{:?}", config.task_pids_limit),
        "ECS_RESERVED_MEMORY" => format!("{}", config.resources.reserved_memory),
        "ECS_RESERVED_PORTS" => format!("{:?}", config.resources.reserved_ports),
        "ECS_RESERVED_PORTS_UDP" => format!("{:?}", config.resources.reserved_ports_udp),
        "ECS_INSTANCE_ATTRIBUTES" => format!("{:?}", config.resources.attributes),
        "ECS_DYNAMIC_HOST_PORT_RANGE" => format!("{:?}", config.network.dynamic_ports),
        "ECS_DISABLE_PRIVILEGED" => format!("{}", config.disable_privileged),
        "ECS_LOGLEVEL" | "LONGSHORE_LOG" => config.log_filter.clone(),
        "ECS_CLUSTER" => config.cluster.clone(),
        "ECS_BACKEND_HOST" | "LONGSHORE_ENDPOINT" => format!("{:?}", config.endpoint),
        "LONGSHORE_BRIDGE_SUBNET" => format!("{:?}", config.network.subnet),
        "LONGSHORE_BRIDGE" => config.network.bridge.clone(),
        "LONGSHORE_CNI_BIN_DIRS" => format!("{:?}", config.network.plugin_dirs),
        "LONGSHORE_RUNTIME" => config.runtime.clone().unwrap_or_default(),
        "LONGSHORE_OCI_RUNTIME" => config.oci_runtime.clone().unwrap_or_default(),
        "ECS_ENABLE_PROMETHEUS_METRICS" | "LONGSHORE_METRICS_ADDRESS" => {
            format!("{:?}", config.metrics_address)
        }
        "LONGSHORE_ADMIN_SOCKET" | "LONGSHORE_DATA_DIR" => config.admin_socket.display().to_string(),
        "ECS_EXTERNAL" => "EXTERNAL".to_owned(),
        _ => panic!("the table has no column for {name}"),
    }
}

/// Name, value, effect; `!` where it warns too, `-` where it stops the start.
const TABLE: &[(&str, &str, &str)] = &[
    ("ECS_CONTAINER_STOP_TIMEOUT", "500ms", "500ms"),
    ("ECS_CONTAINER_STOP_TIMEOUT", "0s", "0ns"),
    ("ECS_CONTAINER_STOP_TIMEOUT", "240h", "864000s"),
    ("ECS_CONTAINER_STOP_TIMEOUT", "abc", "-"),
    ("ECS_CONTAINER_STOP_TIMEOUT", "30", "-"),
    ("ECS_CONTAINER_STOP_TIMEOUT", "-5s", "-"),
    ("ECS_CONTAINER_START_TIMEOUT", "10s", "45s !"),
    ("ECS_CONTAINER_START_TIMEOUT", "45s", "45s"),
    ("ECS_CONTAINER_START_TIMEOUT", "0", "180s !"),
    ("ECS_CONTAINER_CREATE_TIMEOUT", "10s", "60s !"),
    ("ECS_CONTAINER_CREATE_TIMEOUT", "1h30m", "5400s"),
    ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "500ms", "10800s !"),
    ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "1s", "1s"),
    ("ECS_IMAGE_PULL_TIMEOUT", "1s", "1s"),
    ("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", "30s", "60s !"),
    ("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", "2m", "120s"),
    ("ECS_IMAGE_PULL_BEHAVIOR", "prefer-cached", "PreferCached"),
    ("ECS_IMAGE_PULL_BEHAVIOR", "never", "-"),
    ("LONGSHORE_LAYER_SIZE_LIMIT", "100", "104857600"),
    ("LONGSHORE_LAYER_SIZE_LIMIT", "0", "0"),
    ("LONGSHORE_LAYER_SIZE_LIMIT", "1GiB", "-"),
    ("LONGSHORE_LAYER_SIZE_LIMIT", "18446744073709551615", "-"),
    ("LONGSHORE_IMAGE_SIZE_LIMIT", "1", "1048576"),
    ("LONGSHORE_LAYER_RATIO_LIMIT", "1000", "1000"),
    ("LONGSHORE_LAYER_RATIO_LIMIT", "-1", "-"),
    ("LONGSHORE_RESUME_ON_BOOT", "all", "All"),
    ("LONGSHORE_RESUME_ON_BOOT", "none", "None"),
    ("LONGSHORE_RESUME_ON_BOOT", "restart-policy", "RestartPolicy"),
    ("LONGSHORE_RESUME_ON_BOOT", "always", "-"),
    ("ECS_TASK_PIDS_LIMIT", "100", "Some(100)"),
    ("ECS_TASK_PIDS_LIMIT", "0", "None"),
    ("ECS_TASK_PIDS_LIMIT", "4194305", "None !"),
    ("ECS_TASK_PIDS_LIMIT", "-1", "-"),
    ("ECS_ENABLE_PROMETHEUS_METRICS", "true", "Some(127.0.0.1:51680)"),
    ("ECS_ENABLE_PROMETHEUS_METRICS", "false", "None"),
    ("LONGSHORE_METRICS_ADDRESS", "[::1]:9100", "Some([::1]:9100)"),
    ("LONGSHORE_METRICS_ADDRESS", "9100", "-"),
    ("LONGSHORE_ADMIN_SOCKET", "/run/a.sock", "/run/a.sock"),
    ("LONGSHORE_ADMIN_SOCKET", "run/a.sock", "-"),
    ("LONGSHORE_ADMIN_SOCKET", "/run/../a.sock", "-"),
    ("LONGSHORE_ADMIN_SOCKET", "/run/", "-"),
    ("LONGSHORE_ADMIN_SOCKET", "/run/.", "-"),
    ("LONGSHORE_DATA_DIR", "/data", "/data/admin.sock"),
    ("ECS_RESERVED_MEMORY", "65535", "65535"),
    ("ECS_RESERVED_MEMORY", "70000", "0 !"),
    ("ECS_RESERVED_MEMORY", "1GiB", "-"),
    ("ECS_RESERVED_PORTS", "[8080]", "[8080]"),
    ("ECS_RESERVED_PORTS", "[]", "[]"),
    ("ECS_RESERVED_PORTS", "[70000]", "-"),
    ("ECS_RESERVED_PORTS_UDP", "[53, 123]", "[53, 123]"),
    (
        "ECS_INSTANCE_ATTRIBUTES",
        r#"{"stack":"prod"}"#,
        r#"{"stack": "prod"}"#,
    ),
    ("ECS_INSTANCE_ATTRIBUTES", "{bad", "-"),
    (
        "ECS_DYNAMIC_HOST_PORT_RANGE",
        "40000-40001",
        "Some((40000, 40001))",
    ),
    ("ECS_DYNAMIC_HOST_PORT_RANGE", "40001-40000", "-"),
    ("ECS_DISABLE_PRIVILEGED", "T", "true"),
    ("ECS_DISABLE_PRIVILEGED", "yes", "-"),
    ("ECS_LOGLEVEL", "crit", "error"),
    ("ECS_LOGLEVEL", "loud", "-"),
    (
        "LONGSHORE_LOG",
        "info,longshore_agent::link=debug",
        "info,longshore_agent::link=debug",
    ),
    ("ECS_CLUSTER", " edge-1 ", "edge-1"),
    ("ECS_CLUSTER", "no spaces", "-"),
    (
        "ECS_BACKEND_HOST",
        "ecs.example:8474",
        r#"Some("https://ecs.example:8474")"#,
    ),
    (
        "LONGSHORE_ENDPOINT",
        "http://127.0.0.1:8474/",
        r#"Some("http://127.0.0.1:8474")"#,
    ),
    ("LONGSHORE_ENDPOINT", "https://ecs.example/path", "-"),
    ("LONGSHORE_BRIDGE_SUBNET", "10.1.0.0/24", "(10.1.0.0, 24)"),
    ("LONGSHORE_BRIDGE_SUBNET", "10.1.0.1/24", "-"),
    ("LONGSHORE_BRIDGE_SUBNET", "10.1.0.0/33", "-"),
    ("LONGSHORE_BRIDGE", "a-name-too-long0", "-"),
    ("LONGSHORE_CNI_BIN_DIRS", "/a:/b", r#"["/a", "/b"]"#),
    ("LONGSHORE_CNI_BIN_DIRS", "a", "-"),
    (
        "LONGSHORE_RUNTIME",
        "/usr/bin/containerd-shim-x-v1",
        "/usr/bin/containerd-shim-x-v1",
    ),
    ("LONGSHORE_RUNTIME", "a..b", "-"),
    ("LONGSHORE_RUNTIME", "", ""),
    ("LONGSHORE_OCI_RUNTIME", "crun", "crun"),
    ("LONGSHORE_OCI_RUNTIME", "/opt/bin/crun", "/opt/bin/crun"),
    ("LONGSHORE_OCI_RUNTIME", "./crun", "-"),
    ("ECS_EXTERNAL", "false", "EXTERNAL !"),
];

#[test]
fn golden_table() {
    for (name, value, expected) in TABLE {
        let found = match Config::parse(None, pairs(&[(name, value)])) {
            Err(_) => "-".to_owned(),
            Ok((config, warnings)) => effect(name, &config) + if warnings.is_empty() { "" } else { " !" },
        };
        assert_eq!(found, *expected, "{name}={value}");
    }
}

#[test]
fn the_environment_goes_before_the_file_and_an_empty_value_is_none() {
    let file = "ECS_CLUSTER=of-file\nECS_LOGLEVEL=debug\nECS_CLUSTER=of-file-too\n";
    let environment = [
        ("ECS_CLUSTER", "of-environment"),
        ("ECS_LOGLEVEL", ""),
        ("PATH", "/bin"),
    ];
    let (config, warnings) = Config::parse(Some(file), pairs(&environment)).unwrap();
    assert_eq!(
        (config.cluster.as_str(), config.log_filter.as_str()),
        ("of-environment", "debug")
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn every_fault_is_told_at_once_with_name_value_and_form() {
    let environment = [
        ("ECS_CONTAINER_STOP_TIMEOUT", "abc"),
        ("LONGSHORE_ENDPONT", "x"),
        ("ECS_RESERVED_PORTS", "22"),
        ("ECS_ENGINE_AUTH_TYPE", "docker"),
        ("ECS_ENGINE_AUTH_DATA", "hunter2"),
    ];
    let text = Config::parse(Some("oops\n"), pairs(&environment))
        .unwrap_err()
        .to_string();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "line 1 of the settings file: there is no = in it",
            "LONGSHORE_ENDPONT: there is no such setting; did you mean LONGSHORE_ENDPOINT?",
            r#"ECS_ENGINE_AUTH_DATA=(not shown): must be JSON {"REGISTRY":{"username":"…","password":"…"}}"#,
            "ECS_RESERVED_PORTS=22: must be a JSON array of port numbers, such as [22,8080]",
            "ECS_CONTAINER_STOP_TIMEOUT=abc: must be a duration such as 30s, 1h30m, 500ms or 1.5h, not negative",
        ]
    );
}

#[test]
fn a_file_that_is_something_else_is_told_in_a_few_lines() {
    let told = |lines: usize| {
        let text = "<p>\n".repeat(lines);
        let faults = Config::parse(Some(&text), std::iter::empty()).unwrap_err();
        let told = faults.to_string();
        (told.lines().count(), told.lines().last().unwrap().to_owned())
    };
    let (count, last) = told(20);
    assert_eq!((count, last.starts_with("line 20 of")), (20, true), "{last}");
    let (count, last) = told(5000);
    assert_eq!(
        (count, last.as_str()),
        (21, "and 4980 more lines of the settings file: is it one?")
    );
}

#[test]
fn the_admin_socket_has_a_path_that_a_socket_can_have() {
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    let (config, warnings) = good(&[("LONGSHORE_ADMIN_SOCKET", &path(107)), ("ECS_DATADIR", "/d")]);
    assert_eq!(
        (config.admin_socket, warnings),
        (PathBuf::from(path(107)), vec![])
    );
    // The kernel itself is asked what it takes.
    std::os::unix::net::SocketAddr::from_pathname(path(107)).unwrap();
    std::os::unix::net::SocketAddr::from_pathname(path(108)).unwrap_err();
    let long = path(108);
    let text = Config::parse(None, pairs(&[("LONGSHORE_ADMIN_SOCKET", &long)]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        format!(
            "LONGSHORE_ADMIN_SOCKET={long}: must be an absolute path with a file name, of at most 107 bytes"
        )
    );
}

#[test]
fn our_own_names_win_with_a_warning() {
    let (config, warnings) = good(&[
        ("LONGSHORE_ENDPOINT", "https://a"),
        ("ECS_BACKEND_HOST", "https://b"),
        ("LONGSHORE_DATA_DIR", "/a"),
        ("ECS_DATADIR", "/b"),
    ]);
    assert_eq!(config.endpoint.as_deref(), Some("https://a"));
    assert_eq!(config.data_dir, PathBuf::from("/a"));
    let names: Vec<_> = warnings.iter().map(|warning| warning.name.as_str()).collect();
    assert_eq!(names, ["ECS_DATADIR", "ECS_BACKEND_HOST"]);
}

#[test]
fn foreign_names_warn_and_say_whether_they_are_known() {
    let (_, warnings) = good(&[
        ("ECS_ENABLE_TASK_ENI", "true"),
        ("ECS_CLUSTR", "x"),
        ("LONGSHORE_CLUSTER", "x"),
    ]);
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "ECS_CLUSTR: is no setting of this agent; did you mean ECS_CLUSTER?; it is ignored",
            "ECS_ENABLE_TASK_ENI: is a setting of the ECS agent that this agent does not have; it is ignored",
            "LONGSHORE_CLUSTER: is for the longshore command; this agent takes ECS_CLUSTER",
        ]
    );
}

#[test]
fn passwords_are_in_no_debug_text() {
    let (config, _) = good(&[
        ("ECS_ENGINE_AUTH_TYPE", "docker"),
        (
            "ECS_ENGINE_AUTH_DATA",
            r#"{"r":{"username":"u","password":"hunter2"}}"#,
        ),
        ("https_proxy", "http://user:hunter2@proxy:3128"),
    ]);
    assert_eq!(config.image.auth["r"].password, "hunter2");
    assert!(!format!("{config:?} {:?}", config.image.auth).contains("hunter2"));
}

#[test]
fn each_supported_name_is_read() {
    // A name that stands in the list but that nothing reads would be ignored in silence.
    for name in names::ECS.iter().chain(names::LONGSHORE) {
        let settings = [(*name, "\u{1}"), ("ECS_ENGINE_AUTH_TYPE", "docker")];
        let (first, both) = (pairs(&settings[..1]), pairs(&settings));
        let outcome = match *name {
            "ECS_ENGINE_AUTH_DATA" => Config::parse(None, both),
            _ => Config::parse(None, first),
        };
        assert!(outcome.is_err(), "{name} is not read");
    }
}

proptest! {
    #[test]
    fn bounded_durations_never_fall_below_their_bounds(millis in 0_u64..10_000_000) {
        let value = format!("{millis}ms");
        let (config, warnings) = good(&[
            ("ECS_CONTAINER_START_TIMEOUT", &value),
            ("ECS_CONTAINER_CREATE_TIMEOUT", &value),
            ("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", &value),
            ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", &value),
            ("ECS_CONTAINER_STOP_TIMEOUT", &value),
        ]);
        let given = Duration::from_millis(millis);
        prop_assert!(config.start_timeout >= Duration::from_secs(45));
        prop_assert!(config.create_timeout >= Duration::from_secs(60));
        prop_assert!(config.image.inactivity_timeout >= Duration::from_secs(60));
        prop_assert!(config.cleanup_wait >= Duration::from_secs(1));
        prop_assert_eq!(config.stop_timeout, given);
        let used = [config.start_timeout, config.create_timeout, config.image.inactivity_timeout, config.cleanup_wait];
        let changed = used.iter().filter(|used| **used != given).count();
        prop_assert_eq!(warnings.len(), changed, "each change warns, and nothing else does");
    }

    #[test]
    fn no_text_makes_the_reader_panic(file in "(?s).{0,200}", value in ".{0,40}", which in 0_usize..37) {
        let name = names::ECS.iter().chain(names::LONGSHORE).nth(which).unwrap();
        let _ = Config::parse(Some(&file), pairs(&[(name, &value)]));
    }
}
