//! What is known of a session afterwards: in the log, and in the store for a while.

use std::time::Duration;

use serde_json::json;

use super::{Kit, outcome};
use crate::store::sessions as stored;
use crate::tasks::retention;
use crate::testing::Log;

#[tokio::test]
async fn the_log_says_who_opened_what_and_how_it_ended() {
    let (log, _guard) = Log::of_this_test();
    let mut kit = Kit::new().await;
    let body = json!({"task": kit.task, "interactive": true, "command": "sh -c 'a\nb'"});
    let answer = kit.world.ecs("ExecuteCommand", body).await.unwrap();
    let session = serde_json::from_value(answer["session"].clone()).unwrap();
    let id = answer["session"]["sessionId"].as_str().unwrap().to_owned();
    let token = answer["session"]["tokenValue"].as_str().unwrap();
    let common = [
        format!("session=\"{id}\""),
        "principal=\"operator\"".to_owned(),
        format!("access_key=\"{}\"", kit.world.operator.access_key_id),
        format!("task={}", kit.task),
        "container=\"a\"".to_owned(),
        format!("node={}", kit.node.id),
        r#"command="sh -c 'a\nb'""#.to_owned(),
    ];
    let begun = log.line("a session was opened");
    let _client = kit.join(&session).await;
    let mut agent = kit.agent(&id).await;
    agent.frame().await;
    kit.world.advance(2);
    agent.end(&outcome(Some(7))).await;
    agent.gone().await;
    let over = log.line("a session is over");
    for words in &common {
        assert!(
            begun.contains(words) && over.contains(words),
            "{words}: {begun} {over}"
        );
    }
    for words in ["milliseconds=2000", "exit_code=7", "bytes_in=3", "bytes_out=70"] {
        assert!(over.contains(words), "{words}: {over}");
    }
    let all = log.all();
    assert!(!all.contains(token), "tokens are never logged");
    assert!(kit.offered().await.is_empty());
}

/// An agent's words are a node's, and nodes are not trusted with the control plane's log and store.
#[tokio::test]
async fn what_an_agent_says_of_the_end_is_bounded_and_nothing_else_is_logged() {
    let (log, _guard) = Log::of_this_test();
    let mut kit = Kit::new().await;
    let (id, _client, mut agent) = kit.both().await;
    let forged = format!(
        r#"{{"endedAt": "\nINFO a session is over {}"}}"#,
        "x".repeat(30_000)
    );
    agent.text(&forged).await;
    agent.gone().await;
    let mut agent = kit.agent(&id).await;
    agent.frame().await;
    let mut end = outcome(Some(3));
    end.reason = Some("ü".repeat(15_000));
    agent.end(&end).await;
    let row = kit.over(&id).await;
    assert_eq!(row.outcome.unwrap().reason.unwrap(), "ü".repeat(512));
    let all = log.all();
    assert!(!all.contains("xxx") && all.len() < 30_000, "{} bytes", all.len());
}

#[tokio::test]
async fn an_old_session_is_forgotten_and_one_that_is_not_over_is_not() {
    let mut kit = Kit::new().await;
    let (id, _client, mut agent) = kit.both().await;
    agent.end(&outcome(Some(0))).await;
    kit.over(&id).await;
    let (alive, _alive_client, _alive_agent) = kit.both().await;
    let day = Duration::from_secs(24 * 3600);
    kit.world.clock.advance(retention::SESSIONS - day);
    retention::sweep(&kit.world.plane).await.unwrap();
    kit.row(&id).await;
    kit.world.clock.advance(2 * day);
    retention::sweep(&kit.world.plane).await.unwrap();
    let mut connection = kit.world.plane.store.read().await.unwrap();
    assert_eq!(stored::get(&mut connection, &id).await.unwrap(), None);
    drop(connection);
    assert_eq!(kit.row(&alive).await.ended_at, None);
}

#[tokio::test]
async fn of_too_many_sessions_the_last_to_end_are_kept() {
    let mut kit = Kit::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (id, _client, mut agent) = kit.both().await;
        kit.world.clock.advance(Duration::from_secs(1));
        agent.end(&outcome(Some(0))).await;
        kit.over(&id).await;
        kit.node.poll(&kit.world).await;
        ids.push(id);
    }
    let mut transaction = kit.world.plane.store.write().await.unwrap();
    assert_eq!(stored::prune(&mut transaction, 0, 2, 100).await.unwrap(), 3);
    assert_eq!(stored::prune(&mut transaction, 0, 2, 100).await.unwrap(), 0);
    for (number, id) in ids.iter().enumerate() {
        let found = stored::get(&mut transaction, id).await.unwrap();
        assert_eq!(found.is_some(), number >= 3, "{number}");
    }
}
