//! Each call: what is asked, and what becomes of a lost answer.

use super::*;

#[tokio::test]
async fn a_registration_whose_answer_got_lost_is_made_again_as_the_same() {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen_tokens = Arc::clone(&tokens);
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => token(1, false),
            _ => {
                let mut tokens = seen_tokens.lock().unwrap();
                tokens.push((
                    seen.body["clientToken"].clone(),
                    seen.body["containerInstanceArn"].clone(),
                ));
                match tokens.len() {
                    1 => Reply::Silence,
                    _ => Reply::Json(200, json!({"containerInstance": {"containerInstanceArn": ARN}})),
                }
            }
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    let request = ecs::RegisterContainerInstanceRequest::default;
    link(&node)
        .register_container_instance(request())
        .await
        .unwrap_err();
    let again = link(&node);
    for _ in 0..2 {
        again.register_container_instance(request()).await.unwrap();
    }
    let tokens = tokens.lock().unwrap();
    assert!(tokens[0].0.is_string());
    assert_eq!(tokens[0], tokens[1], "the second try is the first one again");
    assert_eq!(tokens[2], (Value::Null, ARN.into()));
    assert_eq!(
        node.files.load().unwrap().container_instance.unwrap().to_string(),
        ARN
    );
}

#[tokio::test]
async fn the_poll_endpoint_is_asked_for_once_and_again_after_a_failure() {
    let address = Arc::new(Mutex::new(String::new()));
    let endpoint = Arc::clone(&address);
    let polls = Mutex::new(0);
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => token(1, false),
            "DiscoverPollEndpoint" => Reply::Json(200, json!({"endpoint": *endpoint.lock().unwrap()})),
            _ => {
                assert!(seen.operation == "/v1/poll" && seen.signed_with("secret1"));
                *polls.lock().unwrap() += 1;
                match *polls.lock().unwrap() {
                    3 => Reply::Text(502, "bad gateway"),
                    _ => Reply::Json(
                        200,
                        json!({"incarnation": "1", "cursor": 5, "instance": "ACTIVE"}),
                    ),
                }
            }
        }),
    )
    .await;
    address.lock().unwrap().clone_from(&plane.endpoint);
    let node = node(&plane.endpoint);
    let link = link(&node);
    let poll = poll();
    for expected in [true, true, false, true] {
        let answer = tokio::time::timeout(Duration::from_secs(20), link.poll(&poll))
            .await
            .unwrap();
        assert_eq!(answer.is_ok(), expected);
        assert!(answer.map_or(true, |answer| answer.cursor.cursor == 5));
    }
    let discoveries = plane
        .calls
        .lock()
        .unwrap()
        .iter()
        .filter(|call| *call == "DiscoverPollEndpoint")
        .count();
    assert_eq!(discoveries, 2);
}

#[tokio::test]
async fn an_activation_makes_a_node_and_a_lost_answer_does_not_make_two() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen_keys = Arc::clone(&keys);
    let plane = plane(
        0,
        Arc::new(move |seen| {
            assert!(seen.authorization.is_none());
            assert_eq!(seen.body["ActivationCode"], "code");
            let mut keys = seen_keys.lock().unwrap();
            keys.push(seen.body["PublicKey"].clone());
            match keys.len() {
                1 => Reply::Silence,
                _ => Reply::Json(200, json!({"InstanceId": INSTANCE, "Region": "eu-west-1"})),
            }
        }),
    )
    .await;
    let dir = tempfile::tempdir().unwrap();
    let files = IdentityFiles::new(&dir.path().join("data"));
    let activation = Activation {
        endpoint: plane.endpoint.clone(),
        cluster: "edge".to_owned(),
        id: "id".to_owned(),
        code: "code".to_owned(),
        trust: Trust::System,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificates = Arc::new(CertificateClock::new(Arc::clone(&clock)));
    let http = Client::new(client_config(&Trust::System, Arc::clone(&certificates)).unwrap());
    let attempt = || {
        register(
            http.clone(),
            Arc::clone(&certificates),
            Arc::clone(&clock),
            &files,
            &activation,
            "f",
        )
    };
    attempt().await.unwrap_err();
    assert_eq!(files.find().unwrap(), None);
    let identity = attempt().await.unwrap();
    assert_eq!(identity, files.load().unwrap());
    assert_eq!(
        (identity.region.as_str(), identity.cluster.as_str()),
        ("eu-west-1", "edge")
    );
    let keys = keys.lock().unwrap();
    assert_eq!(keys[0], keys[1], "the same key again is the same machine");
    assert_eq!(keys[1], files.key().unwrap().public().unwrap());
}
