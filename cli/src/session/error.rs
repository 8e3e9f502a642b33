//! Why a session could not be had, or did not end by its command's end.

use std::io;

use longshore_protocol::session::RESUME_SECONDS;

use crate::api::ApiError;

/// A session without an exit code of its command.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A call, or a connection that trying again won't bring about.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The service's answer can't be followed.
    #[error("the control plane's answer can't be used: {0}")]
    Answer(String),
    /// The stream's place refuses us.
    #[error("{url} refuses the session's connection: {why}")]
    Refused {
        /// The stream's URL.
        url: String,
        /// Status or words.
        why: String,
    },
    /// The far side has ended it, in its own words.
    #[error("{0}")]
    Closed(String),
    /// The far side has ended it and said neither why nor an exit code.
    #[error("the session was ended, and nothing tells how its command ended")]
    Ended,
    /// The service does not know it any more.
    #[error("the connection was lost ({0}), and the session ended meanwhile")]
    Gone(String),
    /// There is no way back.
    #[error("the connection was lost ({0}) and could not be had again within {RESUME_SECONDS} s")]
    Lost(String),
    /// The user did not want to wait.
    #[error("the connection was lost ({0}); given up")]
    GivenUp(String),
    /// Something that is no log came in a session of logs.
    #[error("the node's answer is no log: {0}")]
    NoLog(String),
    /// A signal to us.
    #[error("ended by signal {0}")]
    Signal(i32),
    /// Our terminal, or what there is instead of one.
    #[error("{what}: {source}")]
    Local {
        /// `standard input`, for one.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SessionError {
    /// Whether the far side is to be told that nobody will come back.
    #[must_use]
    pub fn leaves_it_open(&self) -> bool {
        match self {
            Self::Lost(_)
            | Self::GivenUp(_)
            | Self::NoLog(_)
            | Self::Signal(_)
            | Self::Local { .. }
            | Self::Refused { .. }
            | Self::Answer(_) => true,
            Self::Api(_) | Self::Closed(_) | Self::Ended | Self::Gone(_) => false,
        }
    }
}
