//! Our namespace in a containerd: whether something runs there, and how it is taken away without a trace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_client::services::v1 as api;
use containerd_client::services::v1::snapshots::{ListSnapshotsRequest, RemoveSnapshotRequest};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::{Code, Request, Response, Status};

use super::UpError;

/// How long an answer may take; deleting waits for the garbage collector.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a containerd may take to say who it is.
const VERSION_DEADLINE: Duration = Duration::from_secs(3);
/// The snapshotters that `up` ever chooses.
const SNAPSHOTTERS: [&str; 2] = ["overlayfs", "native"];

/// A namespace of a containerd.
pub struct Namespace {
    client: containerd_client::Client,
    socket: PathBuf,
    name: String,
    scope: MetadataValue<Ascii>,
}

/// The version of the containerd that answers at a socket.
///
/// # Errors
/// [`UpError::Containerd`].
pub async fn version(socket: &Path) -> Result<String, UpError> {
    let silent = |why: String| UpError::Containerd {
        socket: socket.to_owned(),
        why,
    };
    let ask = async {
        let client = containerd_client::Client::from_path(socket).await;
        let client = client.map_err(|error| silent(crate::api::chain(&error)))?;
        let answer = client
            .version()
            .version(())
            .await
            .map_err(|status| silent(status.message().to_owned()))?;
        Ok(answer.into_inner().version)
    };
    tokio::time::timeout(VERSION_DEADLINE, ask)
        .await
        .unwrap_or_else(|_| {
            Err(silent(format!(
                "no answer within {} s",
                VERSION_DEADLINE.as_secs()
            )))
        })
}

impl Namespace {
    /// Connects; nothing is made.
    ///
    /// # Errors
    /// [`UpError::Containerd`].
    pub async fn connect(socket: &Path, name: &str) -> Result<Self, UpError> {
        let silent = |why: String| UpError::Containerd {
            socket: socket.to_owned(),
            why,
        };
        let scope = name
            .parse()
            .map_err(|_| silent(format!("{name:?} can't name a namespace")))?;
        let connect = containerd_client::Client::from_path(socket);
        let client = tokio::time::timeout(VERSION_DEADLINE, connect).await;
        let client = client.map_err(|error| silent(error.to_string()))?;
        Ok(Self {
            client: client.map_err(|error| silent(crate::api::chain(&error)))?,
            socket: socket.to_owned(),
            name: name.to_owned(),
            scope,
        })
    }

