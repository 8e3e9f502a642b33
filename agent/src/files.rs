//! Small files that are whole or not there at all, whatever happens while they are written; and paths that are to be free.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

/// Makes a folder of mode 0700 and those above it; those that are there stay as they are.
///
/// # Errors
/// What the system says.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file beside its place, syncs it and moves it there, so that a reader or a power cut meets the old one or
/// the new one. Its mode is `mode`, whatever the umask is.
///
/// # Errors
/// What the system says; then the old file is what there is.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (new, file) = write_beside(path, content, mode)?;
    file.sync_all()?;
    rename(&new, path)
}

/// Renames a file, durably.
///
/// # Errors
/// What the system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Removes a file, durably; one that isn't there is removed already.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match absent_is_none(fs::remove_file(path))? {
        Some(()) => sync_folder_of(path),
        None => Ok(()),
    }
}

/// The names of the folders right in a folder. There are none in one that isn't there.
///
/// # Errors
/// What the system says.
pub fn folders_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in absent_is_none(fs::read_dir(folder))?.into_iter().flatten() {
        let entry = entry?;
        // It may be gone by now.
        if absent_is_none(entry.file_type())?.is_some_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// Makes durable that a file is there, or isn't.
///
/// # Errors
/// What the system says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// As [`write_atomically`], but after a power cut the file may be empty: for what is written anew in each boot before
/// it is read.
///
/// # Errors
/// What the system says; then the old file is what there is.
pub fn write_for_this_boot(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (new, _) = write_beside(path, content, mode)?;
    fs::rename(&new, path)
}

fn write_beside(path: &Path, content: &[u8], mode: u32) -> io::Result<(PathBuf, File)> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok((new, file))
}

/// Turns "there is no such file" into `None`.
///
/// # Errors
/// Any other.
pub fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes off all that is mounted at a path, one above another maybe. Nothing mounted there, or nothing there, is no error.
///
/// # Errors
/// Any other.
pub fn unmount(path: &Path) -> io::Result<()> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // EINVAL: not a mount point.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_has_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let durably = write_atomically as fn(&Path, &[u8], u32) -> io::Result<()>;
        for (write, text, mode) in [
            (durably, "first", 0o644),
            (write_for_this_boot, "second", 0o600),
            (durably, "third", 0o640),
        ] {
            write(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for _ in 0..2 {
            remove(&path).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
