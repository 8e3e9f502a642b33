//! The way to the host of a session: a socket, and another one when it is lost.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use longshore_protocol::error::{Retry, retry_class};
use longshore_protocol::session::RESUME_SECONDS;
use longshore_protocol::ssm;
use tokio::time::Instant;
use uuid::Uuid;

use super::socket::{DialError, Socket};
use super::{Opened, SessionError};
use crate::api::{self, ApiError};

/// For as long the service keeps a session whose client is away.
const RESUME: Duration = Duration::from_secs(RESUME_SECONDS as u64);
/// The first pause between two tries; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For the call by which a session is given up; who gave up does not wait long.
const TERMINATE: Duration = Duration::from_secs(3);

/// What came of waiting.
pub enum News {
    /// Messages of the data channel.
    Messages(Vec<Bytes>),
    /// The socket is gone, for this reason, and the way back is being looked for.
    Lost(String),
    /// There is another socket, and what was not acknowledged is to be sent again.
    Back,
}

enum State<'a> {
    Up(Box<Socket>),
    Down(Pin<Box<dyn Future<Output = Result<Socket, SessionError>> + 'a>>),
}

/// The way.
pub struct Link<'a> {
    client: &'a api::Client,
    opened: Opened,
    id: Uuid,
    state: State<'a>,
}

impl<'a> Link<'a> {
    /// Dials for the first time. If that fails and may work later, why; and then it is tried as after a loss.
    ///
    /// # Errors
    /// [`SessionError`], if it is of no use to try.
    pub async fn open(
        client: &'a api::Client,
        opened: Opened,
        id: Uuid,
    ) -> Result<(Self, Option<String>), SessionError> {
        let (state, why) = match Socket::open(client, &opened, id).await {
            Ok(socket) => (State::Up(Box::new(socket)), None),
            Err(DialError::Never(error)) => return Err(error),
            Err(DialError::Later(why)) => {
                let resume = resume(client, opened.clone(), id, why.clone());
                (State::Down(Box::pin(resume)), Some(why))
            }
        };
        let link = Self {
            client,
            opened,
            id,
            state,
        };
        Ok((link, why))
    }

    /// Whether there is a socket.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Messages to be written. Without a socket they are dropped: whoever numbers them sends them again.
    pub fn push(&mut self, frames: impl Iterator<Item = Vec<u8>>) {
        match &mut self.state {
            State::Up(socket) => socket.push(frames),
            State::Down(_) => frames.for_each(drop),
        }
    }

    /// Writes what there is, and waits for what comes. It may be dropped at any time.
    ///
    /// # Errors
    /// [`SessionError`], once there is no way back.
    pub async fn next(&mut self, may_read: bool) -> Result<News, SessionError> {
        match &mut self.state {
            State::Up(socket) => match socket.next(may_read).await {
                Ok(messages) => Ok(News::Messages(messages)),
                Err(why) => {
                    let resume = resume(self.client, self.opened.clone(), self.id, why.clone());
                    self.state = State::Down(Box::pin(resume));
                    Ok(News::Lost(why))
                }
            },
            State::Down(resume) => {
                self.state = State::Up(Box::new(resume.as_mut().await?));
                Ok(News::Back)
            }
        }
    }

    /// Writes what was pushed, for a moment. What can't be written then is of no importance.
    pub async fn flush(&mut self) {
        if let State::Up(socket) = &mut self.state {
            let _ = tokio::time::timeout(TERMINATE, socket.flush()).await;
        }
    }

    /// Tells the service that nobody will come back.
    ///
    /// # Errors
    /// Why it could not be told: then it ends the session after some time by itself.
    pub async fn terminate(&self) -> Result<(), String> {
        let session = ssm::TerminateSessionRequest {
            session_id: Some(self.opened.session_id.clone()),
        };
        let call = self
            .client
            .ssm::<_, serde::de::IgnoredAny>("TerminateSession", &session);
        match tokio::time::timeout(TERMINATE, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", TERMINATE.as_secs())),
        }
    }
}

/// Asks for a new token and dials with it, until that has worked or the session can't be there any more.
async fn resume(
    client: &api::Client,
    mut opened: Opened,
    id: Uuid,
    lost: String,
) -> Result<Socket, SessionError> {
    let until = Instant::now() + RESUME;
    let mut pause = FIRST_PAUSE;
    let mut why = lost.clone();
    loop {
        let attempt = once(client, &mut opened, id, &lost);
        match tokio::time::timeout_at(until, attempt).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(DialError::Never(error))) => return Err(error),
            Ok(Err(DialError::Later(later))) => why = later,
            Err(_) => return Err(SessionError::Lost(why)),
        }
        if Instant::now() + pause >= until {
            return Err(SessionError::Lost(why));
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

async fn once(client: &api::Client, opened: &mut Opened, id: Uuid, lost: &str) -> Result<Socket, DialError> {
    let session = ssm::ResumeSessionRequest {
        session_id: Some(opened.session_id.clone()),
    };
    let resumed: Result<ssm::ResumeSessionResponse, ApiError> = client.ssm("ResumeSession", &session).await;
    let resumed = resumed.map_err(|error| match may_change(&error) {
        true => DialError::Later(error.to_string()),
        false => DialError::Never(error.into()),
    })?;
    // An answer without one says that there is nothing to resume.
    let token = resumed.token_value.filter(|token| !token.is_empty());
    let gone = || DialError::Never(SessionError::Gone(lost.to_owned()));
    opened.token = token.ok_or_else(gone)?;
    Socket::open(client, opened, id).await
}

/// Whether the same call may be answered otherwise in some seconds: nobody was there, or somebody else who said so.
fn may_change(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } | ApiError::Deadline { .. } => true,
        ApiError::Refused { code, .. } => {
            code.starts_with("HTTP status") || retry_class(400, code) == Retry::Later
        }
        ApiError::Untrusted { .. } | ApiError::NotAws { .. } | ApiError::Tls(_) => false,
    }
}

/// Somewhere between half of a pause and all of it, so that many who lost the same service don't come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = u32::from(Uuid::new_v4().as_bytes()[0]);
    pause / 2 + pause * random / (2 * 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_keep_their_bounds() {
        for _ in 0..1000 {
            let pause = jittered(LONGEST_PAUSE);
            assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
        }
    }

    #[test]
    fn a_service_that_refuses_is_not_asked_again() {
        let refused = |code: &str| ApiError::Refused {
            operation: "ResumeSession",
            code: code.to_owned(),
            message: String::new(),
        };
        assert!(!may_change(&refused("AccessDeniedException")));
        assert!(may_change(&refused("ThrottlingException")));
        assert!(may_change(&refused("HTTP status 502")));
    }
}
