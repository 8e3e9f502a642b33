//! A session with a container, from the answer of the call that started it to its end: its websocket on one side, our
//! standard streams or terminal on the other, and [`data_channel::client`] between them.
//!
//! - [`link`] and [`socket`]: the way to the host, and the way back to it.
//! - [`input`], [`output`], [`terminal`], [`signals`]: this side.
//!
//! Invariants: a terminal is left as it was found; whatever ends a session here, the service is told so, unless it said
//! it first; nothing is read from the network while output waits to be written, and nothing from standard input while
//! input waits to be acknowledged, so that memory has a bound however slow a side is.

mod error;
mod input;
mod link;
mod output;
mod signals;
mod socket;
mod terminal;

use longshore_protocol::data_channel::client::Said;
use longshore_protocol::data_channel::host::{Now, Output};
use longshore_protocol::data_channel::payload::Offer;
use longshore_protocol::{data_channel, ecs};
use tokio::time::Instant;
use uuid::Uuid;

pub use error::SessionError;
pub use output::Piece;
pub use terminal::is_there as is_in_terminal;

use crate::{api, clock, out};
use input::Input;
use link::{Link, News};
use output::Writer;
use signals::{Asked, Signals};
use terminal::Raw;

/// What we call our version in the channel, where four numbers are usual.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), ".0");
/// Ctrl-C, as a raw terminal gives it.
const INTERRUPT: u8 = 3;

/// Where a session is, and what lets us in.
#[derive(Clone, Debug)]
pub struct Opened {
    session_id: String,
    url: url::Url,
    token: String,
}

/// From what the calls that start a session answer.
impl TryFrom<Option<ecs::Session>> for Opened {
    type Error = SessionError;

    fn try_from(session: Option<ecs::Session>) -> Result<Self, SessionError> {
        let session = session.unwrap_or_default();
        let text = session.stream_url.unwrap_or_default();
        let wrong = |why: &str| SessionError::Answer(format!("{why} in streamUrl {text:?}"));
        let url = url::Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "ws" | "wss") || !url.has_host() {
            return Err(wrong("ws:// or wss:// and a host are needed"));
        }
        Ok(Self {
            session_id: session.session_id.unwrap_or_default(),
            url,
            token: session.token_value.unwrap_or_default(),
        })
    }
}

/// What there is on this side.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// A terminal, for a terminal there.
    pub terminal: bool,
    /// Standard input goes to the host.
    pub input: bool,
}

/// What becomes of output before it is written here.
pub type Show<'a> = &'a mut dyn FnMut(Output, Vec<u8>, &mut Vec<Piece>) -> Result<(), SessionError>;

/// Takes part in a session until it is over; its command's exit code, if it ended by one.
///
/// # Errors
/// [`SessionError`].
pub async fn run(
    client: &api::Client,
    opened: Opened,
    terms: Terms,
    show: Show<'_>,
) -> Result<Option<u32>, SessionError> {
    let mut signals = Signals::listen()?;
    let id = Uuid::new_v4();
    let (link, why) = tokio::select! {
        link = Link::open(client, opened, id) => link?,
        signal = signals.end() => return Err(SessionError::Signal(signal)),
    };
    let offer = Offer {
        terminal: terms.terminal,
    };
    let mut session = Session {
        terms,
        show,
        begun: Instant::now(),
        channel: data_channel::client::Client::new(id, VERSION, offer),
        link,
        lost: String::new(),
        signals,
        raw: None,
        input: None,
        writer: Writer::start()?,
        pieces: Vec::new(),
        code: None,
        closed: None,
    };
    if let Some(why) = why {
        session.has_lost(why);
    }
    let ended = session.until_over().await;
    session.raw = None;
    if ended.as_ref().is_err_and(SessionError::leaves_it_open) {
        session.give_up().await;
    }
    ended
}

struct Session<'a> {
    terms: Terms,
    show: Show<'a>,
    begun: Instant,
    channel: data_channel::client::Client,
    link: Link<'a>,
    /// Why there is no socket, while there is none.
    lost: String,
    signals: Signals,
    raw: Option<Raw>,
    /// Once the host takes it, until its end.
    input: Option<Input>,
    writer: Writer,
    /// Output that waits for the writer.
    pieces: Vec<Piece>,
    code: Option<u32>,
    closed: Option<String>,
}

