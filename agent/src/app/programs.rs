//! The programs that containers need and that are installed beside the agent: Longshore's shim, or for other shims the
//! log writer.

use std::path::{Path, PathBuf};

use super::AppError;
use crate::config::{Config, Warning};
use crate::runtime::containerd::{SHIM, is_longshore};

/// The shim where Longshore's isn't installed and no other is named: containerd's own.
const STOCK: &str = "io.containerd.runc.v2";

/// Fills in the programs that the settings don't name, and says what of the settings will have no effect.
///
/// # Errors
/// [`AppError::LogWriter`]: the shim needs one, and there is none.
pub(super) fn find(config: &mut Config) -> Result<Vec<Warning>, AppError> {
    let this = std::env::current_exe().map_err(|source| AppError::Io {
        path: PathBuf::from("/proc/self/exe"),
        source,
    })?;
    find_beside(&this, config)
}

fn find_beside(this: &Path, config: &mut Config) -> Result<Vec<Warning>, AppError> {
    let runtime = config.runtime.clone().unwrap_or_else(|| {
        let shim = this.with_file_name(SHIM);
        match shim.is_file() {
            true => shim.to_string_lossy().into_owned(),
            false => STOCK.to_owned(),
        }
    });
    // A bare name is a program beside this one.
    if !config.log_writer.is_absolute() {
        config.log_writer = this.with_file_name(&config.log_writer);
    }
    let longshore = is_longshore(&runtime);
    if !longshore && !config.log_writer.is_file() {
        return Err(AppError::LogWriter(config.log_writer.clone()));
    }
    let mut warnings = Vec::new();
    if !longshore && config.oci_runtime.is_some() {
        warnings.push(Warning {
            name: "LONGSHORE_OCI_RUNTIME".to_owned(),
            text: format!("has no effect with {runtime}, only with Longshore's own shim"),
        });
    }
    config.runtime = Some(runtime);
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &str) -> Config {
        Config::parse(Some(lines), std::iter::empty()).unwrap().0
    }

    #[test]
    fn our_shim_is_taken_where_it_is_installed_and_no_other_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let this = folder.path().join("longshore-agent");
        let path = |name: &str| folder.path().join(name);
        let runtime = |lines: &str| {
            let mut config = config(lines);
            find_beside(&this, &mut config).map(|warnings| (config.runtime.unwrap(), warnings.len()))
        };
        assert!(matches!(runtime(""), Err(AppError::LogWriter(missing)) if missing == path("longshore-log")));
        std::fs::write(path("longshore-log"), "").unwrap();
        assert_eq!(runtime("").unwrap(), (STOCK.to_owned(), 0));

        std::fs::remove_file(path("longshore-log")).unwrap();
        std::fs::write(path(SHIM), "").unwrap();
        let ours = path(SHIM).display().to_string();
        assert_eq!(runtime("").unwrap(), (ours.clone(), 0));
        assert_eq!(runtime("LONGSHORE_OCI_RUNTIME=crun").unwrap(), (ours, 0));

        let other = "LONGSHORE_RUNTIME=io.containerd.kata.v2";
        assert!(runtime(other).is_err());
        std::fs::write(path("longshore-log"), "").unwrap();
        let both = format!("{other}\nLONGSHORE_OCI_RUNTIME=crun");
        assert_eq!(runtime(&both).unwrap(), ("io.containerd.kata.v2".to_owned(), 1));
    }

    #[test]
    fn our_shim_is_known_by_its_name() {
        for ours in [
            "io.containerd.longshore.v1",
            "/usr/bin/containerd-shim-longshore-v1",
        ] {
            assert!(is_longshore(ours), "{ours}");
        }
        for other in [
            "io.containerd.runc.v2",
            "/usr/bin/containerd-shim-runc-v2",
            "containerd-shim-longshore-v1",
            "/opt/not-containerd-shim-longshore-v1",
            "",
        ] {
            assert!(!is_longshore(other), "{other}");
        }
    }
}
