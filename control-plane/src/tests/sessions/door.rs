//! Who is let in. Invariant 7: a token works once, and a node reaches its own sessions only.

use std::time::Duration;

use longshore_protocol::data_channel::MessageType::StartPublication;

use super::{Kit, Side, outcome};
use crate::sessions::Limits;
use crate::testing::Node;

const NO_ENTRY: &str = "There is no such session, it is over";

/// That a client is shown out by a word, and then by the end of its socket.
async fn shown_out(mut client: Side) {
    let said = client.closed().await;
    assert!(said.starts_with(NO_ENTRY), "{said}");
    client.gone().await;
}

#[tokio::test]
async fn a_token_works_once() {
    let kit = Kit::new().await;
    let session = kit.execute().await;
    let (id, token) = (
        session.session_id.clone().unwrap(),
        session.token_value.clone().unwrap(),
    );
    let _client = kit.join(&session).await;
    let mut agent = kit.agent(&id).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    shown_out(kit.client(&id, &token).await).await;
    // One of ResumeSession, too; and each takes the place of the one before.
    let (old, new) = (kit.resume(&id).await.unwrap(), kit.resume(&id).await.unwrap());
    shown_out(kit.client(&id, &old).await).await;
    let _client = kit.client(&id, &new).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    shown_out(kit.client(&id, &new).await).await;
}

/// Whoever is let in has the shell that somebody else has opened, and no event would say so.
#[tokio::test]
async fn only_who_opened_a_session_resumes_it() {
    let mut kit = Kit::new().await;
    let (id, _client, _agent) = kit.both().await;
    assert!(kit.resume(&id).await.is_some());
    let mut transaction = kit.world.plane.store.write().await.unwrap();
    sqlx::query("UPDATE sessions SET opened_by = 'AKIAANOTHERONE'")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(kit.resume(&id).await, None);
}

#[tokio::test]
async fn a_wrong_token_opens_nothing_and_uses_nothing_up() {
    let kit = Kit::new().await;
    let (one, other) = (kit.execute().await, kit.execute().await);
    let (id, token) = (one.session_id.clone().unwrap(), one.token_value.clone().unwrap());
    let others = other.token_value.clone().unwrap();
    let lower = token.to_lowercase();
    for wrong in ["", "x", &token[1..], &others, &lower] {
        shown_out(kit.client(&id, wrong).await).await;
    }
    shown_out(kit.client("ecs-execute-command-0", &token).await).await;
    let mut agent = kit.agent(&id).await;
    let _client = kit.join(&one).await;
    assert_eq!(agent.frame().await.0, StartPublication);
}

#[tokio::test]
async fn a_token_is_good_for_a_minute() {
    let kit = Kit::new().await;
    let (one, other) = (kit.execute().await, kit.execute().await);
    kit.world.advance(59);
    let id = one.session_id.clone().unwrap();
    let _client = kit.join(&one).await;
    let mut agent = kit.agent(&id).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    kit.world.advance(1);
    shown_out(kit.join(&other).await).await;
}

#[tokio::test]
async fn a_client_that_says_anything_else_or_nothing_is_shown_out() {
    let kit = Kit::with(Limits {
        open: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    let long = format!("{{\"TokenValue\":\"{}\"}}", "x".repeat(17_000));
    for text in ["", "{}", "[]", r#"{"TokenValue":5}"#] {
        let mut client = kit.dial(&id).await;
        client.text(text).await;
        shown_out(client).await;
    }
    let mut speechless = kit.dial(&id).await;
    assert!(speechless.closed().await.starts_with("The client did not say"));
    let mut binary = kit.dial(&id).await;
    binary.binary(b"x").await;
    assert!(binary.closed().await.starts_with("The client did not say"));
    let mut endless = kit.dial(&id).await;
    endless.text(&long).await;
    assert!(endless.closed().await.starts_with("The client did not say"));
}

#[tokio::test]
async fn another_node_s_session_is_as_one_that_is_not_there() {
    let mut kit = Kit::new().await;
    let mut other = Node::join(&kit.world).await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    assert!(other.poll(&kit.world).await.sessions.is_empty());
    for unknown in [id.as_str(), "ecs-execute-command-0"] {
        assert_eq!(kit.agent_as(&other.credentials, unknown).await.err(), Some(404));
    }
    assert_eq!(kit.offered().await, [id.as_str()], "it is still for its own node");
    let _client = kit.join(&session).await;
    let mut agent = kit.agent(&id).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    assert_eq!(kit.agent_as(&other.credentials, &id).await.err(), Some(404));
    agent.end(&outcome(Some(0))).await;
    kit.over(&id).await;
    assert_eq!(kit.agent_as(&other.credentials, &id).await.err(), Some(404));
    assert_eq!(kit.agent_as(&kit.node.credentials, &id).await.err(), Some(410));
}

#[tokio::test]
async fn only_a_node_takes_an_agent_s_side() {
    let kit = Kit::new().await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    assert_eq!(kit.agent_as(&kit.world.operator, &id).await.err(), Some(400));
    let mut stranger = kit.node.credentials.clone();
    stranger.secret_access_key.push('x');
    assert_eq!(kit.agent_as(&stranger, &id).await.err(), Some(400));
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_by_name() {
    let kit = Kit::new().await;
    for (headers, query) in [
        (vec![], "?role=agent"),
        (vec![("connection", "upgrade"), ("upgrade", "h2c")], "?role=agent"),
        (
            vec![
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-key", "x"),
            ],
            "?role=agent",
        ),
        (
            vec![
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "WebSocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            "?role=other",
        ),
    ] {
        let mut request = http::Request::get(format!("/v1/data-channel/x{query}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let router = crate::api::router(std::sync::Arc::clone(&kit.world.plane));
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.headers()["x-amzn-errortype"], "ClientException");
    }
    let no_path = kit.world.deliver("/v1/data-channel/x", None, b"", vec![]).await;
    assert_eq!(crate::testing::code(no_path), "UnknownOperationException");
}

/// One that has no token at all must not decide when the control plane ends.
#[tokio::test]
async fn a_client_that_was_shown_out_and_talks_on_does_not_hold_up_the_end() {
    let mut kit = Kit::new().await;
    let mut client = kit.client("ecs-execute-command-0", "wrong").await;
    client.closed().await;
    let (mut send, mut receive) = client.split();
    let talk = async {
        while Side::pushed(&mut send, b"and another thing".to_vec()).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let listen = async { while futures_util::StreamExt::next(&mut receive).await.is_some() {} };
    tokio::select! {
        () = kit.end() => {}
        ((), ()) = async { tokio::join!(talk, listen) } => kit.end().await,
    }
}
