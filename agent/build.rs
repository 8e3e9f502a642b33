//! Tells the program when it was built: no certificate that it meets is from before that.

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=src");
    let given = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    #[expect(
        clippy::disallowed_methods,
        reason = "a build has no Clock, and can be told the time by SOURCE_DATE_EPOCH"
    )]
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    println!(
        "cargo::rustc-env=LONGSHORE_BUILD_SECONDS={}",
        given.unwrap_or_else(now)
    );
}
