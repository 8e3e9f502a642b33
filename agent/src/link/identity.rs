//! Who this machine is: what registration gave it, and its key, in files of mode 0600 in the data folder.
//!
//! - `identity.json`: instance id, region, endpoint, cluster, whom to trust; later the container instance's ARN.
//! - `node.pem`: the key. `node-next.pem`: a key that the control plane may or may not have taken yet; until it has
//!   acknowledged it the old one stays.
//! - `owner`: by which id this folder's containers and images are labelled in containerd: the first that the machine had. It
//!   outlives every registration, as they do: a machine that becomes another node goes on with what runs.
//! - `last-date`: the latest time that a verified answer told, for boxes whose clock begins in 1970.
//!
//! Invariant: a file that is there but can't be read is an error, never a fresh start.

use std::path::{Path, PathBuf};

use longshore_protocol::arn::ContainerInstanceArn;
use longshore_protocol::node::InstanceId;
use serde::{Deserialize, Serialize};

use super::key::{KeyError, NodeKey};
use crate::files;
use crate::http::{Fingerprint, Trust};

/// The version of `identity.json` that this program writes and the only one that it reads.
const VERSION: u32 = 1;

/// An identity that can't be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error(
        "this machine is not registered ({0} is not there): create an activation with `longshore activate` or \
         `aws ssm create-activation`, then run `longshore-agent register` with it"
    )]
    NotRegistered(PathBuf),
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path} can't be used: {why}; restore it, or remove it and register this machine again")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No key could be made.
    #[error("key of this node: {0}")]
    Key(#[from] KeyError),
}

/// Who this machine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    version: u32,
    /// `mi-…`.
    pub instance_id: InstanceId,
    /// The region to sign for.
    pub region: String,
    /// The control plane: `https://HOST[:PORT]`.
    pub endpoint: String,
    /// The cluster that it was registered into.
    pub cluster: String,
    /// Certificates in PEM to trust beside the machine's own roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    /// The only certificate to trust, or what it signed: SHA-256 in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_fingerprint: Option<String>,
    /// The container instance that it is, once it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<ContainerInstanceArn>,
    /// Whether no poll of that container instance has begun yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begins: bool,
    /// The token of a registration as a container instance whose answer hasn't been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<uuid::Uuid>,
}

impl Identity {
    /// A machine that has just been registered.
    #[must_use]
    pub fn new(
        instance_id: InstanceId,
        region: String,
        endpoint: String,
        cluster: String,
        trust: &Trust,
    ) -> Self {
        let mut identity = Self {
            version: VERSION,
            instance_id,
            region,
            endpoint,
            cluster,
            ca_pem: None,
            ca_fingerprint: None,
            container_instance: None,
            begins: false,
            client_token: None,
        };
        identity.set_trust(trust);
        identity
    }

    /// Changes whom to trust.
    pub fn set_trust(&mut self, trust: &Trust) {
        (self.ca_pem, self.ca_fingerprint) = match trust {
            Trust::System => (None, None),
            Trust::AlsoPem(pem) => (Some(pem.clone()), None),
            Trust::Only(fingerprint) => (None, Some(fingerprint.to_string())),
        };
    }

    /// Whom to trust.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let pin = self
            .ca_fingerprint
            .as_ref()
            .and_then(|text| text.parse::<Fingerprint>().ok());
        match (pin, &self.ca_pem) {
            (Some(pin), _) => Trust::Only(pin),
            (None, Some(pem)) => Trust::AlsoPem(pem.clone()),
            (None, None) => Trust::System,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let identity: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if identity.version != VERSION {
            return Err(format!(
                "its version is {}, this program knows {VERSION}",
                identity.version
            ));
        }
        // A pin that can't be read must not turn into trust in everybody.
        if let Some(text) = &identity.ca_fingerprint {
            text.parse::<Fingerprint>().map_err(|error| error.to_string())?;
        }
        Ok(identity)
    }
}

/// The files of an identity.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    dir: PathBuf,
}

