//! Where the programs under test are.

use std::path::PathBuf;

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
