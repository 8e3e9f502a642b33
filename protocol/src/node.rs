//! How a machine becomes a node and proves who it is: three SSM calls that the public model does not list.
//!
//! `RegisterManagedInstance` is unsigned: the activation's code authenticates it. The other two are shaped like SigV4
//! requests whose access key id is the instance id, and whose signature is the base64 of RSA-PSS (SHA-256, salt of 32
//! bytes) over the SigV4 string to sign; see [`crate::sigv4`].

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::check::{Check, Path, Violation, length, present};

/// The only `PublicKeyType` there is.
pub const KEY_TYPE_RSA: &str = "Rsa";

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty $(= [$low:expr, $high:expr])?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl Check for $name {
            fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
                $($(
                    let path_of_member = path.member(pascal(stringify!($field)));
                    present(&self.$field, &path_of_member)?;
                    if let Some(value) = &self.$field {
                        length(value.chars().count(), $low, $high, &path_of_member)?;
                    }
                )?)*
                let _ = path;
                Ok(())
            }
        }
    };
}

/// The wire's name of a member that is checked.
fn pascal(field: &str) -> &'static str {
    match field {
        "activation_id" => "ActivationId",
        "activation_code" => "ActivationCode",
        "public_key" => "PublicKey",
        "public_key_type" => "PublicKeyType",
        "new_public_key" => "NewPublicKey",
        "new_public_key_type" => "NewPublicKeyType",
        _ => "Fingerprint",
    }
}

shape! {
    /// `RegisterManagedInstance`: an activation turns into an instance.
    RegisterManagedInstanceRequest {
        /// Which activation.
        activation_id: String = [Some(1), Some(64)],
        /// Its secret.
        activation_code: String = [Some(20), Some(250)],
        /// Base64 of the PKIX (DER) public key.
        public_key: String = [Some(392), Some(4096)],
        /// [`KEY_TYPE_RSA`].
        public_key_type: String = [Some(1), Some(16)],
        /// What tells this machine from a copy of it.
        fingerprint: String = [Some(1), Some(256)],
    }
}

shape! {
    /// The answer: who the machine is from now on.
    RegisterManagedInstanceResponse {
        /// `mi-` and 17 hexadecimal digits.
        instance_id: String,
        /// Longshore's own member: the region to sign for, so that nobody has to configure it.
        region: String,
    }
}

shape! {
    /// `RequestManagedInstanceRoleToken`: short-lived credentials for a node.
    RequestManagedInstanceRoleTokenRequest {
        /// As at registration.
        fingerprint: String = [Some(1), Some(256)],
    }
}

shape! {
    /// The credentials, and whether the control plane wants a new key pair.
    RequestManagedInstanceRoleTokenResponse {
        /// The key's id.
        access_key_id: String,
        /// The key.
        secret_access_key: String,
        /// The session token, to be sent as `X-Amz-Security-Token`.
        session_token: String,
        /// When they end; renew at half of the time left.
        token_expiration_date: Timestamp,
        /// Whether `UpdateManagedInstancePublicKey` should follow.
        update_key_pair: bool,
    }
}

shape! {
    /// `UpdateManagedInstancePublicKey`: a new key, signed for by the old one.
    UpdateManagedInstancePublicKeyRequest {
        /// Base64 of the PKIX (DER) public key.
        new_public_key: String = [Some(392), Some(4096)],
        /// [`KEY_TYPE_RSA`].
        new_public_key_type: String = [Some(1), Some(16)],
    }
}

shape! {
    /// Nothing to say.
    UpdateManagedInstancePublicKeyResponse {}
}

/// The id of a managed instance: `mi-` and 17 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// A text that is no [`InstanceId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an instance id of the form mi- and 17 hexadecimal digits")]
pub struct InvalidInstanceId(String);

impl InstanceId {
    /// A new id from 16 random bytes.
    #[must_use]
    pub fn from_random(random: uuid::Uuid) -> Self {
        let digits = random.simple().to_string();
        Self(format!("mi-{}", &digits[..17]))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InstanceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(text: String) -> Result<Self, InvalidInstanceId> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix("mi-") {
            Some(digits) if digits.len() == 17 && digits.bytes().all(hex) => Ok(Self(text)),
            _ => Err(InvalidInstanceId(text)),
        }
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_pascal_case_and_checked() {
        let request: RegisterManagedInstanceRequest =
            serde_json::from_str(r#"{"ActivationId":"a","ActivationCode":"short"}"#).unwrap();
        let text = request.check(&Path::ROOT).unwrap_err().to_string();
        assert_eq!(text, "ActivationCode must be between 20 and 250, but is 5");
    }

    #[test]
    fn instance_ids_have_one_form() {
        let id = InstanceId::from_random(uuid::Uuid::from_u128(7));
        assert_eq!(InstanceId::try_from(id.to_string()).unwrap(), id);
        assert!(InstanceId::try_from("i-0123456789abcdef0".to_owned()).is_err());
    }
}
