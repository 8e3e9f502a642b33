//! How a machine becomes a node.

use std::sync::Arc;

use longshore_protocol::node::{
    InstanceId, KEY_TYPE_RSA, RegisterManagedInstanceRequest, RegisterManagedInstanceResponse,
};

use super::LinkError;
use super::call::{Caller, Operation, Signer};
use super::identity::{Identity, IdentityError, IdentityFiles};
use super::key::NodeKey;
use super::server_time::ServerTime;
use crate::blocking;
use crate::clock::Clock;
use crate::http::{CertificateClock, Client, Trust};

const REGISTER: &str = "RegisterManagedInstance";

/// A registration that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The control plane could not be asked, or said no.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The identity can't be stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What an operator says at registration.
#[derive(Clone)]
pub struct Activation {
    /// The control plane: `https://HOST[:PORT]`.
    pub endpoint: String,
    /// The cluster to join.
    pub cluster: String,
    /// The activation's id.
    pub id: String,
    /// Its code: a secret.
    pub code: String,
    /// Whom to trust.
    pub trust: Trust,
}

/// Registers this machine and stores who it is, in place of what it was. The key is stored before it is shown: an
/// instance whose key got lost is of no use.
///
/// # Errors
/// [`RegisterError`]; the old identity is as it was then, and the same activation may be tried again.
pub async fn register(
    http: Client,
    certificates: Arc<CertificateClock>,
    clock: Arc<dyn Clock>,
    files: &IdentityFiles,
    activation: &Activation,
    fingerprint: &str,
) -> Result<Identity, RegisterError> {
    let internal = |error: &dyn std::fmt::Display| LinkError::Unavailable {
        operation: REGISTER,
        why: error.to_string(),
    };
    let key = match files.next_key()? {
        // An attempt whose answer got lost: the control plane knows the key again, and gives the same instance.
        Some(key) => key,
        None => {
            let made = blocking::KEYS.run(NodeKey::generate).await;
            let key = made.map_err(|error| internal(&error))?;
            let key = key.map_err(IdentityError::from)?;
            files.store_first_key(&key)?;
            key
        }
    };
    let caller = Caller {
        http,
        // An unsigned call has none.
        region: String::new(),
        time: ServerTime::new(clock, certificates, Some(files.clone())),
    };
    let input = RegisterManagedInstanceRequest {
        activation_id: Some(activation.id.clone()),
        activation_code: Some(activation.code.clone()),
        public_key: Some(key.public().map_err(IdentityError::from)?),
        public_key_type: Some(KEY_TYPE_RSA.to_owned()),
        fingerprint: Some(fingerprint.to_owned()),
    };
    let operation = Operation::ssm(&activation.endpoint, REGISTER);
    let answer: RegisterManagedInstanceResponse = caller
        .call(operation, &input, Signer::Nobody)
        .await
        .map_err(|error| super::client::link_error(REGISTER, error))?;
    let instance = answer.instance_id.unwrap_or_default();
    let instance = InstanceId::try_from(instance).map_err(|error| internal(&error))?;
    let region = answer
        .region
        .ok_or_else(|| internal(&"the answer names no region"))?;
    let identity = Identity::new(
        instance,
        region,
        activation.endpoint.clone(),
        activation.cluster.clone(),
        &activation.trust,
    );
    files.promote_next_key()?;
    files.store(&identity)?;
    caller.time.written().await;
    Ok(identity)
}
