//! How far a pull is, for everyone who waits for it.

use tokio::sync::watch;

use super::PullProgress;

/// What a pull tells.
#[derive(Debug)]
pub struct Progress(watch::Sender<PullProgress>);

impl Progress {
    /// A pull that hasn't begun, and where it can be watched.
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<PullProgress>) {
        let (sender, receiver) = watch::channel(PullProgress::default());
        (Self(sender), receiver)
    }

    /// Says what is being done.
    pub fn doing(&self, what: &str) {
        self.0.send_if_modified(|progress| {
            let changed = progress.doing != what;
            if changed {
                what.clone_into(&mut progress.doing);
            }
            changed
        });
    }

    /// A try begins, with so many bytes in all.
    pub fn begin(&self, total: u64) {
        self.0.send_modify(|progress| {
            progress.done = 0;
            progress.total = total;
        });
    }

    /// So many bytes more are here. Those of documents are not counted.
    pub fn add(&self, bytes: u64) {
        self.0.send_if_modified(|progress| {
            progress.done = progress.done.saturating_add(bytes).min(progress.total);
            progress.total > 0
        });
    }
}