    fn within<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("containerd-namespace", self.scope.clone());
        request
    }

    /// Waits for an answer; what isn't there is `None`.
    async fn answer<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, UpError> {
        let failed = |why: String| UpError::Containerd {
            socket: self.socket.clone(),
            why: format!("{what}: {why}"),
        };
        match tokio::time::timeout(DEADLINE, call).await {
            Err(_) => Err(failed(format!("no answer within {} s", DEADLINE.as_secs()))),
            Ok(Ok(answer)) => Ok(Some(answer.into_inner())),
            Ok(Err(status)) if status.code() == Code::NotFound => Ok(None),
            Ok(Err(status)) => Err(failed(status.message().to_owned())),
        }
    }

    /// How many containers have a process, or are said to.
    ///
    /// # Errors
    /// [`UpError::Containerd`].
    pub async fn tasks(&self) -> Result<usize, UpError> {
        let request = self.within(api::ListTasksRequest::default());
        let answer = self
            .answer("list tasks", self.client.tasks().list(request))
            .await?;
        Ok(answer.map_or(0, |answer| answer.tasks.len()))
    }

    /// Removes everything in the namespace, and the namespace. Nothing may run there.
    ///
    /// # Errors
    /// [`UpError::Containerd`], the first; what was removed until then stays removed.
    pub async fn remove(&self) -> Result<(), UpError> {
        self.remove_containers().await?;
        for snapshotter in SNAPSHOTTERS {
            self.remove_snapshots(snapshotter).await?;
        }
        self.remove_images().await?;
        self.remove_leases().await?;
        self.remove_content().await?;
        let request = api::DeleteNamespaceRequest {
            name: self.name.clone(),
        };
        self.answer("delete namespace", self.client.namespaces().delete(request))
            .await?;
        Ok(())
    }

    async fn remove_containers(&self) -> Result<(), UpError> {
        let request = self.within(api::ListContainersRequest::default());
        let answer = self
            .answer("list containers", self.client.containers().list(request))
            .await?;
        for container in answer.map(|answer| answer.containers).unwrap_or_default() {
            let request = self.within(api::DeleteContainerRequest { id: container.id });
            self.answer("delete container", self.client.containers().delete(request))
                .await?;
        }
        Ok(())
    }

    /// Children first: a snapshot with children can't go.
    async fn remove_snapshots(&self, snapshotter: &str) -> Result<(), UpError> {
        let mut left = self.snapshots(snapshotter).await?;
        while !left.is_empty() {
            let before = left.len();
            let parents: Vec<_> = left.iter().map(|(_, parent)| parent.clone()).collect();
            for (name, _) in left.iter().filter(|(name, _)| !parents.contains(name)) {
                let request = self.within(RemoveSnapshotRequest {
                    snapshotter: snapshotter.to_owned(),
                    key: name.clone(),
                });
                self.answer("remove snapshot", self.client.snapshots().remove(request))
                    .await?;
            }
            left = self.snapshots(snapshotter).await?;
            if left.len() >= before {
                let why = format!("{} snapshots of {snapshotter} don't go away", left.len());
                return Err(UpError::Containerd {
                    socket: self.socket.clone(),
                    why,
                });
            }
        }
        Ok(())
    }

    /// Names and parents. A snapshotter that this containerd doesn't have has none.
    async fn snapshots(&self, snapshotter: &str) -> Result<Vec<(String, String)>, UpError> {
        let request = self.within(ListSnapshotsRequest {
            snapshotter: snapshotter.to_owned(),
            ..Default::default()
        });
        let mut client = self.client.snapshots();
        let Ok(Ok(stream)) = tokio::time::timeout(DEADLINE, client.list(request)).await else {
            return Ok(Vec::new());
        };
        let mut stream = stream.into_inner();
        let mut all = Vec::new();
        // containerd tells of an unknown snapshotter in the stream.
        while let Ok(Ok(Some(page))) = tokio::time::timeout(DEADLINE, stream.message()).await {
            all.extend(page.info.into_iter().map(|info| (info.name, info.parent)));
        }
        Ok(all)
    }

    async fn remove_images(&self) -> Result<(), UpError> {
        let request = self.within(api::ListImagesRequest::default());
        let answer = self
            .answer("list images", self.client.images().list(request))
            .await?;
        for image in answer.map(|answer| answer.images).unwrap_or_default() {
            let request = self.within(api::DeleteImageRequest {
                name: image.name,
                ..Default::default()
            });
            self.answer("delete image", self.client.images().delete(request))
                .await?;
        }
        Ok(())
    }

    async fn remove_leases(&self) -> Result<(), UpError> {
        let request = self.within(api::ListRequest::default());
        let answer = self
            .answer("list leases", self.client.leases().list(request))
            .await?;
        for lease in answer.map(|answer| answer.leases).unwrap_or_default() {
            let request = self.within(api::DeleteRequest {
                id: lease.id,
                sync: true,
            });
            self.answer("delete lease", self.client.leases().delete(request))
                .await?;
        }
        Ok(())
    }

    async fn remove_content(&self) -> Result<(), UpError> {
        let request = self.within(api::ListContentRequest::default());
        let Some(mut stream) = self
            .answer("list content", self.client.content().list(request))
            .await?
        else {
            return Ok(());
        };
        let mut digests = Vec::new();
        while let Some(page) = self
            .answer("list content", async {
                stream.message().await.map(Response::new)
            })
            .await?
        {
            let Some(page) = page else { break };
            digests.extend(page.info.into_iter().map(|info| info.digest));
        }
        for digest in digests {
            let request = self.within(api::DeleteContentRequest { digest });
            self.answer("delete content", self.client.content().delete(request))
                .await?;
        }
        Ok(())
    }
}
