//! Who the agent of this folder is, as far as `up` must know.

use std::path::Path;

use serde::Deserialize;

use super::UpError;

/// As much of the agent's identity as tells whether it has one with this control plane.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// As it was registered with.
    endpoint: String,
    ca_pem: Option<String>,
    /// The container instance's ARN, once it is one.
    pub container_instance: Option<String>,
}

impl Identity {
    /// Reads it; `None` where there is none yet.
    ///
    /// # Errors
    /// [`UpError::File`], [`UpError::Damaged`].
    pub fn read(path: &Path) -> Result<Option<Self>, UpError> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| UpError::Damaged {
                    path: path.to_owned(),
                    why: error.to_string(),
                }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(UpError::file(path)(error)),
        }
    }

    /// The endpoint to register with, if that is needed: a machine without an identity becomes a node, and one that
    /// doesn't trust the certificate learns to, under the endpoint that it was registered with.
    #[must_use]
    pub fn to_register(
        identity: Option<&Self>,
        endpoint: &url::Url,
        trusted: Option<&str>,
    ) -> Option<String> {
        match identity {
            None => Some(endpoint.as_str().trim_end_matches('/').to_owned()),
            Some(identity) if trusted.is_some() && identity.ca_pem.as_deref() != trusted => {
                Some(identity.endpoint.clone())
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_registers_once_and_again_for_a_new_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        let (plain, tls) = ("http://h:2".parse().unwrap(), "https://h:2".parse().unwrap());
        assert!(Identity::read(&path).unwrap().is_none());
        assert_eq!(
            Identity::to_register(None, &plain, None).as_deref(),
            Some("http://h:2")
        );
        std::fs::write(
            &path,
            r#"{"version":1,"endpoint":"http://h:1","instanceId":"mi-1"}"#,
        )
        .unwrap();
        let old = Identity::read(&path).unwrap();
        assert_eq!(Identity::to_register(old.as_ref(), &plain, None), None);
        assert_eq!(
            Identity::to_register(old.as_ref(), &tls, Some("PEM")).as_deref(),
            Some("http://h:1")
        );
        std::fs::write(&path, r#"{"endpoint":"https://h:1","caPem":"PEM"}"#).unwrap();
        let old = Identity::read(&path).unwrap();
        assert_eq!(Identity::to_register(old.as_ref(), &tls, Some("PEM")), None);
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Identity::read(&path), Err(UpError::Damaged { .. })));
    }
}
