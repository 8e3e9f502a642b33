use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::*;

const FIRST: &str = "GPU-8a56b7f2-0c4e-4f9d-9d3e-6a3c1f0b2d11";
const SECOND: &str = "GPU-1b22c7f2-0c4e-4f9d-9d3e-6a3c1f0b2d22";

/// A node that stands for a card: the numbers are those of /dev/null.
fn node(path: &str) -> Value {
    json!({"path": path, "type": "c", "major": 1, "minor": 3})
}

fn device(name: &str, paths: &[&str]) -> Value {
    let nodes: Vec<_> = paths.iter().map(|path| node(path)).collect();
    json!({"name": name, "containerEdits": {"deviceNodes": nodes}})
}

fn specification(kind: &str, devices: &[Value]) -> String {
    json!({
        "cdiVersion": "0.5.0",
        "kind": kind,
        "devices": devices,
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [node("/dev/nvidiactl")],
        },
    })
    .to_string()
}

/// Two cards as the vendor's tool lists them.
fn two_cards() -> String {
    let devices = [
        device("0", &["/dev/nvidia0", "/dev/dri/card1"]),
        device(FIRST, &["/dev/nvidia0", "/dev/dri/card1"]),
        device("1", &["/dev/nvidia1", "/dev/dri/card2"]),
        device(SECOND, &["/dev/nvidia1", "/dev/dri/card2"]),
        device(
            "all",
            &["/dev/nvidia0", "/dev/dri/card1", "/dev/nvidia1", "/dev/dri/card2"],
        ),
    ];
    specification("nvidia.com/gpu", &devices)
}

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Gpus) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let gpus = Gpus::of_dirs(vec![dir.path().to_owned()]);
    (dir, gpus)
}

fn ids(gpus: &Gpus) -> Vec<String> {
    gpus.list().into_iter().map(|gpu| gpu.id).collect()
}

fn device_paths(spec: &Spec) -> Vec<String> {
    let linux = spec.linux().as_ref().unwrap();
    let mut paths: Vec<_> = linux
        .devices()
        .iter()
        .flatten()
        .map(|device| device.path().display().to_string())
        .collect();
    paths.sort();
    paths
}

#[test]
fn two_cards_are_two_gpus_named_by_their_uuids() {
    let (_dir, gpus) = folder(&[("nvidia.yaml", &two_cards())]);
    assert_eq!(ids(&gpus), [SECOND, FIRST]);
    let of_first = &gpus.list()[1].cdi_device;
    assert_eq!(*of_first, format!("nvidia.com/gpu={FIRST}"));
}

#[test]
fn one_card_is_one_gpu_though_all_has_the_same_nodes() {
    let devices = [
        device("0", &["/dev/nvidia0"]),
        device(FIRST, &["/dev/nvidia0"]),
        device("all", &["/dev/nvidia0"]),
    ];
    let (_dir, gpus) = folder(&[("nvidia.json", &specification("nvidia.com/gpu", &devices))]);
    assert_eq!(ids(&gpus), [FIRST]);
}

#[test]
fn a_card_without_a_uuid_has_its_qualified_name() {
    let devices = [
        device("card0", &["/dev/dri/card0"]),
        device("card1", &["/dev/dri/card1"]),
    ];
    let (_dir, gpus) = folder(&[("intel.yaml", &specification("intel.com/gpu", &devices))]);
    assert_eq!(ids(&gpus), ["intel.com/gpu=card0", "intel.com/gpu=card1"]);
}

#[test]
fn slices_of_a_card_are_offered_but_no_group_that_contains_another() {
    let slices = [
        device("0:0", &["/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap12"]),
        device("0:1", &["/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap21"]),
        device(
            "all",
            &[
                "/dev/nvidia0",
                "/dev/nvidia-caps/nvidia-cap12",
                "/dev/nvidia-caps/nvidia-cap21",
            ],
        ),
    ];
    let (_dir, gpus) = folder(&[("nvidia.yaml", &specification("nvidia.com/gpu", &slices))]);
    assert_eq!(ids(&gpus), ["nvidia.com/gpu=0:0", "nvidia.com/gpu=0:1"]);
    let both = [
        device("0", &["/dev/nvidia0"]),
        device("1", &["/dev/nvidia1"]),
        device("pair", &["/dev/nvidia0", "/dev/nvidia1"]),
    ];
    let (_dir, gpus) = folder(&[("nvidia.yaml", &specification("nvidia.com/gpu", &both))]);
    assert_eq!(ids(&gpus), ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
}

#[test]
fn what_is_no_gpu_or_has_no_node_is_not_offered() {
    let nic = specification("vendor.com/nic", &[device("0", &["/dev/nic0"])]);
    let bare = json!({
        "cdiVersion": "0.5.0",
        "kind": "vendor.com/gpu",
        "devices": [{"name": "0", "containerEdits": {"env": ["GPU=0"]}}],
    });
    let (_dir, gpus) = folder(&[
        ("nic.yaml", &nic),
        ("bare.json", &bare.to_string()),
        ("a.txt", "no"),
    ]);
    assert!(gpus.list().is_empty());
}

#[test]
fn a_card_under_two_vendors_names_is_one_gpu() {
    let mine = specification("nvidia.com/gpu", &[device(FIRST, &["/dev/nvidia0"])]);
    let plugin = specification(
        "k8s.device-plugin.nvidia.com/gpu",
        &[device(FIRST, &["/dev/nvidia0"])],
    );
    let (_dir, gpus) = folder(&[("a.json", &plugin), ("b.json", &mine)]);
    let list = gpus.list();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].cdi_device, format!("nvidia.com/gpu={FIRST}"));
}

