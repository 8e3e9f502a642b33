//! Who calls: SigV4 by an operator's key, by a node's temporary credentials, or by a node's own RSA key.
//!
//! Invariants: nothing of a request is acted on before its signature holds, save `RegisterManagedInstance`, which the
//! activation's code authenticates. Secrets are compared in constant time and never logged.

#[cfg(test)]
mod fuzz;
mod node_token;
mod operator;
mod request;

use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_protocol::node::InstanceId;
use longshore_protocol::sigv4;

use crate::clock::Clock;
use crate::error::{ApiError, Code};
use crate::store::{Store, nodes};

pub use node_token::{LIFETIME, TokenKey, machine};
pub use operator::{OperatorKeyError, OperatorKeys};
pub use request::SignedRequest;

/// Who a verified request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Whoever holds a key of the credentials file.
    Operator,
    /// A node, by the credentials that `RequestManagedInstanceRoleToken` gave it.
    Node(InstanceId),
    /// A node, by the key that it registered with.
    NodeKey(InstanceId),
    /// Nobody: the operation needs no signature.
    Anonymous,
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Operators only.
    Operator,
    /// Nodes for what is their own, and operators.
    Node,
    /// Nodes by their RSA key.
    NodeKey,
    /// Anybody: the body authenticates itself.
    Anonymous,
}

/// Checks signatures.
#[derive(Debug)]
pub struct Authenticator {
    /// The region that a scope must name.
    pub region: String,
    /// The operators' keys.
    pub operators: OperatorKeys,
    /// What node credentials are made from.
    pub tokens: TokenKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Says who sent a request to `service` (`ecs` or `ssm`), and that they may call an operation of this access.
    ///
    /// # Errors
    /// The codes of the AWS protocols for each way in which a signature can fail; `AccessDeniedException` where the
    /// caller is known but may not.
    pub async fn authenticate(
        &self,
        store: &Store,
        request: &SignedRequest<'_>,
        service: &str,
        access: Access,
    ) -> Result<Principal, ApiError> {
        if access == Access::Anonymous {
            return Ok(Principal::Anonymous);
        }
        let claim = request.claim(&self.region, service, self.clock.now())?;
        let key_id = &claim.authorization.access_key_id;
        let principal = if let Some(secret) = self.operators.secret(key_id) {
            claim.verify_secret(secret)?;
            Principal::Operator
        } else if let Ok(instance) = InstanceId::try_from(key_id.clone()) {
            self.verify_key(store, &instance, &claim).await?;
            Principal::NodeKey(instance)
        } else {
            self.verify_token(store, &claim).await?
        };
        permit(principal, access)
    }

    /// The word for the machine whose credentials signed a request that [`Authenticator::authenticate`] took; `None` where
    /// they say nothing of it.
    #[must_use]
    pub fn machine(&self, request: &SignedRequest<'_>, service: &str) -> Option<String> {
        let claim = request.claim(&self.region, service, self.clock.now()).ok()?;
        let token = claim.session_token.as_deref()?;
        self.tokens
            .open(&claim.authorization.access_key_id, token)?
            .machine
    }

    /// By the RSA key that the node registered.
    async fn verify_key(
        &self,
        store: &Store,
        instance: &InstanceId,
        claim: &request::Claim,
    ) -> Result<(), ApiError> {
        let mut connection = store.read().await?;
        let node = nodes::get(&mut connection, instance)
            .await?
            .ok_or_else(unrecognized)?;
        let signature = STANDARD
            .decode(&claim.authorization.signature)
            .map_err(|_| signature_mismatch())?;
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &node.public_key)
            .verify(claim.string_to_sign.as_bytes(), &signature)
            .map_err(|_| signature_mismatch())
    }

    /// By temporary credentials; the node must still be registered.
    async fn verify_token(&self, store: &Store, claim: &request::Claim) -> Result<Principal, ApiError> {
        let token = claim.session_token.as_deref().ok_or_else(unrecognized)?;
        let credentials = self
            .tokens
            .open(&claim.authorization.access_key_id, token)
            .ok_or_else(unrecognized)?;
        claim.verify_secret(&credentials.secret)?;
        if self.clock.now_millis() >= credentials.expires_at {
            return Err(ApiError::new(
                Code::ExpiredToken,
                "The security token included in the request is expired",
            ));
        }
        let mut connection = store.read().await?;
        match nodes::get(&mut connection, &credentials.instance).await? {
            Some(_) => Ok(Principal::Node(credentials.instance)),
            None => Err(unrecognized()),
        }
    }
}

fn permit(principal: Principal, access: Access) -> Result<Principal, ApiError> {
    let allowed = match (&principal, access) {
        (Principal::Operator, Access::Operator | Access::Node)
        | (Principal::Node(_), Access::Node)
        | (Principal::NodeKey(_), Access::NodeKey)
        | (_, Access::Anonymous) => true,
        (Principal::Operator, Access::NodeKey)
        | (Principal::Node(_), Access::Operator | Access::NodeKey)
        | (Principal::NodeKey(_), Access::Operator | Access::Node)
        | (Principal::Anonymous, _) => false,
    };
    if allowed {
        return Ok(principal);
    }
    Err(ApiError::denied(match principal {
        Principal::Operator => "Only a node may call this, signed with its own key.".to_owned(),
        Principal::Node(id) => {
            format!("The node {id} may call only the node operations, for what is its own.")
        }
        Principal::NodeKey(id) => {
            format!("The key of the node {id} is only for getting credentials: sign with those.")
        }
        Principal::Anonymous => "This operation needs a signature.".to_owned(),
    }))
}

/// `UnrecognizedClientException`: no such key, or a node that is not registered any more.
pub(crate) fn unrecognized() -> ApiError {
    ApiError::new(
        Code::UnrecognizedClient,
        "The security token included in the request is invalid.",
    )
}

fn signature_mismatch() -> ApiError {
    ApiError::new(
        Code::InvalidSignature,
        "The request signature we calculated does not match the signature you provided. Check your secret access \
         key and signing method.",
    )
}

/// Whether a DER public key is an RSA key that nodes may have: 2048 bits or more.
#[must_use]
pub fn is_node_key(der: &[u8]) -> bool {
    aws_lc_rs::signature::ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, der).is_ok()
}

/// A secret's hash, to be stored in its place. Codes are long and random, so a plain hash is enough.
#[must_use]
pub fn hash_code(code: &str) -> String {
    sigv4::sha256_hex(code.as_bytes())
}

/// So many random letters and digits, five bits each.
///
/// # Errors
/// `ServerException` if the system has no randomness.
pub fn random_text(length: usize) -> Result<String, ApiError> {
    operator::random_letters(length).map_err(|error| {
        tracing::error!(%error, "no secret can be made");
        ApiError::server()
    })
}
