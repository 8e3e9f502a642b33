//! Layers that try to write outside of their root. containerd unpacks them; what is shown here is that nothing of the
//! host, and nothing of another image, changes, whether it refuses them or keeps them inside.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use longshore_agent::config::PullBehavior;

use crate::images::{Image, Kind, directory, hard_link, joined, link, node, tar};
use crate::lab::{Lab, ensure};

/// From any root to that of the machine.
const UP: &str = "../../../../../../../../../../../../../../../../../../../../";

/// What is tried: a name, and layers of entries.
type Attempt = (&'static str, Vec<Vec<Vec<u8>>>);

/// A folder that no image has any business in.
struct Outside {
    folder: PathBuf,
    /// A name that is nowhere on this machine.
    name: String,
    mode: u32,
}

impl Outside {
    fn new(lab: &Lab) -> Self {
        let folder = lab.folder().join("outside");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("victim"), "safe").unwrap();
        let mode = std::fs::metadata(&folder).unwrap().mode();
        let name = format!("evil-{}", uuid::Uuid::new_v4().simple());
        Self { folder, name, mode }
    }

    fn check(&self, how: &str) {
        let names: Vec<_> = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["victim"], "{how}");
        let victim = self.folder.join("victim");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe", "{how}");
        let metadata = std::fs::metadata(&victim).unwrap();
        assert_eq!(metadata.nlink(), 1, "{how}: another name for it");
        assert_eq!(
            std::fs::metadata(&self.folder).unwrap().mode(),
            self.mode,
            "{how}"
        );
        for above in ["/", "/dev", "/tmp"] {
            assert!(!Path::new(above).join(&self.name).exists(), "{how}: in {above}");
        }
    }

    fn way(&self) -> Vec<u8> {
        link("way", self.folder.to_str().unwrap())
    }

    fn files(&self) -> Vec<Attempt> {
        let (at, name) = (self.folder.to_str().unwrap(), &self.name);
        let below = tar(&format!("way/{name}"), b"1");
        let folder = directory(&format!("way/{name}/"), "0000777");
        let victim = link("way", &format!("{at}/victim"));
        vec![
            (
                "a link, and a file below it",
                vec![vec![self.way()], vec![below.clone()]],
            ),
            ("the same in one layer", vec![vec![self.way(), below]]),
            (
                "a link, and a file in its place",
                vec![vec![victim, tar("way", b"1")]],
            ),
            ("parents", vec![vec![tar(&format!("{UP}{name}"), b"1")]]),
            ("an absolute path", vec![vec![tar(&format!("{at}/{name}"), b"1")]]),
            ("a folder below a link", vec![vec![self.way(), folder]]),
            (
                "a folder in place of a link",
                vec![vec![self.way()], vec![directory("way/", "0000777")]],
            ),
        ]
    }

    fn hard_links(&self) -> Vec<Attempt> {
        let victim = self.folder.join("victim");
        let victim = victim.to_str().unwrap();
        let beyond = format!("{UP}{}", victim.trim_start_matches('/'));
        let steal = |from: &str| hard_link("steal", from);
        let over = || tar("steal", b"1");
        vec![
            ("a hard link", vec![vec![steal(victim)], vec![over()]]),
            ("a hard link by parents", vec![vec![steal(&beyond), over()]]),
            (
                "a hard link through a link",
                vec![vec![self.way(), steal("way/victim"), over()]],
            ),
            (
                "a hard link to a link",
                vec![vec![link("to", victim), steal("to")], vec![over()]],
            ),
        ]
    }

    fn devices(&self) -> Vec<Attempt> {
        let name = &self.name;
        let through = node(&format!("way/{name}"));
        vec![
            ("a device by its path", vec![vec![node(&format!("/dev/{name}"))]]),
            (
                "a device by parents",
                vec![vec![node(&format!("{UP}dev/{name}"))]],
            ),
            ("a device through a link", vec![vec![self.way(), through]]),
        ]
    }

    fn whiteouts(&self) -> Vec<Attempt> {
        let at = self.folder.to_str().unwrap().trim_start_matches('/');
        let empty = |name: &str| tar(name, b"");
        let victim = || empty("way/.wh.victim");
        let beyond = empty(&format!("{UP}{at}/.wh.victim"));
        let opaque = empty("way/.wh..wh..opq");
        vec![
            (
                "a whiteout through a link",
                vec![vec![self.way()], vec![victim()]],
            ),
            ("a whiteout in the same layer", vec![vec![self.way(), victim()]]),
            ("a whiteout by parents", vec![vec![beyond]]),
            (
                "an opaque folder through a link",
                vec![vec![self.way()], vec![opaque]],
            ),
            (
                "a whiteout of what is above",
                vec![vec![empty(".wh...")], vec![empty("x/.wh...")]],
            ),
            (
                "a whiteout of the root",
                vec![vec![empty("x")], vec![empty(".wh..")]],
            ),
        ]
    }
}

#[tokio::test]
async fn layers_change_nothing_outside_of_their_root() {
    let lab = Lab::start().await;
    let outside = Outside::new(&lab);
    let images = lab.images(PullBehavior::Default);
    let honest = Image::new(&[("honest", b"1")]);
    lab.push("honest:v1", &honest).await;
    let first = ensure(&images, &lab.reference("honest:v1"), 0).await.unwrap();
    let attempts = [
        outside.files(),
        outside.hard_links(),
        outside.devices(),
        outside.whiteouts(),
    ];
    for (index, (how, layers)) in (1..).zip(attempts.concat()) {
        let mut tars: Vec<_> = layers.iter().map(|entries| joined(entries)).collect();
        // Another name for each, since what is unpacked already is not unpacked again.
        tars.insert(0, tar(&format!("number-{index}"), b""));
        let name = format!("climbs-{index}:v1");
        lab.push(&name, &Image::of_tars(Kind::Oci, "amd64", &tars)).await;
        // Refused or kept inside: both are good.
        let pulled = ensure(&images, &lab.reference(&name), index).await;
        outside.check(&format!("{how}: {pulled:?}"));
    }
    // The snapshots beside them are as they were.
    let view = ["snapshots", "view", "--target", "/x", "look", &first.chain_id];
    let mounts = lab.ctr(&view).await;
    let source = mounts
        .split_whitespace()
        .find(|word| word.ends_with("/fs"))
        .unwrap();
    let honest = Path::new(source).join("honest");
    assert_eq!(std::fs::read_to_string(honest).unwrap(), "1", "{mounts}");
    assert_eq!(
        std::fs::metadata(source).unwrap().permissions().mode() & 0o7777,
        0o755
    );
}
