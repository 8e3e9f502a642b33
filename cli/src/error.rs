//! Everything that can go wrong with a command, and the exit code that it ends with.

use std::process::ExitCode;

use crate::admin::AdminError;
use crate::api::ApiError;
use crate::input::InputError;
use crate::session::SessionError;
use crate::settings::SettingsError;
use crate::up::UpError;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, or a file that it names.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Which control plane.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A call.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The agent on this machine.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A session with a container.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// `longshore exec`, whose other exit codes are those of its command.
    #[error(transparent)]
    Exec(Box<Error>),
    /// `longshore up`.
    #[error(transparent)]
    Up(#[from] UpError),
    /// Tasks that weren't placed, are not there, or did not end well; the details were shown before.
    #[error("{0}")]
    Tasks(String),
    /// Standard output is gone.
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// The table of exit codes, as `longshore --help` shows it.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused by the service or the agent, or `up` could not start or go on
  2  the command line, a file that it names, or the settings are at fault
  3  no answer from the control plane or the agent: trying again may help
  4  a task was not placed or not found, did not start, or (run --wait, up --sample) did not end with exit code 0

`exec` ends with the exit code of its command (128 and the signal's number, if it was killed by one), and with 255 if
there is none: for all of the above, and if the session was lost. `exec` and `logs` that are ended by a signal have 128
and its number.";

/// What `exec` ends with if there is no exit code of its command, as `ssh` has it.
pub const NO_CODE: u8 = 255;

impl Error {
    /// The exit code; see [`EXIT_CODES`].
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Session(SessionError::Signal(signal)) => {
                u8::try_from(128_i32.saturating_add(*signal)).unwrap_or(NO_CODE)
            }
            Self::Exec(error) => match **error {
                Self::Session(SessionError::Signal(_)) => error.code(),
                _ => NO_CODE,
            },
            Self::Session(SessionError::Api(error)) if error.is_silence() => 3,
            Self::Session(SessionError::Gone(_) | SessionError::Lost(_) | SessionError::GivenUp(_)) => 3,
            Self::Input(_) | Self::Settings(_) => 2,
            Self::Api(error) if error.is_silence() => 3,
            Self::Admin(error) if error.is_silence() => 3,
            Self::Up(error) if error.is_about_the_sample() => 4,
            Self::Tasks(_) => 4,
            Self::Api(_) | Self::Admin(_) | Self::Session(_) | Self::Up(_) | Self::Output(_) => 1,
        }
    }

    /// Whether the reader of our output went away: nothing to complain about.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output(error) | Self::Session(SessionError::Local { source: error, .. }) => {
                error.kind() == std::io::ErrorKind::BrokenPipe
            }
            Self::Exec(error) => error.is_broken_pipe(),
            _ => false,
        }
    }
}
