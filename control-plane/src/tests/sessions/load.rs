//! Many sessions, and much in one: what the relay holds is bounded.

use std::io::Write as _;
use std::time::Duration;

use longshore_protocol::data_channel::MessageType::StartPublication;
use longshore_protocol::session::MAX_MESSAGE_BYTES;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use tokio::task::JoinSet;

use super::kit::Side;
use super::{Kit, soon};
use crate::sessions::Limits;

/// Bytes of a message up and one down, as sessions at a terminal have them.
const USUAL: (usize, usize) = (200, 4216);

/// What this process has in memory, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Opens so many sessions, has each say something both ways, and gives what the last of them cost, in bytes each: the other
/// ends of their sockets, which are in this process too, included.
async fn open_many(many: usize, (up, down): (usize, usize)) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut kit = Kit::new().await;
    // What the first ones bring with them, such as the database's cache, is not counted.
    let mut sides = Vec::new();
    let warm = many / 10;
    let mut before = 0;
    for number in 0..many {
        if number == warm {
            before = resident();
        }
        let (_, mut client, mut agent) = kit.both().await;
        client.binary(&vec![1; up]).await;
        agent.binary(&vec![2; down]).await;
        assert_eq!(agent.bytes().await.len(), up);
        assert_eq!(client.bytes().await.len(), down);
        sides.push((client, agent));
    }
    let each = (resident() - before) * 1024 / (many - warm);
    assert_eq!(kit.world.plane.sessions.count(), many);
    // Each is alive.
    for (client, agent) in &mut sides {
        client.binary(b"up").await;
        assert_eq!(agent.bytes().await, b"up");
    }
    kit.end().await;
    each
}

#[tokio::test]
async fn an_idle_session_costs_little() {
    let each = open_many(100, USUAL).await;
    assert!(each < 100 * 1024, "{each} bytes a session");
}

/// What the longest messages leave behind is bounded too: half of it is the far ends'.
#[tokio::test]
async fn a_session_of_the_longest_messages_costs_no_more_than_its_bound() {
    let each = open_many(100, (MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES)).await;
    assert!(each / 2 < 256 * 1024, "{each} bytes a session");
}

/// `cargo nextest run --workspace --run-ignored only -E 'test(a_thousand_idle_sessions)' --no-capture`
#[tokio::test]
#[ignore = "takes half a minute"]
async fn a_thousand_idle_sessions_cost_less_than_100_mib() {
    let each = open_many(1000, USUAL).await;
    writeln!(
        std::io::stderr(),
        "{each} bytes a session, both far ends included"
    )
    .unwrap();
    assert!(each < 100 * 1024, "{each} bytes a session");
}

