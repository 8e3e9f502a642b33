//! Bad input, and no room: named errors, and nothing lost.

use aws_sdk_ecs::error::ProvideErrorMetadata;
use std::io::{Read as _, Write as _};

use crate::system::{self, clients, shell};

#[test]
fn a_task_that_fits_nowhere_is_a_failure_by_name() {
    system::with(|system| async move {
        let huge = shell("huge", &system.busybox, "true").memory(100_000_000).build();
        let definition = system.define("huge", vec![huge]).await;
        let answer = system
            .ecs
            .run_task()
            .task_definition(&definition)
            .send()
            .await
            .expect("an answer");
        assert!(answer.tasks().is_empty());
        assert_eq!(answer.failures()[0].reason(), Some("RESOURCE:MEMORY"));
        assert!(
            answer.failures()[0]
                .arn()
                .is_some_and(|arn| arn.contains(":container-instance/"))
        );
        system
    });
}

#[test]
fn a_node_whose_agent_is_away_is_a_failure_by_name() {
    system::with(|mut system| async move {
        let definition = system
            .define("away", vec![shell("away", &system.busybox, "true").build()])
            .await;
        system.agent.terminate().await;
        let instances = system
            .ecs
            .list_container_instances()
            .send()
            .await
            .expect("the list");
        let instance = instances
            .container_instance_arns()
            .first()
            .expect("the instance")
            .clone();
        longshore_tests::wait::until("the agent counts as away", || async {
            let request = system
                .ecs
                .describe_container_instances()
                .container_instances(&instance);
            let instance = request
                .send()
                .await
                .ok()?
                .container_instances?
                .into_iter()
                .next()?;
            (!instance.agent_connected()).then_some(())
        })
        .await;
        let answer = system
            .ecs
            .run_task()
            .task_definition(&definition)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.failures()[0].reason(), Some("AGENT"));
        system.agent.start();
        system.until_connected().await;
        system
    });
}

#[test]
fn a_wrong_secret_key_is_refused() {
    system::with(|system| async move {
        let (ecs, ssm) = clients(&system.plane, "not/the/secret");
        let error = ecs.list_clusters().send().await.expect_err("a refusal");
        assert_eq!(error.code(), Some("InvalidSignatureException"), "{error:?}");
        assert_eq!(error.raw_response().map(|raw| raw.status().as_u16()), Some(400));
        let error = ssm
            .create_activation()
            .iam_role("x")
            .send()
            .await
            .expect_err("a refusal");
        assert_eq!(error.code(), Some("InvalidSignatureException"), "{error:?}");
        system
    });
}

#[test]
fn an_activation_works_as_often_as_it_says() {
    system::with(|system| async move {
        let activation = system
            .ssm
            .create_activation()
            .iam_role("longshore")
            .send()
            .await
            .expect("an activation");
        let code = activation.activation_code().expect("a code");
        let again = longshore_tests::agent::Agent::configure(
            &system.host,
            &system.containerd,
            &[(
                "LONGSHORE_DATA_DIR",
                system.host.dir().join("second").to_str().expect("UTF-8"),
            )],
        );
        let register = |id: &str, code: &str| {
            let args = [
                "--endpoint",
                &system.plane.url(),
                "--cluster",
                "default",
                "--activation-id",
                id,
                "--activation-code",
                code,
            ];
            again.ask("register", &args)
        };
        let wrong = register(
            activation.activation_id().expect("an id"),
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        );
        assert!(!wrong.status.success());
        assert!(
            String::from_utf8_lossy(&wrong.stderr).contains("InvalidActivation"),
            "{wrong:?}"
        );
        assert!(
            register(activation.activation_id().expect("an id"), code)
                .status
                .success()
        );
        system
    });
}

#[test]
fn a_definition_with_a_field_that_does_not_work_yet_is_refused_by_name() {
    system::with(|system| async move {
        let odd = shell("odd", &system.busybox, "true").hostname("somebody").build();
        let answer = system
            .ecs
            .register_task_definition()
            .family("odd")
            .container_definitions(odd)
            .send()
            .await;
        let error = answer.expect_err("a refusal");
        assert!(
            error.message().unwrap_or_default().contains("hostname"),
            "{error:?}"
        );
        system
    });
}

/// Sends a body as it is and answers with all that comes back.
fn raw(address: &str, target: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn nonsense_is_answered_with_names() {
    system::with(|system| async move {
        let url = system.plane.url();
        let address = url.trim_start_matches("http://");
        let unsigned = raw(address, "AmazonEC2ContainerServiceV20141113.ListClusters", "{}");
        assert!(unsigned.starts_with("HTTP/1.1 400"), "{unsigned}");
        assert!(unsigned.contains("MissingAuthenticationToken"), "{unsigned}");
        // RegisterManagedInstance takes no signature, so it is where anybody can send nonsense.
        let malformed = raw(
            address,
            "AmazonSSM.RegisterManagedInstance",
            "{\"ActivationId\": ",
        );
        assert!(
            malformed.starts_with("HTTP/1.1 400") && malformed.contains("SerializationException"),
            "{malformed}"
        );
        let unknown = raw(address, "AmazonSSM.LaunchRocket", "{}");
        assert!(unknown.contains("UnknownOperationException"), "{unknown}");
        system
    });
}
