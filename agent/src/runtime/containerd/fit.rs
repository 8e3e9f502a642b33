//! Fits a spec to the machine that it runs on: what only the running kernel and the image's files know.
//!
//! Everything that is taken away here is logged, since it was asked for.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, LinuxCapabilities, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Spec,
};

use super::user::Identity;
use crate::spec::CAPABILITIES;

/// The kernel and rights of this machine, as far as specs depend on them.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// What no process here can have more than. containerd is taken to have the same.
    bounding: u64,
    /// Whether a bind mount can be made read-only with all that is below it (Linux 5.12).
    recursive_read_only: bool,
}

impl Machine {
    /// Asks the kernel. What can't be read counts as there, so that the runtime says what is wrong.
    pub(super) fn detect() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            bounding: bounding(&status).unwrap_or(u64::MAX),
            recursive_read_only: version(&release).is_none_or(|version| version >= (5, 12)),
        }
    }

    /// Takes from a spec what this machine doesn't have.
    pub(super) fn fit(&self, spec: &mut Spec, id: &str) {
        if let Some(process) = spec.process_mut() {
            if let Some(sets) = process.capabilities().clone() {
                process.set_capabilities(Some(self.within_bounds(sets, id)));
            }
            let loaded = |profile: &String| profile_is_loaded(profile);
            if process
                .apparmor_profile()
                .as_ref()
                .is_some_and(|profile| !loaded(profile))
            {
                tracing::info!(container = id, "AppArmor profile is not loaded; runs without");
                process.set_apparmor_profile(None);
            }
        }
        if !self.recursive_read_only {
            for mount in spec.mounts_mut().iter_mut().flatten() {
                mount
                    .options_mut()
                    .iter_mut()
                    .for_each(|options| options.retain(|option| option != "rro"));
            }
        }
    }

    fn within_bounds(&self, mut sets: LinuxCapabilities, id: &str) -> LinuxCapabilities {
        let has = |capability: &oci_spec::runtime::Capability| {
            let number = CAPABILITIES.iter().position(|one| one == capability);
            number.is_none_or(|number| self.bounding & (1 << number) != 0)
        };
        let bound =
            |set: &Option<Capabilities>| set.as_ref().map(|set| set.iter().copied().filter(has).collect());
        let bounding: Option<Capabilities> = bound(sets.bounding());
        if bounding.as_ref().map(Capabilities::len) != sets.bounding().as_ref().map(Capabilities::len) {
            tracing::warn!(
                container = id,
                "this machine lacks capabilities that were asked for"
            );
        }
        let (effective, permitted) = (bound(sets.effective()), bound(sets.permitted()));
        sets.set_bounding(bounding)
            .set_effective(effective)
            .set_permitted(permitted);
        sets
    }
}

/// Makes the first process be somebody: numbers, groups, a HOME unless one is set, and for anybody but root no
/// capabilities to begin with (running a set-uid program can still give them, within the bounding set).
pub(super) fn become_user(spec: &mut Spec, identity: &Identity) {
    let Some(process) = spec.process_mut() else {
        return;
    };
    let user = process.user_mut();
    user.set_uid(identity.uid).set_gid(identity.gid);
    if !identity.groups.is_empty() {
        user.set_additional_gids(Some(identity.groups.clone()));
    }
    if identity.uid != 0
        && let Some(mut sets) = process.capabilities().clone()
    {
        sets.set_effective(Some(Capabilities::default()))
            .set_permitted(Some(Capabilities::default()));
        process.set_capabilities(Some(sets));
    }
    let env = process.env_mut().get_or_insert_default();
    if !env.iter().any(|line| line.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home.as_deref().unwrap_or("/")));
    }
}

/// Gives a privileged container the machine's device nodes, beside those that it has (a GPU's).
///
/// # Errors
/// The OCI types refuse a node.
pub(super) fn add_host_devices(spec: &mut Spec) -> Result<(), OciSpecError> {
    let machines = devices(Path::new("/dev"))?;
    if let Some(linux) = spec.linux_mut() {
        let mut devices = linux.devices().clone().unwrap_or_default();
        let own: BTreeSet<_> = devices.iter().map(|device| device.path().clone()).collect();
        devices.extend(machines.into_iter().filter(|device| !own.contains(device.path())));
        linux.set_devices(Some(devices));
    }
    Ok(())
}

/// Folders of /dev that a container has its own of, or that are other programs' books.
const NOT_DEVICES: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".udev"];

