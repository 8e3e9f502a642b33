//! GPUs by CDI: finding them in the specifications, and giving them to a container.
//!
//! A vendor's tool lists one card several times: by index, by UUID, and within `all`. Devices with the same device
//! nodes are one GPU, named by its UUID if a device has one. A group of nodes that contains another group whole is
//! several GPUs (or a card beside its own parts), so it is never offered; neither is a device without nodes, since
//! nothing says which card it is.
//!
//! Files are read at each call: a specification follows the driver, and a container gets what is true when it is made.
//! A file that can't be read hides no other; it is logged, and named when a GPU is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use container_device_interface::cache::Cache;
use container_device_interface::device::Device;
use container_device_interface::spec::{Spec as CdiSpec, read_spec};
use container_device_interface::utils::is_cdi_spec;

use crate::config::ResourceConfig;
use crate::model::Gpu;

/// Where CDI has its files; a later folder wins.
const DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// The class of a CDI kind (`VENDOR/CLASS`) that is offered.
const CLASS: &str = "gpu";
/// The device that stands for all others of its kind.
const ALL: &str = "all";

/// A GPU that could not be given to a container. Trying again helps once the specification is right.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// No specification has it.
    #[error(
        "no CDI specification in {dirs} has GPU {id}{faults}: write one with `nvidia-ctk cdi generate \
         --output=/etc/cdi/nvidia.yaml` (or the tool of the card's vendor)"
    )]
    NotFound {
        /// The GPU, as registered.
        id: String,
        /// The folders that were searched.
        dirs: String,
        /// `; FILE can't be read: WHY` for each broken file.
        faults: String,
    },
    /// The specification has it, but what it says can't be done here.
    #[error(
        "GPUs {ids:?} can't be given to the container: {why}; does the CDI specification fit the driver that runs? \
         Write it again with `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` (or the tool of the card's vendor)"
    )]
    Refused {
        /// The GPUs.
        ids: Vec<String>,
        /// What CDI said.
        why: String,
    },
}

/// The GPUs of this machine, by the CDI folders.
#[derive(Clone, Debug)]
pub struct Gpus {
    dirs: Vec<PathBuf>,
}

/// What the folders hold, as far as a look from outside tells.
pub(super) type Stamp = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// What the files say.
#[derive(Default)]
struct Found {
    /// By their qualified names, `VENDOR/CLASS=NAME`.
    devices: HashMap<String, Device>,
    /// Files that can't be read, or say what another says otherwise.
    faults: Vec<(PathBuf, String)>,
}

impl Gpus {
    /// `/etc/cdi`, `/var/run/cdi` and the folders of the settings, in this order.
    #[must_use]
    pub fn new(config: &ResourceConfig) -> Self {
        let standard = DIRS.iter().map(PathBuf::from);
        Self::of_dirs(standard.chain(config.cdi_dirs.iter().cloned()).collect())
    }

