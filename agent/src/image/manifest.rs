//! Manifests, indexes and image configurations, as registries serve them.
//!
//! Only what a pull needs is read, and unknown members are passed over: images of ten years ago and of next year are
//! to run. What is missing or malformed among the things that are needed is an error that names it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer};

use super::digest::Digest;
use crate::model::ImageConfig;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const SCHEMA_1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// How labels begin that lead the collector to other blobs.
const GC_CONTENT: &str = "containerd.io/gc.ref.content.";

/// The largest manifest, index or configuration that is read. Registries refuse more than 4 MiB themselves.
pub const DOCUMENT_LIMIT: usize = 4 << 20;

/// The most layers that are taken: Linux lays no more than this over one another.
pub const MOST_LAYERS: usize = 500;
/// The most manifests of an index that are taken: there are a few dozen platforms, and an attestation for each.
const MOST_MANIFESTS: usize = 1000;

/// What an Accept header says: everything that [`Document`] reads.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A document of a registry that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is JSON of another shape.
    #[error("the {what} can't be read: {why}")]
    Malformed {
        /// Index, manifest or configuration.
        what: &'static str,
        /// Where and how.
        why: String,
    },
    /// The schema of before 2016.
    #[error("it is a schema 1 manifest, which is not supported; push the image again with a current tool")]
    SchemaOne,
    /// Something else, such as a chart or a signature.
    #[error("{0:?} is not the media type of an image")]
    MediaType(String),
    /// It is a manifest and an index at once: another reader may see another image in it.
    #[error(
        "it is called {media_type} and has members of {other} too: it can be read in two ways, so it is not read at all"
    )]
    Ambiguous {
        /// What it is called.
        media_type: String,
        /// What else it looks like.
        other: &'static str,
    },
    /// It has more parts than any machine can use.
    #[error("it has {found} {what}, and more than {limit} are not taken")]
    TooMany {
        /// Layers or manifests.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The manifest has no layer, or not as many as the configuration says.
    #[error("the manifest has {layers} layers and the configuration {diff_ids}")]
    Layers {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

/// A blob by its address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// For whom it is, in an index.
    #[serde(default, deserialize_with = "or_default")]
    pub platform: Option<Platform>,
    /// Such as Docker's mark on attestations.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// For which machine an image is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Such as `v7`; often left out.
    #[serde(default, deserialize_with = "or_default")]
    pub variant: String,
}

/// An index or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Manifests for several platforms.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// A document with its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// What it is called.
    pub media_type: String,
    /// What it says.
    pub document: Document,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// The configuration of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// For which machine its programs are.
    pub platform: Platform,
    /// The digests of its unpacked layers, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// How to run it.
    pub config: ImageConfig,
}

impl Document {
    /// Reads an index or a manifest of this media type; where none is said, its own member `mediaType` counts, and
    /// then its shape.
    ///
    /// # Errors
    /// [`ManifestError`] if it is none that can be used.
    pub fn read(said: Option<&str>, bytes: &[u8]) -> Result<Typed, ManifestError> {
        let shape: Shape = parse("manifest", bytes)?;
        let said = said.filter(|said| is_specific(said)).map(str::to_owned);
        let media_type = match said
            .or_else(|| shape.media_type.clone())
            .filter(|media_type| !media_type.is_empty())
        {
            Some(media_type) => media_type,
            None if shape.schema_version == Some(1) => SCHEMA_1.to_owned(),
            None if shape.manifests.is_some() => OCI_INDEX.to_owned(),
            None => OCI_MANIFEST.to_owned(),
        };
        if let Some(other) = shape.is_also(&media_type) {
            return Err(ManifestError::Ambiguous { media_type, other });
        }
        let document = match media_type.as_str() {
            OCI_INDEX | DOCKER_INDEX => {
                let index: Index = parse("index", bytes)?;
                bounded("manifests", index.manifests.len(), MOST_MANIFESTS)?;
                Self::Index(index.manifests)
            }
            OCI_MANIFEST | DOCKER_MANIFEST => {
                let manifest: Manifest = parse("manifest", bytes)?;
                bounded("layers", manifest.layers.len(), MOST_LAYERS)?;
                Self::Manifest(manifest)
            }
            SCHEMA_1 | SCHEMA_1_SIGNED => return Err(ManifestError::SchemaOne),
            other => return Err(ManifestError::MediaType(other.to_owned())),
        };
        Ok(Typed { media_type, document })
    }