impl IdentityFiles {
    /// In the data folder.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.to_owned(),
        }
    }

    /// Reads who this machine is; `None` where it is nobody yet.
    ///
    /// # Errors
    /// [`IdentityError::Io`], [`IdentityError::Broken`].
    pub fn find(&self) -> Result<Option<Identity>, IdentityError> {
        let path = self.identity_path();
        let Some(text) = read(&path)? else { return Ok(None) };
        Identity::parse(&text)
            .map(Some)
            .map_err(|why| IdentityError::Broken { path, why })
    }

    /// Reads who this machine is.
    ///
    /// # Errors
    /// As [`IdentityFiles::find`], and [`IdentityError::NotRegistered`].
    pub fn load(&self) -> Result<Identity, IdentityError> {
        self.find()?
            .ok_or_else(|| IdentityError::NotRegistered(self.identity_path()))
    }

    /// Stores who this machine is.
    ///
    /// # Errors
    /// [`IdentityError::Io`].
    pub fn store(&self, identity: &Identity) -> Result<(), IdentityError> {
        let path = self.identity_path();
        let text = serde_json::to_string_pretty(identity).map_err(|error| IdentityError::Broken {
            path: path.clone(),
            why: error.to_string(),
        })?;
        write(&path, &text)
    }

    /// The key.
    ///
    /// # Errors
    /// [`IdentityError::Io`]; [`IdentityError::Broken`] where it is no key, or none is there.
    pub fn key(&self) -> Result<NodeKey, IdentityError> {
        self.read_key(&self.key_path())?
            .ok_or_else(|| IdentityError::Broken {
                path: self.key_path(),
                why: "the file is not there".to_owned(),
            })
    }

    /// The key that the control plane was offered, where its answer hasn't been seen.
    ///
    /// # Errors
    /// [`IdentityError::Io`], [`IdentityError::Broken`].
    pub fn next_key(&self) -> Result<Option<NodeKey>, IdentityError> {
        self.read_key(&self.next_key_path())
    }

    /// Makes the folder and stores a key as the next one.
    ///
    /// # Errors
    /// [`IdentityError::Io`], [`IdentityError::Key`].
    pub fn store_first_key(&self, key: &NodeKey) -> Result<(), IdentityError> {
        files::make_private_dir(&self.dir).map_err(|source| io(&self.dir, source))?;
        self.store_next_key(key)
    }

    /// Stores a key before it is offered to the control plane.
    ///
    /// # Errors
    /// [`IdentityError::Io`], [`IdentityError::Key`].
    pub fn store_next_key(&self, key: &NodeKey) -> Result<(), IdentityError> {
        write(&self.next_key_path(), &key.to_pem()?)
    }

    /// The control plane has taken the next key: it is the key from now on. May be said again where it is not certain that
    /// it was done: a folder that can't be synced fails after the file was moved.
    ///
    /// # Errors
    /// [`IdentityError::Io`].
    pub fn promote_next_key(&self) -> Result<(), IdentityError> {
        let (next, key) = (self.next_key_path(), self.key_path());
        let moved = match files::rename(&next, &key) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && key.exists() => {
                files::sync_folder_of(&key)
            }
            other => other,
        };
        moved.map_err(|source| io(&key, source))
    }

    /// Seconds since 1970 of the last verified answer; `None` where none was seen or the file is of no use.
    #[must_use]
    pub fn last_date(&self) -> Option<i64> {
        // Nothing depends on this but a better guess of the time, so a broken file is as good as none.
        std::fs::read_to_string(self.last_date_path())
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Stores [`IdentityFiles::last_date`].
    ///
    /// # Errors
    /// [`IdentityError::Io`].
    pub fn store_last_date(&self, seconds: i64) -> Result<(), IdentityError> {
        write(&self.last_date_path(), &format!("{seconds}\n"))
    }

    /// Whose this folder's containers are; `None` where nobody has said so yet.
    ///
    /// # Errors
    /// [`IdentityError::Io`]; [`IdentityError::Broken`] where it is no id: somebody's containers would be left behind.
    pub fn find_owner(&self) -> Result<Option<InstanceId>, IdentityError> {
        let path = self.owner_path();
        let Some(text) = read(&path)? else { return Ok(None) };
        InstanceId::try_from(text.trim().to_owned())
            .map(Some)
            .map_err(|error| IdentityError::Broken {
                path,
                why: error.to_string(),
            })
    }

    /// Whose this folder's containers are. Where nobody has said so yet, `now`'s, and for good: to be called before this
    /// machine becomes another node.
    ///
    /// # Errors
    /// As [`IdentityFiles::find_owner`], and [`IdentityError::Io`] where it can't be written.
    pub fn owner(&self, now: &InstanceId) -> Result<InstanceId, IdentityError> {
        if let Some(owner) = self.find_owner()? {
            return Ok(owner);
        }
        write(&self.owner_path(), &format!("{now}\n"))?;
        Ok(now.clone())
    }

    /// Forgets who this machine is, the key last: an identity without its key can't even be deregistered.
    ///
    /// # Errors
    /// [`IdentityError::Io`].
    pub fn forget(&self) -> Result<(), IdentityError> {
        for path in [
            self.identity_path(),
            self.next_key_path(),
            self.key_path(),
            self.last_date_path(),
        ] {
            files::remove(&path).map_err(|source| io(&path, source))?;
        }
        Ok(())
    }

    fn read_key(&self, path: &Path) -> Result<Option<NodeKey>, IdentityError> {
        let Some(text) = read(path)? else { return Ok(None) };
        NodeKey::from_pem(&text)
            .map(Some)
            .map_err(|error| IdentityError::Broken {
                path: path.to_owned(),
                why: error.to_string(),
            })
    }

    fn identity_path(&self) -> PathBuf {
        self.dir.join("identity.json")
    }

    fn key_path(&self) -> PathBuf {
        self.dir.join("node.pem")
    }

    fn next_key_path(&self) -> PathBuf {
        self.dir.join("node-next.pem")
    }

    fn owner_path(&self) -> PathBuf {
        self.dir.join("owner")
    }

    fn last_date_path(&self) -> PathBuf {
        self.dir.join("last-date")
    }
}

