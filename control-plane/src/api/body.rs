//! Reading bodies, before it is known who sends them.
//!
//! Invariant: whoever sends how many requests, the bodies in memory at once are [`BUDGET`] bytes at most. Bytes count as
//! they come in, so a client that only promises some holds nothing. What goes beyond is refused, to be tried again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, Code};

/// The most bytes of bodies at once: some hundred of the largest requests, or ten thousand usual ones.
const BUDGET: usize = 128 * 1024 * 1024;
/// How long a client may take to send its body.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The room for bodies.
#[derive(Clone, Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

/// A body, and the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: BytesMut,
    room: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bodies {
    /// Room for the whole budget.
    pub(crate) fn new() -> Self {
        Self::of(BUDGET)
    }

    fn of(budget: usize) -> Self {
        Self(Arc::new(Semaphore::new(budget)))
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// `RequestEntityTooLargeException`; `SerializationException` if it breaks off or takes too long;
    /// `ThrottlingException` if there is no room for it now.
    pub(super) async fn read(&self, body: Body, limit: usize) -> Result<Held, ApiError> {
        let late = |_| ApiError::new(Code::Serialization, "The body did not arrive in time.");
        tokio::time::timeout(TIMEOUT, self.collect(body, limit))
            .await
            .map_err(late)?
    }

    async fn collect(&self, mut body: Body, limit: usize) -> Result<Held, ApiError> {
        let mut held = Held {
            bytes: BytesMut::new(),
            room: None,
        };
        while let Some(frame) = body.frame().await {
            let broken = |_| ApiError::new(Code::Serialization, "The body broke off.");
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if held.bytes.len() + data.len() > limit {
                return Err(ApiError::new(
                    Code::TooLarge,
                    format!("The body is too large: at most {limit} bytes are taken."),
                ));
            }
            self.make_room(&mut held, data.len())?;
            held.bytes.extend_from_slice(&data);
        }
        Ok(held)
    }

    fn make_room(&self, held: &mut Held, bytes: usize) -> Result<(), ApiError> {
        let full = || ApiError::new(Code::Throttling, "Rate exceeded");
        let count = u32::try_from(bytes).map_err(|_| full())?;
        let more = Arc::clone(&self.0).try_acquire_many_owned(count);
        let more = more.map_err(|_| full())?;
        match &mut held.room {
            Some(room) => room.merge(more),
            None => held.room = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bodies_together_keep_to_the_budget() {
        let bodies = Bodies::of(10);
        let read = |text: &'static str| bodies.read(Body::from(text), 8);
        let first = read("123456").await.unwrap();
        assert_eq!(&*first, b"123456");
        assert_eq!(read("12345").await.unwrap_err().code, Code::Throttling);
        let second = read("1234").await.unwrap();
        drop(first);
        assert_eq!(&*read("123456").await.unwrap(), b"123456");
        drop(second);
        assert_eq!(bodies.0.available_permits(), 10);
    }

    #[tokio::test]
    async fn a_body_beyond_its_own_limit_takes_no_room() {
        let bodies = Bodies::of(10);
        let refused = bodies.read(Body::from("123456789"), 8).await.unwrap_err();
        assert_eq!(refused.code, Code::TooLarge);
        assert_eq!(bodies.0.available_permits(), 10);
    }
}
