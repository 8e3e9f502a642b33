//! containerd's options for runc.

use crate::api::task::{OPTIONS, Options};
use crate::api::{Any, Message as _};

/// Options that can't be followed. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// They are of another runtime.
    #[error("runtime options of type {0} are unknown: use {OPTIONS}")]
    Type(String),
    /// They can't be read.
    #[error("runtime options are not {OPTIONS}")]
    Parse(#[source] prost::DecodeError),
}

/// Reads containerd's options for runc; none are the defaults.
///
/// # Errors
/// [`OptionsError`].
pub fn options(any: Option<&Any>) -> Result<Options, OptionsError> {
    match any {
        None => Ok(Options::default()),
        Some(any) if any.type_url.is_empty() && any.value.is_empty() => Ok(Options::default()),
        // Clients may put a host in front.
        Some(any) if any.type_url.rsplit('/').next() == Some(OPTIONS) => {
            Options::decode(any.value.as_slice()).map_err(OptionsError::Parse)
        }
        Some(any) => Err(OptionsError::Type(any.type_url.clone())),
    }
}
