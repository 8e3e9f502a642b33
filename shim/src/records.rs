//! Exit records on disk: written whole, synced, renamed.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use longshore_protocol::exit_record::{ExitRecord, UNFINISHED, file_name};

/// A record that is not on disk.
#[derive(Debug, thiserror::Error)]
#[error("can't write the exit record {path}")]
pub struct RecordError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Writes a record, over an earlier one of the same process. When it returns, the record is durable.
///
/// # Errors
/// [`RecordError`]: the disk is full, or the folder has gone and can't be made.
pub fn write(folder: &Path, record: &ExitRecord) -> Result<(), RecordError> {
    let path = folder.join(record.file_name());
    write_file(folder, &path, &record.to_json()).map_err(|source| RecordError { path, source })
}

fn write_file(folder: &Path, path: &Path, json: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    let unfinished = PathBuf::from(name);
    let written = File::create(&unfinished)
        .and_then(|mut file| file.write_all(json).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        // On a full disk it only takes room.
        let _ = std::fs::remove_file(&unfinished);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// The record of a container's first process, if there is one.
#[must_use]
pub fn read(folder: &Path, container: &str) -> Option<ExitRecord> {
    let json = std::fs::read(folder.join(file_name(container, None))).ok()?;
    ExitRecord::parse(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_record_replaces_an_earlier_one_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("exits");
        let mut record = ExitRecord {
            version: 1,
            container: "c".into(),
            exec: None,
            status: 7,
            signal: None,
            exited_at: Clock::new().now(),
            memory: None,
            undead: vec![4],
        };
        write(&folder, &record).unwrap();
        record.undead.clear();
        write(&folder, &record).unwrap();
        assert_eq!(read(&folder, "c"), Some(record.clone()));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(read(&folder, "d"), None);
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        assert!(write(&folder, &record).is_err());
    }
}
