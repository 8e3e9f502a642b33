//! What a container's environment is filled with from elsewhere: for now, local environment files.
//!
//! A file has lines of `NAME=VALUE`. A `#` in the first column begins a comment. The line is split at its first `=`;
//! nothing is quoted, trimmed or expanded. Lines without `=` or without a name are skipped. Of a name that several
//! files have, the first file wins; within one file, the last line.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most bytes of one file: no process can be started with an environment of more than 2 MiB in any case.
const MAX_SIZE: u64 = 1 << 20;

/// An environment file that can't be used. Trying again does not help before somebody has done something.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It can't be read.
    #[error("cannot read environment file {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("environment file {path} is no regular file")]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It is too long.
    #[error("environment file {path} is longer than {MAX_SIZE} bytes")]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// A line can't be part of an environment.
    #[error("environment file {path}, line {line}: {why}")]
    Line {
        /// Which.
        path: PathBuf,
        /// Its number; the first is 1.
        line: usize,
        /// What it has that it must not.
        why: &'static str,
    },
}

/// Reads environment files, in their order.
///
/// # Errors
/// [`SecretsError`] of the first file that can't be used.
pub fn environment_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, SecretsError> {
    let mut all = Vec::new();
    let mut names = BTreeSet::new();
    for path in paths {
        let of_file = parse(path, &read(path)?)?;
        let new: Vec<_> = of_file
            .into_iter()
            .filter(|(name, _)| !names.contains(name))
            .collect();
        names.extend(new.iter().map(|(name, _)| name.clone()));
        all.extend(new);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, SecretsError> {
    let unreadable = |source| SecretsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // A pipe with no writer must not hold the task up before it can be refused.
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(SecretsError::NotAFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(SecretsError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<(String, String)>, SecretsError> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut places = BTreeMap::<String, usize>::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let fault = |why| SecretsError::Line {
            path: path.to_owned(),
            line: number,
            why,
        };
        if line.first() == Some(&b'#') {
            continue;
        }
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).map_err(|_| fault("it is not UTF-8"));
        let (name, value) = (text(&line[..at])?, text(&line[at + 1..])?);
        if name.contains('\0') || value.contains('\0') {
            return Err(fault("it has a NUL"));
        }
        if name.is_empty() {
            continue;
        }
        match places.entry(name) {
            Entry::Occupied(place) => found[*place.get()].1 = value,
            Entry::Vacant(place) => {
                found.push((place.key().clone(), value));
                place.insert(found.len() - 1);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&[u8]]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let write = |(index, text): (usize, &&[u8])| {
            let path = dir.path().join(format!("{index}.env"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let paths = texts.iter().enumerate().map(write).collect();
        (dir, paths)
    }

    fn read_text(texts: &[&str]) -> Vec<(String, String)> {
        let bytes: Vec<_> = texts.iter().map(|text| text.as_bytes()).collect();
        let (_dir, paths) = files(&bytes);
        environment_files(&paths).unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn lines_are_taken_as_they_are() {
        let text = "# comment\nA=1\n #B=2\nC= \"x=y\" \r\nno line\n=nameless\n\nEMPTY=\nLAST=end";
        let expected = pairs(&[
            ("A", "1"),
            (" #B", "2"),
            ("C", " \"x=y\" \r"),
            ("EMPTY", ""),
            ("LAST", "end"),
        ]);
        assert_eq!(read_text(&[text]), expected);
    }

    #[test]
    fn the_first_file_wins_and_within_it_the_last_line() {
        assert_eq!(
            read_text(&["A=1\nA=2\n", "A=3\nB=4\n"]),
            pairs(&[("A", "2"), ("B", "4")])
        );
    }

    #[test]
    fn what_is_no_environment_file_is_refused_by_name() {
        let (dir, paths) = files(&[b"A=\xff\n", b"#\nA=1\0\n", &vec![b'x'; 1 << 20 | 1]]);
        let why = |path: &Path| environment_files(&[path.to_owned()]).unwrap_err().to_string();
        assert!(why(&paths[0]).ends_with("line 1: it is not UTF-8"));
        assert!(why(&paths[1]).ends_with("line 2: it has a NUL"));
        assert!(why(&paths[2]).ends_with("longer than 1048576 bytes"));
        assert!(why(dir.path()).ends_with("no regular file"));
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(why(&pipe).ends_with("no regular file"));
        let missing = dir.path().join("missing.env");
        assert!(why(&missing).starts_with(&format!("cannot read environment file {}", missing.display())));
    }

    proptest::proptest! {
        #[test]
        fn each_pair_that_is_written_is_read_back(
            values in proptest::collection::btree_map("[A-Za-z_][^=\n\0]{0,8}", "[^\n\0]{0,20}", 0..8),
        ) {
            let text: String = values.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            let read: std::collections::BTreeMap<_, _> = read_text(&[&text]).into_iter().collect();
            proptest::prop_assert_eq!(read, values);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let (_dir, paths) = files(&[&bytes]);
            let _any = environment_files(&paths);
        }
    }
}
