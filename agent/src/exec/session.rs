//! One session, from its offer to its acknowledged end.
//!
//! ```text
//! relay ⇄ uplink ⇄ host (the protocol) ⇄ program (a process, or a log)
//! ```
//!
//! One loop has all of it, so nothing is shared. It reads of the program only what the host and the socket can take, and
//! takes from the socket only what the program can.

mod deadlines;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::data_channel::host::{Event, Host, Now};
use longshore_protocol::data_channel::{Message as Frame, MessageType};
use longshore_protocol::session::{SessionEnd, SessionOffer, cut_reason};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::program::Program;
use super::transcript::Transcript;
use super::uplink::{Uplink, UplinkEvent};
use super::{Deps, Settings};

/// Four numbers, as clients expect them.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), ".0");
/// How long a client has to take what was written, where the agent itself ends.
const SHORT_WORDS: Duration = Duration::from_secs(4);

/// Why a session ends before its process does.
struct Ending {
    reason: String,
    /// When nobody is waited for any more.
    at_last: Duration,
}

/// A session that is over.
pub struct Over {
    /// Whether the relay knows how it ended.
    pub told: bool,
    /// What it has shown, of which something may be left.
    pub program: Program,
}

/// A session.
pub struct Session {
    deps: Arc<Deps>,
    settings: Settings,
    offer: SessionOffer,
    /// Why there is to be none, as its client reads it.
    refused: Option<String>,
    uplink: Uplink,
    host: Option<Host>,
    program: Program,
    /// `None` before anything was shown; within, where nobody asks for one.
    transcript: Option<Option<Transcript>>,
    /// Whether a client is there.
    client: bool,
    /// Since when there has been no client, or no socket.
    alone_since: Duration,
    begun: Duration,
    /// When something was last typed or shown.
    active: Duration,
    ending: Option<Ending>,
    /// There is nobody to show anything to any more.
    abandoned: bool,
    /// Since when all that is left is to tell the relay.
    over_since: Option<Duration>,
    /// The client was told that it is over.
    closed: bool,
    /// When the relay was told how it ended, on this socket.
    told: Option<Duration>,
    end: SessionEnd,
}

impl Session {
    pub fn new(deps: Arc<Deps>, settings: Settings, offer: SessionOffer, refused: Option<String>) -> Self {
        let now = deps.clock.since_boot();
        let uplink = Uplink::new(Arc::clone(&deps.link), Arc::clone(&deps.clock), &offer.session_id);
        Self {
            uplink,
            settings,
            refused,
            host: None,
            program: Program::None,
            transcript: None,
            client: false,
            alone_since: now,
            begun: now,
            active: now,
            ending: None,
            abandoned: false,
            over_since: None,
            closed: false,
            told: None,
            end: SessionEnd {
                ended_at: longshore_protocol::Timestamp::from_millis(deps.clock.now().as_millisecond()),
                exit_code: None,
                reason: None,
                bytes_in: 0,
                bytes_out: 0,
            },
            deps,
            offer,
        }
    }

