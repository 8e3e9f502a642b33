//! A container's bundle: the folder that containerd made, its OCI configuration, and what the shim writes into it.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use longshore_protocol::exit_record::{EXITS, RUNTIME, RUNTIME_ROOT};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::runtime::Runtime;

/// The OCI configuration.
const CONFIG: &str = "config.json";
/// What clean-up after a crash needs.
const NOTES: &str = "longshore-shim.json";
/// Where containerd looks for the shim's address.
const ADDRESS: &str = "address";
/// The annotations by which containers share a shim, the first that is there decides.
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// A bundle that can't be used. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file can't be read.
    #[error("can't read {path}: the bundle must be a folder with an OCI configuration")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The configuration is none.
    #[error("{path} is not an OCI configuration")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A path that must be absolute.
    #[error("{what} is {path:?}: it must be an absolute path")]
    Relative {
        /// Whose path.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
}

/// What the shim wants to know of the OCI configuration.
#[derive(Debug, Default, Deserialize)]
pub struct Config {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(bundle: &Path) -> Result<Self, BundleError> {
        absolute("the bundle", bundle)?;
        let path = bundle.join(CONFIG);
        let json = std::fs::read(&path).map_err(|source| BundleError::Read {
            path: path.clone(),
            source,
        })?;
        let config: Self =
            serde_json::from_slice(&json).map_err(|source| BundleError::Parse { path, source })?;
        if let Some(exits) = config.exits() {
            absolute(EXITS, exits)?;
        }
        Ok(config)
    }

    /// What the shim is shared by: the group's name, or the container's.
    #[must_use]
    pub fn group<'a>(&'a self, id: &'a str) -> &'a str {
        let group = GROUPS.iter().find_map(|key| self.annotations.get(*key));
        group.map_or(id, String::as_str)
    }

    /// The folder for exit records.
    #[must_use]
    pub fn exits(&self) -> Option<&Path> {
        self.annotations.get(EXITS).map(Path::new)
    }

    /// The OCI runtime's program.
    #[must_use]
    pub fn runtime(&self) -> Option<&Path> {
        self.annotations.get(RUNTIME).map(Path::new)
    }

    /// The folder of its state.
    #[must_use]
    pub fn runtime_root(&self) -> Option<&Path> {
        self.annotations.get(RUNTIME_ROOT).map(Path::new)
    }
}

fn absolute(what: &'static str, path: &Path) -> Result<(), BundleError> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(BundleError::Relative {
        what,
        path: path.to_owned(),
    })
}

/// What whoever cleans up after this shim must know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notes {
    /// How the OCI runtime is called.
    pub runtime: Runtime,
    /// The folder for exit records.
    pub exits: Option<PathBuf>,
    /// The first process; 0 before there is one.
    pub pid: u32,
    /// The container's cgroup, once it is known.
    pub cgroup: Option<Cgroup>,
}

impl Notes {
    /// Writes them into a bundle.
    ///
    /// # Errors
    /// As the system has it.
    pub fn write(&self, bundle: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        replace(&bundle.join(NOTES), &json)
    }

    /// Reads those of a bundle; none if there are none that can be read.
    #[must_use]
    pub fn read(bundle: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(bundle.join(NOTES)).ok()?).ok()
    }
}

/// Tells containerd the shim's address.
///
/// # Errors
/// As the system has it.
pub fn write_address(bundle: &Path, address: &str) -> std::io::Result<()> {
    replace(&bundle.join(ADDRESS), address.as_bytes())
}

/// The address that a bundle's shim has.
#[must_use]
pub fn read_address(bundle: &Path) -> Option<String> {
    std::fs::read_to_string(bundle.join(ADDRESS)).ok()
}

/// Writes a file whole. Bundles are gone after a power cut: nothing is synced.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::File::create(&unfinished)?.write_all(content)?;
    std::fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_file_and_the_annotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        let fault = || Config::read(dir.path()).unwrap_err().to_string();
        assert!(fault().contains(path.to_str().unwrap()));
        std::fs::write(&path, "{").unwrap();
        assert!(fault().contains(path.to_str().unwrap()));
        std::fs::write(&path, r#"{"annotations": {"longshore.exits": "here"}}"#).unwrap();
        assert!(fault().contains("longshore.exits"));
        assert!(matches!(
            Config::read(Path::new("here")),
            Err(BundleError::Relative { .. })
        ));
    }

    #[test]
    fn the_group_is_the_first_annotation_that_is_there() {
        let config = |json: &str| serde_json::from_str::<Config>(json).unwrap();
        assert_eq!(config("{}").group("c"), "c");
        let one = config(r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "s"}, "linux": {}}"#);
        assert_eq!(one.group("c"), "s");
        let both =
            r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "s", "io.containerd.runc.v2.group": "t"}}"#;
        assert_eq!(config(both).group("c"), "t");
    }
}
