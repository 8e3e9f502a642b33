use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, PosixRlimitType};
use proptest::prelude::*;

use super::fixture::{Fixture, fixture};
use super::*;
use crate::model::{CgroupVersion, Ulimit};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |word: String| {
        let (name, value) = word.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    words(text).into_iter().map(pair).collect()
}

#[test]
fn the_whole_of_a_spec() {
    let mut fixture = fixture();
    let container = fixture.container();
    container.cpu = 256;
    container.memory = Some(128);
    container.memory_reservation = Some(64);
    container.environment = pairs("MODE=test");
    container.readonly_root_filesystem = true;
    container.ulimits = vec![Ulimit {
        name: "core".to_owned(),
        soft: 0,
        hard: -1,
    }];
    fixture.image.entrypoint = words("/bin/web --port 80");
    fixture.image.cmd = words("serve");
    fixture.attachment = Attachment {
        mode: NetworkMode::Bridge,
        namespace: Some("/run/netns/web".into()),
        addresses: vec![Ipv4Addr::new(172, 29, 0, 2).into()],
        bindings: Vec::new(),
        files: vec![("/var/lib/longshore/net/hosts".into(), "/etc/hosts".into())],
    };
    fixture.mounts = vec![BindMount {
        source: "/srv/data".into(),
        destination: "/data".into(),
        read_only: true,
    }];
    let mut spec = serde_json::to_value(fixture.build().unwrap()).unwrap();
    // Sets have no order of their own.
    for set in ["bounding", "effective", "permitted"] {
        let set = spec["process"]["capabilities"][set].as_array_mut().unwrap();
        set.sort_by_key(|name| name.as_str().unwrap().to_owned());
    }
    // The long list of names has tests of its own.
    spec["linux"]["seccomp"]["syscalls"][0]["names"] = "…".into();
    insta::assert_json_snapshot!(spec);
}

#[test]
fn a_command_replaces_cmd_and_an_entry_point_drops_both() {
    let mut fixture = fixture();
    fixture.image.entrypoint = words("entry e1");
    fixture.image.cmd = words("cmd c1");
    assert_eq!(fixture.args(), words("entry e1 cmd c1"));
    fixture.container().command = Some(words("mine"));
    assert_eq!(fixture.args(), words("entry e1 mine"));
    fixture.container().entry_point = Some(words("own o1"));
    assert_eq!(fixture.args(), words("own o1 mine"));
    fixture.container().command = None;
    assert_eq!(fixture.args(), words("own o1"));
    fixture.container().entry_point = Some(Vec::new());
    fixture.container().command = Some(Vec::new());
    assert_eq!(fixture.args(), words("entry e1 cmd c1"));
}

#[test]
fn an_image_with_nothing_to_run_is_refused_by_name() {
    let mut fixture = fixture();
    fixture.image.cmd.clear();
    let error = fixture.build().unwrap_err().to_string();
    assert!(
        error.contains("registry.example/web:1") && error.contains("command"),
        "{error}"
    );
}

