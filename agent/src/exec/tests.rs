//! Sessions on a runtime that is a model, against a relay that a test plays, in a time that only passes when nothing
//! happens.

mod away;
mod disks;
mod model;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use longshore_protocol::data_channel::{Message as Frame, MessageType, PayloadType};
use longshore_protocol::json_file::{Record, Stream as LogStream};
use longshore_protocol::session::SessionEnd;
use longshore_tests::viewer::Viewer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use model::{Model, World, offer};

const BOUNDS: Settings = Settings {
    most: 16,
    idle: None,
    longest: None,
};

async fn closed(viewer: &mut Viewer<DuplexStream>) -> String {
    viewer.until("the end", |viewer| viewer.closed.is_some()).await;
    viewer.closed.clone().unwrap()
}

/// What the relay is told at the end; then it closes the socket, as it should.
async fn told(viewer: &mut Viewer<DuplexStream>) -> SessionEnd {
    viewer.until("the end", |viewer| !viewer.texts.is_empty()).await;
    let end = serde_json::from_str(&viewer.texts[0]).unwrap();
    closes(viewer, CloseCode::Normal).await;
    end
}

/// The relay closes the socket.
async fn closes(viewer: &mut Viewer<DuplexStream>, code: CloseCode) {
    let reason = "".into();
    let frame = CloseFrame { code, reason };
    viewer.lose().unwrap().close(Some(frame)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_typed_is_read_and_what_is_written_is_shown_and_counted() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let mut process = world.execs.begun().await;
    assert_eq!(process.request.args, ["sh"]);
    viewer.types("hello");
    viewer.until_shown("").await;
    let mut typed = [0; 5];
    let (read, ()) = tokio::join!(process.stdin.read_exact(&mut typed), async {
        viewer.step().await;
    });
    read.unwrap();
    assert_eq!(&typed, b"hello");
    process.stdout.write_all(b"world").await.unwrap();
    viewer.until_shown("world").await;
    process.exits(3);
    assert_eq!(closed(&mut viewer).await, "");
    let end = told(&mut viewer).await;
    assert_eq!((end.exit_code, end.bytes_in, end.bytes_out), (Some(3), 5, 5));
    assert_eq!(end.reason, None);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn idleness_and_age_end_a_session_in_words() {
    let idle = Settings {
        idle: Some(Duration::from_secs(30)),
        ..BOUNDS
    };
    let longest = Settings {
        longest: Some(Duration::from_secs(20)),
        ..BOUNDS
    };
    for (bounds, why) in [
        (idle, "the session was idle for 30 s"),
        (longest, "the session has lasted 20 s, which is the longest here"),
    ] {
        let mut world = World::new(bounds);
        let mut viewer = world.open(1).await;
        viewer.begin().await;
        let process = world.execs.begun().await;
        assert_eq!(closed(&mut viewer).await, why);
        assert!(process.was_ended());
        let end = told(&mut viewer).await;
        assert_eq!((end.exit_code, end.reason.as_deref()), (Some(129), Some(why)));
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_more_than_there_may_be_is_told_so_and_logs_count_apart() {
    let mut world = World::new(Settings { most: 1, ..BOUNDS });
    let mut first = world.open(1).await;
    first.begin().await;
    let process = world.execs.begun().await;
    let mut second = world.open(2).await;
    let why = closed(&mut second).await;
    assert!(why.contains("LONGSHORE_EXEC_MAX_SESSIONS"), "{why}");
    let end = told(&mut second).await;
    assert_eq!((end.exit_code, end.reason), (None, Some(why)));
    let mut logs = world.open_logs(3, None).await;
    logs.until("the handshake", |viewer| viewer.ready).await;
    process.exits(0);
    told(&mut first).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_takes_no_commands_is_said_so_and_nothing_is_run() {
    let mut world = World::new(BOUNDS);
    world
        .containers
        .refuse("the task was not run with enableExecuteCommand");
    let mut viewer = world.open(1).await;
    assert_eq!(
        closed(&mut viewer).await,
        "the task was not run with enableExecuteCommand"
    );
    told(&mut viewer).await;
    assert_eq!(world.execs.count(), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_control_plane_knows_no_more_ends_at_once() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    world.relay.forget();
    viewer.lose();
    process.until_ended(Duration::from_secs(10)).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_away_is_waited_for_and_not_for_ever() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    world.relay.leave();
    viewer.lose();
    tokio::time::sleep(Duration::from_secs(55)).await;
    assert!(!process.was_ended());
    process.until_ended(Duration::from_secs(60)).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_has_the_process_wait_and_the_relays_word_ends_it() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let mut process = world.execs.begun().await;
    viewer.until_shown("").await;
    viewer
        .say(longshore_protocol::data_channel::MessageType::PausePublication)
        .await;
    // The pipe holds as much; what is beyond it waits.
    let writing = tokio::time::timeout(
        Duration::from_secs(20),
        process.stdout.write_all(&[b'x'; 1 << 20]),
    );
    assert!(writing.await.is_err());
    assert!(!process.was_ended());
    viewer
        .say(longshore_protocol::data_channel::MessageType::ChannelClosed)
        .await;
    let end = told(&mut viewer).await;
    assert_eq!(end.exit_code, Some(129));
    assert!(end.reason.is_some_and(|reason| reason.contains("from outside")));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_has_little_kept_for_it() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let mut process = world.execs.begun().await;
    viewer.until_shown("").await;
    let mut taken = 0;
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(20), process.stdout.write(&[b'x'; 4096])).await
    {
        taken += written.unwrap();
    }
    assert!(taken < 1 << 20, "{taken}");
    process.exits(0);
    viewer.forgetful = true;
    assert_eq!(closed(&mut viewer).await, "");
    assert_eq!(viewer.bytes, taken);
    told(&mut viewer).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_is_lines_of_json_from_when_it_is_asked_for() {
    let record = |log: &str, time: &str| Record {
        log: log.to_owned(),
        stream: LogStream::Stdout,
        time: time.to_owned(),
    };
    let early = record("early\n", "2026-01-02T03:04:04.999999999Z");
    let late = record(&"long ".repeat(20_000), "2026-01-02T03:04:05Z");
    let mut world = World::new(BOUNDS);
    world.containers.logged(vec![early.clone(), late.clone()]);
    let since = longshore_protocol::Timestamp::from_millis(1_767_323_045_000);
    for (number, since, expected) in [(1, None, vec![early, late.clone()]), (2, Some(since), vec![late])] {
        let mut viewer = world.open_logs(number, since).await;
        viewer.begin().await;
        assert_eq!(closed(&mut viewer).await, "");
        let shown: Vec<Record> = viewer
            .shown
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(shown, expected);
        assert_eq!(viewer.code, Some(0));
        assert_eq!(told(&mut viewer).await.exit_code, None);
    }
    assert_eq!(world.execs.count(), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_offer_with_an_id_that_is_no_name_is_left_alone() {
    let world = World::new(BOUNDS);
    for id in ["", "../../etc", "a/b", "a.b", &"x".repeat(65)] {
        let offer = SessionOffer {
            session_id: id.to_owned(),
            ..offer(1)
        };
        world.offers.send(offer).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.relay.dialled(), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_left_is_ended_and_nothing_that_is_new() {
    let mut world = World::after(|execs: &Model| execs.left(offer(7)), BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.execs.removed(), [offer(7).session_id]);
    assert!(!process.was_ended());
    process.exits(0);
    told(&mut viewer).await;
    world.end().await;
}

/// Its answers are its client's to read, and are not to fill the memory of whoever hosts it.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_and_does_not_read_is_answered_no_more() {
    const MANY: i64 = 6000;
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    let mut socket = viewer.lose().unwrap();
    for sequence in 2..MANY {
        let input = Frame {
            message_type: MessageType::InputStreamData,
            created: 1,
            sequence,
            flags: 0,
            id: uuid::Uuid::new_v4(),
            payload_type: PayloadType::OUTPUT,
            payload: b"x",
        };
        socket.send(Message::Binary(input.encode().into())).await.unwrap();
    }
    let mut answers = 0;
    while let Ok(Some(Ok(Message::Binary(bytes)))) =
        tokio::time::timeout(Duration::from_millis(50), socket.next()).await
    {
        let answer = Frame::decode(&bytes).unwrap().message_type == MessageType::Acknowledge;
        answers += u32::from(answer);
    }
    assert!((1000..2000).contains(&answers), "{answers}");
    process.exits(0);
    world.relay.forget();
    drop(socket);
    world.end().await;
}

/// It may not have stored what it was told.
#[tokio::test(start_paused = true)]
async fn a_relay_that_ends_before_it_has_taken_the_end_is_told_again() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    world.execs.begun().await.exits(3);
    assert_eq!(closed(&mut viewer).await, "");
    viewer.until("the end", |viewer| !viewer.texts.is_empty()).await;
    closes(&mut viewer, CloseCode::Away).await;
    viewer.texts.clear();
    world.again(&mut viewer).await;
    assert_eq!(told(&mut viewer).await.exit_code, Some(3));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_what_has_ended_is_not_waited_for_for_ever() {
    for idle in [Some(Duration::from_secs(60)), None] {
        let mut world = World::new(Settings { idle, ..BOUNDS });
        let mut viewer = world.open(1).await;
        viewer.begin().await;
        let mut process = world.execs.begun().await;
        viewer.until_shown("").await;
        // As much as is read at once, and more than the socket holds.
        process.stdout.write_all(&[b'x'; 16 * 1024]).await.unwrap();
        process.exits(3);
        // The relay pings, and what the client does not read holds up what the agent says.
        let mut stalled = viewer.lose().unwrap();
        let pings = async {
            loop {
                tokio::time::sleep(Duration::from_secs(30)).await;
                stalled.send(Message::Ping(Default::default())).await.unwrap();
            }
        };
        tokio::select! {
            () = pings => {}
            () = world.again(&mut viewer) => {}
        }
        let end = told(&mut viewer).await;
        assert_eq!(end.exit_code, Some(3));
        assert!(end.reason.unwrap().contains("taken nothing"));
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_does_not_even_ping_is_dialled_again() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    let silent = viewer.lose().unwrap();
    let begun = tokio::time::Instant::now();
    world.again(&mut viewer).await;
    let waited = begun.elapsed().as_secs();
    assert!((75..80).contains(&waited), "{waited}");
    drop(silent);
    process.exits(0);
    told(&mut viewer).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_keeps_no_place_and_its_client_hears_of_it() {
    let mut world = World::new(Settings { most: 1, ..BOUNDS });
    world.containers.breaks();
    let mut viewer = world.open(1).await;
    world.execs.left(offer(1));
    world.again(&mut viewer).await;
    let why = closed(&mut viewer).await;
    assert!(why.contains("the agent has failed"), "{why}");
    told(&mut viewer).await;
    let mut viewer = world.open(2).await;
    viewer.begin().await;
    world.execs.begun().await.exits(0);
    assert_eq!(closed(&mut viewer).await, "");
    assert_eq!(world.execs.removed()[0], offer(1).session_id);
    told(&mut viewer).await;
    world.end().await;
}
