//! Mounts that a killed containerd, shim or agent left in the folder.

use std::path::{Path, PathBuf};

use super::UpError;

/// Takes away mounts below a folder, the innermost first.
///
/// # Errors
/// [`UpError::Leftovers`] with all that could not be removed.
pub fn remove_below(folder: &Path) -> Result<(), UpError> {
    let table =
        std::fs::read_to_string("/proc/self/mountinfo").map_err(UpError::file("/proc/self/mountinfo"))?;
    let mut left = Vec::new();
    for point in mounts_below(&table, folder).into_iter().rev() {
        if let Err(error) = nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH) {
            left.push(format!("mount {}: {error}", point.display()));
        }
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(UpError::Leftovers { what: left }),
    }
}

/// The mount points below a folder, in the order in which they were made.
fn mounts_below(table: &str, folder: &Path) -> Vec<PathBuf> {
    let point = |line: &str| Some(PathBuf::from(unescape(line.split(' ').nth(4)?)));
    table
        .lines()
        .filter_map(point)
        .filter(|point| point.starts_with(folder))
        .collect()
}

/// The kernel writes blanks and the like as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_found() {
        let table = "1 0 0:1 / / rw - ext4 /dev/a rw\n\
            2 1 0:2 / /a/b\\040c rw - overlay overlay rw\n\
            3 2 0:3 / /a/b\\040c/d rw - tmpfs tmpfs rw\n\
            4 1 0:4 / /ab rw - tmpfs tmpfs rw\n";
        let found = mounts_below(table, Path::new("/a"));
        assert_eq!(found, [Path::new("/a/b c"), Path::new("/a/b c/d")]);
    }
}
