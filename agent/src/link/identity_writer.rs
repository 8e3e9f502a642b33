//! Writes to the files of an identity, while the agent runs.
//!
//! A disk that hangs keeps whoever writes to it. So a write has a thread of its own, and is waited for a while only.
//!
//! - One at a time, in the order in which they are asked for ([`blocking::IDENTITY`]): what is written late never replaces
//!   what was written after it.
//! - A write that nobody waits for any more may still be done, hours later. So it also changes what is in memory, once
//!   the disk has it: the two agree whenever it ends.

use std::time::Duration;

use super::LinkError;
use super::identity::{IdentityError, IdentityFiles};
use crate::blocking;

/// How long a write is waited for, with those before it; a disk that is only slow has done it by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes to the files of an identity.
#[derive(Clone)]
pub(super) struct IdentityWriter {
    files: IdentityFiles,
}

impl IdentityWriter {
    pub(super) fn new(files: IdentityFiles) -> Self {
        Self { files }
    }

    /// Writes by `write`, for the call `operation`.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: it was not written, or not within ten seconds.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        write: impl FnOnce(&IdentityFiles) -> Result<T, IdentityError> + Send + 'static,
    ) -> Result<T, LinkError> {
        let files = self.files.clone();
        let writing = blocking::IDENTITY.run(move || write(&files));
        let written = match tokio::time::timeout(PATIENCE, writing).await {
            Ok(Ok(written)) => written.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(late()),
        };
        written.map_err(|why| LinkError::Unavailable { operation, why })
    }
}

fn late() -> String {
    format!(
        "who this node is could not be written down within {} s: the disk of the data folder does not answer",
        PATIENCE.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn said<T>(answer: Result<T, LinkError>) -> String {
        answer.err().unwrap().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_hangs_is_waited_for_a_while_and_holds_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let writer = IdentityWriter::new(IdentityFiles::new(dir.path()));
        let (answers, disk) = mpsc::channel();
        let hanging = writer.write("Hang", move |files| {
            disk.recv().unwrap();
            files.store_last_date(1)
        });
        let behind = async {
            tokio::task::yield_now().await;
            writer.write("Behind", |files| files.store_last_date(2)).await
        };
        // Time does not go by itself while a thread blocks.
        let time = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        };
        let (hanging, behind, ()) = tokio::join!(hanging, behind, time);
        for (operation, error) in [("Hang", said(hanging)), ("Behind", said(behind))] {
            assert!(
                error.starts_with(operation) && error.contains("does not answer"),
                "{error}"
            );
        }
        let after = writer.write("After", |files| {
            let before = files.last_date();
            files.store_last_date(3)?;
            Ok(before)
        });
        answers.send(()).unwrap();
        assert_eq!(
            after.await.unwrap(),
            Some(1),
            "in order; and what had no turn is not written"
        );
        assert_eq!(IdentityFiles::new(dir.path()).last_date(), Some(3));
    }

    #[tokio::test]
    async fn a_write_that_fails_says_for_which_call_and_why() {
        let dir = tempfile::tempdir().unwrap();
        let writer = IdentityWriter::new(IdentityFiles::new(&dir.path().join("absent")));
        let error = said(writer.write("Call", |files| files.store_last_date(1)).await);
        assert!(
            error.starts_with("Call: ") && error.contains("last-date: No such file"),
            "{error}"
        );
    }
}
