//! A node's temporary credentials, by its key; and a new key where the control plane wants one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_protocol::error::Retry;
use longshore_protocol::node::{
    InstanceId, KEY_TYPE_RSA, RequestManagedInstanceRoleTokenRequest,
    RequestManagedInstanceRoleTokenResponse, UpdateManagedInstancePublicKeyRequest,
    UpdateManagedInstancePublicKeyResponse,
};
use longshore_protocol::sigv4::Credentials;

use super::call::{CallError, Caller, Operation, Signer};
use super::identity::{IdentityError, IdentityFiles};
use super::identity_writer::IdentityWriter;
use super::key::NodeKey;
use super::{LinkError, lock};
use crate::blocking;

const REQUEST_TOKEN: &str = "RequestManagedInstanceRoleToken";
const UPDATE_KEY: &str = "UpdateManagedInstancePublicKey";
/// The codes by which a control plane says that it doesn't take a node's key.
const REFUSALS_OF_KEYS: [&str; 3] = [
    "InvalidSignatureException",
    "UnrecognizedClientException",
    "InvalidInstanceId",
];
/// After a renewal that failed, those at hand are used for this long before the next one: calls don't wait for it each.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
/// Credentials whose end can't be told are used for this long.
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// Credentials, and when they are renewed and given up, by the time since boot: the wall clock may step.
#[derive(Clone)]
struct Issued {
    credentials: Credentials,
    renew_at: Duration,
    ends_at: Duration,
}

/// The node's keys; the next one only while an exchange is unfinished.
struct Keys {
    current: Arc<NodeKey>,
    next: Option<Arc<NodeKey>>,
}

/// Gives credentials that are good, asking for new ones in time.
///
/// Calls that ask at the same time may each renew; the control plane keeps nothing of it, so that is harmless, and no
/// call ever waits behind another one.
pub(super) struct NodeCredentials {
    instance: InstanceId,
    fingerprint: String,
    endpoint: String,
    writer: IdentityWriter,
    keys: Arc<Mutex<Keys>>,
    issued: Mutex<Option<Issued>>,
    /// Held by who exchanges the key: of two at the same time, one could throw away the key that the other's was taken for.
    exchange: tokio::sync::Mutex<()>,
}

impl NodeCredentials {
    /// With the keys of the identity's files.
    pub(super) fn new(
        instance: InstanceId,
        fingerprint: String,
        endpoint: String,
        files: &IdentityFiles,
        writer: IdentityWriter,
    ) -> Result<Self, IdentityError> {
        let keys = Keys {
            current: files.key()?.into(),
            next: files.next_key()?.map(Into::into),
        };
        Ok(Self {
            instance,
            fingerprint,
            endpoint,
            writer,
            keys: Arc::new(Mutex::new(keys)),
            issued: Mutex::new(None),
            exchange: tokio::sync::Mutex::new(()),
        })
    }

