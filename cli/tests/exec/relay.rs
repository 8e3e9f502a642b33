//! A control plane, a relay and an agent in one: the calls that matter, and the host of a session with a program that a
//! test chooses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use longshore_protocol::data_channel::host::{Event, Host, Now, Output};
use longshore_protocol::data_channel::payload::{ChannelClosed, OpenDataChannel};
use longshore_protocol::data_channel::{FIN, Message as Frame, MessageType, PayloadType, SYN};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

/// What runs in the container.
pub enum Program {
    /// Writes what it reads, and complains at the end of input before it exits with 7.
    Cat,
    /// Writes its window's size whenever that changes, in hexadecimal what it reads, and exits with 3 at a `q`.
    Window,
    /// Writes so many bytes, all of which can be told from those around them.
    Flood { written: usize, all: usize },
    /// Writes this, and ends with no exit code.
    Says(Vec<u8>),
    /// Is not let in, for this reason.
    Refused(&'static str),
}

/// What goes wrong on the way.
#[derive(Clone, Copy, Default)]
pub struct Trouble {
    /// The first socket is dropped without a word after so many messages of the client's.
    pub cut_after: Option<usize>,
    /// ResumeSession answers that there is none.
    pub forgets: bool,
    /// No socket is let in after the first.
    pub refuses_sockets: bool,
}

struct State {
    host: Option<Host>,
    program: Program,
    trouble: Trouble,
    tokens: usize,
    opened: Vec<OpenDataChannel>,
    asked: Vec<(String, Value)>,
    offer: Option<bool>,
    hung_up: bool,
}

/// Everything, until it is dropped.
pub struct Relay {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Relay {
    pub fn start(program: Program, trouble: Trouble) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            host: None,
            program,
            trouble,
            tokens: 0,
            opened: Vec::new(),
            asked: Vec::new(),
            offer: None,
            hung_up: false,
        }));
        let shared = Arc::clone(&state);
        // Ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(listener, shared));
        });
        Self {
            url: format!("http://{address}"),
            state,
        }
    }

    /// The requests of an operation.
    pub fn asked(&self, operation: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let these = state.asked.iter().filter(|(name, _)| name == operation);
        these.map(|(_, request)| request.clone()).collect()
    }

    /// The texts by which sockets were opened.
    pub fn opened(&self) -> Vec<OpenDataChannel> {
        self.state.lock().unwrap().opened.clone()
    }

    /// What the client offered: a terminal or none.
    pub fn offer(&self) -> Option<bool> {
        self.state.lock().unwrap().offer
    }

    /// Whether the client asked for the end.
    pub fn hung_up(&self) -> bool {
        self.state.lock().unwrap().hung_up
    }

    /// How much a flood has written.
    pub fn flooded(&self) -> usize {
        match self.state.lock().unwrap().program {
            Program::Flood { written, .. } => written,
            _ => 0,
        }
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let mut first = [0];
            stream.peek(&mut first).await.unwrap();
            match first {
                [b'G'] => channel(stream, &state).await,
                _ => call(stream, &state).await,
            }
        });
    }
}

async fn call(mut stream: TcpStream, state: &Mutex<State>) {
    let mut request = Vec::new();
    // The body is one JSON object, the last thing of the request.
    while !request.ends_with(b"}") {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        if length == 0 {
            return;
        }
        request.extend_from_slice(&part[..length]);
    }
    let text = String::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let headers: BTreeMap<_, _> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let target = headers["x-amz-target"];
    let answer = {
        let mut state = state.lock().unwrap();
        state
            .asked
            .push((target.to_owned(), serde_json::from_str(body).unwrap()));
        state.tokens += 1;
        let token = format!("token-{}", state.tokens);
        match target {
            "AmazonSSM.TerminateSession" => json!({"SessionId": "s"}),
            "AmazonSSM.ResumeSession" if state.trouble.forgets => json!({"SessionId": "s"}),
            "AmazonSSM.ResumeSession" => json!({"SessionId": "s", "TokenValue": token}),
            _ => json!({"session": {"sessionId": "s", "tokenValue": token,
                "streamUrl": format!("ws://{}/v1/data-channel/s?role=publish_subscribe", headers["host"])}}),
        }
    };
    let body = answer.to_string();
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn channel(stream: TcpStream, state: &Mutex<State>) {
    {
        let state = state.lock().unwrap();
        if state.trouble.refuses_sockets && !state.opened.is_empty() {
            return;
        }
    }
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let Some(Ok(Message::Text(open))) = socket.next().await else {
        panic!("the first message must be a text");
    };
    let begun = begun();
    let cut_after = {
        let mut state = state.lock().unwrap();
        state.opened.push(serde_json::from_str(&open).unwrap());
        if let Some(host) = &mut state.host {
            host.reconnected(now(begun));
        } else if !matches!(state.program, Program::Refused(_)) {
            state.host = Some(Host::new(now(begun), "s", "1.0.0.0", ""));
        }
        state.trouble.cut_after.filter(|_| state.opened.len() == 1)
    };
    let refusal = match state.lock().unwrap().program {
        Program::Refused(why) => Some(closed(why)),
        _ => None,
    };
    if let Some(closed) = refusal {
        socket.send(Message::binary(closed)).await.unwrap();
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
        return;
    }
    talk(&mut socket, state, cut_after, begun).await;
}

/// Until the socket is gone, or is to be.
async fn talk(
    socket: &mut WebSocketStream<TcpStream>,
    state: &Mutex<State>,
    cut_after: Option<usize>,
    begun: Instant,
) {
    let mut got = 0;
    loop {
        let (frames, due) = {
            let mut state = state.lock().unwrap();
            state.run(now(begun));
            let host = state.host.as_mut().unwrap();
            (host.take_frames().collect::<Vec<_>>(), host.next_due())
        };
        let is_idle = frames.is_empty();
        for frame in frames {
            if socket.send(Message::binary(frame)).await.is_err() {
                return;
            }
        }
        let wait = match is_idle {
            true => due.map_or(Duration::from_secs(3600), |due| {
                due.saturating_sub(begun.elapsed())
            }),
            false => Duration::ZERO,
        };
        let message = tokio::select! {
            biased;
            message = socket.next() => message,
            () = tokio::time::sleep(wait) => {
                state.lock().unwrap().host.as_mut().unwrap().tick(now(begun));
                continue;
            }
        };
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                let mut state = state.lock().unwrap();
                state.host.as_mut().unwrap().receive(now(begun), &bytes, true);
            }
            Some(Ok(_)) => continue,
            None | Some(Err(_)) => return,
        }
        got += 1;
        if cut_after.is_some_and(|most| got >= most) {
            return;
        }
    }
}