    pub(super) fn of_dirs(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// The GPUs on offer, sorted by id. Broken files are logged.
    #[must_use]
    pub fn list(&self) -> Vec<Gpu> {
        let found = self.read();
        for (path, why) in &found.faults {
            tracing::warn!(path = %path.display(), %why, "a CDI specification can't be used");
        }
        offered(&found.devices)
    }

    /// Puts GPUs into a container's specification: device nodes, libraries, hooks, as CDI says. None is nothing.
    ///
    /// # Errors
    /// [`InjectError`]; the specification is then as it was.
    pub fn inject(&self, spec: &mut oci_spec::runtime::Spec, ids: &[String]) -> Result<(), InjectError> {
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.read();
        let gpus = offered(&found.devices);
        let mut names = Vec::new();
        for id in ids {
            match gpus.iter().find(|gpu| gpu.id == *id) {
                Some(gpu) => names.push(gpu.cdi_device.clone()),
                None => return Err(self.not_found(id, &found.faults)),
            }
        }
        let mut changed = spec.clone();
        Cache::new(Vec::new(), HashMap::new(), found.devices)
            .inject_devices(Some(&mut changed), names)
            .map_err(|error| InjectError::Refused {
                ids: ids.to_vec(),
                why: error.to_string(),
            })?;
        *spec = changed;
        Ok(())
    }

    fn not_found(&self, id: &str, faults: &[(PathBuf, String)]) -> InjectError {
        let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        let fault = |(path, why): &(PathBuf, String)| format!("; {} can't be used: {why}", path.display());
        InjectError::NotFound {
            id: id.to_owned(),
            dirs: dirs.join(", "),
            faults: faults.iter().map(fault).collect(),
        }
    }

    /// Which files there are, of which size and age.
    pub(super) fn stamp(&self) -> Stamp {
        let files = self.dirs.iter().flat_map(|dir| files(dir));
        files
            .map(|path| {
                let now = fs::metadata(&path).map_or((0, None), |file| (file.len(), file.modified().ok()));
                (path, now)
            })
            .collect()
    }

    fn read(&self) -> Found {
        let mut found = Found::default();
        for (priority, dir) in (0_i32..).zip(&self.dirs) {
            // A device that two files of one folder have is neither's.
            let mut conflicts = BTreeSet::new();
            for path in files(dir) {
                match read_spec(&path, priority) {
                    Ok(spec) => found.add(spec, &path, priority, &mut conflicts),
                    Err(error) => found.faults.push((path, format!("{error:#}"))),
                }
            }
            for name in conflicts {
                found.devices.remove(&name);
            }
        }
        found
    }
}

impl Found {
    fn add(&mut self, spec: CdiSpec, path: &Path, priority: i32, conflicts: &mut BTreeSet<String>) {
        for device in spec.get_devices().into_values() {
            let name = device.get_qualified_name();
            let other = self.devices.get(&name);
            if other.is_some_and(|other| other.get_spec().get_priority() == priority) {
                let why = format!("another file of its folder has {name} too, so nobody gets it");
                self.faults.push((path.to_owned(), why));
                conflicts.insert(name);
            } else {
                self.devices.insert(name, device);
            }
        }
    }
}

/// The specification files of a folder, sorted. A folder that isn't there has none.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| is_cdi_spec(path) && path.is_file())
        .collect();
    files.sort();
    files
}

/// A device's nodes on the host. The crate shows them only in their written form.
fn nodes(device: &Device) -> BTreeSet<String> {
    let edits = serde_json::to_value(device.edits().container_edits).unwrap_or_default();
    let nodes = edits["deviceNodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes
        .iter()
        .filter_map(|node| {
            let on_host = node["hostPath"].as_str().filter(|path| !path.is_empty());
            on_host.or(node["path"].as_str()).map(str::to_owned)
        })
        .collect()
}

/// The part of a qualified name that names the device.
fn short(qualified: &str) -> &str {
    qualified.rsplit_once('=').map_or(qualified, |(_, name)| name)
}

/// A card's own name: `GPU-` or `MIG-` and a UUID, or the UUID alone.
fn is_uuid(name: &str) -> bool {
    let bare = ["GPU-", "MIG-"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    uuid::Uuid::try_parse(bare.unwrap_or(name)).is_ok()
}

fn offered(devices: &HashMap<String, Device>) -> Vec<Gpu> {
    let mut groups = BTreeMap::<BTreeSet<String>, Vec<&String>>::new();
    for (name, device) in devices {
        let nodes = nodes(device);
        let is_card = device.get_spec().get_class() == CLASS && short(name) != ALL;
        if is_card && !nodes.is_empty() {
            groups.entry(nodes).or_default().push(name);
        }
    }
    let contains_another = |nodes: &BTreeSet<String>| {
        groups
            .keys()
            .any(|other| other != nodes && other.is_subset(nodes))
    };
    let mut gpus: Vec<_> = groups
        .iter()
        .filter(|(nodes, _)| !contains_another(nodes))
        .filter_map(|(_, names)| {
            // The shortest: one vendor's devices may be listed under a manager's name too.
            let order = |name: &&&String| (!is_uuid(short(name)), name.len(), name.to_string());
            let name = *names.iter().min_by_key(order)?;
            let uuid = Some(short(name)).filter(|short| is_uuid(short));
            Some(Gpu {
                id: uuid.unwrap_or(name).to_owned(),
                cdi_device: name.clone(),
            })
        })
        .collect();
    gpus.sort_by(|one, other| one.id.cmp(&other.id));
    gpus
}

#[cfg(test)]
#[path = "cdi_tests.rs"]
mod tests;
