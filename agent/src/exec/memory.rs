//! Which sessions there are, on the disk: for the agent after this one, which ends them.
//!
//! Limits: what was written right before a power cut may be lost; then there is no process left either, and the relay
//! ends the session by its own time-out.

use std::path::{Path, PathBuf};

use longshore_protocol::session::SessionOffer;

use crate::files::{absent_is_none, make_private_dir, write_for_this_boot};

/// The sessions of a folder, a file each.
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
    pub fn keep(&self, offer: &SessionOffer) {
        let kept = make_private_dir(&self.folder)
            .and_then(|()| serde_json::to_vec(offer).map_err(Into::into))
            .and_then(|text| write_for_this_boot(&self.file(&offer.session_id), &text, 0o600));
        if let Err(error) = kept {
            tracing::warn!(session = offer.session_id, %error, "a session is not written down; if the agent dies, its client hears of that from the relay alone");
        }
    }

    pub fn forget(&self, id: &str) {
        if let Err(error) = absent_is_none(std::fs::remove_file(self.file(id))) {
            tracing::warn!(session = id, %error, "a session that has ended stays written down until the next start");
        }
    }

    /// Those that were kept. What can't be read is removed.
    pub fn all(&self) -> Vec<SessionOffer> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
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

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}
