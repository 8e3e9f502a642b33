//! By when what is to happen in a session, and what is done when it has not: a client that does not come back, one that
//! idles or stays too long, a relay that does not take the end.

use std::time::Duration;

use longshore_protocol::data_channel::host::Host;
use longshore_protocol::session::{CONNECT_SECONDS, RESUME_SECONDS};

use super::Session;
use crate::exec::program::Program;
use crate::exec::uplink::UplinkEvent;

/// How much longer than the relay a session waits for what the relay should have said.
const ALLOWANCE: Duration = Duration::from_secs(30);
/// How long a client has to take what was written, when a session is ended before its process has.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long a client may take nothing of a program that has ended, where no setting says so.
const UNREAD: Duration = Duration::from_secs(1200);
/// How long a relay may take to close the socket after the end was told; then it is dialled again.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
/// How long it is tried to tell the relay; then that ends the session by its own time-out.
const TELL: Duration = Duration::from_secs(300);

impl Session {
    /// When something is to be done though nothing happens.
    pub(super) fn due(&self) -> Duration {
        let now = self.now().since;
        let host = self
            .host
            .as_ref()
            .filter(|_| self.client && self.uplink.is_clear());
        let own = [
            host.and_then(Host::next_due),
            self.alone_until(),
            self.idle_until().map(|(until, _)| until),
            self.ending
                .as_ref()
                .map(|ending| ending.at_last)
                .filter(|at_last| !self.abandoned || *at_last > now),
            self.told.map(|told| told + ACKNOWLEDGE),
            self.uplink.silent_at(),
            self.tell_until(),
        ];
        let farthest = self.begun + Duration::from_secs(u64::from(u32::MAX));
        own.into_iter().flatten().min().unwrap_or(farthest)
    }

    pub(super) fn tick(&mut self) {
        let now = self.now();
        if self.client
            && self.uplink.is_clear()
            && let Some(host) = &mut self.host
        {
            host.tick(now);
            self.host_events();
        }
        if self.alone_until().is_some_and(|until| now.since >= until) {
            self.abandon("nobody was there");
        }
        if let Some((until, why)) = self.idle_until()
            && now.since >= until
        {
            self.end_for(&why, LAST_WORDS);
        }
        if self
            .ending
            .as_ref()
            .is_some_and(|ending| now.since >= ending.at_last)
        {
            let first = self.abandon("its client took nothing");
            if first && self.client && !self.uplink.is_clear() {
                // What the client does not take is in the way of what the relay is to be told.
                self.give_up_socket();
            }
        }
        if self.uplink.silent_at().is_some_and(|at| now.since >= at) {
            self.give_up_socket();
        }
        if self.told.is_some_and(|told| now.since >= told + ACKNOWLEDGE) {
            self.told = None;
            self.uplink.redial();
        }
    }

    fn give_up_socket(&mut self) {
        self.uplink.redial();
        self.uplink_event(UplinkEvent::Lost);
    }

    /// The relay says when a session has lost its client for good. This is for a relay that has gone itself.
    fn alone_until(&self) -> Option<Duration> {
        let seconds = match self.host {
            None => CONNECT_SECONDS,
            Some(_) => RESUME_SECONDS,
        };
        let patience = Duration::from_secs(u64::from(seconds)) + ALLOWANCE;
        (!self.client && !self.abandoned).then_some(self.alone_since + patience)
    }

    /// How long a relay that can't be reached is tried to be told of the end.
    pub(super) fn tell_until(&self) -> Option<Duration> {
        self.over_since.map(|since| since + TELL)
    }

    /// How long a client is waited for that does not take what is left to be shown.
    fn unread_until(&self) -> Option<(Duration, String)> {
        let limit = self.settings.idle.unwrap_or(UNREAD);
        let why = format!("its client has taken nothing for {}", seconds(limit));
        let waits = self.client && !self.closed && !self.abandoned;
        waits.then_some((self.active + limit, why))
    }

    fn idle_until(&self) -> Option<(Duration, String)> {
        if self.ending.is_some() {
            return None;
        }
        let ended = match &self.program {
            Program::None | Program::Log(_) => return None,
            Program::Process(process) => process.has_exited(),
            Program::Over(_) => true,
        };
        if ended {
            return self.unread_until();
        }
        let idle = self.settings.idle.map(|limit| {
            let why = format!("the session was idle for {}", seconds(limit));
            (self.active + limit, why)
        });
        let longest = self.settings.longest.map(|limit| {
            let why = format!(
                "the session has lasted {}, which is the longest here",
                seconds(limit)
            );
            (self.begun + limit, why)
        });
        idle.into_iter().chain(longest).min_by_key(|(until, _)| *until)
    }
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs())
}
