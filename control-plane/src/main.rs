//! `longshore-control-plane`: the control plane as a program.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use longshore_control_plane::clock::SystemClock;
use longshore_control_plane::config::{Cli, Command, ServeArgs};
use longshore_control_plane::server;
use tracing_subscriber::EnvFilter;

/// The environment variable that chooses what is logged, such as `debug` or `longshore_control_plane=trace`.
const LOG: &str = "LONGSHORE_LOG";

fn main() -> ExitCode {
    let Command::Serve(arguments) = Cli::parse().command;
    let filter = EnvFilter::try_from_env(LOG).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // They would go to the same place, and a panic is no answer to a full disk.
        .log_internal_errors(false)
        .with_ansi(false)
        .init();
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to say that this can't be said.
            let _ = writeln!(std::io::stderr(), "longshore-control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: ServeArgs) -> Result<(), Box<dyn std::error::Error>> {
    let config = arguments.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let end = server::end_signal()?;
        server::serve(config, Arc::new(SystemClock::new()), &mut std::io::stdout(), end).await?;
        Ok(())
    })
}