#[test]
fn injecting_gives_the_card_and_what_its_kind_shares() {
    let (_dir, gpus) = folder(&[("nvidia.yaml", &two_cards())]);
    let mut spec = Spec::default();
    gpus.inject(&mut spec, &[FIRST.to_owned()]).unwrap();
    assert_eq!(
        device_paths(&spec),
        ["/dev/dri/card1", "/dev/nvidia0", "/dev/nvidiactl"]
    );
    let env = spec.process().as_ref().unwrap().env().as_ref().unwrap();
    assert!(env.contains(&"NVIDIA_VISIBLE_DEVICES=void".to_owned()));
    let rules = spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
    let allowed = rules.devices().iter().flatten().filter(|rule| rule.allow());
    assert!(allowed.count() >= 3);
}

#[test]
fn asking_for_no_gpu_changes_nothing() {
    let mut spec = Spec::default();
    Gpus::of_dirs(vec!["/nonexistent".into()])
        .inject(&mut spec, &[])
        .unwrap();
    assert_eq!(spec, Spec::default());
}

#[test]
fn a_missing_gpu_says_which_command_writes_the_specification() {
    let (dir, gpus) = folder(&[("broken.yaml", "cdiVersion: [")]);
    let mut spec = Spec::default();
    let why = gpus
        .inject(&mut spec, &[FIRST.to_owned()])
        .unwrap_err()
        .to_string();
    for part in [
        FIRST,
        "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        "broken.yaml can't be used",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert!(why.contains(&dir.path().display().to_string()), "{why}");
}

#[test]
fn a_card_whose_node_is_gone_is_refused_and_the_container_is_as_before() {
    let gone = json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": FIRST, "containerEdits": {"deviceNodes": [{"path": "/dev/nonexistent0"}]}}],
    });
    let (_dir, gpus) = folder(&[("nvidia.yaml", &gone.to_string())]);
    let mut spec = Spec::default();
    let error = gpus.inject(&mut spec, &[FIRST.to_owned()]).unwrap_err();
    assert!(matches!(error, InjectError::Refused { .. }), "{error}");
    assert_eq!(spec, Spec::default());
}

#[test]
fn a_broken_file_hides_no_other_and_a_later_folder_wins() {
    let (low, _) = folder(&[
        (
            "a.yaml",
            &specification("nvidia.com/gpu", &[device("0", &["/dev/old"])]),
        ),
        ("broken.json", "{"),
    ]);
    let (high, _) = folder(&[(
        "b.yaml",
        &specification("nvidia.com/gpu", &[device("0", &["/dev/new"])]),
    )]);
    let gpus = Gpus::of_dirs(vec![low.path().to_owned(), high.path().to_owned()]);
    assert_eq!(ids(&gpus), ["nvidia.com/gpu=0"]);
    let mut spec = Spec::default();
    gpus.inject(&mut spec, &["nvidia.com/gpu=0".to_owned()]).unwrap();
    assert_eq!(device_paths(&spec), ["/dev/new", "/dev/nvidiactl"]);
}

#[test]
fn a_device_that_two_files_of_one_folder_have_is_nobodys() {
    let text = specification("nvidia.com/gpu", &[device("0", &["/dev/nvidia0"])]);
    let other = specification(
        "nvidia.com/gpu",
        &[device("0", &["/dev/nvidia1"]), device("1", &["/dev/nvidia2"])],
    );
    let (_dir, gpus) = folder(&[("a.yaml", &text), ("b.yaml", &other)]);
    assert_eq!(ids(&gpus), ["nvidia.com/gpu=1"]);
}

proptest::proptest! {
    #[test]
    fn no_card_is_ever_offered_twice(
        groups in proptest::collection::vec(proptest::collection::btree_set(0_u8..6, 1..4), 1..8),
    ) {
        let devices: Vec<_> = groups
            .iter()
            .enumerate()
            .map(|(index, nodes)| {
                let paths: Vec<_> = nodes.iter().map(|node| format!("/dev/card{node}")).collect();
                let paths: Vec<_> = paths.iter().map(String::as_str).collect();
                device(&format!("d{index}"), &paths)
            })
            .collect();
        let (_dir, gpus) = folder(&[("a.json", &specification("vendor.com/gpu", &devices))]);
        let offered: Vec<_> = gpus
            .list()
            .iter()
            .map(|gpu| {
                let index: usize = gpu.id.strip_prefix("vendor.com/gpu=d").unwrap().parse().unwrap();
                &groups[index]
            })
            .collect();
        proptest::prop_assert!(!offered.is_empty());
        for (at, one) in offered.iter().enumerate() {
            for other in &offered[at + 1..] {
                proptest::prop_assert!(!one.is_subset(other) && !other.is_subset(one));
            }
        }
    }

    #[test]
    fn no_file_makes_it_panic(text in ".{0,200}") {
        let (_dir, gpus) = folder(&[("a.yaml", &text), ("b.yaml", &two_cards())]);
        proptest::prop_assert_eq!(gpus.list().len(), 2);
    }
}
