//! A control plane that listens, a task on a node, and both sides of its sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use longshore_protocol::data_channel::payload::{ChannelClosed, OpenDataChannel};
use longshore_protocol::data_channel::{Message as Frame, MessageType, PayloadType};
use longshore_protocol::session::{SessionEnd, path};
use longshore_protocol::sigv4::{Call, Credentials};
use longshore_protocol::{Timestamp, ecs};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock as _;
use crate::sessions::Limits;
use crate::store::sessions::{self as stored, Session};
use crate::testing::{HOST, Node, REGION, World};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// A control plane, and a node that runs a task with `enableExecuteCommand`.
pub(super) struct Kit {
    pub(super) world: World,
    pub(super) node: Node,
    pub(super) task: String,
    address: SocketAddr,
    end: CancellationToken,
    served: JoinSet<()>,
}

impl Kit {
    pub(super) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(super) async fn with(limits: Limits) -> Self {
        let world = World::with(limits).await;
        let mut node = Node::join(&world).await;
        node.poll(&world).await;
        world.define("f", 128, 64).await;
        let task = run(&world, &mut node, true).await;
        let mut kit = Self {
            world,
            node,
            task,
            address: ([127, 0, 0, 1], 0).into(),
            end: CancellationToken::new(),
            served: JoinSet::new(),
        };
        kit.serve().await;
        kit
    }

    async fn serve(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.end = CancellationToken::new();
        let (plane, end) = (Arc::clone(&self.world.plane), self.end.clone());
        self.served.spawn(async move {
            crate::server::accept(&plane, &listener, None, end.cancelled_owned()).await;
            plane.sessions.ended().await;
        });
    }

    /// Ends the control plane in order.
    pub(super) async fn end(&mut self) {
        self.end.cancel();
        soon(self.served.join_next()).await.unwrap().unwrap();
    }

    /// Ends the control plane and starts it again.
    pub(super) async fn restart(&mut self) {
        self.end().await;
        self.world.restart().await;
        self.serve().await;
    }

    /// ExecuteCommand of `sh` in the task.
    pub(super) async fn execute(&self) -> ecs::Session {
        let body = json!({"task": self.task, "interactive": true, "command": "sh"});
        let mut answer = self.world.ecs("ExecuteCommand", body).await.unwrap();
        serde_json::from_value(answer["session"].take()).unwrap()
    }

    /// The ids that the node is offered.
    pub(super) async fn offered(&mut self) -> Vec<String> {
        let response = self.node.poll(&self.world).await;
        let ids = response.sessions.into_iter().map(|offer| offer.session_id);
        ids.collect()
    }

    /// A client's socket that has said nothing yet.
    pub(super) async fn dial(&self, id: &str) -> Side {
        let url = format!("ws://{HOST}{}?role=publish_subscribe", path(id));
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = soon(client_async_with_config(url, stream, Some(small())))
            .await
            .unwrap();
        Side(socket)
    }

    /// A client's socket that has shown a token.
    pub(super) async fn client(&self, id: &str, token: &str) -> Side {
        let mut side = self.dial(id).await;
        let open = OpenDataChannel {
            message_schema_version: "1.0".into(),
            request_id: Uuid::new_v4().to_string(),
            token_value: token.into(),
            client_id: Uuid::new_v4().to_string(),
            client_version: None,
        };
        side.text(&serde_json::to_string(&open).unwrap()).await;
        side
    }

    /// The client that a session was opened for.
    pub(super) async fn join(&self, session: &ecs::Session) -> Side {
        let (id, token) = (session.session_id.as_deref(), session.token_value.as_deref());
        self.client(id.unwrap(), token.unwrap()).await
    }

