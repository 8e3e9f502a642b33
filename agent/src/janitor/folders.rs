//! What tasks have on the data folder's disk: logs for people, and volumes.

use std::collections::BTreeSet;
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
    /// The tasks but these that have some.
    async fn of_others(&self, known: BTreeSet<ResourceId>) -> Result<BTreeSet<ResourceId>, FoldersError>;

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
    async fn of_others(&self, known: BTreeSet<ResourceId>) -> Result<BTreeSet<ResourceId>, FoldersError> {
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
fn others(folders: &[PathBuf], known: &BTreeSet<ResourceId>) -> Result<BTreeSet<ResourceId>, FoldersError> {
    let mut others = BTreeSet::new();
    for folder in folders {
        let names = folders_in(folder).map_err(|source| FoldersError::List {
            path: folder.clone(),
            source,
        })?;
        let tasks = names.iter().filter_map(|name| name.parse().ok());
        others.extend(tasks.filter(|id| !known.contains(id)));
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_is_of_others_is_found_and_can_be_removed() {
        let data = tempfile::tempdir().unwrap();
        let folders = DataFolders {
            logs: Logs::new(data.path()),
            volumes: Volumes::new(data.path()),
            exits: Exits::new(data.path()),
        };
        let [known, old, new] = ["1", "2", "3"].map(|digit| digit.repeat(32).parse::<ResourceId>().unwrap());
        assert_eq!(folders.of_others(BTreeSet::new()).await.unwrap(), BTreeSet::new());
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
        let known = BTreeSet::from([known]);
        let others = folders.of_others(known.clone()).await.unwrap();
        assert_eq!(others, BTreeSet::from([old.clone(), new.clone()]));
        for _ in 0..2 {
            folders.remove(&old).await.unwrap();
        }
        let others = folders.of_others(known).await.unwrap();
        assert_eq!(others, BTreeSet::from([new]));
        assert!(data.path().join("logs/notes").exists());
    }
}
