//! `ECS_ENGINE_AUTH_TYPE` and `ECS_ENGINE_AUTH_DATA`: logins for registries, in the two shapes that Docker's own
//! configuration files have.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::RegistryAuth;

/// Docker Hub, as image references name it.
const DOCKER_HUB: &str = "docker.io";

/// The two shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// `{"REGISTRY":{"username":"…","password":"…","email":"…"}}`
    Docker,
    /// `{"REGISTRY":{"auth":"BASE64(user:password)","email":"…"}}`
    DockerCfg,
}

impl AuthType {
    /// What [`AuthType::parse`] takes, for error texts.
    pub const FORM: &'static str = "docker or dockercfg";

    /// By its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "docker" => Some(Self::Docker),
            "dockercfg" => Some(Self::DockerCfg),
            _ => None,
        }
    }

    /// The shape of the data, for error texts.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Docker => r#"JSON {"REGISTRY":{"username":"…","password":"…"}}"#,
            Self::DockerCfg => r#"JSON {"REGISTRY":{"auth":"base64 of user:password"}}"#,
        }
    }
}

#[derive(Deserialize)]
struct Docker {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct DockerCfg {
    auth: String,
}

/// The logins by registry host, as image references name it: without scheme and path, Docker Hub as `docker.io`.
#[must_use]
pub fn logins(shape: AuthType, data: &str) -> Option<BTreeMap<String, RegistryAuth>> {
    match shape {
        AuthType::Docker => by_host::<Docker>(data, |login| {
            Some(RegistryAuth {
                username: login.username,
                password: login.password,
            })
        }),
        AuthType::DockerCfg => by_host::<DockerCfg>(data, |login| {
            let text = STANDARD
                .decode(&login.auth)
                .or_else(|_| STANDARD_NO_PAD.decode(&login.auth))
                .ok()?;
            let text = String::from_utf8(text).ok()?;
            let (username, password) = text.split_once(':')?;
            Some(RegistryAuth {
                username: username.to_owned(),
                password: password.to_owned(),
            })
        }),
    }
}

fn by_host<T: for<'de> Deserialize<'de>>(
    data: &str,
    login: impl Fn(T) -> Option<RegistryAuth>,
) -> Option<BTreeMap<String, RegistryAuth>> {
    let logins: BTreeMap<String, T> = serde_json::from_str(data).ok()?;
    logins
        .into_iter()
        .map(|(registry, value)| Some((host(&registry)?, login(value)?)))
        .collect()
}

fn host(registry: &str) -> Option<String> {
    let rest = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    Some(match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        _ => host.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_give_the_same_logins() {
        let docker = r#"{"https://index.docker.io/v1/":{"username":"u","password":"p:w","email":"e"},
            "Registry.example:5000":{"username":"a","password":"b"}}"#;
        let dockercfg = r#"{"https://index.docker.io/v1/":{"auth":"dTpwOnc=","email":"e"},
            "registry.example:5000":{"auth":"YTpi"}}"#;
        let logins_of_docker = logins(AuthType::Docker, docker).unwrap();
        assert_eq!(logins_of_docker, logins(AuthType::DockerCfg, dockercfg).unwrap());
        assert_eq!(logins_of_docker["docker.io"].password, "p:w");
        assert!(logins_of_docker.contains_key("registry.example:5000"));
    }

    #[test]
    fn half_a_login_is_none() {
        assert!(logins(AuthType::Docker, r#"{"r":{"username":"u"}}"#).is_none());
        assert!(logins(AuthType::DockerCfg, r#"{"r":{"auth":"bm9jb2xvbg=="}}"#).is_none());
        assert!(logins(AuthType::DockerCfg, "not json").is_none());
    }
}
