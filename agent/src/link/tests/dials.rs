//! The way of a session: opened as a websocket, signed as a poll, and over only by the control plane's own word.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

const SESSION: &str = "ecs-execute-command-0123456789abcdef0";

/// The head of the next request, and its connection.
async fn request(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let named = |line: &&str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
    let line = head
        .lines()
        .find(named)
        .unwrap_or_else(|| panic!("{name}: {head}"));
    line.split_once(": ").unwrap().1
}

/// Whether the upgrade was signed by the node's credentials, with its role.
fn is_signed(head: &str) -> bool {
    let authorization: Authorization = header(head, "authorization").parse().unwrap();
    let names = authorization.signed_headers.clone();
    let headers: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), header(head, name)))
        .collect();
    let request = sigv4::Request {
        method: "GET",
        path: &longshore_protocol::session::path(SESSION),
        query: "role=agent",
        headers: &headers,
        body: b"",
    };
    let text = request.string_to_sign(header(head, "x-amz-date"), &authorization.scope);
    authorization.signature == sigv4::signature("secret1", &authorization.scope, &text)
}

/// A link to a relay that is where the listener is.
async fn relayed() -> (TcpListener, Link, Plane, Node) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = format!("http://{}", listener.local_addr().unwrap());
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => token(1, false),
            "RegisterContainerInstance" => {
                Reply::Json(200, json!({"containerInstance": {"containerInstanceArn": ARN}}))
            }
            _ => Reply::Json(200, json!({"endpoint": relay})),
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    let link = link(&node);
    let registration = ecs::RegisterContainerInstanceRequest::default();
    link.register_container_instance(registration).await.unwrap();
    (listener, link, plane, node)
}

#[tokio::test]
async fn a_session_is_a_signed_websocket() {
    let (listener, link, _plane, _node) = relayed().await;
    let relay = async {
        let (head, mut stream) = request(&listener).await;
        let asked = format!("GET /v1/data-channel/{SESSION}?role=agent HTTP/1.1");
        assert_eq!(head.lines().next(), Some(asked.as_str()));
        assert!(is_signed(&head), "{head}");
        let accept = derive_accept_key(header(&head, "sec-websocket-key").as_bytes());
        // What follows comes with the head, as a relay may send it.
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n\u{2}"
        );
        let mut answer = answer.into_bytes();
        answer.truncate(answer.len() - 1);
        answer.extend([0x82, 2, b'h', b'i']);
        stream.write_all(&answer).await.unwrap();
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("back"));
    };
    let agent = async {
        let connection = link.dial(SESSION).await.unwrap();
        let mut socket = WebSocketStream::from_raw_socket(connection, Role::Client, None).await;
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::binary(b"hi".to_vec())
        );
        socket.send(Message::text("back")).await.unwrap();
    };
    tokio::join!(relay, agent);
}

#[tokio::test]
async fn only_the_control_planes_own_word_ends_a_session() {
    let (listener, link, _plane, _node) = relayed().await;
    let body = |code: &str| format!(r#"{{"__type":"{code}","message":"so it is"}}"#);
    for (status, body, over) in [
        (404, body("SessionNotFoundException"), true),
        (410, body("SessionOverException"), true),
        (404, "<html>no such page</html>".to_owned(), false),
        (410, String::new(), false),
        (500, body("ServerException"), false),
        (502, "<html>bad gateway</html>".to_owned(), false),
        (200, String::new(), false),
    ] {
        let relay = async {
            let (_, mut stream) = request(&listener).await;
            let answer = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (dialled, ()) = tokio::join!(link.dial(SESSION), relay);
        let error = dialled.err().expect("it is a socket");
        assert_eq!(
            matches!(error, DialError::Over(_)),
            over,
            "{status} {body}: {error}"
        );
    }
}

#[tokio::test]
async fn another_protocol_is_no_session() {
    let (listener, link, _plane, _node) = relayed().await;
    let relay = async {
        let (_, mut stream) = request(&listener).await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: bm8=\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    };
    let (dialled, ()) = tokio::join!(link.dial(SESSION), relay);
    assert!(matches!(
        dialled.err(),
        Some(DialError::Link(LinkError::Unavailable { .. }))
    ));
}
