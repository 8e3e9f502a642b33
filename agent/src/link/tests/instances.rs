//! A container instance that is not what it was, endpoints, and keys that are changed at the same time.

use super::*;

const OTHER: &str =
    "arn:aws:ecs:us-east-1:000000000000:container-instance/default/ffffffffffffffffffffffffffffffff";

fn request() -> ecs::RegisterContainerInstanceRequest {
    ecs::RegisterContainerInstanceRequest::default()
}

#[tokio::test]
async fn a_node_that_was_deregistered_becomes_another_instance_and_counts_from_the_beginning() {
    let gone = Arc::new(Mutex::new(false));
    let is_gone = Arc::clone(&gone);
    let inactive = || {
        Reply::Json(
            400,
            json!({"__type": "InactiveInstanceException", "message": "register"}),
        )
    };
    let instance = |arn: &str| Reply::Json(200, json!({"containerInstance": {"containerInstanceArn": arn}}));
    let own = Arc::new(Mutex::new(String::new()));
    let endpoint = Arc::clone(&own);
    let plane = plane(
        0,
        Arc::new(move |seen| {
            let gone = *is_gone.lock().unwrap();
            match (
                seen.operation.as_str(),
                seen.body["containerInstanceArn"].as_str(),
            ) {
                ("RequestManagedInstanceRoleToken", _) => token(1, false),
                ("DiscoverPollEndpoint", _) => {
                    Reply::Json(200, json!({"endpoint": *endpoint.lock().unwrap()}))
                }
                ("RegisterContainerInstance", Some(ARN)) if gone => inactive(),
                ("RegisterContainerInstance", None) if gone => instance(OTHER),
                ("RegisterContainerInstance", None) => instance(ARN),
                ("RegisterContainerInstance", Some(arn)) => instance(arn),
                ("/v1/poll", _) => inactive(),
                other => panic!("{other:?}"),
            }
        }),
    )
    .await;
    own.lock().unwrap().clone_from(&plane.endpoint);
    let node = node(&plane.endpoint);
    let link = link(&node);
    link.register_container_instance(request()).await.unwrap();
    assert!(link.begins());
    link.has_begun().await.unwrap();
    link.register_container_instance(request()).await.unwrap();
    assert!(!link.begins(), "it is the same one");

    *gone.lock().unwrap() = true;
    let error = link.poll(&poll()).await.unwrap_err();
    assert!(error.is_inactive(), "{error}");
    tokio::time::timeout(Duration::from_secs(20), link.until_inactive())
        .await
        .unwrap();
    let error = link.register_container_instance(request()).await.unwrap_err();
    assert!(error.is_inactive(), "{error}");
    assert_eq!(
        node.files.load().unwrap().container_instance.unwrap().to_string(),
        ARN,
        "it is what it was until it is another one"
    );
    link.register_anew(request()).await.unwrap();
    let stored = node.files.load().unwrap();
    assert_eq!(stored.container_instance.unwrap().to_string(), OTHER);
    assert!(stored.begins && stored.client_token.is_none());
    let soon = tokio::time::timeout(Duration::from_millis(10), link.until_inactive()).await;
    assert!(soon.is_err(), "it is registered");
}

#[tokio::test]
async fn a_poll_endpoint_that_gives_away_what_is_said_is_refused() {
    let node = node("https://control.example");
    let secure = link(&node);
    let check = |address: &str| secure.check_address(address).is_ok();
    assert!(check("https://poll.example:8474"));
    let long = format!("https://a/{}", "x".repeat(3000));
    for bad in [
        "http://control.example",
        "file:///etc/shadow",
        "unix:/run/x",
        "poll.example",
        "",
        &long,
    ] {
        assert!(!check(bad), "{bad}");
    }
}

#[tokio::test]
async fn a_key_that_is_changed_by_two_calls_at_once_is_still_the_nodes() {
    let taken = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&taken);
    let files = Arc::new(Mutex::new(None::<IdentityFiles>));
    let disk = Arc::clone(&files);
    let plane = plane(
        0,
        Arc::new(move |seen| {
            let mut known = known.lock().unwrap();
            if !seen.signed_by(&known) {
                return wrong_signature();
            }
            match seen.operation.as_str() {
                "UpdateManagedInstancePublicKey" => {
                    *known = seen.body["NewPublicKey"].as_str().unwrap().to_owned();
                    // Time for another call to store a key of its own, as it would without a lock.
                    let begun = SystemClock.since_boot();
                    let next = || disk.lock().unwrap().as_ref()?.next_key().ok()??.public().ok();
                    while next().as_ref() == Some(&*known)
                        && SystemClock.since_boot() - begun < Duration::from_secs(2)
                    {
                        std::thread::yield_now();
                    }
                    Reply::Json(200, json!({}))
                }
                _ => token(1, true),
            }
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    taken.lock().unwrap().clone_from(&node.key);
    *files.lock().unwrap() = Some(node.files.clone());
    let link = link(&node);
    let _ = tokio::join!(
        link.check_identity(),
        link.check_identity(),
        link.check_identity(),
        link.check_identity()
    );
    let now = node.files.key().unwrap().public().unwrap();
    assert_ne!(now, node.key);
    assert_eq!(
        *taken.lock().unwrap(),
        now,
        "the control plane knows the key that is kept"
    );
    link.check_identity().await.unwrap();
}
