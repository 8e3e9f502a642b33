//! The writer's options: one JSON file that the agent wrote.

use std::path::{Path, PathBuf};

use longshore_protocol::json_file::WriterOptions;

/// Options that can't be used. Trying again does not help: whoever wrote them must write them anew.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file can't be read.
    #[error("can't read the options file {path}: see that it exists and that this user may read it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not JSON of the right form.
    #[error("the options file {path} is not {{\"path\", \"maxSize\", \"maxFile\"}} in JSON")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A value is out of range.
    #[error("{name} is {value}: it must be {allowed}")]
    Value {
        /// The option.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// Reads and checks the options in a file.
///
/// # Errors
/// [`OptionsError`], with the file or the option that is at fault.
pub fn read(path: &Path) -> Result<WriterOptions, OptionsError> {
    let bytes = std::fs::read(path).map_err(|source| OptionsError::Read {
        path: path.into(),
        source,
    })?;
    let options = serde_json::from_slice(&bytes).map_err(|source| OptionsError::Parse {
        path: path.into(),
        source,
    })?;
    check(&options)?;
    Ok(options)
}

/// Whether options can be used. The file itself is not looked at: a disk that can't be written now may be later.
///
/// # Errors
/// [`OptionsError::Value`] for the first option that is out of range.
pub fn check(options: &WriterOptions) -> Result<(), OptionsError> {
    let fault = |name, value: String, allowed| Err(OptionsError::Value { name, value, allowed });
    if !options.path.is_absolute() || options.path.file_name().is_none() {
        let path = options.path.display().to_string();
        return fault("path", path, "the absolute path of a file");
    }
    if options.max_size == 0 {
        return fault("maxSize", "0".into(), "1 byte or more");
    }
    if options.max_file == 0 {
        return fault("maxFile", "0".into(), "1 or more");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("options.json");
        let fault = |json: &str| {
            std::fs::write(&path, json).unwrap();
            read(&path).unwrap_err()
        };
        assert!(matches!(
            read(&dir.path().join("none")).unwrap_err(),
            OptionsError::Read { .. }
        ));
        assert!(matches!(fault("{"), OptionsError::Parse { .. }));
        assert!(matches!(
            fault(r#"{"path":"/a","maxSize":1,"maxFile":1,"maxsize":2}"#),
            OptionsError::Parse { .. }
        ));
        for (json, option) in [
            (r#"{"path":"a","maxSize":1,"maxFile":1}"#, "path"),
            (r#"{"path":"/","maxSize":1,"maxFile":1}"#, "path"),
            (r#"{"path":"/a","maxSize":0,"maxFile":1}"#, "maxSize"),
            (r#"{"path":"/a","maxSize":1,"maxFile":0}"#, "maxFile"),
        ] {
            assert!(matches!(fault(json), OptionsError::Value { name, .. } if name == option));
        }
    }
}
