//! What comes in answers: documents at once, blobs bit by bit.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::RegistryError;
use crate::http::{HttpError, chain};

/// Reads a whole body within `deadline`, if it is no longer than `limit` bytes. `host` is for the error.
///
/// # Errors
/// [`HttpError`]: too long, too late, or broken off.
pub async fn read(body: Incoming, host: &str, limit: usize, deadline: Duration) -> Result<Bytes, HttpError> {
    let uri = host.to_owned();
    match tokio::time::timeout(deadline, Limited::new(body, limit).collect()).await {
        Err(_) => Err(HttpError::Deadline { uri, deadline }),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(match error.is::<http_body_util::LengthLimitError>() {
            true => HttpError::TooLong { uri, limit },
            false => HttpError::Connection {
                uri,
                why: chain(error.as_ref()),
            },
        }),
    }
}

/// A blob on its way. Its digest is not checked here: whoever stores it does.
#[derive(Debug)]
pub struct Blob {
    /// The first byte that will come: what was asked for, or 0 where the server knows no ranges.
    pub offset: u64,
    host: String,
    inactivity: Duration,
    body: Incoming,
}

impl Blob {
    pub(super) fn new(offset: u64, host: String, inactivity: Duration, body: Incoming) -> Self {
        Self {
            offset,
            host,
            inactivity,
            body,
        }
    }

    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// [`RegistryError::Inactive`] if nothing comes for too long, [`RegistryError::Http`] if the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let frame = tokio::time::timeout(self.inactivity, self.body.frame())
                .await
                .map_err(|_| RegistryError::Inactive {
                    host: self.host.clone(),
                    limit: self.inactivity,
                })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(HttpError::Connection {
                        uri: self.host.clone(),
                        why: chain(&error),
                    }
                    .into());
                }
                // Trailers say nothing about a blob.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}
