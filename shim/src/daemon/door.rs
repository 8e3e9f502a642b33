//! Where clients come in.
//!
//! Invariant: while there is no descriptor for a connection that waits, the shim does not try again and again: it leaves the
//! socket alone for a moment. Who is connected already is served meanwhile.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::waiting::{LISTENER, Loop};
use crate::clock;
use crate::ttrpc::server::Reader;

/// How long connections that can't be had are left to wait.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket that clients connect to, in a [`Loop`] unless it is closed for the moment.
pub(super) struct Door<'a> {
    waiting: &'a Loop,
    listener: &'a UnixListener,
    closed_until: Option<Duration>,
}

impl<'a> Door<'a> {
    pub(super) fn open(waiting: &'a Loop, listener: &'a UnixListener) -> std::io::Result<Self> {
        waiting.add(listener, LISTENER)?;
        Ok(Self {
            waiting,
            listener,
            closed_until: None,
        })
    }

    /// Takes all connections that wait.
    pub(super) fn accept(&mut self, readers: &mut HashMap<u64, Reader>) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let id = self.waiting.id();
                    if let Ok(reader) = Reader::new(stream)
                        && self.waiting.add(&reader, id).is_ok()
                    {
                        readers.insert(id, reader);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    // Its client has gone meanwhile.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => {
                        self.waiting.remove(self.listener);
                        self.closed_until = Some(clock::monotonic() + PAUSE);
                        return;
                    }
                },
            }
        }
    }

    /// Opens again if it is time; else how long it stays closed, none if it is open.
    pub(super) fn reopen(&mut self) -> Option<Duration> {
        let left = self.closed_until?.saturating_sub(clock::monotonic());
        if !left.is_zero() {
            return Some(left);
        }
        if self.waiting.add(self.listener, LISTENER).is_err() {
            self.closed_until = Some(clock::monotonic() + PAUSE);
            return Some(PAUSE);
        }
        self.closed_until = None;
        None
    }
}
