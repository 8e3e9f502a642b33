//! Layers that try to write outside of their root. containerd unpacks them; what is shown here is that nothing of the
//! host, and nothing of another image, changes, whether it refuses them or keeps them inside.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use longshore_agent::config::PullBehavior;

use crate::images::{Image, Kind, directory, hard_link, joined, link, node, tar};
use crate::lab::{Lab, ensure};

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

    /// What is tried: a name, and layers of entries.
    fn attempts(&self) -> Vec<(&'static str, Vec<Vec<Vec<u8>>>)> {
        let at = self.folder.to_str().unwrap();
        let name = &self.name;
        let victim = format!("{at}/victim");
        let up = "../".repeat(20);
        let beyond = format!("{up}{}", victim.trim_start_matches('/'));
        let way = || link("way", at);
        vec![
            (
                "a link, and a file below it",
                vec![vec![way()], vec![tar(&format!("way/{name}"), b"1")]],
            ),
            (
                "the same in one layer",
                vec![vec![way(), tar(&format!("way/{name}"), b"1")]],
            ),
            (
                "a link, and a file in its place",
                vec![vec![link("way", &victim), tar("way", b"1")]],
            ),
            ("parents", vec![vec![tar(&format!("{up}{name}"), b"1")]]),
            ("an absolute path", vec![vec![tar(&format!("{at}/{name}"), b"1")]]),
            (
                "a hard link",
                vec![vec![hard_link("steal", &victim)], vec![tar("steal", b"1")]],
            ),
            (
                "a hard link by parents",
                vec![vec![hard_link("steal", &beyond), tar("steal", b"1")]],
            ),
            (
                "a hard link through a link",
                vec![vec![way(), hard_link("steal", "way/victim"), tar("steal", b"1")]],
            ),
            (
                "a hard link to a link",
                vec![
                    vec![link("to", &victim), hard_link("steal", "to")],
                    vec![tar("steal", b"1")],
                ],
            ),
            ("a device by its path", vec![vec![node(&format!("/dev/{name}"))]]),
            (
                "a device by parents",
                vec![vec![node(&format!("{up}dev/{name}"))]],
            ),
            (
                "a device through a link",
                vec![vec![way(), node(&format!("way/{name}"))]],
            ),
            (
                "a whiteout through a link",
                vec![vec![way()], vec![tar("way/.wh.victim", b"")]],
            ),
            (
                "a whiteout in the same layer",
                vec![vec![way(), tar("way/.wh.victim", b"")]],
            ),
            (
                "a whiteout by parents",
                vec![vec![tar(
                    &format!("{up}{}/.wh.victim", at.trim_start_matches('/')),
                    b"",
                )]],
            ),
            (
                "an opaque folder through a link",
                vec![vec![way()], vec![tar("way/.wh..wh..opq", b"")]],
            ),
            (
                "a whiteout of what is above",
                vec![vec![tar(".wh...", b"")], vec![tar("x/.wh...", b"")]],
            ),
            (
                "a whiteout of the root",
                vec![vec![tar("x", b"1")], vec![tar(".wh..", b"")]],
            ),
            (
                "a folder in place of a link",
                vec![vec![way()], vec![directory("way/", "0000777")]],
            ),
            (
                "a folder below a link",
                vec![vec![way(), directory(&format!("way/{name}/"), "0000777")]],
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
    for (index, (how, layers)) in (1..).zip(outside.attempts()) {
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
