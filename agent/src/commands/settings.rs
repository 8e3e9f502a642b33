//! Reads file and environment for [`Config::parse`].

use std::path::Path;

use super::Failure;
use crate::config::{Config, Warning};

const DEFAULT_FILE: &str = "/etc/ecs/ecs.config";

/// The settings of `file`, which must be there when it was named, and of the environment.
pub(super) fn load(file: Option<&Path>) -> Result<(Config, Vec<Warning>), Failure> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => {
            return Err(Failure::SettingsFile {
                path: path.to_owned(),
                source,
            });
        }
    };
    // A name or value that is no UTF-8 can't be a valid setting: what is replaced in it makes its check fail.
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
    Ok(Config::parse(text.as_deref(), environment)?)
}