    /// Runs it to its end. With `token` it ends as soon as its client was told.
    pub async fn run(mut self, token: CancellationToken) -> Over {
        loop {
            self.flush();
            let takes_output = self.takes_output();
            let due = self.due().saturating_sub(self.now().since);
            tokio::select! {
                () = token.cancelled(), if self.ending.is_none() => {
                    self.end_for("the agent on the node ends, and with it the session", SHORT_WORDS);
                }
                event = self.uplink.next() => match event {
                    UplinkEvent::Over(why) => {
                        self.abandon(&why);
                        return self.over(true);
                    }
                    UplinkEvent::Closed if self.told.is_some() => return self.over(true),
                    event => self.uplink_event(event),
                },
                event = self.program.next(takes_output) => {
                    self.transcribe(&event).await;
                    self.program_event(event);
                }
                () = self.deps.clock.sleep(due) => self.tick(),
            }
            if token.is_cancelled() && self.is_told_to_nobody() {
                return self.over(false);
            }
            if self.tell_until().is_some_and(|until| self.now().since >= until) {
                return self.over(true);
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            since: self.deps.clock.since_boot(),
            wall: self.deps.clock.now(),
        }
    }

    /// Whether an agent that ends has nothing more to wait for.
    fn is_told_to_nobody(&self) -> bool {
        let late = self
            .ending
            .as_ref()
            .is_some_and(|ending| self.now().since >= ending.at_last);
        late || self.told.is_some() && self.uplink.is_clear() && self.program.is_gone()
    }

    /// What the host has to say goes to the socket; at the very end, how the session ended.
    fn flush(&mut self) {
        let now = self.now();
        if self.client
            && let Some(host) = &mut self.host
        {
            for frame in host.take_frames() {
                self.uplink.send(Message::Binary(frame.into()));
            }
            if host.is_over() && self.uplink.is_clear() {
                self.closed = true;
            }
        }
        let done = (self.closed || self.abandoned) && !self.program.runs();
        if done {
            self.over_since.get_or_insert(now.since);
        }
        if done && self.told.is_none() && self.uplink.is_clear() {
            if let Some(reason) = &mut self.end.reason {
                cut_reason(reason);
            }
            let text = serde_json::to_string(&self.end);
            // Numbers and texts: nothing in them can fail to be JSON.
            self.uplink.send(Message::text(text.unwrap_or_default()));
            self.told = Some(now.since);
        }
    }

    fn takes_output(&self) -> bool {
        let room = self.host.as_ref().is_some_and(Host::has_room);
        self.abandoned || room && self.client && self.uplink.is_clear()
    }

    fn uplink_event(&mut self, event: UplinkEvent) {
        match event {
            UplinkEvent::Message(bytes) => self.message(&bytes),
            UplinkEvent::Clear | UplinkEvent::Over(_) => {}
            UplinkEvent::Connected => self.told = None,
            UplinkEvent::Lost | UplinkEvent::Closed => {
                self.told = None;
                self.without_client();
            }
        }
    }

    fn without_client(&mut self) {
        if std::mem::replace(&mut self.client, false) {
            self.alone_since = self.now().since;
        }
    }

    /// What the relay itself says is none of the host's business.
    fn message(&mut self, bytes: &[u8]) {
        let message_type = Frame::decode(bytes).map(|frame| frame.message_type);
        match message_type {
            Ok(MessageType::StartPublication) => self.client_is_there(),
            Ok(MessageType::PausePublication) => self.without_client(),
            Ok(MessageType::ChannelClosed) => {
                self.abandon("it was ended from outside, or its client did not come back");
            }
            Ok(_) | Err(_) => {
                let (now, room) = (self.now(), self.program.has_room() && self.uplink.has_room());
                if let Some(host) = &mut self.host {
                    host.receive(now, bytes, room);
                }
                self.host_events();
            }
        }
    }

    fn client_is_there(&mut self) {
        let now = self.now();
        self.client = true;
        self.active = now.since;
        if let Some(host) = &mut self.host {
            host.reconnected(now);
            return;
        }
        let mut host = Host::new(now, &self.offer.session_id, VERSION, "");
        let refused = self.refused.clone().or_else(|| self.target().err());
        if let Some(why) = refused {
            host.fail(now, &why);
            // Only this: a client of a session of before has done with the handshake.
            host.reconnected(now);
            self.note_end(None, Some(why));
        }
        self.host = Some(host);
    }

    fn host_events(&mut self) {
        let Some(host) = &mut self.host else { return };
        let events: Vec<_> = host.take_events().collect();
        for event in events {
            match event {
                Event::Start(size) => self.start(size),
                Event::Input(bytes) => {
                    self.active = self.now().since;
                    self.end.bytes_in += bytes.len() as u64;
                    self.program.input(bytes);
                }
                Event::EndOfInput => self.program.end_of_input(),
                Event::Resize(size) => self.program.resize(size),
                Event::HangUp => {
                    self.end
                        .reason
                        .get_or_insert_with(|| "ended by its client".to_owned());
                    self.program.hang_up();
                }
            }
        }
        self.note_client_failure();
    }

    /// The host may have given the client up before there was a process.
    fn note_client_failure(&mut self) {
        let over = self.host.as_ref().is_some_and(Host::is_over);
        if over && matches!(self.program, Program::None) && self.end.reason.is_none() {
            self.note_end(None, Some("its client did not begin".to_owned()));
        }
    }

    fn note_end(&mut self, code: Option<u32>, reason: Option<String>) {
        self.end.ended_at = longshore_protocol::Timestamp::from_millis(self.now().wall.as_millisecond());
        self.end.exit_code = code;
        if let Some(reason) = reason {
            self.end.reason.get_or_insert(reason);
        }
    }

    /// Ends it, and says why; its client has some time to take that.
    fn end_for(&mut self, reason: &str, patience: Duration) {
        let now = self.now();
        self.ending.get_or_insert_with(|| Ending {
            reason: reason.to_owned(),
            at_last: now.since + patience,
        });
        self.end.reason.get_or_insert_with(|| reason.to_owned());
        match self.program.runs() {
            true => self.program.hang_up(),
            false => {
                if let Some(host) = &mut self.host {
                    host.fail(now, reason);
                }
                self.note_end(self.end.exit_code, None);
                self.abandoned |= self.host.is_none();
            }
        }
    }

    /// Ends it for nobody. Says whether it was for somebody.
    fn abandon(&mut self, why: &str) -> bool {
        let first = !std::mem::replace(&mut self.abandoned, true);
        if first {
            self.end.reason.get_or_insert_with(|| why.to_owned());
            self.program.hang_up();
        }
        first
    }
}
