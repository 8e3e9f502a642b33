//! ExecuteCommand and StartLogsSession: what is refused, what is answered, what the node is offered.

use longshore_protocol::session::{SessionKind, Transcript};
use longshore_protocol::status::InstanceStatus;
use serde_json::{Value, json};

use super::Kit;
use super::kit::{member, run, soon};
use crate::sessions::Limits;
use crate::testing::{Node, World, code, refusal};

fn request(task: &str) -> Value {
    json!({"task": task, "interactive": true, "command": "sh"})
}

/// A request with another member.
fn with(task: &str, name: &str, value: Value) -> Value {
    let mut body = request(task);
    body[name] = value;
    body
}

#[tokio::test]
async fn the_answer_has_what_stock_clients_need() {
    let kit = Kit::new().await;
    let answer = kit.world.ecs("ExecuteCommand", request(&kit.task)).await.unwrap();
    let shown = kit.world.task(&kit.task).await;
    assert_eq!(answer["clusterArn"], shown["clusterArn"]);
    assert_eq!(answer["taskArn"], shown["taskArn"]);
    assert_eq!(answer["containerArn"], shown["containers"][0]["containerArn"]);
    assert_eq!(answer["containerName"], "a");
    assert_eq!(answer["interactive"], true);
    let id = member(&answer["session"], "sessionId");
    let digits = id.strip_prefix("ecs-execute-command-").unwrap();
    assert!(
        digits.len() == 17 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id}"
    );
    assert!(member(&answer["session"], "tokenValue").len() >= 32);
    assert_eq!(shown["enableExecuteCommand"], true);
    assert_eq!(shown["containers"][0]["runtimeId"], "a".repeat(64));
}

#[tokio::test]
async fn what_can_not_be_executed_is_refused_by_name() {
    let mut kit = Kit::new().await;
    let task = kit.task.clone();
    let invalid = "InvalidParameterException";
    let ask = async |body: Value| refusal(kit.world.ecs("ExecuteCommand", body).await);
    for (body, code, text) in [
        (
            with(&task, "interactive", json!(false)),
            invalid,
            "Interactive is the only mode",
        ),
        (
            with(&task, "interactive", Value::Null),
            invalid,
            "interactive should not be null",
        ),
        (
            with(&task, "command", Value::Null),
            invalid,
            "command should not be null",
        ),
        (
            with(&task, "command", json!("x".repeat(8193))),
            invalid,
            "command must have at most 8192",
        ),
        (
            with(&task, "command", json!("a\0b")),
            invalid,
            "command must not have a NUL",
        ),
        (
            with(&task, "container", json!("b")),
            invalid,
            "The task has no container \"b\"; it has a.",
        ),
        (
            with(&task, "cluster", json!("none")),
            "ClusterNotFoundException",
            "Cluster not found",
        ),
        (
            request("f".repeat(32).as_str()),
            invalid,
            "The referenced task was not found.",
        ),
        (request("x"), invalid, "Task Identifier is invalid"),
    ] {
        let said = ask(body.clone()).await;
        assert!(said.0 == code && said.1.starts_with(text), "{body}: {said:?}");
    }
    let off = run(&kit.world, &mut kit.node, false).await;
    let (code, text) = refusal(kit.world.ecs("ExecuteCommand", request(&off)).await);
    assert!(
        code == invalid && text.contains("was not enabled when the task was run"),
        "{text}"
    );
    assert!(kit.offered().await.is_empty());
}

#[tokio::test]
async fn a_container_must_be_named_where_there_are_several_and_run() {
    let mut kit = Kit::new().await;
    let container = |name: &str| json!({"name": name, "image": "busybox", "memory": 16});
    let two = json!({"family": "two", "containerDefinitions": [container("a"), container("b")]});
    kit.world.ecs("RegisterTaskDefinition", two).await.unwrap();
    let body = json!({"taskDefinition": "two", "enableExecuteCommand": true});
    let answer = kit.world.ecs("RunTask", body).await.unwrap();
    let task = member(&answer["tasks"][0], "taskArn");
    let (_, text) = refusal(
        kit.world
            .ecs("ExecuteCommand", with(&task, "container", json!("a")))
            .await,
    );
    assert!(
        text.ends_with("the task is not running: it is PENDING."),
        "{text}"
    );
    kit.node.poll(&kit.world).await;
    let both =
        json!([{"containerName": "a", "status": "RUNNING"}, {"containerName": "b", "status": "RUNNING"}]);
    let report = json!({"cluster": "default", "task": task, "status": "RUNNING", "containers": both});
    kit.node
        .ecs(&kit.world, "SubmitTaskStateChange", report)
        .await
        .unwrap();
    let (_, text) = refusal(kit.world.ecs("ExecuteCommand", request(&task)).await);
    assert!(text.ends_with("the task has several: a, b."), "{text}");
    let answer = kit
        .world
        .ecs("ExecuteCommand", with(&task, "container", json!("b")))
        .await
        .unwrap();
    assert_eq!(answer["containerName"], "b");
    kit.world.ecs("StopTask", json!({"task": task})).await.unwrap();
    let (_, text) = refusal(
        kit.world
            .ecs("ExecuteCommand", with(&task, "container", json!("b")))
            .await,
    );
    assert!(
        text.ends_with("the task is not running: it is DEACTIVATING."),
        "{text}"
    );
}

