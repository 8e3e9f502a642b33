//! Which control plane, and with which key: from a folder of `longshore up`, or from the `AWS_*` variables.
//!
//! All or nothing: a folder that was named wins, then an environment that names an endpoint, then the default folder.
//! The two are never mixed, since a key of one control plane is of no use at another.

use std::path::{Path, PathBuf};

use longshore_protocol::sigv4::Credentials;

use crate::env_file;

/// The region that a control plane has where nobody chose.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The cluster that is meant where nobody says.
pub const DEFAULT_CLUSTER: &str = "default";
/// The name of the file, in a folder of `longshore up`, that says all this.
pub const ENV_FILE: &str = "env";
/// The variable, in that file, that names the folder: who sources it also finds the agent of this `longshore up`.
pub const UP_DIR: &str = "LONGSHORE_UP_DIR";

/// Where calls go and who makes them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The endpoint of the ECS API.
    pub ecs: url::Url,
    /// The endpoint of the SSM API.
    pub ssm: url::Url,
    /// The region to sign for.
    pub region: String,
    /// The key.
    pub credentials: Credentials,
    /// The cluster that is meant.
    pub cluster: String,
    /// A file of certificates to trust instead of the system's, as `AWS_CA_BUNDLE` has it.
    pub ca_bundle: Option<PathBuf>,
    /// The folder of `longshore up` that this came from, if it did.
    pub up_dir: Option<PathBuf>,
}

/// Settings that are missing or can't be read. None of it gets better by itself.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither a folder nor an endpoint.
    #[error(
        "no control plane is named: set AWS_ENDPOINT_URL_ECS and the AWS_* keys, or give --env DIR, the folder of \
         `longshore up` (there is no {})", looked_at.display()
    )]
    NoControlPlane {
        /// The default that isn't there.
        looked_at: PathBuf,
    },
    /// The folder's file can't be read.
    #[error("{}: {source}. Is `longshore up` running there, and may you read it (sudo)?", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the file isn't an assignment.
    #[error("{}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which, and what is expected.
        source: env_file::InvalidEnvFile,
    },
    /// A variable is missing.
    #[error("{name} is not set{}", file.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default())]
    Missing {
        /// The variable.
        name: &'static str,
        /// The file that should have it; the environment if there is none.
        file: Option<PathBuf>,
    },
    /// An endpoint is no URL.
    #[error("{name}: {value:?} is no URL like http://127.0.0.1:8474 ({why})")]
    Url {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// Why.
        why: String,
    },
}

/// The folder that `longshore up` takes where nobody says: root's, or the user's own.
#[must_use]
pub fn default_up_dir(is_root: bool, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    if is_root {
        return PathBuf::from("/var/lib/longshore-up");
    }
    let data = variable("XDG_DATA_HOME").filter(|path| Path::new(path).is_absolute());
    let home = || PathBuf::from(variable("HOME").unwrap_or_default()).join(".local/share");
    data.map_or_else(home, PathBuf::from).join("longshore-up")
}

impl Settings {
    /// Finds out, `folder` being what `--env` says.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn find(
        folder: Option<&Path>,
        default_folder: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let named = given("AWS_ENDPOINT_URL_ECS")
            .or_else(|| given("AWS_ENDPOINT_URL"))
            .is_some();
        match folder {
            Some(folder) => Self::of_folder(folder),
            None if named => Self::of_variables(given, None),
            None if default_folder.join(ENV_FILE).exists() => Self::of_folder(default_folder),
            None => Err(SettingsError::NoControlPlane {
                looked_at: default_folder.join(ENV_FILE),
            }),
        }
    }

    /// What the file of a folder says.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn of_folder(folder: &Path) -> Result<Self, SettingsError> {
        let path = folder.join(ENV_FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| SettingsError::File {
            path: path.clone(),
            source,
        })?;
        let values = env_file::parse(&text).map_err(|source| SettingsError::Line {
            path: path.clone(),
            source,
        })?;
        let mut settings = Self::of_variables(|name| values.get(name).cloned(), Some(&path))?;
        settings.up_dir = Some(folder.to_owned());
        Ok(settings)
    }

    fn of_variables(
        given: impl Fn(&str) -> Option<String>,
        file: Option<&Path>,
    ) -> Result<Self, SettingsError> {
        let needed = |name: &'static str| {
            given(name).ok_or(SettingsError::Missing {
                name,
                file: file.map(Path::to_owned),
            })
        };
        let endpoint = |name: &'static str| {
            let value = given(name).map_or_else(|| needed("AWS_ENDPOINT_URL"), Ok)?;
            parse_endpoint(name, value)
        };
        Ok(Self {
            ecs: endpoint("AWS_ENDPOINT_URL_ECS")?,
            ssm: endpoint("AWS_ENDPOINT_URL_SSM").or_else(|error| match error {
                // One endpoint serves both here.
                SettingsError::Missing { .. } => endpoint("AWS_ENDPOINT_URL_ECS"),
                other => Err(other),
            })?,
            region: given("AWS_REGION")
                .or_else(|| given("AWS_DEFAULT_REGION"))
                .unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            credentials: Credentials {
                access_key_id: needed("AWS_ACCESS_KEY_ID")?,
                secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
                session_token: given("AWS_SESSION_TOKEN"),
            },
            cluster: given("LONGSHORE_CLUSTER").unwrap_or_else(|| DEFAULT_CLUSTER.to_owned()),
            ca_bundle: given("AWS_CA_BUNDLE").map(PathBuf::from),
            up_dir: None,
        })
    }
}

