//! New snapshots, whatever folders containerd has left.

use super::services::v1::snapshots::PrepareSnapshotRequest;
use super::types::Mount;
use super::{CallError, Class, Client, QUICK, call};

/// One that finds a folder in its way takes it away; there is one for each death of containerd in that moment.
const TRIES: u32 = 3;

/// Makes a snapshot that can be written to; its mounts.
///
/// containerd gives each a folder by its number, before it has written that the number is taken. If it dies in between, the
/// next one gets the same number, and fails since the folder is there. It takes the folder away as it does, so that the same
/// call succeeds then (overlayfs, in 1.6 to 2.1).
///
/// # Errors
/// [`CallError`].
pub async fn prepare(client: &Client, request: PrepareSnapshotRequest) -> Result<Vec<Mount>, CallError> {
    let mut tries = 0;
    loop {
        let key = request.key.clone();
        let mut snapshots = client.snapshots();
        let prepared = call("PrepareSnapshot", &key, QUICK, snapshots.prepare(request.clone())).await;
        tries += 1;
        match prepared {
            Err(error) if tries < TRIES && folder_was_in_the_way(&error) => {
                tracing::debug!(key, %error, "trying again, since containerd has removed what it had left");
            }
            prepared => return Ok(prepared?.mounts),
        }
    }
}

/// containerd says so in words only.
fn folder_was_in_the_way(error: &CallError) -> bool {
    error.class == Class::Failed
        && error.message.contains("rename ")
        && error.message.contains(": file exists")
}