#[tokio::test]
async fn a_node_that_is_away_is_no_target_and_its_managed_agents_say_so() {
    let mut kit = Kit::new().await;
    let agent = async |kit: &Kit| kit.world.task(&kit.task).await["containers"][0]["managedAgents"][0].take();
    let shown = agent(&kit).await;
    assert_eq!(
        (&shown["name"], &shown["lastStatus"]),
        (&json!("ExecuteCommandAgent"), &json!("RUNNING"))
    );
    assert!(
        shown["lastStartedAt"].is_number() && shown["reason"].is_null(),
        "{shown}"
    );
    kit.world.advance(16);
    let answer = kit.world.ecs("ExecuteCommand", request(&kit.task)).await;
    assert_eq!(code(answer), "TargetNotConnectedException");
    let shown = agent(&kit).await;
    assert_eq!(shown["lastStatus"], "PENDING");
    assert!(member(&shown, "reason").contains("not connected"), "{shown}");
    kit.node.poll(&kit.world).await;
    assert_eq!(agent(&kit).await["lastStatus"], "RUNNING");
    let report = json!({"exitCode": 0});
    kit.node
        .report(&kit.world, &kit.task, "STOPPED", report)
        .await
        .unwrap();
    assert_eq!(agent(&kit).await["lastStatus"], "STOPPED");
    let off = run(&kit.world, &mut kit.node, false).await;
    assert!(kit.world.task(&off).await["containers"][0]["managedAgents"].is_null());
}

#[tokio::test]
async fn an_offer_wakes_the_poll_that_waits_and_is_repeated_until_the_agent_has_come() {
    let mut kit = Kit::new().await;
    let mut request = kit.node.request(false);
    request.wait_seconds = 60;
    let (before, _) = kit
        .world
        .plane
        .hub
        .polls(kit.node.arn.rsplit('/').next().unwrap());
    let waiting = kit.node.send(&kit.world, &request);
    let ask = async {
        let instance = kit.node.arn.rsplit('/').next().unwrap();
        while kit.world.plane.hub.polls(instance).0 == before {
            tokio::task::yield_now().await;
        }
        kit.execute().await
    };
    let (response, session) = soon(async { tokio::join!(waiting, ask) }).await;
    let response = response.unwrap();
    let offer = &response.sessions[0];
    let id = session.session_id.clone().unwrap();
    assert_eq!((&offer.session_id, offer.container_name.as_str()), (&id, "a"));
    assert_eq!(offer.task_arn.to_string(), kit.task);
    assert_eq!(response.instance, InstanceStatus::Active);
    // As if that answer had been lost.
    assert_eq!(kit.offered().await, [id.as_str()]);
    assert_eq!(kit.offered().await, [id.as_str()]);
    let _agent = kit.agent(&id).await;
    assert!(kit.offered().await.is_empty());
}

#[tokio::test]
async fn an_agent_that_does_not_come_is_not_asked_without_a_pause_and_one_that_was_restarted_at_once() {
    let mut kit = Kit::new().await;
    let session = kit.execute().await;
    assert_eq!(kit.offered().await.len(), 1);
    let sessions = &kit.world.plane.sessions;
    let instance = kit.node.arn.rsplit('/').next().unwrap().to_owned();
    let now = crate::clock::Clock::elapsed(&*kit.world.clock);
    let again = sessions.offers(&instance, kit.node.run, now);
    assert_eq!(again.due, Some(std::time::Duration::from_secs(1)));
    let anew = sessions.offers(&instance, uuid::Uuid::new_v4(), now);
    assert_eq!(anew.due, Some(std::time::Duration::ZERO));
    let _agent = kit.agent(session.session_id.as_deref().unwrap()).await;
    assert_eq!(sessions.offers(&instance, kit.node.run, now).due, None);
}

