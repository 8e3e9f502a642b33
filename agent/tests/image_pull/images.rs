//! Small images, made here and pushed by plain HTTP.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use longshore_agent::http::Client;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(30);

/// Whose media types an image has.
#[derive(Clone, Copy)]
pub enum Kind {
    Oci,
    /// With layers that zstd has packed.
    OciZstd,
    Docker,
}

/// A blob with its digest.
#[derive(Clone)]
pub struct Blob {
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// A manifest or index with everything below it.
#[derive(Clone)]
pub struct Image {
    pub media_type: &'static str,
    pub manifest: Blob,
    pub layers: Vec<Blob>,
    pub config: Option<Blob>,
    pub children: Vec<(Image, &'static str)>,
}

impl Blob {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: sha256(&bytes),
            bytes,
        }
    }
}

impl Image {
    /// For `amd64`, one layer for each file.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        Self::build(Kind::Oci, "amd64", files)
    }

    pub fn build(kind: Kind, architecture: &str, files: &[(&str, &[u8])]) -> Self {
        let tars: Vec<_> = files.iter().map(|(name, bytes)| tar(name, bytes)).collect();
        Self::of_tars(kind, architecture, &tars)
    }

    /// One layer for each archive.
    pub fn of_tars(kind: Kind, architecture: &str, tars: &[Vec<u8>]) -> Self {
        let pack = match kind {
            Kind::Oci | Kind::Docker => gzip,
            Kind::OciZstd => zstd,
        };
        let packed = tars.iter().map(|tar| (pack(tar), sha256(tar)));
        Self::of_packed(kind, architecture, packed.collect())
    }

    /// Layers that are packed already, each with the digest of what it unpacks to.
    pub fn of_packed(kind: Kind, architecture: &str, packed: Vec<(Vec<u8>, String)>) -> Self {
        let (manifest_type, config_type, layer_type) = match kind {
            Kind::Oci => (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ),
            Kind::OciZstd => (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+zstd",
            ),
            Kind::Docker => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
        };
        let (layers, diff_ids): (Vec<_>, Vec<_>) = packed
            .into_iter()
            .map(|(bytes, diff_id)| (Blob::new(bytes), diff_id))
            .unzip();
        let config = Blob::new(
            json!({
                "architecture": architecture, "os": "linux",
                "config": {"Env": ["A=b"], "Cmd": ["/run"], "User": "7", "StopSignal": "SIGQUIT"},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            })
            .to_string(),
        );
        let describe = |media_type: &str, blob: &Blob| json!({"mediaType": media_type, "digest": blob.digest, "size": blob.bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type,
            "config": describe(config_type, &config),
            "layers": layers.iter().map(|layer| describe(layer_type, layer)).collect::<Vec<_>>(),
        });
        Self {
            media_type: manifest_type,
            manifest: Blob::new(manifest.to_string()),
            layers,
            config: Some(config),
            children: Vec::new(),
        }
    }

    /// An index of images with their architectures.
    pub fn index(children: Vec<(Self, &'static str)>) -> Self {
        let describe = |(image, architecture): &(Self, &str)| -> Value {
            json!({"mediaType": image.media_type, "digest": image.manifest.digest,
                "size": image.manifest.bytes.len(), "platform": {"os": "linux", "architecture": architecture}})
        };
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type,
            "manifests": children.iter().map(describe).collect::<Vec<_>>()});
        Self {
            media_type,
            manifest: Blob::new(index.to_string()),
            layers: Vec::new(),
            config: None,
            children,
        }
    }

    /// Puts it into a registry as `path:tag`.
    pub async fn push(&self, http: &Client, host: &str, name: &str) {
        let (path, tag) = name.split_once(':').unwrap();
        for (child, _) in &self.children {
            child.push_parts(http, host, path).await;
            child.put_manifest(http, host, path, &child.manifest.digest).await;
        }
        self.push_parts(http, host, path).await;
        self.put_manifest(http, host, path, tag).await;
    }

    async fn push_parts(&self, http: &Client, host: &str, path: &str) {
        for blob in self.layers.iter().chain(&self.config) {
            let begin = format!("http://{host}/v2/{path}/blobs/uploads/");
            let answer = send(http, Method::POST, &begin, "", Vec::new()).await;
            let location = answer.headers()[header::LOCATION].to_str().unwrap();
            let put = format!("{location}&digest={}", blob.digest);
            let put = put
                .replace("http://", "")
                .split_once('/')
                .map(|(_, rest)| format!("http://{host}/{rest}"));
            let answer = send(
                http,
                Method::PUT,
                &put.unwrap(),
                "application/octet-stream",
                blob.bytes.clone(),
            )
            .await;
            assert_eq!(answer.status(), StatusCode::CREATED, "{answer:?}");
        }
    }

    async fn put_manifest(&self, http: &Client, host: &str, path: &str, tag: &str) {
        let to = format!("http://{host}/v2/{path}/manifests/{tag}");
        let answer = send(
            http,
            Method::PUT,
            &to,
            self.media_type,
            self.manifest.bytes.clone(),
        )
        .await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{answer:?}");
    }
}

async fn send(
    http: &Client,
    method: Method,
    uri: &str,
    content_type: &str,
    body: Vec<u8>,
) -> http::Response<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::from(body))
        .unwrap();
    http.fetch(request, 1 << 20, DEADLINE).await.unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8))
        .flat_map(|_| next())
        .take(length)
        .collect()
}

/// An archive with one file.
pub fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    archive(name, "0000755", "0", "", bytes)
}

/// An archive with one symbolic link.
pub fn link(name: &str, target: &str) -> Vec<u8> {
    archive(name, "0000755", "2", target, &[])
}

/// An archive with one hard link.
pub fn hard_link(name: &str, target: &str) -> Vec<u8> {
    archive(name, "0000755", "1", target, &[])
}

/// An archive with one folder.
pub fn directory(name: &str, mode: &str) -> Vec<u8> {
    archive(name, mode, "5", "", &[])
}

/// An archive with one device: `/dev/null`.
pub fn node(name: &str) -> Vec<u8> {
    archive(name, "0000666", "3", "", &[])
}

/// An archive with PAX records for what is joined to it.
pub fn pax(records: &str) -> Vec<u8> {
    archive("x", "0000644", "x", "", records.as_bytes())
}

/// One archive of several.
pub fn joined(archives: &[Vec<u8>]) -> Vec<u8> {
    let mut all: Vec<u8> = archives
        .iter()
        .flat_map(|tar| &tar[..tar.len() - END])
        .copied()
        .collect();
    all.resize(all.len() + END, 0);
    all
}

/// The zeros that end an archive.
const END: usize = 1024;

/// An archive with one entry of a type of `ustar`.
fn archive(name: &str, mode: &str, kind: &str, target: &str, bytes: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; 512];
    let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, mode);
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", bytes.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, kind);
    put(157, target);
    put(257, "ustar");
    put(263, "00");
    put(329, "0000001");
    put(337, "0000003");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = head.to_vec();
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512) + END, 0);
    tar
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-nc1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

/// A frame of one block that is stored as it is (RFC 8878), so that no program is needed.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    assert!(length < 128 << 10, "more than a block may have");
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(length.to_le_bytes());
    let last_and_raw = length << 3 | 1;
    frame.extend(&last_and_raw.to_le_bytes()[..3]);
    frame.extend(bytes);
    frame
}
