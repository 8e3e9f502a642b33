//! Tells when the GPUs change: a driver was installed, a CDI specification written or removed.
//!
//! It looks every few seconds instead of asking for events: folders that do not exist yet can't be watched, and a stat
//! of a dozen files costs nothing. A change counts when two looks in a row agree, so that a file which is being
//! written is not read half.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Gpus;
use crate::blocking;
use crate::clock::Clock;
use crate::model::Gpu;

const INTERVAL: Duration = Duration::from_secs(5);

/// Sends the GPUs into `known` whenever they are others than what it holds, until `token` is cancelled or nobody
/// listens any more.
///
/// # Errors
/// A look panicked.
pub async fn watch_gpus(
    gpus: Gpus,
    known: watch::Sender<Vec<Gpu>>,
    clock: Arc<dyn Clock>,
    token: CancellationToken,
) -> io::Result<()> {
    let gpus = Arc::new(gpus);
    // What `known` holds was read at some time before: look once in any case.
    let mut read = None;
    let mut seen = None;
    loop {
        let look = Arc::clone(&gpus);
        let stamp = blocking::GPUS.run(move || look.stamp()).await?;
        if seen.as_ref() == Some(&stamp) && read.as_ref() != Some(&stamp) {
            let list = Arc::clone(&gpus);
            let found = blocking::GPUS.run(move || list.list()).await?;
            read = Some(stamp.clone());
            known.send_if_modified(|known| {
                let changed = *known != found;
                *known = found;
                changed
            });
        }
        seen = Some(stamp);
        tokio::select! {
            () = clock.sleep(INTERVAL) => {}
            () = token.cancelled() => return Ok(()),
            () = known.closed() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::SystemClock;

    fn specification(dir: &Path, cards: &[u8]) {
        let devices: Vec<_> = cards
            .iter()
            .map(|card| {
                let node = serde_json::json!({"path": format!("/dev/card{card}"), "type": "c", "major": 1, "minor": 3});
                serde_json::json!({"name": card.to_string(), "containerEdits": {"deviceNodes": [node]}})
            })
            .collect();
        let text = serde_json::json!({"cdiVersion": "0.5.0", "kind": "watched.test/gpu", "devices": devices});
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("watched.json"), text.to_string()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_appears_and_changes_is_told() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("later");
        let gpus = Gpus::of_dirs(vec![dir.clone()]);
        let (sender, mut receiver) = watch::channel(gpus.list());
        let token = CancellationToken::new();
        let watching = watch_gpus(gpus, sender, Arc::new(SystemClock), token.clone());
        let using = async {
            specification(&dir, &[0, 1]);
            receiver.changed().await.unwrap();
            assert_eq!(receiver.borrow_and_update().len(), 2);
            specification(&dir, &[0]);
            receiver.changed().await.unwrap();
            assert_eq!(receiver.borrow_and_update().len(), 1);
            token.cancel();
        };
        let (watched, ()) = tokio::join!(watching, using);
        watched.unwrap();
    }
}