#[tokio::test]
async fn a_side_that_does_not_read_holds_up_the_other_and_nothing_piles_up() {
    const SIZE: usize = 16 * 1024;
    const MANY: usize = 4096;
    let mut kit = Kit::new().await;
    let (_, mut client, mut agent) = kit.both().await;
    let before = resident();
    let sent = std::sync::atomic::AtomicUsize::new(0);
    let counted = || sent.load(std::sync::atomic::Ordering::Relaxed);
    let push = async {
        for number in 0..MANY {
            let mut message = vec![0; SIZE];
            message[..8].copy_from_slice(&number.to_be_bytes());
            agent.push(message).await;
            sent.store(number + 1, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let pull = async {
        // Until the sockets' own buffers are full, which are the kernel's.
        let mut last = usize::MAX;
        while last != counted() {
            last = counted();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(last < MANY, "64 MiB went somewhere");
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB");
        for number in 0..MANY {
            let message = client.bytes().await;
            assert_eq!((message.len(), &message[..8]), (SIZE, &number.to_be_bytes()[..]));
        }
    };
    soon(async { tokio::join!(push, pull) }).await;
    // Meanwhile the other way was free; it is still.
    client.binary(b"up").await;
    assert_eq!(agent.bytes().await, b"up");
}

#[tokio::test]
async fn the_other_way_is_free_while_one_side_does_not_read() {
    let mut kit = Kit::new().await;
    let (_, mut client, agent) = kit.both().await;
    let (mut send, mut receive) = agent.split();
    let mut flood = JoinSet::new();
    flood.spawn(async move { while Side::pushed(&mut send, vec![0; 16 * 1024]).await {} });
    // It is blocked, or will be: what the client says gets through either way.
    for number in 0..100_u32 {
        client.binary(&number.to_be_bytes()).await;
        assert_eq!(Side::read(&mut receive).await, number.to_be_bytes());
    }
}

#[tokio::test]
async fn a_peer_that_is_silent_is_lost_and_one_that_answers_pings_is_not() {
    let kit = Kit::with(Limits {
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(400),
        ..Limits::default()
    })
    .await;
    let session = kit.execute().await;
    let id = session.session_id.clone().unwrap();
    let mut agent = kit.agent(&id).await;
    let mut client = kit.join(&session).await;
    assert_eq!(agent.frame().await.0, StartPublication);
    // Reading answers pings. The client reads for longer than a silent one is waited for, then not at all.
    for _ in 0..20 {
        client.pinged().await;
        agent.pinged().await;
    }
    let paused = agent.frame().await.0;
    assert_eq!(
        paused,
        longshore_protocol::data_channel::MessageType::PausePublication
    );
    drop(client);
}

fn impatient() -> Limits {
    Limits {
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// As a stock client whose terminal is held (Ctrl-S): it stops at its output, and answers no ping.
#[tokio::test]
async fn a_client_that_leaves_its_output_unread_is_not_lost() {
    let mut kit = Kit::with(impatient()).await;
    let (_, mut client, mut agent) = kit.both().await;
    agent.binary(b"something").await;
    for _ in 0..40 {
        // Not a word of a client that was lost.
        agent.pinged().await;
    }
    assert_eq!(client.bytes().await, b"something");
    client.binary(b"up").await;
    assert_eq!(agent.bytes().await, b"up");
}

#[tokio::test]
async fn a_client_that_leaves_so_much_unread_that_nothing_more_fits_is_not_lost() {
    let mut kit = Kit::with(impatient()).await;
    let (_, mut client, mut agent) = kit.both().await;
    let mut sent = 0_u64;
    // Until nothing fits any more, and for some pings' time after.
    while tokio::time::timeout(Duration::from_secs(2), agent.push(vec![0; 16 * 1024]))
        .await
        .is_ok()
    {
        sent += 1;
    }
    for _ in 0..sent {
        assert_eq!(client.bytes().await.len(), 16 * 1024);
    }
}

/// What else happens in a session meanwhile does not have a message wait for the next one.
#[tokio::test]
async fn what_was_half_written_is_written_to_its_end() {
    let mut kit = Kit::with(Limits {
        ping: Duration::from_secs(3600),
        last_words: Duration::from_secs(3600),
        ..Limits::default()
    })
    .await;
    let (_, mut client, mut agent) = kit.both().await;
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), agent.push(vec![0; 16 * 1024]))
        .await
        .is_ok()
    {
        sent += 1;
    }
    kit.world.plane.sessions.task_over(&task_id(&kit.task)).await;
    for _ in 0..sent {
        assert_eq!(client.bytes().await.len(), 16 * 1024);
    }
}

/// The last part of a task's ARN.
fn task_id(arn: &str) -> String {
    arn.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_beyond_the_limit_costs_its_sender_the_socket_and_not_the_session() {
    let mut kit = Kit::new().await;
    let (id, mut client, mut agent) = kit.both().await;
    client.binary(&vec![0; MAX_MESSAGE_BYTES]).await;
    assert_eq!(agent.bytes().await.len(), MAX_MESSAGE_BYTES);
    client.push(vec![0; MAX_MESSAGE_BYTES + 1]).await;
    assert_eq!(
        agent.frame().await.0,
        longshore_protocol::data_channel::MessageType::PausePublication
    );
    let token = kit.resume(&id).await.unwrap();
    let _client = kit.client(&id, &token).await;
    assert_eq!(agent.frame().await.0, StartPublication);
}