#[tokio::test]
async fn offers_leave_room_in_an_answer() {
    let mut kit = Kit::new().await;
    // Each of these becomes six bytes.
    let command = "\u{1}".repeat(8192);
    for _ in 0..3 {
        let body = with(&kit.task, "command", json!(command));
        kit.world.ecs("ExecuteCommand", body).await.unwrap();
    }
    assert_eq!(kit.offered().await.len(), 1, "one always fits");
    let mut begun = 0;
    while let [id, ..] = kit.offered().await.as_slice() {
        drop(kit.agent(id).await);
        begun += 1;
    }
    assert_eq!(begun, 3);
}

#[tokio::test]
async fn there_are_so_many_sessions_at_most() {
    let kit = Kit::with(Limits {
        alive: 2,
        ..Limits::default()
    })
    .await;
    let first = kit.execute().await;
    kit.execute().await;
    let answer = kit.world.ecs("ExecuteCommand", request(&kit.task)).await;
    assert_eq!(code(answer), "ThrottlingException");
    let terminate = json!({"SessionId": first.session_id});
    kit.world.ssm("TerminateSession", terminate).await.unwrap();
    soon(async {
        while kit.world.plane.sessions.count() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    kit.execute().await;
}

#[tokio::test]
async fn logs_can_be_had_of_tasks_that_are_over_and_without_being_enabled() {
    let mut kit = Kit::new().await;
    let task = run(&kit.world, &mut kit.node, false).await;
    kit.node
        .report(&kit.world, &task, "STOPPED", json!({"exitCode": 1}))
        .await
        .unwrap();
    let body = json!({"task": task, "since": 1_800_000_000.25});
    let start = async |body: Value| {
        kit.world
            .call(&kit.world.operator, "longshore", "StartLogsSession", body)
            .await
    };
    let answer = start(body).await.unwrap();
    assert_eq!(answer["taskArn"], task.as_str());
    assert_eq!(answer["containerName"], "a");
    assert_eq!(code(start(json!({})).await), "InvalidParameterException");
    assert_eq!(
        code(start(json!({"task": task, "container": "b"})).await),
        "InvalidParameterException"
    );
    let id = member(&answer["session"], "sessionId");
    let row = kit.row(&id).await;
    let since = longshore_protocol::Timestamp::from_millis(1_800_000_000_250);
    let kind = SessionKind::Logs {
        follow: false,
        since: Some(since),
    };
    assert_eq!(row.kind, kind);
    let offer = kit.node.poll(&kit.world).await.sessions.remove(0);
    assert_eq!((offer.kind, offer.session_id), (kind, id));
}

#[tokio::test]
async fn the_calls_of_a_session_s_client_are_taken_in_either_service_s_name() {
    let kit = Kit::new().await;
    let session = kit.execute().await;
    let body = json!({"SessionId": session.session_id}).to_string();
    for service in ["ssm", "ecs"] {
        let target = Some("AmazonSSM.ResumeSession");
        let answer = kit
            .world
            .send(&kit.world.operator, service, "/", target, body.as_bytes())
            .await;
        assert!(answer.unwrap()["TokenValue"].is_string(), "{service}");
    }
    let target = Some("AmazonSSM.ResumeSession");
    let other = kit
        .world
        .send(&kit.world.operator, "s3", "/", target, body.as_bytes())
        .await;
    assert_eq!(code(other), "InvalidSignatureException");
}

#[tokio::test]
async fn a_restored_control_plane_learns_from_the_node_which_tasks_take_sessions() {
    let mut world = World::new().await;
    let mut node = Node::join(&world).await;
    node.obey(&world).await;
    world.define("f", 128, 64).await;
    world.back_up().await;
    let body = json!({"taskDefinition": "f", "enableExecuteCommand": true});
    let answer = world.ecs("RunTask", body).await.unwrap();
    let task = member(&answer["tasks"][0], "taskArn");
    node.obey(&world).await;
    world.restore().await;
    node.obey(&world).await;
    assert_eq!(world.task(&task).await["enableExecuteCommand"], true);
    world.ecs("ExecuteCommand", request(&task)).await.unwrap();
}

async fn configured(world: &World, configuration: Value) -> Result<Value, String> {
    let body = json!({"cluster": "default", "configuration": {"executeCommandConfiguration": configuration}});
    match world.ecs("UpdateCluster", body).await {
        Ok(answer) => Ok(answer["cluster"]["configuration"]["executeCommandConfiguration"].clone()),
        refused => Err(refusal(refused).1),
    }
}

#[tokio::test]
async fn a_cluster_says_where_its_sessions_are_kept() {
    let mut kit = Kit::new().await;
    let journal = json!({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "journald"}});
    let mut expected = vec![None];
    kit.execute().await;
    for (configuration, transcript) in [
        (json!({"logging": "DEFAULT"}), Some(Transcript::File)),
        (journal, Some(Transcript::Journald)),
        (json!({"logging": "NONE"}), None),
        (json!({}), Some(Transcript::File)),
    ] {
        let stored = configured(&kit.world, configuration.clone()).await.unwrap();
        assert_eq!(stored, configuration);
        kit.execute().await;
        expected.push(transcript);
    }
    let offers = kit.node.poll(&kit.world).await.sessions;
    let kinds = offers.into_iter().map(|offer| match offer.kind {
        SessionKind::Exec { transcript, .. } => transcript.map(|where_| format!("{where_:?}")),
        other @ SessionKind::Logs { .. } => panic!("{other:?}"),
    });
    let mut kinds: Vec<_> = kinds.collect();
    let mut expected: Vec<_> = expected
        .into_iter()
        .map(|each| each.map(|where_| format!("{where_:?}")))
        .collect();
    kinds.sort();
    expected.sort();
    assert_eq!(kinds, expected);
    let describe = json!({"include": ["CONFIGURATIONS"]});
    let shown = kit.world.ecs("DescribeClusters", describe).await.unwrap();
    assert_eq!(
        shown["clusters"][0]["configuration"],
        json!({"executeCommandConfiguration": {}})
    );
    let plain = kit.world.ecs("DescribeClusters", json!({})).await.unwrap();
    assert!(plain["clusters"][0]["configuration"].is_null());
}

#[tokio::test]
async fn a_destination_that_there_is_not_is_refused_by_name() {
    let world = World::new().await;
    let logs = |name: &str, value: Value| json!({"logging": "OVERRIDE", "logConfiguration": {name: value}});
    for (configuration, text) in [
        (
            json!({"kmsKeyId": "k"}),
            "executeCommandConfiguration.kmsKeyId is not supported",
        ),
        (
            logs("s3BucketName", json!("b")),
            "logConfiguration.s3BucketName is not supported",
        ),
        (
            logs("s3KeyPrefix", json!("p")),
            "logConfiguration.s3KeyPrefix is not supported",
        ),
        (
            logs("s3EncryptionEnabled", json!(true)),
            "logConfiguration.s3EncryptionEnabled is not supported",
        ),
        (
            logs("cloudWatchEncryptionEnabled", json!(true)),
            "logConfiguration.cloudWatchEncryptionEnabled is not supported",
        ),
        (
            logs("cloudWatchLogGroupName", json!("g")),
            "OVERRIDE needs logConfiguration.cloudWatchLogGroupName",
        ),
        (
            json!({"logging": "OVERRIDE"}),
            "OVERRIDE needs logConfiguration.cloudWatchLogGroupName",
        ),
        (json!({"logging": "SOME"}), "logging should be one of"),
        (
            json!({"logging": "DEFAULT", "logConfiguration": {"cloudWatchLogGroupName": "journald"}}),
            "logConfiguration is only for logging OVERRIDE",
        ),
    ] {
        let said = configured(&world, configuration.clone()).await.unwrap_err();
        assert!(said.contains(text), "{configuration}: {said}");
        let body =
            json!({"clusterName": "new", "configuration": {"executeCommandConfiguration": configuration}});
        assert_eq!(
            code(world.ecs("CreateCluster", body).await),
            "InvalidParameterException"
        );
    }
    let storage =
        json!({"clusterName": "new", "configuration": {"managedStorageConfiguration": {"kmsKeyId": "k"}}});
    let (_, said) = refusal(world.ecs("CreateCluster", storage).await);
    assert!(
        said.starts_with("configuration.managedStorageConfiguration is not"),
        "{said}"
    );
    let connect = json!({"cluster": "default", "serviceConnectDefaults": {"namespace": "n"}});
    assert_eq!(
        code(world.ecs("UpdateCluster", connect).await),
        "InvalidParameterException"
    );
    let unknown = json!({"cluster": "none"});
    assert_eq!(
        code(world.ecs("UpdateCluster", unknown).await),
        "ClusterNotFoundException"
    );
}

#[tokio::test]
async fn a_cloned_node_is_offered_nothing() {
    let kit = Kit::new().await;
    kit.execute().await;
    let mut copy = Node {
        run: uuid::Uuid::new_v4(),
        fingerprint: "copy".into(),
        credentials: kit.node.credentials.clone(),
        id: kit.node.id.clone(),
        arn: kit.node.arn.clone(),
        cursor: kit.node.cursor.clone(),
        held: vec![],
        status: kit.node.status.clone(),
        bodies: vec![],
        n: 0,
    };
    let response = copy.poll(&kit.world).await;
    assert!(response.cloned && response.sessions.is_empty(), "{response:?}");
    let answer = kit.world.ecs("ExecuteCommand", request(&kit.task)).await;
    let (code, text) = refusal(answer);
    assert!(
        code == "TargetNotConnectedException" && text.contains("two machines"),
        "{text}"
    );
}