    /// The labels by which containerd's garbage collector finds what a document refers to: those that containerd's own
    /// client sets.
    #[must_use]
    pub fn gc_labels(&self) -> HashMap<String, String> {
        let label =
            |key: String, child: &Descriptor| (format!("{GC_CONTENT}{key}"), child.digest.to_string());
        match self {
            Self::Index(manifests) => (0..)
                .zip(manifests)
                .map(|(place, child): (u32, _)| label(format!("m.{place}"), child))
                .collect(),
            Self::Manifest(manifest) => (0..)
                .zip(&manifest.layers)
                .map(|(place, child): (u32, _)| label(format!("l.{place}"), child))
                .chain([label("config".to_owned(), &manifest.config)])
                .collect(),
        }
    }
}

/// Whether a media type says which kind of manifest it is; servers without a registry's mind say `application/json`.
fn is_specific(media_type: &str) -> bool {
    !matches!(
        media_type,
        "" | "application/json" | "text/plain" | "application/octet-stream"
    )
}

impl Configuration {
    /// Reads the configuration blob.
    ///
    /// # Errors
    /// [`ManifestError::Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let wire: WireConfiguration = parse("image configuration", bytes)?;
        let run = wire.config;
        Ok(Self {
            platform: wire.platform,
            diff_ids: wire.rootfs.diff_ids,
            config: ImageConfig {
                user: run.user,
                env: run.env,
                entrypoint: run.entrypoint,
                cmd: run.cmd,
                working_dir: run.working_dir,
                stop_signal: run.stop_signal.filter(|signal| !signal.is_empty()),
                volumes: run.volumes.into_keys().collect(),
            },
        })
    }
}

impl Manifest {
    /// Whether every layer has its unpacked digest in the configuration.
    ///
    /// # Errors
    /// [`ManifestError::Layers`].
    pub fn fits(&self, configuration: &Configuration) -> Result<(), ManifestError> {
        let (layers, diff_ids) = (self.layers.len(), configuration.diff_ids.len());
        match layers == diff_ids && layers > 0 {
            true => Ok(()),
            false => Err(ManifestError::Layers { layers, diff_ids }),
        }
    }
}

fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), ManifestError> {
    match found > limit {
        true => Err(ManifestError::TooMany { what, found, limit }),
        false => Ok(()),
    }
}

fn parse<'de, T: Deserialize<'de>>(what: &'static str, bytes: &'de [u8]) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes).map_err(|error| ManifestError::Malformed {
        what,
        why: error.to_string(),
    })
}

/// Docker writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(wire: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(wire)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Shape {
    /// What a document of this media type looks like besides (CVE-2021-41190).
    fn is_also(&self, media_type: &str) -> Option<&'static str> {
        let own = self.media_type.as_deref();
        match media_type {
            OCI_MANIFEST | DOCKER_MANIFEST => {
                let index = self.manifests.is_some() || matches!(own, Some(OCI_INDEX | DOCKER_INDEX));
                index.then_some("an index")
            }
            OCI_INDEX | DOCKER_INDEX => {
                let parts = self.config.is_some() || self.layers.is_some();
                let manifest = parts || matches!(own, Some(OCI_MANIFEST | DOCKER_MANIFEST));
                manifest.then_some("a manifest")
            }
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "or_default")]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct WireConfiguration {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default, deserialize_with = "or_default")]
    config: RunConfig,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    working_dir: String,
    stop_signal: Option<String>,
    #[serde(deserialize_with = "or_default")]
    volumes: BTreeMap<String, serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests;