impl Session<'_> {
    async fn until_over(&mut self) -> Result<Option<u32>, SessionError> {
        loop {
            self.settle()?;
            if let Some(words) = self.closed.take() {
                return self.over(words).await;
            }
            let idle = self.pieces.is_empty();
            let takes_input = self.input.is_some() && self.channel.has_room();
            // While nothing is read, no acknowledgement is either: then nothing is sent again.
            let due = self
                .channel
                .next_due()
                .filter(|_| idle && self.link.is_up())
                .map(|due| self.begun + due);
            tokio::select! {
                asked = self.signals.next() => self.asked(asked)?,
                written = self.writer.put(&mut self.pieces), if !idle => written?,
                news = self.link.next(idle) => self.take(news?),
                piece = typed(&mut self.input), if takes_input => self.typed(&piece?)?,
                () = sleep_until(due), if due.is_some() => self.channel.tick(self.now()),
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            since: self.begun.elapsed(),
            wall: clock::now(),
        }
    }

    /// Does what the channel wants done.
    fn settle(&mut self) -> Result<(), SessionError> {
        let said: Vec<_> = self.channel.take_events().collect();
        for said in said {
            match said {
                Said::Ready(greeting) => self.begin(&greeting)?,
                Said::Output(output, bytes) => (self.show)(output, bytes, &mut self.pieces)?,
                Said::Exited(code) => self.code = Some(code),
                Said::Closed(words) => self.closed = Some(words),
            }
        }
        self.link.push(self.channel.take_frames());
        if !self.pieces.is_empty() {
            self.writer.try_put(&mut self.pieces);
        }
        Ok(())
    }

    /// The host is ready: it starts its command at the first size, with or without a terminal.
    fn begin(&mut self, greeting: &str) -> Result<(), SessionError> {
        if !greeting.is_empty() {
            out::note(greeting);
        }
        let mut size = terminal::USUAL;
        if self.terms.terminal {
            self.raw = Some(Raw::enter()?);
            size = terminal::size();
        }
        if self.terms.input {
            self.input = Some(Input::start()?);
        }
        self.channel.resize(self.now(), size);
        Ok(())
    }

    fn take(&mut self, news: News) {
        let now = self.now();
        match news {
            News::Messages(messages) => {
                for message in messages {
                    self.channel.receive(now, &message);
                }
            }
            News::Lost(why) => self.has_lost(why),
            News::Back => {
                self.channel.reconnected(now);
                self.note("longshore: connected again");
            }
        }
    }

    fn has_lost(&mut self, why: String) {
        self.note(&format!(
            "longshore: no connection ({why}). Trying again; Ctrl-C gives up."
        ));
        self.lost = why;
    }

    /// A line for people, also in the middle of a raw terminal's.
    fn note(&self, text: &str) {
        match self.raw {
            Some(_) => out::note(format_args!("\r\n{text}\r")),
            None => out::note(text),
        }
    }

    fn typed(&mut self, piece: &[u8]) -> Result<(), SessionError> {
        if piece.is_empty() {
            self.input = None;
            if self.raw.is_some() {
                return Err(SessionError::Local {
                    what: "the terminal",
                    source: std::io::ErrorKind::UnexpectedEof.into(),
                });
            }
            self.channel.end_of_input(self.now());
            return Ok(());
        }
        if self.raw.is_some() && !self.link.is_up() && piece.contains(&INTERRUPT) {
            return Err(SessionError::GivenUp(self.lost.clone()));
        }
        self.channel.input(self.now(), piece);
        Ok(())
    }

    fn asked(&mut self, asked: Asked) -> Result<(), SessionError> {
        match (asked, &self.raw) {
            (Asked::End(signal), _) => return Err(SessionError::Signal(signal)),
            (Asked::Resize | Asked::Continue, None) => return Ok(()),
            (Asked::Resize, Some(_)) => {}
            (Asked::Continue, Some(raw)) => raw.again()?,
        }
        self.channel.resize(self.now(), terminal::size());
        Ok(())
    }

    /// The host has ended it: what it said is written first.
    async fn over(&mut self, words: String) -> Result<Option<u32>, SessionError> {
        self.input = None;
        let write = async {
            self.link.flush().await;
            while !self.pieces.is_empty() {
                self.writer.put(&mut self.pieces).await?;
            }
            self.writer.finish().await
        };
        tokio::select! {
            written = write => written?,
            signal = self.signals.end() => return Err(SessionError::Signal(signal)),
        }
        match (self.code, words.is_empty()) {
            (code, true) => Ok(code),
            (None, false) => Err(SessionError::Closed(words)),
            (Some(_), false) => {
                self.note(&words);
                Ok(self.code)
            }
        }
    }

    async fn give_up(&mut self) {
        self.channel.terminate(self.now());
        self.link.push(self.channel.take_frames());
        self.link.flush().await;
        if let Err(why) = self.link.terminate().await {
            self.note(&format!(
                "longshore: the session could not be ended ({why}); it ends by itself a minute from now"
            ));
        }
    }
}

async fn typed(input: &mut Option<Input>) -> Result<Vec<u8>, SessionError> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