#[test]
fn the_definition_wins_over_its_files_and_those_over_the_image() {
    let mut fixture = fixture();
    fixture.image.env = words("A=image B=image C=image EMPTY");
    fixture.environment_files = pairs("B=file C=file D=first D=second");
    fixture.container().environment = pairs("C=definition E=definition");
    let path = format!(
        "PATH={}",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    let expected = "A=image B=file C=definition EMPTY= D=first E=definition";
    assert_eq!(fixture.env(), [vec![path], words(expected)].concat());

    fixture.image.env = words("PATH=/opt/bin");
    assert_eq!(fixture.env()[0], "PATH=/opt/bin");
}

#[test]
fn the_network_mode_chooses_namespace_and_hostname() {
    let mut fixture = fixture();
    let network = |fixture: &Fixture| {
        let linux = fixture.build().unwrap().linux().clone().unwrap();
        let namespaces = linux.namespaces().clone().unwrap();
        let network = namespaces
            .iter()
            .find(|one| one.typ() == LinuxNamespaceType::Network);
        network.map(|network| network.path().clone())
    };
    assert_eq!(network(&fixture), Some(None));
    assert_eq!(
        fixture.build().unwrap().hostname().as_deref(),
        Some("000000000000-0")
    );

    fixture.attachment.mode = NetworkMode::Bridge;
    assert!(matches!(fixture.build(), Err(SpecError::NoNamespace(_))));
    fixture.attachment.namespace = Some("/run/netns/x".into());
    assert_eq!(network(&fixture), Some(Some("/run/netns/x".into())));

    fixture.attachment.mode = NetworkMode::Host;
    fixture.attachment.namespace = None;
    assert_eq!(network(&fixture), None);
    assert_eq!(fixture.build().unwrap().hostname().as_deref(), Some("edge-1"));
}

#[test]
fn cgroup_v2_gets_a_cgroup_namespace() {
    let mut fixture = fixture();
    let has = |fixture: &Fixture| {
        let linux = fixture.build().unwrap().linux().clone().unwrap();
        let namespaces = linux.namespaces().clone().unwrap();
        namespaces
            .iter()
            .any(|one| one.typ() == LinuxNamespaceType::Cgroup)
    };
    assert!(!has(&fixture));
    fixture.host.cgroup = CgroupVersion::V2;
    assert!(has(&fixture));
}

#[test]
fn privileged_means_all_powers_and_nothing_hidden() {
    let mut fixture = fixture();
    fixture.host.apparmor = true;
    let plain = fixture.build().unwrap();
    assert_eq!(
        plain.process().clone().unwrap().apparmor_profile().as_deref(),
        Some(APPARMOR_PROFILE)
    );
    fixture.container().privileged = true;
    let spec = fixture.build().unwrap();
    let process = spec.process().clone().unwrap();
    assert!(process.apparmor_profile().is_none());
    let bounding = process
        .capabilities()
        .clone()
        .unwrap()
        .bounding()
        .clone()
        .unwrap();
    assert_eq!(bounding.len(), 41);
    let linux = spec.linux().clone().unwrap();
    assert!(linux.seccomp().is_none() && linux.masked_paths().is_none() && linux.readonly_paths().is_none());
    let devices = linux.resources().clone().unwrap().devices().clone().unwrap();
    assert!(devices.len() == 1 && devices[0].allow());
    let mounts = spec.mounts().clone().unwrap();
    let sys = mounts
        .iter()
        .find(|mount| mount.destination() == Path::new("/sys"))
        .unwrap();
    assert!(sys.options().clone().unwrap().contains(&"rw".to_owned()));
}

#[test]
fn volumes_come_after_their_parents_and_take_the_place_of_what_was_there() {
    let mut fixture = fixture();
    fixture.attachment.files = vec![("/net/hosts".into(), "/etc/hosts".into())];
    let volume = |destination: &str| BindMount {
        source: "/srv".into(),
        destination: destination.into(),
        read_only: false,
    };
    fixture.mounts = vec![
        volume("/a/b/c"),
        volume("/a"),
        volume("/dev/shm"),
        volume("/etc/hosts"),
    ];
    let mounts = fixture.build().unwrap().mounts().clone().unwrap();
    let destinations: Vec<_> = mounts
        .iter()
        .map(|mount| mount.destination().display().to_string())
        .collect();
    let place = |path: &str| {
        let places: Vec<_> = destinations.iter().filter(|one| *one == path).collect();
        assert_eq!(places.len(), 1, "{path} in {destinations:?}");
        destinations.iter().position(|one| one == path).unwrap()
    };
    assert!(place("/a") < place("/a/b/c"));
    assert_eq!(mounts[place("/dev/shm")].typ().as_deref(), Some("bind"));
    assert_eq!(
        mounts[place("/etc/hosts")].source().as_deref(),
        Some(Path::new("/srv"))
    );

    for bad in ["data", "/", "/a/../../etc"] {
        fixture.mounts = vec![volume(bad)];
        assert!(
            matches!(fixture.build(), Err(SpecError::MountPath { .. })),
            "{bad}"
        );
    }
}

#[test]
fn ulimits_are_by_the_names_of_the_api() {
    let mut fixture = fixture();
    let ulimit = |name: &str, soft, hard| Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    };
    let limits = |fixture: &Fixture| {
        fixture
            .build()
            .unwrap()
            .process()
            .clone()
            .unwrap()
            .rlimits()
            .clone()
            .unwrap()
    };
    let default = limits(&fixture);
    assert_eq!(
        (default.len(), default[0].soft(), default[0].hard()),
        (1, 1024, 4096)
    );

    fixture.container().ulimits = vec![ulimit("nofile", 10, 20), ulimit("stack", 5, -1)];
    let own = limits(&fixture);
    assert_eq!(own.len(), 2);
    assert_eq!((own[0].typ(), own[0].soft()), (PosixRlimitType::RlimitNofile, 10));
    assert_eq!((own[1].soft(), own[1].hard()), (5, u64::MAX));

    fixture.container().ulimits = vec![ulimit("nofiles", 1, 1)];
    assert!(matches!(fixture.build(), Err(SpecError::UnknownUlimit { .. })));
    for (soft, hard) in [(2, 1), (-1, 1), (-2, -1)] {
        fixture.container().ulimits = vec![ulimit("core", soft, hard)];
        assert!(
            matches!(fixture.build(), Err(SpecError::UlimitRange { .. })),
            "{soft}:{hard}"
        );
    }
}

