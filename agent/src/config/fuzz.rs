//! Settings as people write them, and logins as other programs do.

use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::Config;
use super::auth::{AuthType, logins};

#[test]
fn settings_file() {
    Target::new(corpus!("settings_file"), Form::Text)
        .holds(100)
        .run(|input| {
            let text = std::str::from_utf8(input).unwrap();
            match Config::parse(Some(text), std::iter::empty()) {
                Ok((config, warnings)) => {
                    assert!(config.data_dir.is_absolute() && config.cgroup_parent.starts_with('/'));
                    assert!(config.network.subnet.1 <= 32);
                    warnings.iter().map(ToString::to_string).collect()
                }
                Err(faults) => {
                    assert!(!faults.0.is_empty());
                    faults.to_string()
                }
            }
        });
}

#[test]
fn registry_logins() {
    Target::new(corpus!("registry_logins"), Form::Json).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return "no text".to_owned();
        };
        let docker = logins(AuthType::Docker, text);
        let dockercfg = logins(AuthType::DockerCfg, text);
        for host in docker.iter().chain(&dockercfg).flat_map(|logins| logins.keys()) {
            assert!(!host.is_empty() && !host.contains('/'), "{host:?}");
        }
        format!(
            "{:?} {:?}",
            docker.map(|logins| logins.len()),
            dockercfg.map(|logins| logins.len())
        )
    });
}
