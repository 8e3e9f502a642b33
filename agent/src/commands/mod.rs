//! The command line: what each command does, its words, and its exit codes.
//!
//! | exit code | means |
//! | --- | --- |
//! | 0 | done |
//! | 1 | something failed that may work later: the control plane, containerd, the disk |
//! | 2 | the command line can't be read |
//! | 5 | who this machine is can't be told, or the control plane won't have it, or a later agent wrote what is remembered: an operator must act |
//! | 153 | settings that can't be obeyed |

mod deregister;
mod logging;
mod memory;
mod register;
mod run;
mod settings;
mod show;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::admin::AdminError;
use crate::config::Faults;
use crate::http::HttpError;
use crate::link::{IdentityError, LinkError, RegisterError};

pub use register::RegisterArgs;
pub use show::LogsArgs;

/// Restarting won't help; the unit's `RestartPreventExitStatus` names it.
const EXIT_IDENTITY: u8 = 5;
/// Settings that can't be obeyed.
const EXIT_SETTINGS: u8 = 153;

const AFTER_HELP: &str = "Settings: ECS_* and LONGSHORE_* from /etc/ecs/ecs.config and the environment, environment first.\n\
    Exit codes: 0 done; 1 failed, may work later; 2 bad command line; 5 this machine's identity or store: an operator must act; \
    153 bad settings.";

/// Runs ECS tasks on this machine.
#[derive(Debug, Parser)]
#[command(name = "longshore-agent", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Args, Debug)]
pub struct Common {
    /// The settings file [default: /etc/ecs/ecs.config, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this machine a node, by an activation
    Register(RegisterArgs),
    /// Take task assignments and run them, until SIGTERM; containers then go on running
    Run,
    /// Take this machine off the control plane's books
    Deregister {
        /// Also while tasks run here: their containers go on running, and nobody manages them any more
        #[arg(long)]
        force: bool,
    },
    /// How the agent on this machine is
    Status {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// The tasks on this machine
    Tasks {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// What a task's container printed
    Logs(LogsArgs),
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// The settings file.
    #[error("settings file {path}: {source}")]
    SettingsFile {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Who this machine is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The control plane.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// TLS, before anything is called.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The agent on this machine.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A part of the agent ended, or could not begin.
    #[error(transparent)]
    App(#[from] crate::app::AppError),
    /// This machine is a node of another place already.
    #[error(
        "this machine is registered already, as {instance} with {endpoint} in the cluster {cluster}; \
         run `longshore-agent deregister` first"
    )]
    RegisteredElsewhere {
        /// As which node.
        instance: String,
        /// Where.
        endpoint: String,
        /// In which cluster.
        cluster: String,
    },
    /// A file of the command line.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Nobody reads the output, or the disk is full.
    #[error("output: {0}")]
    Output(#[source] std::io::Error),
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Link(error) => Self::Link(error),
            RegisterError::Identity(error) => Self::Identity(error),
        }
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::SettingsFile { .. } => EXIT_SETTINGS,
            Self::Identity(error) => match error {
                IdentityError::NotRegistered(_) | IdentityError::Broken { .. } => EXIT_IDENTITY,
                IdentityError::Io { .. } | IdentityError::Key(_) => 1,
            },
            Self::Link(error) => match error {
                LinkError::Unavailable { .. } | LinkError::Busy { .. } => 1,
                LinkError::Refused { .. } | LinkError::Identity { .. } => EXIT_IDENTITY,
            },
            Self::App(error) => {
                if error.needs_operator() {
                    EXIT_IDENTITY
                } else {
                    1
                }
            }
            Self::RegisteredElsewhere { .. } => EXIT_IDENTITY,
            Self::Http(_) | Self::Admin(_) | Self::File { .. } | Self::Output(_) => 1,
        }
    }
}

/// Does what the command line says, and says why it could not.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where even this can't be written, the exit code is all there is to say.
            let _ = writeln!(std::io::stderr(), "longshore-agent: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let (config, warnings) = settings::load(cli.common.config.as_deref())?;
    match cli.command {
        Command::Run => run::run(config, warnings),
        Command::Register(args) => register::run(&config, &warnings, &args),
        Command::Deregister { force } => deregister::run(&config, force),
        Command::Status { json } => show::status(&config, json),
        Command::Tasks { json } => show::tasks(&config, json),
        Command::Logs(args) => show::logs(&config, &args),
    }
}

/// A runtime for a command that asks a question or two.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::Output)?;
    let done = runtime.block_on(work);
    // A blocking call that hangs in the kernel must not keep back what came of it.
    runtime.shutdown_background();
    done
}

/// Writes a line for people or scripts. A reader that went away wants no more.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Output(error)),
        Ok(()) => Ok(()),
    }
}

/// Tells an operator something beside the result.
fn note(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}
