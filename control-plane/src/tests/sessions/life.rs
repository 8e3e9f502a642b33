//! A session's life: both sides meet, talk, lose each other, and end.

use std::time::Duration;

use longshore_protocol::data_channel::MessageType::{
    ChannelClosed, InputStreamData, OutputStreamData, PausePublication, StartPublication,
};
use longshore_protocol::session::SessionKind;
use serde_json::json;

use super::{Kit, frame, outcome};
use crate::clock::Clock as _;
use crate::sessions::Limits;
use crate::testing::code;

#[tokio::test]
async fn what_both_sides_say_goes_through_as_it_is_and_the_end_is_stored() {
    let mut kit = Kit::new().await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    assert_eq!(kit.offered().await, [id.as_str()]);
    let url = session.stream_url.clone().unwrap();
    let host = crate::testing::HOST;
    assert_eq!(
        url,
        format!("ws://{host}/v1/data-channel/{id}?role=publish_subscribe")
    );

    let mut client = kit.join(&session).await;
    let mut agent = kit.agent(&id).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    for number in 0..100 {
        let (down, up) = (
            frame(OutputStreamData, number, b"out"),
            frame(InputStreamData, number, b"in"),
        );
        agent.binary(&down).await;
        client.binary(&up).await;
        assert_eq!(client.bytes().await, down);
        assert_eq!(agent.bytes().await, up);
    }
    // Whatever it is: nothing is read.
    client.binary(b"no message").await;
    assert_eq!(agent.bytes().await, b"no message");

    agent.end(&outcome(Some(3))).await;
    assert_eq!(client.closed().await, "");
    let row = kit.over(&id).await;
    assert_eq!(row.outcome, Some(outcome(Some(3))));
    assert_eq!(row.opened_by, kit.world.operator.access_key_id);
    assert_eq!(row.task.to_string(), kit.task);
    assert!(matches!(row.kind, SessionKind::Exec { ref command, .. } if command == "sh"));
    assert!(row.client_at.is_some() && row.agent_at.is_some());
    agent.gone().await;
    assert_eq!(kit.world.plane.sessions.count(), 0);
    assert_eq!(kit.resume(&id).await, None);
}

#[tokio::test]
async fn an_agent_that_comes_first_waits_for_the_client() {
    let kit = Kit::new().await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    let mut agent = kit.agent(&id).await;
    let _client = kit.join(&session).await;
    assert_eq!(agent.frame().await.0, StartPublication);
}

#[tokio::test]
async fn a_client_that_was_lost_comes_back_with_a_new_token() {
    let mut kit = Kit::new().await;
    let (id, client, mut agent) = kit.both().await;
    drop(client);
    assert_eq!(agent.frame().await.0, PausePublication);
    // What was under way to it is lost, and the agent is told to send it again.
    agent.binary(&frame(OutputStreamData, 0, b"lost")).await;
    let token = kit.resume(&id).await.unwrap();
    let mut client = kit.client(&id, &token).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    let again = frame(OutputStreamData, 0, b"again");
    agent.binary(&again).await;
    let mut got = client.bytes().await;
    while got != again {
        got = client.bytes().await;
    }
    client.binary(b"up").await;
    assert_eq!(agent.bytes().await, b"up");
}

#[tokio::test]
async fn an_agent_that_was_lost_comes_back_and_starts_again() {
    let mut kit = Kit::new().await;
    let (id, mut client, agent) = kit.both().await;
    drop(agent);
    client.binary(b"to nobody, perhaps").await;
    let mut agent = kit.agent(&id).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    agent.binary(b"down").await;
    assert_eq!(client.bytes().await, b"down");
    assert!(
        kit.offered().await.is_empty(),
        "what has begun is not offered again"
    );
}

#[tokio::test]
async fn a_second_socket_takes_the_place_of_the_first() {
    let mut kit = Kit::new().await;
    let (id, mut first, mut agent) = kit.both().await;
    let token = kit.resume(&id).await.unwrap();
    let mut second = kit.client(&id, &token).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    first.gone().await;
    let mut newer = kit.agent(&id).await;
    assert_eq!(newer.frame().await.0, StartPublication);
    agent.gone().await;
    newer.binary(b"down").await;
    assert_eq!(second.bytes().await, b"down");
    second.binary(b"up").await;
    assert_eq!(newer.bytes().await, b"up");
}

