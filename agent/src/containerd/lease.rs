//! Leases: what the garbage collector must leave alone.

use std::collections::HashMap;

use containerd_client::services::v1::{
    AddResourceRequest, CreateRequest, DeleteRequest, DeleteResourceRequest, ListRequest,
    ListResourcesRequest, Resource as LeaseResource,
};

use super::{CallError, Class, Client, Optional, QUICK, call};

/// The label (RFC 3339 time) after which the collector takes the lease itself away.
pub const GC_EXPIRE_LABEL: &str = "containerd.io/gc.expire";

/// Something that a lease can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A blob, by its digest.
    Content(String),
    /// A snapshot.
    Snapshot {
        /// Of which snapshotter.
        snapshotter: String,
        /// Its key.
        key: String,
    },
    /// A download that isn't complete, by its reference.
    Ingest(String),
    /// A kind that this agent does not make.
    Unknown {
        /// containerd's name of the kind.
        kind: String,
        /// Its id.
        id: String,
    },
}

impl Resource {
    fn to_wire(&self) -> LeaseResource {
        let (r#type, id) = match self {
            Self::Content(digest) => ("content".to_owned(), digest),
            Self::Snapshot { snapshotter, key } => (format!("snapshots/{snapshotter}"), key),
            Self::Ingest(reference) => ("ingests".to_owned(), reference),
            Self::Unknown { kind, id } => (kind.clone(), id),
        };
        LeaseResource {
            id: id.clone(),
            r#type,
        }
    }

    fn from_wire(wire: LeaseResource) -> Self {
        let LeaseResource { id, r#type: kind } = wire;
        match kind.split_once('/') {
            Some(("snapshots", snapshotter)) => Self::Snapshot {
                snapshotter: snapshotter.to_owned(),
                key: id,
            },
            None if kind == "content" => Self::Content(id),
            None if kind == "ingests" => Self::Ingest(id),
            _ => Self::Unknown { kind, id },
        }
    }
}

impl Client {
    /// Makes a lease; one of that id that is there stays as it is.
    ///
    /// # Errors
    /// As containerd answers.
    pub async fn ensure_lease(&self, id: &str, labels: HashMap<String, String>) -> Result<(), CallError> {
        let request = CreateRequest {
            id: id.to_owned(),
            labels,
        };
        match call("CreateLease", id, QUICK, self.leases().create(request)).await {
            Ok(_) => Ok(()),
            Err(error) if error.class == Class::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a lease, if it is there. With `sync` what nobody holds any more is gone when this returns.
    ///
    /// # Errors
    /// As containerd answers.
    pub async fn delete_lease(&self, id: &str, sync: bool) -> Result<(), CallError> {
        let request = DeleteRequest {
            id: id.to_owned(),
            sync,
        };
        let deleted = call("DeleteLease", id, QUICK, self.leases().delete(request)).await;
        deleted.optional().map(drop)
    }

    /// The ids and labels of the leases that match any of `filters`, such as `labels."a"==b`; all, if there are none.
    ///
    /// # Errors
    /// As containerd answers.
    pub async fn list_leases(
        &self,
        filters: Vec<String>,
    ) -> Result<Vec<(String, HashMap<String, String>)>, CallError> {
        let mut leases = self.leases();
        let response = call("ListLeases", "", QUICK, leases.list(ListRequest { filters })).await?;
        Ok(response
            .leases
            .into_iter()
            .map(|lease| (lease.id, lease.labels))
            .collect())
    }

    /// Has a lease hold something.
    ///
    /// # Errors
    /// [`Class::NotFound`] where there is no such lease (containerd does not check the resource).
    pub async fn hold(&self, id: &str, resource: &Resource) -> Result<(), CallError> {
        let request = AddResourceRequest {
            id: id.to_owned(),
            resource: Some(resource.to_wire()),
        };
        call("AddResource", id, QUICK, self.leases().add_resource(request)).await
    }

    /// Has a lease let go of something.
    ///
    /// # Errors
    /// [`Class::NotFound`] where there is no such lease.
    pub async fn let_go(&self, id: &str, resource: &Resource) -> Result<(), CallError> {
        let request = DeleteResourceRequest {
            id: id.to_owned(),
            resource: Some(resource.to_wire()),
        };
        call(
            "DeleteResource",
            id,
            QUICK,
            self.leases().delete_resource(request),
        )
        .await
    }

    /// What a lease holds.
    ///
    /// # Errors
    /// [`Class::NotFound`] where there is no such lease.
    pub async fn held(&self, id: &str) -> Result<Vec<Resource>, CallError> {
        let request = ListResourcesRequest { id: id.to_owned() };
        let mut leases = self.leases();
        let response = call("ListResources", id, QUICK, leases.list_resources(request)).await?;
        Ok(response.resources.into_iter().map(Resource::from_wire).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resources() -> impl Strategy<Value = Resource> {
        let text = "[a-z0-9:/-]{1,20}";
        prop_oneof![
            text.prop_map(Resource::Content),
            text.prop_map(Resource::Ingest),
            ("[a-z]{1,9}", text).prop_map(|(snapshotter, key)| Resource::Snapshot { snapshotter, key }),
        ]
    }

    proptest! {
        #[test]
        fn resources_round_trip(resource in resources()) {
            prop_assert_eq!(Resource::from_wire(resource.to_wire()), resource);
        }
    }
}
