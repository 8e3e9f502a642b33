//! Which sessions there are, on the disk: for the agent after this one, which ends them.
//!
//! Limits: what was written right before a power cut may be lost; then there is no process left either, and the relay
//! ends the session by its own time-out. A disk that hangs is waited for a while only, and then a session goes on without:
//! what is to be written down is so later, in its order, or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_protocol::session::SessionOffer;

use crate::blocking;
use crate::files::{absent_is_none, make_private_dir, write_for_this_boot};

/// How long a session waits until it is written down, or struck out.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sessions of a folder, a file each.
#[derive(Clone)]
pub struct Memory {
    folder: PathBuf,
}

impl Memory {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.join("sessions"),
        }
    }

    /// On a full disk there are sessions all the same.
    pub async fn keep(&self, offer: &SessionOffer) {
        let (folder, file) = (self.folder.clone(), self.file(&offer.session_id));
        let text = serde_json::to_vec(offer);
        let keep = move || {
            make_private_dir(&folder)?;
            write_for_this_boot(&file, &text?, 0o600)
        };
        if let Err(error) = in_turn(keep).await {
            tracing::warn!(session = offer.session_id, %error, "a session is not written down; if the agent dies, its client hears of that from the relay alone");
        }
    }

    pub async fn forget(&self, id: &str) {
        let file = self.file(id);
        if let Err(error) = in_turn(move || absent_is_none(std::fs::remove_file(file))).await {
            tracing::warn!(session = id, %error, "a session that has ended stays written down until the next start");
        }
    }

    /// Those that were kept. What can't be read is removed.
    pub async fn all(&self) -> Vec<SessionOffer> {
        let folder = self.folder.clone();
        let read = blocking::SESSIONS.run(move || all(&folder)).await;
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "earlier sessions can't be listed");
            Vec::new()
        })
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// After what was asked for before. Who has given up by then has it done all the same, unless its turn had not come.
async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let done = tokio::time::timeout(PATIENCE, blocking::SESSIONS.io(work)).await;
    done.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the disk does not answer",
        ))
    })
}

fn all(folder: &Path) -> Vec<SessionOffer> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let offer = std::fs::read(&path).ok();
        match offer.and_then(|text| serde_json::from_slice::<SessionOffer>(&text).ok()) {
            Some(offer) => found.push(offer),
            None => {
                let removed = std::fs::remove_file(&path);
                tracing::debug!(path = %path.display(), ?removed, "it tells of no session");
            }
        }
    }
    found
}
