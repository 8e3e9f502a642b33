//! Images made on the spot, from the distribution's static busybox.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_protocol::sigv4::sha256_hex;
use serde_json::{Value, json};

use crate::process::run;
use crate::programs;

/// An image in an OCI layout.
#[derive(Debug)]
pub struct Image {
    /// The layout's folder.
    pub layout: PathBuf,
    /// The manifest's digest: `sha256:…`.
    pub digest: String,
}

/// The architecture of this machine in OCI's words.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A folder with busybox, its links, and `/etc/passwd` with users `root` and `app` (1000).
fn busybox_files(dir: &Path) -> PathBuf {
    let root = dir.join("rootfs");
    for folder in ["bin", "etc", "tmp", "root", "data", "www"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    std::fs::copy(programs::busybox(), root.join("bin/busybox")).expect("a program in the image");
    for applet in [
        "sh", "sleep", "cat", "echo", "true", "env", "httpd", "wget", "id", "ls", "kill", "dd", "nc", "stty",
        "setsid",
    ] {
        let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(applet));
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/data:/bin/sh\n";
    std::fs::write(root.join("etc/passwd"), passwd).expect("a file");
    std::fs::write(
        root.join("etc/group"),
        "root:x:0:\napp:x:1000:\nextra:x:2000:app\n",
    )
    .expect("a file");
    root
}

/// A layer of a folder's files: its descriptor, and the digest of the archive before it was compressed.
fn layer(layout: &Path, root: &Path) -> (Value, String) {
    let tar = root.with_extension("tar");
    run(Command::new("tar")
        .arg("-C")
        .arg(root)
        .args(["--owner=0", "--group=0", "--numeric-owner", "-cf"])
        .arg(&tar)
        .arg("."));
    let diff_id = format!("sha256:{}", sha256_hex(&std::fs::read(&tar).expect("the layer")));
    run(Command::new("gzip").args(["-n", "-f"]).arg(&tar));
    let compressed = std::fs::read(root.with_extension("tar.gz")).expect("the layer");
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    (blob(layout, &compressed, media_type), diff_id)
}

/// Makes a busybox image whose configuration has `config` merged in, for `architecture`.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn busybox(dir: &Path, architecture: &str, config: &Value) -> Image {
    busybox_with(dir, architecture, config, &[])
}

/// As [`busybox`], with a layer more for each of these folders.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn busybox_with(dir: &Path, architecture: &str, config: &Value, folders: &[PathBuf]) -> Image {
    let first = busybox_files(dir);
    let folders: Vec<_> = std::iter::once(&first).chain(folders).collect();
    of_folders(dir, architecture, config, &folders)
}

/// Makes an image that has one file, `/busybox`, for `architecture`.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn one_static_program(dir: &Path, architecture: &str) -> Image {
    let root = dir.join("rootfs");
    std::fs::create_dir_all(&root).expect("a folder");
    std::fs::copy(programs::busybox(), root.join("busybox")).expect("a program in the image");
    of_folders(dir, architecture, &json!({}), &[&root])
}

/// An image with a layer for each of these folders.
fn of_folders(dir: &Path, architecture: &str, config: &Value, folders: &[&PathBuf]) -> Image {
    std::fs::create_dir_all(dir).expect("a folder");
    let layout = dir.join("layout");
    let (layers, diff_ids): (Vec<_>, Vec<_>) = folders.iter().map(|folder| layer(&layout, folder)).unzip();
    let mut all = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    if let (Some(known), Some(more)) = (all["config"].as_object_mut(), config.as_object()) {
        known.extend(more.clone());
    }
    let config = blob(
        &layout,
        all.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers,
    });
    let manifest = blob(
        &layout,
        manifest.to_string().as_bytes(),
        "application/vnd.oci.image.manifest.v1+json",
    );
    let digest = manifest["digest"].as_str().expect("a digest").to_owned();
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a marker");
    Image { layout, digest }
}

/// Writes a blob and describes it.
fn blob(layout: &Path, content: &[u8], media_type: &str) -> Value {
    let digest = sha256_hex(content);
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder");
    std::fs::write(blobs.join(&digest), content).expect("a blob");
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()})
}