fn devices(root: &Path) -> Result<Vec<LinuxDevice>, OciSpecError> {
    let mut devices = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        // What vanishes while it is looked at (a stick that is pulled) is no device any more.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let kind = metadata.file_type();
            let name = entry.file_name();
            if kind.is_dir() && !NOT_DEVICES.iter().any(|one| name == *one) {
                open.push(entry.path());
            }
            let kind = match (kind.is_char_device(), kind.is_block_device()) {
                (true, _) if name != "console" => LinuxDeviceType::C,
                (_, true) => LinuxDeviceType::B,
                _ => continue,
            };
            let device = LinuxDeviceBuilder::default()
                .path(entry.path())
                .typ(kind)
                .major(i64::try_from(major(metadata.rdev())).unwrap_or_default())
                .minor(i64::try_from(minor(metadata.rdev())).unwrap_or_default())
                .file_mode(metadata.mode() & 0o7777)
                .uid(metadata.uid())
                .gid(metadata.gid());
            devices.push(device.build()?);
        }
    }
    devices.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(devices)
}

fn profile_is_loaded(name: &str) -> bool {
    let profiles = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    profiles.lines().any(|line| line.split(' ').next() == Some(name))
}

/// From `/proc/PID/status`.
fn bounding(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// The first two numbers of a kernel's release, such as `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    #[test]
    fn capabilities_stay_within_what_the_machine_has() {
        let machine = Machine {
            bounding: 1 << 21 | 1,
            recursive_read_only: false,
        };
        let all: Capabilities = CAPABILITIES.into_iter().collect();
        let mut sets = LinuxCapabilities::default();
        sets.set_bounding(Some(all.clone()))
            .set_effective(Some(all.clone()))
            .set_permitted(Some(all));
        let expected: Capabilities = [Capability::Chown, Capability::SysAdmin].into_iter().collect();
        let sets = machine.within_bounds(sets, "c");
        assert_eq!(sets.bounding().as_ref(), Some(&expected));
        assert_eq!(sets.effective().as_ref(), Some(&expected));
        assert_eq!(sets.permitted().as_ref(), Some(&expected));
    }

    #[test]
    fn somebody_has_a_home_and_no_power() {
        let mut spec = Spec::default();
        let identity = Identity {
            uid: 5,
            gid: 6,
            groups: vec![7],
            home: Some("/home/app".to_owned()),
        };
        become_user(&mut spec, &identity);
        become_user(&mut spec, &identity);
        let process = spec.process().clone().unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (5, 6));
        assert_eq!(process.user().additional_gids(), &Some(vec![7]));
        let homes = process
            .env()
            .clone()
            .unwrap()
            .into_iter()
            .filter(|line| line.starts_with("HOME="));
        assert_eq!(homes.collect::<Vec<_>>(), ["HOME=/home/app"]);
        let sets = process.capabilities().clone().unwrap();
        assert!(
            sets.effective().as_ref().unwrap().is_empty() && sets.permitted().as_ref().unwrap().is_empty()
        );
        assert!(!sets.bounding().as_ref().unwrap().is_empty());
    }

    #[test]
    fn the_host_has_a_null_device() {
        let devices = devices(Path::new("/dev")).unwrap();
        let null = devices
            .iter()
            .find(|device| device.path() == Path::new("/dev/null"))
            .unwrap();
        assert_eq!(
            (null.typ(), null.major(), null.minor()),
            (LinuxDeviceType::C, 1, 3)
        );
        assert!(!devices.iter().any(|device| device.path().starts_with("/dev/pts")));
    }

    #[test]
    fn a_device_that_a_container_was_given_stays_beside_the_machines() {
        let given = |path: &str| {
            let device = LinuxDeviceBuilder::default().path(path).typ(LinuxDeviceType::C);
            device.major(195).minor(7).build().unwrap()
        };
        let mut spec = Spec::default();
        // One under a name that the machine does not have, one under a name that it has for another.
        let gpus = vec![given("/dev/gpu-of-the-task"), given("/dev/zero")];
        spec.linux_mut().as_mut().unwrap().set_devices(Some(gpus.clone()));
        add_host_devices(&mut spec).unwrap();
        let devices = spec.linux().clone().unwrap().devices().clone().unwrap();
        assert_eq!(devices[..2], gpus);
        let count = |path: &str| devices.iter().filter(|one| one.path() == Path::new(path)).count();
        assert_eq!((count("/dev/zero"), count("/dev/null")), (1, 1));
    }

    #[test]
    fn the_kernel_is_read() {
        assert_eq!(version("6.1.0-13-amd64\n"), Some((6, 1)));
        assert_eq!(version("5.12-rc1"), Some((5, 12)));
        assert_eq!(version("what"), None);
        assert_eq!(
            bounding("Name:\tx\nCapBnd:\t000001fffeffffff\n"),
            Some(0x01ff_feff_ffff)
        );
    }
}