fn parse_endpoint(name: &'static str, value: String) -> Result<url::Url, SettingsError> {
    let why = match url::Url::parse(&value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Ok(url),
        Ok(_) => "http:// or https:// and a host are needed".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(SettingsError::Url { name, value, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "export AWS_ENDPOINT_URL_ECS=http://127.0.0.1:8474 AWS_ACCESS_KEY_ID=a \
                        AWS_SECRET_ACCESS_KEY=s LONGSHORE_CLUSTER=edge\n";

    fn find(
        folder: Option<&Path>,
        default: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Settings, SettingsError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::find(folder, default, variable)
    }

    #[test]
    fn a_folder_that_is_named_wins_over_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(ENV_FILE), FILE).unwrap();
        let variables = [
            ("AWS_ENDPOINT_URL", "http://x:1"),
            ("AWS_ACCESS_KEY_ID", "b"),
            ("AWS_SECRET_ACCESS_KEY", "t"),
        ];
        let settings = find(Some(folder.path()), Path::new("/none"), &variables).unwrap();
        assert_eq!(settings.ecs.as_str(), "http://127.0.0.1:8474/");
        assert_eq!(settings.ssm, settings.ecs);
        assert_eq!(
            (settings.cluster.as_str(), settings.region.as_str()),
            ("edge", DEFAULT_REGION)
        );
        let settings = find(None, folder.path(), &variables).unwrap();
        assert_eq!(
            (settings.ecs.as_str(), settings.credentials.access_key_id.as_str()),
            ("http://x:1/", "b")
        );
        assert_eq!(settings.cluster, "default");
        // Keys alone name no control plane: they may be anybody's.
        let settings = find(None, folder.path(), &variables[1..]).unwrap();
        assert_eq!(settings.credentials.access_key_id, "a");
        assert_eq!(settings.up_dir.as_deref(), Some(folder.path()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = find(None, folder.path(), &[]).unwrap_err().to_string();
        assert!(
            text.contains("--env DIR") && text.contains("AWS_ENDPOINT_URL_ECS"),
            "{text}"
        );
        let text = find(Some(folder.path()), Path::new("/"), &[])
            .unwrap_err()
            .to_string();
        assert!(text.contains("longshore up"), "{text}");
        let url = ("AWS_ENDPOINT_URL_ECS", "http://x:1");
        let text = find(None, folder.path(), &[url, ("AWS_ACCESS_KEY_ID", "a")])
            .unwrap_err()
            .to_string();
        assert_eq!(text, "AWS_SECRET_ACCESS_KEY is not set");
        let text = find(None, folder.path(), &[("AWS_ENDPOINT_URL_ECS", "x:1")])
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("AWS_ENDPOINT_URL_ECS: \"x:1\" is no URL"),
            "{text}"
        );
    }

    #[test]
    fn the_default_folder_is_root_s_or_the_user_s() {
        let none = |_: &str| None;
        assert_eq!(default_up_dir(true, none), Path::new("/var/lib/longshore-up"));
        let home = |name: &str| (name == "HOME").then(|| "/home/u".to_owned());
        assert_eq!(
            default_up_dir(false, home),
            Path::new("/home/u/.local/share/longshore-up")
        );
        let xdg = |name: &str| Some(if name == "HOME" { "/home/u" } else { "/data" }.to_owned());
        assert_eq!(default_up_dir(false, xdg), Path::new("/data/longshore-up"));
    }
}