    /// An agent's socket, signed by these credentials; or the status of the refusal.
    pub(super) async fn agent_as(&self, by: &Credentials, id: &str) -> Result<Side, u16> {
        let path = path(id);
        let call = Call {
            method: "GET",
            path: &path,
            query: "role=agent",
            host: HOST,
            headers: &[],
            body: b"",
            region: REGION,
            service: "ecs",
            time: self.world.clock.now(),
        };
        let url = format!("ws://{HOST}{path}?role=agent");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in call.sign(by) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match soon(client_async_with_config(request, stream, Some(small()))).await {
            Ok((socket, _)) => Ok(Side(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The node's agent's socket.
    pub(super) async fn agent(&self, id: &str) -> Side {
        self.agent_as(&self.node.credentials, id).await.unwrap()
    }

    /// A session whose two sides are there, and know it.
    pub(super) async fn both(&mut self) -> (String, Side, Side) {
        let session = self.execute().await;
        let id = session.session_id.clone().unwrap();
        let client = self.join(&session).await;
        let mut agent = self.agent(&id).await;
        assert_eq!(agent.frame().await.0, MessageType::StartPublication);
        (id, client, agent)
    }

    /// ResumeSession's token, if there is one.
    pub(super) async fn resume(&self, id: &str) -> Option<String> {
        let answer = self
            .world
            .ssm("ResumeSession", json!({"SessionId": id}))
            .await
            .unwrap();
        assert_eq!(answer["SessionId"], id);
        answer["TokenValue"].as_str().map(str::to_owned)
    }

    /// The stored row.
    pub(super) async fn row(&self, id: &str) -> Session {
        let mut connection = self.world.plane.store.read().await.unwrap();
        stored::get(&mut connection, id).await.unwrap().unwrap()
    }

    /// Waits until a session is over, and gives its row.
    pub(super) async fn over(&self, id: &str) -> Session {
        soon(async {
            loop {
                let row = self.row(id).await;
                if row.ended_at.is_some() {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

/// Far ends are in this process, which is measured.
fn small() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = 4096;
    config.write_buffer_size = 0;
    config
}

/// Runs a task of family `f` on the node, which reports that it runs.
pub(super) async fn run(world: &World, node: &mut Node, enabled: bool) -> String {
    let body = json!({"taskDefinition": "f", "enableExecuteCommand": enabled});
    let answer = world.ecs("RunTask", body).await.unwrap();
    assert_eq!(answer["failures"], json!([]));
    let task = answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    node.poll(world).await;
    let ran = json!({"runtimeId": "a".repeat(64)});
    node.report(world, &task, "RUNNING", ran).await.unwrap();
    task
}

/// What one side's socket is made of.
pub(super) type Sink = futures_util::stream::SplitSink<WebSocketStream<TcpStream>, Message>;
/// Likewise.
pub(super) type Stream = futures_util::stream::SplitStream<WebSocketStream<TcpStream>>;

/// One side's socket.
pub(super) struct Side(WebSocketStream<TcpStream>);

impl Side {
    pub(super) async fn text(&mut self, text: &str) {
        soon(self.0.send(Message::text(text))).await.unwrap();
    }

    pub(super) async fn binary(&mut self, bytes: &[u8]) {
        soon(self.0.send(Message::binary(bytes.to_vec()))).await.unwrap();
    }

    /// Sends, and waits for as long as the other side takes.
    pub(super) async fn push(&mut self, bytes: Vec<u8>) {
        self.0.send(Message::binary(bytes)).await.unwrap();
    }

    /// Both halves.
    pub(super) fn split(self) -> (Sink, Stream) {
        self.0.split()
    }

    /// Sends by one half, if there is still somebody.
    pub(super) async fn pushed(sink: &mut Sink, bytes: Vec<u8>) -> bool {
        sink.send(Message::binary(bytes)).await.is_ok()
    }

    /// The next binary message's bytes, by one half.
    pub(super) async fn read(stream: &mut Stream) -> Vec<u8> {
        loop {
            if let Message::Binary(bytes) = soon(stream.next()).await.unwrap().unwrap() {
                return bytes.to_vec();
            }
        }
    }

    /// Waits for a ping, and answers it.
    pub(super) async fn pinged(&mut self) {
        let message = soon(self.0.next()).await.unwrap().unwrap();
        assert!(message.is_ping(), "{message:?}");
        self.0.flush().await.unwrap();
    }

    /// The next message's bytes, whatever is in it.
    pub(super) async fn bytes(&mut self) -> Vec<u8> {
        match self.message().await {
            Some(Message::Binary(bytes)) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// The type and payload of the next message.
    pub(super) async fn frame(&mut self) -> (MessageType, Vec<u8>) {
        let bytes = self.bytes().await;
        let frame = Frame::decode(&bytes).unwrap();
        (frame.message_type, frame.payload.to_vec())
    }

    /// What `channel_closed`, which comes next, tells the user.
    pub(super) async fn closed(&mut self) -> String {
        let (message_type, payload) = self.frame().await;
        assert_eq!(message_type, MessageType::ChannelClosed);
        let closed: ChannelClosed = serde_json::from_slice(&payload).unwrap();
        closed.output
    }

    /// Waits for the end of the socket, before which nothing more comes.
    pub(super) async fn gone(&mut self) {
        match self.message().await {
            None | Some(Message::Close(_)) => {}
            other => panic!("{other:?}"),
        }
    }

    /// The next message that is no ping; `None` at the end.
    async fn message(&mut self) -> Option<Message> {
        loop {
            match soon(self.0.next()).await?.ok()? {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Some(message),
            }
        }
    }

    /// As an agent ends a session.
    pub(super) async fn end(&mut self, end: &SessionEnd) {
        let closed = frame(MessageType::ChannelClosed, 0, br#"{"Output":""}"#);
        self.binary(&closed).await;
        self.text(&serde_json::to_string(end).unwrap()).await;
    }
}

/// A message of the data channel.
pub(super) fn frame(message_type: MessageType, sequence: i64, payload: &[u8]) -> Vec<u8> {
    let message = Frame {
        message_type,
        created: 1_800_000_000_000,
        sequence,
        flags: 0,
        id: Uuid::from_u128(7),
        payload_type: PayloadType::OUTPUT,
        payload,
    };
    message.encode()
}

pub(super) fn outcome(exit_code: Option<u32>) -> SessionEnd {
    SessionEnd {
        ended_at: Timestamp::from_millis(1_800_000_000_500),
        exit_code,
        reason: None,
        bytes_in: 3,
        bytes_out: 70,
    }
}

/// A JSON text's member.
pub(super) fn member(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}
