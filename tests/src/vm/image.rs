//! The disks: the machine's own, and one with the programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::run;
use crate::{binaries, programs};

/// A Debian that boots.
#[derive(Clone, Debug)]
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// Builds it, where that was not done before.
    ///
    /// # Panics
    /// When it can't be had; `build-image` says why.
    #[must_use]
    pub fn build() -> Self {
        let script = workspace().join("tests/vm/build-image");
        let output = Command::new(&script).output().expect("tests/vm/build-image");
        assert!(
            output.status.success(),
            "{}: {}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let folder = String::from_utf8_lossy(&output.stdout).trim().into();
        Self { folder }
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("root.img")
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join("kernel")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.folder.join("initrd")
    }
}

/// What lies in the machine's `/opt/longshore`.
#[derive(Debug)]
pub struct Programs {
    dir: tempfile::TempDir,
}

impl Programs {
    /// This workspace's programs in `bin`, without what debuggers need; the systemd units in `systemd`.
    ///
    /// # Panics
    /// When one is missing, or there is no room.
    #[must_use]
    pub fn collect() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("lst-programs-")
            .tempdir()
            .expect("a folder");
        std::fs::create_dir(dir.path().join("bin")).expect("a folder");
        let collected = Self { dir };
        for name in [
            "longshore",
            "longshore-agent",
            "longshore-control-plane",
            "longshore-log",
            "containerd-shim-longshore-v1",
        ] {
            collected.add_program(name, &binaries::path(name));
        }
        let units = workspace().join("systemd");
        run(Command::new("cp").arg("-r").arg(units).arg(collected.dir.path()));
        collected
    }

    /// Adds a program.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn add_program(&self, name: &str, from: &Path) {
        let to = self.dir.path().join("bin").join(name);
        run(Command::new("strip").arg("-o").arg(to).arg(from));
    }

    /// The folder that becomes the disk: for more files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write_disk(&self, path: &Path) {
        let mut command = Command::new(programs::find("mke2fs"));
        command.args(["-q", "-t", "ext4", "-d"]).arg(self.dir.path());
        run(command.arg(path).arg("400M"));
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
