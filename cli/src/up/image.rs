//! The sample's image: one layer with a static busybox, as OCI's image specification has it.
//!
//! Made from the distribution's own busybox, so that no internet is needed; the same busybox gives the same digests.

use std::path::Path;

use longshore_protocol::sigv4::sha256_hex;
use serde_json::json;

use super::{UpError, preflight};

/// Media types of OCI's image specification.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// What people call in a shell, as links to busybox.
const APPLETS: [&str; 24] = [
    "cat", "date", "df", "env", "false", "free", "grep", "head", "hostname", "httpd", "id", "ip", "kill",
    "ls", "nc", "nproc", "ps", "sh", "sleep", "tail", "top", "true", "uname", "wget",
];

/// Bytes that go by their digest.
#[derive(Debug)]
pub struct Blob {
    /// What they are.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("sha256:{}", sha256_hex(&self.bytes))
    }

    fn descriptor(&self) -> serde_json::Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// An image: what its manifest names, and the manifest.
#[derive(Debug)]
pub struct Image {
    /// Configuration and layer.
    pub blobs: [Blob; 2],
    /// The manifest.
    pub manifest: Blob,
}

/// Makes the image.
///
/// # Errors
/// [`UpError::File`], or [`UpError::Missing`] where busybox needs libraries.
pub fn build() -> Result<Image, UpError> {
    let path = preflight::find("busybox").unwrap_or_else(|| "/bin/busybox".into());
    let busybox = std::fs::read(&path).map_err(UpError::file(&path))?;
    if !is_static(&busybox) {
        return Err(UpError::Missing {
            programs: vec!["a static busybox"],
            packages: vec!["busybox-static"],
        });
    }
    let layer = Blob {
        media_type: LAYER,
        bytes: layer(&busybox).map_err(UpError::file(&path))?,
    };
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest()]},
    });
    let config = Blob {
        media_type: CONFIG,
        bytes: config.to_string().into_bytes(),
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": [layer.descriptor()],
    });
    Ok(Image {
        blobs: [config, layer],
        manifest: Blob {
            media_type: MANIFEST,
            bytes: manifest.to_string().into_bytes(),
        },
    })
}

/// The architecture's name in images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// A layer: busybox, a link for each applet, and the files without which nothing knows who it is.
fn layer(busybox: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (folder, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("root/", 0o700),
        ("tmp/", 0o1777),
    ] {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        tar.append_data(&mut header, folder, std::io::empty())?;
    }
    let files: [(&str, u32, &[u8]); 3] = [
        ("bin/busybox", 0o755, busybox),
        (
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n"),
    ];
    for (path, mode, content) in files {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        tar.append_data(&mut header, path, content)?;
    }
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, Path::new("bin").join(applet), "busybox")?;
    }
    tar.into_inner()
}

/// Root's, from 1970: two builds are the same.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Whether an ELF program asks for no interpreter: the loader of shared libraries, which the image doesn't have.
fn is_static(elf: &[u8]) -> bool {
    /// `PT_INTERP`.
    const INTERPRETER: u32 = 3;
    let wide = elf.get(4) == Some(&2);
    let number = |offset: usize, bytes: usize| -> Option<usize> {
        let field = elf.get(offset..offset.checked_add(bytes)?)?;
        // Every architecture that is meant here is little-endian.
        field.iter().rev().try_fold(0_usize, |sum, byte| {
            Some(sum.checked_mul(256)? + usize::from(*byte))
        })
    };
    let headers = || {
        let (offset, size, count) = match wide {
            true => (number(32, 8)?, number(54, 2)?, number(56, 2)?),
            false => (number(28, 4)?, number(42, 2)?, number(44, 2)?),
        };
        (0..count)
            .map(|index| number(offset.checked_add(index * size)?, 4))
            .collect::<Option<Vec<_>>>()
    };
    elf.starts_with(b"\x7fELF") && headers().is_some_and(|kinds| !kinds.contains(&(INTERPRETER as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn static_programs_are_told_from_others() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&own));
        for broken in [&b""[..], b"#!/bin/sh", b"\x7fELF", b"\x7fELF\x02", &[0xff; 100]] {
            assert!(!is_static(broken));
        }
        let mut huge = own[..64].to_vec();
        huge[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(!is_static(&huge));
        // 64 bits, one program header of type PT_LOAD at offset 64.
        let mut load = vec![0; 64 + 56];
        load[..5].copy_from_slice(b"\x7fELF\x02");
        (load[32], load[54], load[56], load[64]) = (64, 56, 1, 1);
        assert!(is_static(&load));
        load[64] = 3;
        assert!(!is_static(&load));
    }

    #[test]
    fn a_layer_has_busybox_and_its_links_and_is_the_same_twice() {
        let bytes = layer(b"program").unwrap();
        assert_eq!(bytes, layer(b"program").unwrap());
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            if path == "bin/busybox" {
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                assert_eq!(content, "program");
                assert_eq!(entry.header().mode().unwrap(), 0o755);
            }
            if path == "bin/sh" {
                assert_eq!(entry.link_name().unwrap().unwrap().to_str(), Some("busybox"));
            }
            seen.push(path);
        }
        assert!(
            ["bin/busybox", "bin/sh", "bin/sleep", "etc/passwd", "tmp/"]
                .iter()
                .all(|path| seen.iter().any(|each| each == path)),
            "{seen:?}"
        );
    }
}
