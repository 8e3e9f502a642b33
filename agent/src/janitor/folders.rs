//! What tasks have on the data folder's disk: logs for people, and volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use longshore_protocol::arn::ResourceId;

use crate::blocking;
use crate::files::folders_in;
use crate::log::{Logs, PathsError};
use crate::runtime::RuntimeError;
use crate::runtime::exits::Exits;
use crate::volume::{VolumeError, Volumes};

/// Folders that could not be listed or removed: again later.
#[derive(Debug, thiserror::Error)]
pub enum FoldersError {
    /// A folder of folders.
    #[error("cannot list {}: {source}", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Log files.
    #[error(transparent)]
    Logs(#[from] PathsError),
    /// Volumes.
    #[error(transparent)]
    Volumes(#[from] VolumeError),
    /// What was no exit record.
    #[error(transparent)]
    Exits(#[from] RuntimeError),
    /// The thread that was at it.
    #[error("folders: {0}")]
    Thread(#[source] io::Error),
}

/// The folders of tasks.
#[async_trait]
pub trait Folders: Send + Sync + 'static {
    /// The tasks but these that have some, and when something was last written there, in milliseconds since 1970.
    async fn of_others(&self, known: BTreeSet<ResourceId>)
    -> Result<BTreeMap<ResourceId, i64>, FoldersError>;

    /// Removes those of a task. There may be none.
    async fn remove(&self, task: &ResourceId) -> Result<(), FoldersError>;
}

/// Those below the data folder.
#[derive(Clone, Debug)]
pub struct DataFolders {
    /// Log files.
    pub logs: Logs,
    /// Volumes.
    pub volumes: Volumes,
    /// What was no exit record, and is kept as long as logs.
    pub exits: Exits,
}

impl DataFolders {
    /// Removes a task's logs, with what was no exit record.
    ///
    /// # Errors
    /// [`FoldersError`]; again later.
    pub async fn remove_logs(&self, task: &ResourceId) -> Result<(), FoldersError> {
        let (logs, exits, id) = (self.logs.clone(), self.exits.clone(), task.clone());
        let remove = move || {
            exits.clean_task(&id)?;
            Ok(logs.remove_task(&id)?)
        };
        let removed = blocking::DISK.run(remove).await;
        removed.map_err(FoldersError::Thread)?
    }
}

#[async_trait]
impl Folders for DataFolders {
    async fn of_others(
        &self,
        known: BTreeSet<ResourceId>,
    ) -> Result<BTreeMap<ResourceId, i64>, FoldersError> {
        let folders = [self.logs.folder(), self.volumes.folder()].map(PathBuf::from);
        let listed = blocking::DISK.run(move || others(&folders, &known)).await;
        listed.map_err(FoldersError::Thread)?
    }

    async fn remove(&self, task: &ResourceId) -> Result<(), FoldersError> {
        self.remove_logs(task).await?;
        Ok(self.volumes.remove_task(task).await?)
    }
}

/// What else is in these folders is nobody's, and stays.
fn others(
    folders: &[PathBuf],
    known: &BTreeSet<ResourceId>,
) -> Result<BTreeMap<ResourceId, i64>, FoldersError> {
    let other = |name: &str| name.parse().ok().filter(|id| !known.contains(id));
    let mut others = BTreeMap::new();
    for folder in folders {
        let found =
            folders_in(folder, |name| other(name).is_some()).map_err(|source| FoldersError::List {
                path: folder.clone(),
                source,
            })?;
        for (name, written) in found {
            let Some(id) = other(&name) else { continue };
            // A time that is out of range is no time to be believed.
            let written = jiff::Timestamp::try_from(written).map_or(i64::MAX, |at| at.as_millisecond());
            let last: &mut i64 = others.entry(id).or_insert(written);
            *last = written.max(*last);
        }
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[tokio::test]
    async fn what_is_of_others_is_found_with_its_age_and_can_be_removed() {
        let data = tempfile::tempdir().unwrap();
        let folders = DataFolders {
            logs: Logs::new(data.path()),
            volumes: Volumes::new(data.path()),
            exits: Exits::new(data.path()),
        };
        let [known, old, new] = ["1", "2", "3"].map(|digit| digit.repeat(32).parse::<ResourceId>().unwrap());
        assert_eq!(folders.of_others(BTreeSet::new()).await.unwrap(), BTreeMap::new());
        for path in [
            format!("logs/{known}"),
            format!("logs/{old}"),
            format!("volumes/{old}/data"),
            format!("volumes/{new}"),
            "logs/notes".to_owned(),
        ] {
            fs::create_dir_all(data.path().join(path)).unwrap();
        }
        fs::write(data.path().join("logs").join("4".repeat(32)), "a file").unwrap();
        // When its log was written to counts, and not when its folder was made.
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(5_000_000_000);
        let log = data.path().join(format!("logs/{old}/web.log"));
        fs::File::create(log).unwrap().set_modified(written).unwrap();

        let known = BTreeSet::from([known]);
        let others = folders.of_others(known.clone()).await.unwrap();
        assert_eq!(others.keys().collect::<Vec<_>>(), [&old, &new]);
        assert_eq!(others[&old], 5_000_000_000_000);
        assert!(others[&new] < others[&old]);
        for _ in 0..2 {
            folders.remove(&old).await.unwrap();
        }
        let others = folders.of_others(known).await.unwrap();
        assert_eq!(others.keys().collect::<Vec<_>>(), [&new]);
        assert!(data.path().join("logs/notes").exists());
    }
}