#[test]
fn working_directories_begin_at_the_root() {
    let mut fixture = fixture();
    let cwd = |fixture: &Fixture| fixture.build().unwrap().process().clone().unwrap().cwd().clone();
    assert_eq!(cwd(&fixture), Path::new("/"));
    fixture.image.working_dir = "srv".to_owned();
    assert_eq!(cwd(&fixture), Path::new("/srv"));
    fixture.container().working_directory = Some("/mine".to_owned());
    assert_eq!(cwd(&fixture), Path::new("/mine"));
}

proptest! {
    #[test]
    fn limits_are_never_below_what_the_kernel_takes(cpu: u64, memory: u64) {
        let mut fixture = fixture();
        fixture.container().cpu = cpu;
        fixture.container().memory = Some(memory);
        let linux = fixture.build().unwrap().linux().clone().unwrap();
        let resources = linux.resources().clone().unwrap();
        let shares = resources.cpu().clone().unwrap().shares().unwrap();
        prop_assert_eq!(shares, cpu.max(2));
        let limit = (*resources.memory()).unwrap().limit().unwrap();
        prop_assert!(limit >= 4 << 20);
    }

    #[test]
    fn each_variable_is_there_once_and_the_definition_has_the_last_word(
        image in proptest::collection::vec(("[A-D]", "[a-z=]{0,3}"), 0..6),
        files in proptest::collection::vec(("[A-D]", "[a-z=]{0,3}"), 0..6),
        definition in proptest::collection::btree_map("[A-D]", "[a-z=]{0,3}", 0..4),
    ) {
        let mut fixture = fixture();
        fixture.image.env = image.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fixture.environment_files = files.clone();
        fixture.container().environment = definition.clone().into_iter().collect();
        let env = fixture.env();
        let names: std::collections::BTreeSet<_> = env.iter().map(|line| line.split('=').next().unwrap()).collect();
        prop_assert_eq!(names.len(), env.len());
        let got: BTreeMap<_, _> = env.iter().filter_map(|line| line.split_once('=')).collect();
        let named = image.iter().chain(&files).map(|(name, _)| name).chain(definition.keys());
        for name in named {
            let first_of_files = files.iter().find(|(one, _)| one == name).map(|(_, value)| value);
            let last_of_image = image.iter().rev().find(|(one, _)| one == name).map(|(_, value)| value);
            let expected = definition.get(name).or(first_of_files).or(last_of_image).unwrap();
            prop_assert_eq!(got[name.as_str()], expected);
        }
    }
}