fn io(path: &Path, source: std::io::Error) -> IdentityError {
    IdentityError::Io {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    files::absent_is_none(std::fs::read_to_string(path)).map_err(|source| io(path, source))
}

fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    files::write_atomically(path, text.as_bytes(), 0o600).map_err(|source| io(path, source))
}

#[cfg(test)]
impl Identity {
    /// Any one, for tests.
    pub fn sample(endpoint: &str, trust: &Trust) -> Self {
        let id = InstanceId::from_random(uuid::Uuid::from_u128(1));
        Self::new(id, "us-east-1".into(), endpoint.into(), "default".into(), trust)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(trust: &Trust) -> Identity {
        Identity::sample("https://a", trust)
    }

    #[test]
    fn absent_and_broken_are_different() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        assert_eq!(files.find().unwrap(), None);
        assert!(matches!(files.load(), Err(IdentityError::NotRegistered(_))));
        for broken in ["", "{}", r#"{"version":2}"#] {
            std::fs::write(dir.path().join("identity.json"), broken).unwrap();
            assert!(
                matches!(files.find(), Err(IdentityError::Broken { .. })),
                "{broken}"
            );
        }
    }

    #[test]
    fn what_is_stored_is_loaded_and_what_is_forgotten_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        let pin = Trust::Only("0f".repeat(32).parse().unwrap());
        for trust in [Trust::System, Trust::AlsoPem("pem".into()), pin] {
            files.store(&identity(&trust)).unwrap();
            let loaded = files.load().unwrap();
            assert_eq!((loaded.trust(), loaded), (trust.clone(), identity(&trust)));
        }
        files.store_first_key(&NodeKey::generate().unwrap()).unwrap();
        files.promote_next_key().unwrap();
        files.store_last_date(7).unwrap();
        assert_eq!(files.last_date(), Some(7));
        files.forget().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_owner_is_the_first_that_there_was() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        let [first, second] = [1, 2].map(|id| InstanceId::from_random(uuid::Uuid::from_u128(id)));
        assert_eq!(files.owner(&first).unwrap(), first);
        files.forget().unwrap();
        assert_eq!(files.owner(&second).unwrap(), first);
        std::fs::write(dir.path().join("owner"), "").unwrap();
        let error = files.owner(&second).unwrap_err();
        assert!(matches!(error, IdentityError::Broken { .. }), "{error}");
    }

    #[test]
    fn a_damaged_pin_is_never_trust_in_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        let mut damaged = identity(&Trust::System);
        damaged.ca_fingerprint = Some("0f0f".into());
        files.store(&damaged).unwrap();
        assert!(matches!(files.load(), Err(IdentityError::Broken { .. })));
    }

    #[test]
    fn the_next_key_replaces_the_key_only_when_promoted() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        let (first, next) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        files.store_first_key(&first).unwrap();
        files.promote_next_key().unwrap();
        files.store_next_key(&next).unwrap();
        assert_eq!(files.key().unwrap().public(), first.public());
        assert_eq!(files.next_key().unwrap().unwrap().public(), next.public());
        for _ in 0..2 {
            files.promote_next_key().unwrap();
            assert_eq!(files.key().unwrap().public(), next.public());
            assert!(files.next_key().unwrap().is_none());
        }
    }
}
