//! Where the programs under test are.

use std::path::PathBuf;

/// The shim that tests run containers by, as `LONGSHORE_RUNTIME` has it: Longshore's own, or with
/// `LONGSHORE_TEST_RUNTIME=stock` containerd's.
///
/// # Panics
/// When the variable has another value, or the shim isn't there.
#[must_use]
pub fn shim() -> String {
    let wanted = std::env::var("LONGSHORE_TEST_RUNTIME").unwrap_or_default();
    match wanted.as_str() {
        "" | "longshore" => longshore_shim(),
        "stock" => STOCK_SHIM.to_owned(),
        other => panic!("LONGSHORE_TEST_RUNTIME is {other:?}, not longshore or stock"),
    }
}

/// containerd's own shim.
pub const STOCK_SHIM: &str = "io.containerd.runc.v2";

/// Longshore's shim, by its path.
///
/// # Panics
/// When it isn't there.
#[must_use]
pub fn longshore_shim() -> String {
    path("containerd-shim-longshore-v1").display().to_string()
}

/// A program of this workspace: from `LONGSHORE_TEST_BIN_DIR`, else from the folder that cargo built the test into.
///
/// # Panics
/// When it isn't there: `cargo build --workspace --bins` makes it.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let folder = std::env::var_os("LONGSHORE_TEST_BIN_DIR").map_or_else(
        || {
            let test = std::env::current_exe().expect("a program knows its path");
            test.ancestors()
                .nth(2)
                .expect("tests lie in PROFILE/deps")
                .to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build --workspace --bins",
        path.display()
    );
    path
}