#[tokio::test]
async fn a_session_that_is_terminated_ends_on_both_sides() {
    let mut kit = Kit::new().await;
    let (id, mut client, mut agent) = kit.both().await;
    let terminate = json!({"SessionId": id});
    kit.world
        .ssm("TerminateSession", terminate.clone())
        .await
        .unwrap();
    assert_eq!(kit.resume(&id).await, None, "at once");
    assert_eq!(client.closed().await, "The session was terminated.");
    assert_eq!(agent.frame().await.0, ChannelClosed);
    agent.end(&outcome(Some(129))).await;
    let row = kit.over(&id).await;
    assert_eq!(row.closing.as_deref(), Some("The session was terminated."));
    assert_eq!(row.outcome, Some(outcome(Some(129))));
    agent.gone().await;
    kit.world.ssm("TerminateSession", terminate).await.unwrap();
    let none = kit.world.ssm("TerminateSession", json!({"SessionId": "x"})).await;
    assert_eq!(code(none), "DoesNotExistException");
}

#[tokio::test]
async fn a_session_that_was_never_begun_is_over_when_it_is_terminated() {
    let mut kit = Kit::new().await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    kit.world
        .ssm("TerminateSession", json!({"SessionId": id}))
        .await
        .unwrap();
    assert_eq!(kit.over(&id).await.outcome, None);
    assert!(kit.offered().await.is_empty());
    assert_eq!(kit.agent_as(&kit.node.credentials, &id).await.err(), Some(410));
}

