//! `containerd-shim-longshore-v1`: containerd's shim for Longshore's containers; see `docs/shim.md`.
//!
//! containerd calls it: `start` to have a shim for a container, which is a child of that command; `delete` to clean up
//! after one that died.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use longshore_shim::api::Message as _;
use longshore_shim::api::task::{RuntimeInfo, RuntimeVersion};
use longshore_shim::command::{Action, Arguments, UsageError};
use longshore_shim::daemon::{ServeError, serve};
use longshore_shim::logger::chain;
use longshore_shim::start::{StartError, Started, start};
use longshore_shim::{delete, memory};

const NAME: &str = "io.containerd.longshore.v1";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("can't write the answer to stdout")]
    Answer(#[source] std::io::Error),
}

fn main() -> ExitCode {
    memory::economize();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // containerd passes on what is on stderr.
            let _ = writeln!(
                std::io::stderr(),
                "containerd-shim-longshore-v1: {}",
                chain(&failure)
            );
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let words = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let arguments = Arguments::parse(words)?;
    let answer = match arguments.action {
        Action::Start => match start(&arguments)? {
            Started::Shim(listener, containerd) => {
                return Ok(serve(&arguments, &listener, events(&arguments), containerd)?);
            }
            Started::Command(address) => address.into_bytes(),
        },
        Action::Delete => {
            let deleted = delete::delete(&arguments)?;
            for fault in deleted.faults {
                let _ = writeln!(std::io::stderr(), "containerd-shim-longshore-v1: delete: {fault}");
            }
            deleted.response.encode_to_vec()
        }
        Action::Version => format!("{NAME} {VERSION}\n").into_bytes(),
        Action::Info => info().encode_to_vec(),
    };
    std::io::stdout().write_all(&answer).map_err(Failure::Answer)
}

/// containerd's socket for events, which it names in the environment.
fn events(arguments: &Arguments) -> PathBuf {
    std::env::var_os("TTRPC_ADDRESS")
        .map_or_else(|| format!("{}.ttrpc", arguments.address).into(), PathBuf::from)
}

fn info() -> RuntimeInfo {
    RuntimeInfo {
        name: NAME.to_owned(),
        version: Some(RuntimeVersion {
            version: VERSION.to_owned(),
            revision: String::new(),
        }),
    }
}
