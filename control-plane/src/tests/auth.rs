//! Who may do what, and what a bad request is told.

use longshore_protocol::ECS_TARGET;
use longshore_protocol::sigv4::{Call, Credentials};
use serde_json::json;

use crate::clock::Clock as _;
use crate::testing::{HOST, Node, REGION, World, code, refusal, register_request};

/// A ListClusters call with one thing about its signature changed.
fn call<'a>(world: &World, region: &'a str, service: &'a str, headers: &'a [(&'a str, &'a str)]) -> Call<'a> {
    Call {
        method: "POST",
        path: "/",
        query: "",
        host: HOST,
        headers,
        body: b"{}",
        region,
        service,
        time: world.clock.now(),
    }
}

const LIST: (&str, &str) = ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters");

#[tokio::test]
async fn bad_signatures_are_told_apart() {
    let world = World::new().await;
    let send = async |headers, body: &[u8]| world.deliver("/", Some(LIST.1), body, headers).await;
    let good = call(&world, REGION, "ecs", &[LIST]).sign(&world.operator);
    assert!(send(good.clone(), b"{}").await.is_ok());

    assert_eq!(
        code(send(vec![], b"{}").await),
        "MissingAuthenticationTokenException"
    );
    let half = vec![
        ("authorization", "AWS4-HMAC-SHA256 Credential=a".to_owned()),
        good[1].clone(),
    ];
    assert_eq!(code(send(half, b"{}").await), "IncompleteSignatureException");
    let undated = vec![good[0].clone()];
    assert_eq!(code(send(undated, b"{}").await), "IncompleteSignatureException");

    let wrong = Credentials {
        secret_access_key: "x".into(),
        ..world.operator.clone()
    };
    let (code_, text) = refusal(send(call(&world, REGION, "ecs", &[LIST]).sign(&wrong), b"{}").await);
    assert_eq!(code_, "InvalidSignatureException");
    assert!(
        text.starts_with("The request signature we calculated does not match"),
        "{text}"
    );

    let stranger = Credentials {
        access_key_id: "AKIANOBODY".into(),
        ..world.operator.clone()
    };
    let answer = send(call(&world, REGION, "ecs", &[LIST]).sign(&stranger), b"{}").await;
    assert_eq!(code(answer), "UnrecognizedClientException");

    let (code_, text) =
        refusal(send(call(&world, REGION, "ssm", &[LIST]).sign(&world.operator), b"{}").await);
    assert_eq!(code_, "InvalidSignatureException");
    assert_eq!(text, "Credential should be scoped to correct service: 'ecs'.");
    let (_, text) = refusal(
        send(
            call(&world, "eu-west-1", "ecs", &[LIST]).sign(&world.operator),
            b"{}",
        )
        .await,
    );
    assert!(text.contains("valid region, not 'eu-west-1'"), "{text}");

    let changed = send(good.clone(), br#"{"maxResults":1}"#).await;
    assert_eq!(code(changed), "InvalidSignatureException");
    let unsigned_target = call(&world, REGION, "ecs", &[]).sign(&world.operator);
    assert_eq!(
        code(send(unsigned_target, b"{}").await),
        "InvalidSignatureException"
    );

    let mut hashed = good;
    hashed.push(("x-amz-content-sha256", "0".repeat(64)));
    assert!(
        refusal(send(hashed, b"{}").await)
            .1
            .contains("X-Amz-Content-Sha256")
    );
}

#[tokio::test]
async fn a_skewed_clock_is_told_and_the_date_mends_it() {
    let world = World::new().await;
    let signed = call(&world, REGION, "ecs", &[LIST]).sign(&world.operator);
    world.advance(301);
    let (code, text) = refusal(world.deliver("/", Some(LIST.1), b"{}", signed).await);
    assert_eq!(code, "InvalidSignatureException");
    assert!(text.starts_with("Signature expired: "), "{text}");
    assert!(world.ecs("ListClusters", json!({})).await.is_ok());
}

#[tokio::test]
async fn malformed_requests_are_named() {
    let world = World::new().await;
    let target = |operation: &str| format!("{ECS_TARGET}.{operation}");
    let send = async |operation: &str, body: &[u8]| {
        world
            .send(&world.operator, "ecs", "/", Some(&target(operation)), body)
            .await
    };
    for body in [
        &b"{"[..],
        b"[]",
        b"\"x\"",
        b"nonsense",
        br#"{"maxResults":"many"}"#,
    ] {
        assert_eq!(
            code(send("ListClusters", body).await),
            "SerializationException",
            "{body:?}"
        );
    }
    assert!(
        send("ListClusters", br#"{"nextToken":null,"later":{"x":1}}"#)
            .await
            .is_ok()
    );
    assert!(send("ListClusters", b"").await.is_ok());
    let list = send("RunTask", br#"{"taskDefinition":"f","overrides":[]}"#).await;
    assert_eq!(
        refusal(list).1,
        "overrides: a list can not be converted to a structure"
    );
    assert_eq!(code(send("BrewCoffee", b"{}").await), "UnknownOperationException");
    assert_eq!(
        code(world.deliver("/", None, b"{}", vec![]).await),
        "UnknownOperationException"
    );
    let (code_, text) = refusal(send("RunTask", b"{}").await);
    assert_eq!(code_, "InvalidParameterException");
    assert_eq!(text, "taskDefinition should not be null or empty.");
    assert_eq!(
        code(send("RegisterTaskDefinition", b"{}").await),
        "ClientException"
    );
    assert_eq!(
        code(send("ListClusters", &vec![b' '; 2 << 20]).await),
        "RequestEntityTooLargeException"
    );
}

#[tokio::test]
async fn an_activation_is_good_for_so_many_nodes_and_so_long() {
    let world = World::new().await;
    let target = "AmazonSSM.RegisterManagedInstance";
    let register = async |body: serde_json::Value| {
        world
            .deliver("/", Some(target), body.to_string().as_bytes(), vec![])
            .await
    };
    let activation = world
        .ssm("CreateActivation", json!({"IamRole": "r"}))
        .await
        .unwrap();
    let mut wrong = register_request(&activation);
    wrong["ActivationCode"] = json!("0123456789012345678901234567890123456789");
    assert_eq!(code(register(wrong).await), "InvalidActivation");
    let mut weak = register_request(&activation);
    weak["PublicKey"] = json!("A".repeat(392));
    assert_eq!(code(register(weak).await), "ValidationException");

    let first = register(register_request(&activation)).await.unwrap();
    let again = register(register_request(&activation)).await.unwrap();
    assert_eq!(first, again, "the same key is the same machine");
    let shown = world.ssm("DescribeActivations", json!({})).await.unwrap();
    assert_eq!(shown["ActivationList"][0]["RegistrationsCount"], 1);
    assert!(
        !shown
            .to_string()
            .contains(activation["ActivationCode"].as_str().unwrap())
    );

    let short = world
        .ssm("CreateActivation", json!({"IamRole": "r"}))
        .await
        .unwrap();
    world.advance(24 * 3600);
    assert_eq!(
        code(register(register_request(&short)).await),
        "InvalidActivation"
    );

    let gone = world
        .ssm("CreateActivation", json!({"IamRole": "r"}))
        .await
        .unwrap();
    world
        .ssm("DeleteActivation", json!({"ActivationId": gone["ActivationId"]}))
        .await
        .unwrap();
    assert_eq!(
        code(register(register_request(&gone)).await),
        "InvalidActivationId"
    );
}

#[tokio::test]
async fn only_one_of_many_machines_gets_the_last_place_of_an_activation() {
    let world = World::new().await;
    let activation = world
        .ssm("CreateActivation", json!({"IamRole": "r"}))
        .await
        .unwrap();
    let taken = async |world: &World| {
        let mut transaction = world.plane.store.write().await.unwrap();
        let id = activation["ActivationId"].as_str().unwrap();
        let now = world.clock.now_millis();
        let counted = crate::store::nodes::use_activation(&mut transaction, id, now)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        counted
    };
    let results = [taken(&world).await, taken(&world).await, taken(&world).await];
    assert_eq!(results, [true, false, false]);
}

#[tokio::test]
async fn node_credentials_expire_and_end_with_the_node() {
    let world = World::new().await;
    let mut node = Node::activate(&world).await;
    let discover = async |node: &Node| node.ecs(&world, "DiscoverPollEndpoint", json!({})).await;
    let answer = discover(&node).await.unwrap();
    assert_eq!(answer["endpoint"], format!("http://{HOST}"));

    let mut forged = Node::activate(&world).await;
    forged.credentials.session_token = node.credentials.session_token.clone();
    assert_eq!(code(discover(&forged).await), "UnrecognizedClientException");
    forged.credentials.session_token = None;
    assert_eq!(code(discover(&forged).await), "UnrecognizedClientException");

    world.advance(3600);
    assert_eq!(code(discover(&node).await), "ExpiredTokenException");
    node.renew(&world).await;
    assert!(discover(&node).await.is_ok());
    world
        .ssm("DeregisterManagedInstance", json!({"InstanceId": node.id}))
        .await
        .unwrap();
    assert_eq!(code(discover(&node).await), "UnrecognizedClientException");
    let token = node
        .by_key(
            &world,
            "RequestManagedInstanceRoleToken",
            json!({"Fingerprint": "f"}),
        )
        .await;
    assert_eq!(code(token), "UnrecognizedClientException");
}

#[tokio::test]
async fn each_principal_has_its_own_operations() {
    let world = World::new().await;
    let node = Node::join(&world).await;
    for operation in ["ListClusters", "ListTasks"] {
        assert_eq!(
            code(node.ecs(&world, operation, json!({})).await),
            "AccessDeniedException"
        );
    }
    let body = json!({"taskDefinition": "f"});
    assert_eq!(
        code(node.ecs(&world, "RunTask", body).await),
        "AccessDeniedException"
    );
    let by_operator = world
        .ssm("RequestManagedInstanceRoleToken", json!({"Fingerprint": "f"}))
        .await;
    assert_eq!(code(by_operator), "AccessDeniedException");
    assert_eq!(
        code(node.by_key(&world, "CreateActivation", json!({})).await),
        "AccessDeniedException"
    );
    let other = Node::join(&world).await;
    let body = json!({"containerInstance": other.arn});
    assert_eq!(
        code(node.ecs(&world, "DeregisterContainerInstance", body).await),
        "AccessDeniedException"
    );
    let body = json!({"containerInstances": [other.arn], "status": "DRAINING"});
    assert_eq!(
        code(node.ecs(&world, "UpdateContainerInstancesState", body).await),
        "AccessDeniedException"
    );
    let tags = node
        .ecs(&world, "ListTagsForResource", json!({"resourceArn": other.arn}))
        .await;
    assert_eq!(code(tags), "AccessDeniedException");
    assert!(
        node.ecs(&world, "ListTagsForResource", json!({"resourceArn": node.arn}))
            .await
            .is_ok()
    );
    let gone = world.call(
        &node.credentials,
        "ssm",
        "DeregisterManagedInstance",
        json!({"InstanceId": other.id}),
    );
    assert_eq!(code(gone.await), "AccessDeniedException");
}

#[tokio::test]
async fn a_node_changes_its_key() {
    let world = World::new().await;
    let node = Node::activate(&world).await;
    let same = register_request(&json!({}));
    let body = json!({"NewPublicKey": same["PublicKey"], "NewPublicKeyType": "Rsa"});
    node.by_key(&world, "UpdateManagedInstancePublicKey", body)
        .await
        .unwrap();
    let other = json!({"NewPublicKey": same["PublicKey"], "NewPublicKeyType": "Ec"});
    let answer = node.by_key(&world, "UpdateManagedInstancePublicKey", other).await;
    assert_eq!(code(answer), "ValidationException");
}