fn hasty() -> Limits {
    Limits {
        connect: Duration::from_millis(300),
        resume: Duration::from_millis(300),
        last_words: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Both have come, however long a busy machine took for that; then nobody is waited for.
fn hasty_later() -> Limits {
    Limits {
        connect: Limits::default().connect,
        ..hasty()
    }
}

#[tokio::test]
async fn a_session_to_which_no_client_comes_ends() {
    let kit = Kit::with(hasty()).await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    let mut agent = kit.agent(&id).await;
    assert_eq!(agent.frame().await.0, ChannelClosed);
    agent.end(&outcome(None)).await;
    let row = kit.over(&id).await;
    assert!(row.closing.unwrap().starts_with("No client came"));
    agent.gone().await;
}

#[tokio::test]
async fn a_session_to_which_no_client_comes_back_ends() {
    let mut kit = Kit::with(hasty_later()).await;
    let (id, client, mut agent) = kit.both().await;
    drop(client);
    assert_eq!(agent.frame().await.0, PausePublication);
    assert_eq!(agent.frame().await.0, ChannelClosed);
    // Without a word of the agent's, too.
    assert_eq!(kit.over(&id).await.outcome, None);
    agent.gone().await;
}

#[tokio::test]
async fn a_client_whose_agent_does_not_come_is_told_so() {
    let mut kit = Kit::with(hasty()).await;
    let session = kit.execute().await;
    let mut client = kit.join(&session).await;
    let said = client.closed().await;
    assert!(
        said.starts_with("The task's node did not answer in time."),
        "{said}"
    );
    let id = session.session_id.unwrap();
    assert_eq!(kit.over(&id).await.closing, Some(said));
    assert!(kit.offered().await.is_empty());
    assert_eq!(kit.agent_as(&kit.node.credentials, &id).await.err(), Some(410));
}

#[tokio::test]
async fn a_client_whose_agent_does_not_come_back_is_told_so() {
    let mut kit = Kit::with(hasty_later()).await;
    let (id, mut client, agent) = kit.both().await;
    drop(agent);
    let said = client.closed().await;
    assert!(said.starts_with("The link to the task's node was lost"), "{said}");
    kit.over(&id).await;
    assert_eq!(kit.agent_as(&kit.node.credentials, &id).await.err(), Some(410));
}

#[tokio::test]
async fn a_session_outlives_the_control_plane_s_run() {
    let mut kit = Kit::new().await;
    let waiting = kit.execute().await;
    let (id, mut client, mut agent) = kit.both().await;
    kit.restart().await;
    assert_eq!(agent.frame().await.0, PausePublication);
    agent.gone().await;
    client.gone().await;
    kit.node.poll(&kit.world).await;
    let offered = kit.offered().await;
    let other = waiting.session_id.clone().unwrap();
    assert_eq!(offered, [other.as_str()], "only what has not begun");

    let mut agent = kit.agent(&id).await;
    let token = kit.resume(&id).await.unwrap();
    let mut client = kit.client(&id, &token).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    agent.binary(b"down").await;
    assert_eq!(client.bytes().await, b"down");
    agent.end(&outcome(Some(0))).await;
    assert_eq!(kit.over(&id).await.outcome, Some(outcome(Some(0))));

    // The token of before is as good as it was.
    let _client = kit.join(&waiting).await;
    let mut agent = kit.agent(&other).await;
    assert_eq!(agent.frame().await.0, StartPublication);
}

#[tokio::test]
async fn what_is_on_its_way_arrives_before_a_planned_end() {
    let mut kit = Kit::new().await;
    let (id, mut client, mut agent) = kit.both().await;
    let ending = async {
        assert_eq!(agent.frame().await.0, PausePublication);
        agent.binary(b"the last output").await;
        assert_eq!(client.bytes().await, b"the last output");
        client.binary(b"its acknowledgement").await;
        assert_eq!(agent.bytes().await, b"its acknowledgement");
        agent.gone().await;
        client.gone().await;
    };
    tokio::join!(kit.end(), ending);
    assert_eq!(kit.row(&id).await.ended_at, None);
}

#[tokio::test]
async fn a_session_whose_task_is_over_ends_without_its_agent_s_word() {
    let mut kit = Kit::with(hasty_later()).await;
    let (id, mut client, mut agent) = kit.both().await;
    let stopped = json!({"exitCode": 0});
    kit.node
        .report(&kit.world, &kit.task, "STOPPED", stopped)
        .await
        .unwrap();
    assert_eq!(client.closed().await, "The task is over.");
    assert_eq!(agent.frame().await.0, ChannelClosed);
    let before = kit.world.clock.now_millis();
    let row = kit.over(&id).await;
    assert_eq!((row.outcome, row.ended_at), (None, Some(before)));
}

#[tokio::test]
async fn a_session_on_a_node_that_was_deregistered_ends() {
    let mut kit = Kit::new().await;
    let (id, mut client, mut agent) = kit.both().await;
    let body = json!({"InstanceId": kit.node.id});
    kit.world.ssm("DeregisterManagedInstance", body).await.unwrap();
    assert_eq!(client.closed().await, "The task's node was deregistered.");
    assert_eq!(agent.frame().await.0, ChannelClosed);
    let row = kit.row(&id).await;
    assert_eq!(row.closing.as_deref(), Some("The task's node was deregistered."));
}

/// On a full disk, for one.
#[tokio::test]
async fn an_end_that_can_not_be_stored_is_stored_later_and_keeps_no_place() {
    let mut kit = Kit::with(Limits {
        store_again: Duration::from_millis(1),
        ..Limits::default()
    })
    .await;
    let (id, _client, mut agent) = kit.both().await;
    let execute = async |kit: &Kit, statement: &'static str| {
        let mut transaction = kit.world.plane.store.write().await.unwrap();
        sqlx::query(statement).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    };
    let full =
        "CREATE TRIGGER full BEFORE UPDATE OF ended_at ON sessions BEGIN SELECT RAISE(ABORT, 'full'); END";
    execute(&kit, full).await;
    agent.end(&outcome(Some(3))).await;
    // Not acknowledged in time: the agent comes again, as often as that takes.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        agent = kit.agent(&id).await;
        agent.end(&outcome(Some(3))).await;
    }
    assert_eq!(kit.row(&id).await.ended_at, None);
    execute(&kit, "DROP TRIGGER full").await;
    agent.gone().await;
    assert_eq!(kit.row(&id).await.outcome, Some(outcome(Some(3))));
    assert_eq!(kit.world.plane.sessions.count(), 0);
}