    /// Good credentials: those at hand in the first half of their life, else new ones, else those at hand to their end.
    pub(super) async fn get(&self, caller: &Caller) -> Result<Credentials, LinkError> {
        let now = caller.time.since_boot();
        let known = lock(&self.issued).clone();
        if let Some(issued) = known.as_ref().filter(|issued| now < issued.renew_at) {
            return Ok(issued.credentials.clone());
        }
        match self.renew(caller).await {
            Ok(credentials) => Ok(credentials),
            Err(error) if error.is_transient() => match known.filter(|issued| now < issued.ends_at) {
                Some(issued) => {
                    self.put_off(&issued.credentials, now + RENEW_AGAIN);
                    Ok(issued.credentials)
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The control plane refused these: they are not used again.
    pub(super) fn refused(&self, credentials: &Credentials) {
        let mut issued = lock(&self.issued);
        if issued
            .as_ref()
            .is_some_and(|issued| issued.credentials == *credentials)
        {
            *issued = None;
        }
    }

    fn put_off(&self, credentials: &Credentials, renew_at: Duration) {
        if let Some(issued) = lock(&self.issued).as_mut()
            && issued.credentials == *credentials
        {
            issued.renew_at = renew_at;
        }
    }

    async fn renew(&self, caller: &Caller) -> Result<Credentials, LinkError> {
        let answer = self.request_token(caller).await?;
        let (Some(access_key_id), Some(secret_access_key)) = (answer.access_key_id, answer.secret_access_key)
        else {
            return Err(LinkError::Unavailable {
                operation: REQUEST_TOKEN,
                why: "the answer holds no credentials".to_owned(),
            });
        };
        let credentials = Credentials {
            access_key_id,
            secret_access_key,
            session_token: answer.session_token,
        };
        let now = caller.time.since_boot();
        let left = answer.token_expiration_date.map_or(0, |end| {
            end.as_millis().saturating_sub(caller.time.now().as_millisecond())
        });
        let life = Duration::from_millis(u64::try_from(left).unwrap_or(0)).max(LEAST_LIFETIME);
        *lock(&self.issued) = Some(Issued {
            credentials: credentials.clone(),
            renew_at: now + life / 2,
            ends_at: now + life,
        });
        if answer.update_key_pair == Some(true)
            && let Err(error) = self.change_key(caller).await
        {
            // The old key is as good as before; the next renewal asks again.
            tracing::warn!(%error, "the new key that the control plane wants is not in use yet");
        }
        Ok(credentials)
    }

    /// By the key; if that one is refused, by the next one, which the control plane may have taken when the answer got
    /// lost.
    async fn request_token(
        &self,
        caller: &Caller,
    ) -> Result<RequestManagedInstanceRoleTokenResponse, LinkError> {
        let (current, next) = self.keys();
        let first = self.token_by(caller, &current).await;
        let Some(next) = next else {
            return first.map_err(|error| Self::identity_error(REQUEST_TOKEN, error));
        };
        match first {
            Err(CallError::Service { ref code, retry, .. })
                if code == "InvalidSignatureException" && retry != Retry::WithServerTime =>
            {
                let answer = self.token_by(caller, &next).await;
                let answer = answer.map_err(|error| Self::identity_error(REQUEST_TOKEN, error))?;
                if let Err(error) = self.promote(&next).await {
                    // The answer is as good; the next one is asked for in the same way.
                    tracing::warn!(%error, "the new key that the control plane has taken is not yet stored as the only one");
                }
                Ok(answer)
            }
            other => other.map_err(|error| Self::identity_error(REQUEST_TOKEN, error)),
        }
    }

    /// What tells this machine from a copy of it, as the credentials are asked for.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn token_by(
        &self,
        caller: &Caller,
        key: &NodeKey,
    ) -> Result<RequestManagedInstanceRoleTokenResponse, CallError> {
        let input = RequestManagedInstanceRoleTokenRequest {
            fingerprint: Some(self.fingerprint.clone()),
        };
        let operation = Operation::ssm(&self.endpoint, REQUEST_TOKEN);
        caller
            .call(operation, &input, Signer::Key(&self.instance, key))
            .await
    }

    /// Makes a new key, stores it, offers it, and uses it once it is taken. One that was offered before is offered again.
    async fn change_key(&self, caller: &Caller) -> Result<(), LinkError> {
        let Ok(_exchange) = self.exchange.try_lock() else {
            return Ok(());
        };
        let (current, next) = self.keys();
        let next = match next {
            Some(next) => next,
            None => self.make_next_key().await?,
        };
        let input = UpdateManagedInstancePublicKeyRequest {
            new_public_key: Some(next.public().map_err(|error| internal(UPDATE_KEY, &error))?),
            new_public_key_type: Some(KEY_TYPE_RSA.to_owned()),
        };
        let operation = Operation::ssm(&self.endpoint, UPDATE_KEY);
        let answer: Result<UpdateManagedInstancePublicKeyResponse, _> = caller
            .call(operation, &input, Signer::Key(&self.instance, &current))
            .await;
        answer.map_err(|error| Self::identity_error(UPDATE_KEY, error))?;
        self.promote(&next).await?;
        tracing::info!("the control plane has taken this node's new key");
        Ok(())
    }

    /// The key is made before the disk is waited for: on a slow processor that takes longer than a write may.
    async fn make_next_key(&self) -> Result<Arc<NodeKey>, LinkError> {
        let made = blocking::KEYS.run(NodeKey::generate).await;
        let made = made.map_err(|error| internal(UPDATE_KEY, &error))?;
        let key = made.map_err(|error| internal(UPDATE_KEY, &error))?;
        let keys = Arc::clone(&self.keys);
        let make = move |files: &IdentityFiles| {
            // The one before, that nobody waited for.
            if let Some(made) = &lock(&keys).next {
                return Ok(Arc::clone(made));
            }
            files.store_next_key(&key)?;
            let key = Arc::new(key);
            lock(&keys).next = Some(Arc::clone(&key));
            Ok(key)
        };
        self.writer.write(UPDATE_KEY, make).await
    }

    /// The control plane has taken this key. Two calls may find that out at the same time.
    async fn promote(&self, taken: &Arc<NodeKey>) -> Result<(), LinkError> {
        let (keys, taken) = (Arc::clone(&self.keys), Arc::clone(taken));
        let promote = move |files: &IdentityFiles| {
            let is_next = |keys: &Keys| keys.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, &taken));
            if !is_next(&lock(&keys)) {
                return Ok(());
            }
            files.promote_next_key()?;
            *lock(&keys) = Keys {
                current: taken,
                next: None,
            };
            Ok(())
        };
        self.writer.write(UPDATE_KEY, promote).await
    }

    /// A refusal of the key itself means that the control plane does not take this node.
    fn identity_error(operation: &'static str, error: CallError) -> LinkError {
        match error {
            CallError::Service {
                code, message, retry, ..
            } if retry != Retry::WithServerTime && REFUSALS_OF_KEYS.contains(&code.as_str()) => {
                LinkError::Identity { operation, message }
            }
            other => super::client::link_error(operation, other),
        }
    }

    fn keys(&self) -> (Arc<NodeKey>, Option<Arc<NodeKey>>) {
        let keys = lock(&self.keys);
        (Arc::clone(&keys.current), keys.next.clone())
    }
}

/// A failure on this side: again later.
fn internal(operation: &'static str, error: &dyn std::fmt::Display) -> LinkError {
    LinkError::Unavailable {
        operation,
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slow processor is no disk that does not answer.
    #[tokio::test(start_paused = true)]
    async fn a_key_may_take_longer_to_make_than_a_write_may() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        files.store_first_key(&NodeKey::generate().unwrap()).unwrap();
        files.promote_next_key().unwrap();
        let instance = InstanceId::try_from("mi-0123456789abcdef0".to_owned()).unwrap();
        let writer = IdentityWriter::new(files.clone());
        let credentials =
            NodeCredentials::new(instance, String::new(), String::new(), &files, writer).unwrap();
        let busy = blocking::KEYS.fill().await;
        // Time does not go by itself while a thread works.
        let time = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_secs(60)).await;
            drop(busy);
        };
        let (made, ()) = tokio::join!(credentials.make_next_key(), time);
        let made = made.unwrap().public().unwrap();
        assert_eq!(files.next_key().unwrap().unwrap().public().unwrap(), made);
    }
}
