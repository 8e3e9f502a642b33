//! The end of a container: nothing of it is left.

use super::{ContainerdRuntime, KILL_WAIT, cgroup, refused};
use crate::containerd::services::v1::snapshots::RemoveSnapshotRequest;
use crate::containerd::services::v1::{DeleteContainerRequest, WaitRequest};
use crate::containerd::types::v1::Status;
use crate::containerd::{Optional, QUICK, call};
use crate::model::ContainerId;
use crate::runtime::RuntimeError;

impl ContainerdRuntime {
    /// The record goes last, so that whatever stops this half way can be found and done again.
    pub(super) async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let name = id.to_string();
        let (record, process) = tokio::join!(self.record(&name), self.process(&name));
        let (record, process) = (record?, process?);
        if let Some(process) = &process {
            match process.status() {
                Status::Stopped => self.empty_cgroup(&name, &cgroup(id)).await?,
                Status::Created | Status::Running | Status::Paused | Status::Pausing | Status::Unknown => {
                    self.end_wholly(id, &name).await?;
                }
            }
            self.delete_ended_task(id, &name).await?;
        } else if record.is_some() {
            self.delete_unlisted_task(&name).await?;
        }
        // Independent of containerd's word: with a shim that died, processes may be left that it knows nothing of.
        self.empty_cgroup(&name, &cgroup(id)).await?;
        let removed = self.cgroups.remove(&cgroup(id));
        removed.map_err(|error| refused("remove the cgroup", &name, &error))?;

        self.remove_snapshot(&name).await?;
        let gone = id.clone();
        self.exits(move |exits| exits.remove(&gone)).await?;
        if record.is_some() {
            let mut containers = self.client.containers();
            let request = DeleteContainerRequest { id: name.clone() };
            call("DeleteContainer", &name, QUICK, containers.delete(request))
                .await
                .optional()?;
        }
        self.watch.forget(id);
        Ok(())
    }

    /// containerd 1.6 may have a shim that never had its container, which it does not call a task; see `make_task`. Whatever
    /// is wrong with it, containerd has let go of it when it has answered.
    async fn delete_unlisted_task(&self, name: &str) -> Result<(), RuntimeError> {
        match self.delete_task(name).await {
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                tracing::debug!(container = name, %error, "removed what is left of a task");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Removes a writable layer, if it is there.
    pub(super) async fn remove_snapshot(&self, key: &str) -> Result<(), RuntimeError> {
        let mut snapshots = self.client.snapshots();
        let request = RemoveSnapshotRequest {
            snapshotter: self.settings.snapshotter.clone(),
            key: key.to_owned(),
        };
        call("RemoveSnapshot", key, QUICK, snapshots.remove(request))
            .await
            .optional()?;
        Ok(())
    }

    /// Has containerd forget a task of which nothing is left, or kills the shim that keeps it from that.
    pub(super) async fn delete_ended_task(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeError> {
        let deleted = self.delete_task(name).await;
        if deleted.is_err() {
            self.end_hung_shim_if_idle(id).await;
        }
        deleted
    }

    /// Kills a task until nothing of it is left, whatever its shim says.
    pub(super) async fn end_wholly(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeError> {
        let ended = self.end_task(name, id).await;
        self.empty_cgroup(name, &cgroup(id)).await?;
        if ended.is_err() {
            self.end_hung_shim_if_idle(id).await;
        }
        ended
    }

    /// Kills a task and waits until its shim has seen the end.
    async fn end_task(&self, name: &str, id: &ContainerId) -> Result<(), RuntimeError> {
        self.watch.killed(id);
        self.signal(name, nix::sys::signal::Signal::SIGKILL as i32, true)
            .await?;
        let request = WaitRequest {
            container_id: name.to_owned(),
            exec_id: String::new(),
        };
        let mut tasks = self.client.tasks();
        call("WaitTask", name, KILL_WAIT, tasks.wait(request))
            .await
            .optional()?;
        Ok(())
    }
}
