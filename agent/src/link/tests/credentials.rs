//! Whose word counts, and by which key and time calls are signed.

use super::*;

#[tokio::test]
async fn credentials_come_by_the_key_and_sign_in_the_servers_time() {
    let public = Arc::new(Mutex::new(String::new()));
    let expected = Arc::clone(&public);
    // The server's clock is two hours ahead: the first call of all is late, and only that one.
    let plane = plane(
        7200,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => {
                assert!(seen.signed_by(&expected.lock().unwrap()));
                assert_eq!(seen.authorization.as_ref().unwrap().access_key_id, INSTANCE);
                assert_eq!(seen.body, json!({"Fingerprint": "f"}));
                token(1, false)
            }
            "SubmitTaskStateChange" => {
                assert!(seen.signed_with("secret1"));
                assert_eq!(seen.body, json!({"cluster": "default", "task": "t"}));
                Reply::Json(200, json!({}))
            }
            other => panic!("{other}"),
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    public.lock().unwrap().clone_from(&node.key);
    let link = link(&node);
    link.submit_task_state_change(submit()).await.unwrap();
    link.submit_task_state_change(submit()).await.unwrap();
    let calls = plane.calls.lock().unwrap().clone();
    let token = "RequestManagedInstanceRoleToken";
    assert_eq!(
        calls,
        [token, token, "SubmitTaskStateChange", "SubmitTaskStateChange"]
    );
    assert_eq!(node.files.last_date(), None, "plain HTTP proves no time");
}

#[tokio::test]
async fn refused_credentials_are_renewed_once_and_then_the_node_is_unknown() {
    let issued = Mutex::new(0);
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => {
                *issued.lock().unwrap() += 1;
                token(*issued.lock().unwrap(), false)
            }
            _ if seen.signed_with("secret2") && seen.body["task"] == "t" => Reply::Json(200, json!({})),
            _ => Reply::Json(403, json!({"__type": "ExpiredTokenException", "message": "over"})),
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    let link = link(&node);
    link.submit_task_state_change(submit()).await.unwrap();
    let other = ecs::SubmitTaskStateChangeRequest::default();
    let error = link.submit_task_state_change(other).await.unwrap_err();
    assert!(matches!(error, LinkError::Identity { .. }), "{error}");
}

#[tokio::test]
async fn only_the_control_plane_can_say_that_a_node_is_unknown() {
    let refuse = |reply: fn() -> Reply| async move {
        let plane = plane(0, Arc::new(move |_| reply())).await;
        link(&node(&plane.endpoint)).check_identity().await.unwrap_err()
    };
    let unknown = || {
        Reply::Json(
            403,
            json!({"__type": "UnrecognizedClientException", "message": "who?"}),
        )
    };
    assert!(matches!(refuse(unknown).await, LinkError::Identity { .. }));
    assert!(
        refuse(|| Reply::Text(403, "<html>blocked</html>"))
            .await
            .is_transient()
    );
    assert!(
        refuse(|| Reply::Text(200, "<html>log in to the hotel</html>"))
            .await
            .is_transient()
    );
    assert!(refuse(|| Reply::Silence).await.is_transient());
    assert!(
        refuse(|| Reply::Json(500, json!({"__type": "ServerException"})))
            .await
            .is_transient()
    );
}

#[tokio::test]
async fn a_new_key_is_used_even_when_its_acknowledgement_got_lost() {
    let taken = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&taken);
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
                    Reply::Silence
                }
                _ => token(1, true),
            }
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    taken.lock().unwrap().clone_from(&node.key);
    link(&node).check_identity().await.unwrap();
    let next = node.files.next_key().unwrap().unwrap().public().unwrap();
    assert_eq!(*taken.lock().unwrap(), next);
    assert_eq!(
        node.files.key().unwrap().public().unwrap(),
        node.key,
        "the old key stays until it is certain"
    );
    // After a restart: the old key is refused, the next one is taken and becomes the key.
    link(&node).check_identity().await.unwrap();
    assert_eq!(node.files.key().unwrap().public().unwrap(), next);
}

// Invariant 1: a report that counts as told is never told again.
#[tokio::test]
async fn a_signature_that_is_broken_on_its_way_refuses_no_report() {
    let plane = plane(
        0,
        Arc::new(|seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => token(1, false),
            // As a proxy that changes the Host header has it.
            _ => Reply::Json(
                403,
                json!({"__type": "InvalidSignatureException", "message": "it does not match"}),
            ),
        }),
    )
    .await;
    let error = link(&node(&plane.endpoint))
        .submit_task_state_change(submit())
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
}