impl State {
    /// Lets the program do what it can.
    fn run(&mut self, now: Now) {
        let Some(host) = &mut self.host else { return };
        let events: Vec<_> = host.take_events().collect();
        for event in events {
            match event {
                Event::HangUp => {
                    self.hung_up = true;
                    host.fail(now, "hung up");
                }
                event => self.program.take(now, host, event),
            }
            self.offer = host.offer().map(|offer| offer.terminal);
        }
        self.program.go_on(now, host);
    }
}

impl Program {
    fn take(&mut self, now: Now, host: &mut Host, event: Event) {
        match (self, event) {
            (Self::Cat, Event::Input(bytes)) => host.write(now, Output::Stdout, &bytes),
            (Self::Cat, Event::EndOfInput) => {
                host.write(now, Output::Stderr, b"no more\n");
                host.exited(now, 7);
            }
            (Self::Window, Event::Start(Some(size)) | Event::Resize(size)) => {
                let text = format!("<{}x{}>", size.cols, size.rows);
                host.write(now, Output::Stdout, text.as_bytes());
            }
            (Self::Window, Event::Input(bytes)) => {
                let text: String = bytes.iter().map(|byte| format!("[{byte:02x}]")).collect();
                host.write(now, Output::Stdout, text.as_bytes());
                if bytes.contains(&b'q') {
                    host.exited(now, 3);
                }
            }
            (Self::Says(text), Event::Start(_)) => {
                for part in text.chunks(10) {
                    host.write(now, Output::Stdout, part);
                }
                host.fail(now, "");
            }
            _ => {}
        }
    }

    fn go_on(&mut self, now: Now, host: &mut Host) {
        let Self::Flood { written, all } = self else {
            return;
        };
        // As many as are between two looks at what comes.
        for _ in 0..16 {
            if !host.has_room() || written == all {
                break;
            }
            let end = usize::min(*all, *written + 16 * 1024);
            host.write(now, Output::Stdout, &flood(*written, end));
            *written = end;
        }
        if written == all {
            host.exited(now, 0);
        }
    }
}

/// Some bytes of a flood.
pub fn flood(from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|at| ((at * 31) ^ (at >> 8)) as u8).collect()
}

fn closed(why: &str) -> Vec<u8> {
    let closed = ChannelClosed {
        output: why.to_owned(),
        ..ChannelClosed::default()
    };
    let payload = serde_json::to_vec(&closed).unwrap();
    let frame = Frame {
        message_type: MessageType::ChannelClosed,
        created: 1,
        sequence: 0,
        flags: SYN | FIN,
        id: Uuid::from_u128(1),
        payload_type: PayloadType::NONE,
        payload: &payload,
    };
    frame.encode()
}

/// One clock for all sockets of the process, as a session outlives them.
#[allow(
    clippy::disallowed_methods,
    reason = "a test's own clock, which nothing decides by"
)]
fn begun() -> Instant {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BEGUN.get_or_init(Instant::now)
}

fn now(begun: Instant) -> Now {
    Now {
        since: begun.elapsed(),
        wall: jiff::Timestamp::UNIX_EPOCH,
    }
}
