//! A whole system on a host: containerd, registry, control plane, a registered and running agent, and an SDK client.

use std::future::Future;
use std::process::Command;
use std::rc::Rc;

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder;
use aws_sdk_ecs::types::{Container, ContainerDefinition, KeyValuePair, LaunchType, Task, TaskOverride};
use longshore_tests::agent::Agent;
use longshore_tests::containerd::Containerd;
use longshore_tests::control_plane::{ControlPlane, REGION};
use longshore_tests::host::{Host, on_a_host};
use longshore_tests::registry::Registry;
use longshore_tests::wait;

/// Everything that a test works with. Dropped in this order: clients first, containerd last.
pub struct System {
    pub ecs: aws_sdk_ecs::Client,
    pub ssm: aws_sdk_ssm::Client,
    pub agent: Agent,
    pub plane: ControlPlane,
    pub registry: Registry,
    pub containerd: Containerd,
    pub host: Rc<Host>,
    /// The reference of a busybox image in the registry.
    pub busybox: String,
}

/// Runs a test on a system with these settings of the agent; in the end nothing of a task may be left.
pub fn with_settings<F: Future<Output = System>>(
    settings: &'static [(&'static str, &'static str)],
    test: impl FnOnce(System) -> F,
) {
    run(|_| {}, settings, test);
}

fn run<F: Future<Output = System>>(
    prepare: impl FnOnce(&Host),
    settings: &'static [(&'static str, &'static str)],
    test: impl FnOnce(System) -> F,
) {
    on_a_host(|host| async move {
        prepare(&host);
        let system = System::start(host, settings).await;
        let system = test(system).await;
        system.stop_everything().await;
        wait::until("nothing of a task is left", || async {
            let left = system.left().await;
            if !left.is_empty() {
                eprintln!("left: {left:?}");
            }
            left.is_empty().then_some(())
        })
        .await;
    });
}

/// Runs a test on a system with the usual settings, on a host that something was done to before anything runs there.
pub fn with_prepared<F: Future<Output = System>>(
    prepare: impl FnOnce(&Host),
    test: impl FnOnce(System) -> F,
) {
    run(prepare, &[], test);
}

/// Runs a test on a system with the usual settings.
pub fn with<F: Future<Output = System>>(test: impl FnOnce(System) -> F) {
    with_settings(&[], test);
}

impl System {
    async fn start(host: Rc<Host>, settings: &[(&str, &str)]) -> Self {
        let containerd = Containerd::start(&host).await;
        let registry = Registry::start(&host).await;
        let plane = ControlPlane::start(&host).await;
        let busybox = registry.push_busybox(&host, "busybox:1", &serde_json::json!({}));
        let (ecs, ssm) = clients(&plane, &plane.secret_access_key);
        let agent = Agent::configure(&host, &containerd, settings);
        let mut system = Self {
            ecs,
            ssm,
            agent,
            plane,
            registry,
            containerd,
            host,
            busybox,
        };
        system.register().await;
        system.agent.start();
        system.until_connected().await;
        system
    }

    /// How often the agent's log says something.
    pub fn said(&self, text: &str) -> usize {
        self.agent.output().matches(text).count()
    }

    pub async fn until_said(&self, text: &str) {
        let said = || (self.said(text) > 0).then_some(());
        wait::until_some(&format!("the agent says {text:?}"), said).await;
    }

    /// Registers the machine by an activation of its own.
    pub async fn register(&self) {
        let activation = self
            .ssm
            .create_activation()
            .iam_role("longshore")
            .send()
            .await
            .expect("an activation");
        let (id, code) = (
            activation.activation_id().expect("an id"),
            activation.activation_code().expect("a code"),
        );
        self.agent.register(&self.plane, (id, code));
    }

    /// The ARNs of the container instances; nothing while the control plane doesn't answer.
    pub async fn instances(&self) -> Option<Vec<String>> {
        let answer = self.ecs.list_container_instances().send().await;
        answer.ok()?.container_instance_arns
    }

    /// Waits until an agent is connected, and answers with its instance's ARN.
    pub async fn until_connected(&self) -> String {
        wait::until("the agent is connected", || async {
            let arn = self.instances().await?.into_iter().next()?;
            let answer = self
                .ecs
                .describe_container_instances()
                .container_instances(&arn)
                .send()
                .await
                .ok()?;
            let instance = answer.container_instances?.into_iter().next()?;
            instance.agent_connected().then_some(arn)
        })
        .await
    }

    /// Registers a definition and answers with `family:revision`.
    pub async fn define(&self, family: &str, containers: Vec<ContainerDefinition>) -> String {
        let mut request = self.ecs.register_task_definition().family(family);
        request = request.network_mode(aws_sdk_ecs::types::NetworkMode::None);
        for container in containers {
            request = request.container_definitions(container);
        }
        self.define_with(request).await
    }

    /// Registers a definition made by hand and answers with `family:revision`.
    pub async fn define_with(
        &self,
        request: aws_sdk_ecs::operation::register_task_definition::builders::RegisterTaskDefinitionFluentBuilder,
    ) -> String {
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{:?}", error.message()));
        let definition = answer.task_definition.expect("a definition");
        format!(
            "{}:{}",
            definition.family().expect("a family"),
            definition.revision()
        )
    }

    /// Runs one task of a definition.
    pub async fn run(&self, definition: &str) -> String {
        self.run_with(definition, None).await
    }

    /// Runs one task of a definition with overrides.
    pub async fn run_with(&self, definition: &str, overrides: Option<TaskOverride>) -> String {
        let request = self.run_request(definition);
        self.run_by(request.set_overrides(overrides)).await
    }

    /// Runs one task of a definition in which commands may be run, and waits until it runs.
    pub async fn run_open(&self, definition: &str) -> String {
        let request = self.run_request(definition);
        let task = self.run_by(request.enable_execute_command(true)).await;
        self.until(&task, "RUNNING").await;
        task
    }

    fn run_request(&self, definition: &str) -> RunTaskFluentBuilder {
        let request = self.ecs.run_task().task_definition(definition);
        request.launch_type(LaunchType::External)
    }

    async fn run_by(&self, request: RunTaskFluentBuilder) -> String {
        let answer = request.send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{:?}", error.message()));
        assert!(answer.failures().is_empty(), "{:?}", answer.failures());
        let task = answer.tasks().first().expect("a task");
        assert_eq!(task.last_status(), Some("PENDING"));
        task.task_arn().expect("an ARN").to_owned()
    }

    /// Defines and runs one container.
    pub async fn run_container(&self, container: ContainerDefinition) -> String {
        let family = container.name().expect("a name").to_owned();
        let definition = self.define(&family, vec![container]).await;
        self.run(&definition).await
    }

    pub async fn describe(&self, task: &str) -> Task {
        let answer = self.ecs.describe_tasks().tasks(task).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{:?}", error.message()));
        answer
            .tasks
            .and_then(|tasks| tasks.into_iter().next())
            .expect("the task")
    }

    /// Waits until a task's lastStatus is `status`. Fails at once when it has stopped instead.
    pub async fn until(&self, task: &str, status: &str) -> Task {
        wait::until(&format!("{task} is {status}"), || async {
            let seen = self.describe(task).await;
            let last = seen.last_status().unwrap_or_default().to_owned();
            assert!(last != "STOPPED" || status == "STOPPED", "it stopped: {seen:?}");
            (last == status).then_some(seen)
        })
        .await
    }

    pub async fn stop(&self, task: &str) {
        let answer = self.ecs.stop_task().task(task).send().await;
        answer.unwrap_or_else(|error| panic!("{:?}", error.message()));
    }

    pub async fn stop_everything(&self) {
        let running = self
            .ecs
            .list_tasks()
            .send()
            .await
            .expect("the list")
            .task_arns
            .unwrap_or_default();
        for task in &running {
            let _ = self.ecs.stop_task().task(task).send().await;
        }
        for task in &running {
            self.until(task, "STOPPED").await;
        }
    }

    /// What is left of tasks: on the host and in containerd.
    pub async fn left(&self) -> Vec<String> {
        let mut left = self.host.leftovers();
        let namespace = self.host.containerd_namespace();
        for what in ["containers", "tasks", "snapshots"] {
            let list = self.containerd.ctr(&namespace, &[what, "list"]);
            // Snapshots of image layers are named by their chain ids and stay.
            let of_tasks = list
                .lines()
                .skip(1)
                .filter(|line| !line.starts_with("sha256:") && !line.trim().is_empty());
            left.extend(of_tasks.map(|line| format!("{what}: {line}")));
        }
        left
    }

    /// The cgroup of a container, below the agent's cgroup parent.
    pub fn cgroup_of(&self, task: &str, index: usize) -> String {
        let id = id_of(task);
        format!("{id}/{id}-{index}")
    }

    /// Runs the real AWS CLI.
    pub fn aws(&self, args: &[&str]) -> std::process::Output {
        self.aws_command(args).output().expect("the AWS CLI")
    }

    /// The real AWS CLI, for this system.
    pub fn aws_command(&self, args: &[&str]) -> Command {
        let venv =
            std::env::var("LONGSHORE_TEST_VENV").expect("LONGSHORE_TEST_VENV names the venv with awscli");
        let mut command = Command::new(format!("{venv}/bin/aws"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.host.dir());
        command
            .envs(self.plane.environment())
            .args(args)
            .args(["--output", "json"]);
        command
    }
}

/// Clients of a control plane whose secret key is `secret`.
pub fn clients(plane: &ControlPlane, secret: &str) -> (aws_sdk_ecs::Client, aws_sdk_ssm::Client) {
    let credentials =
        aws_credential_types::Credentials::new(&plane.access_key_id, secret, None, None, "longshore-tests");
    let http = aws_smithy_http_client::Builder::new().build_http();
    let ecs = aws_sdk_ecs::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_ecs::config::Region::new(REGION))
        .endpoint_url(plane.url())
        .credentials_provider(credentials.clone())
        .http_client(http.clone())
        .build();
    let ssm = aws_sdk_ssm::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_ssm::config::Region::new(REGION))
        .endpoint_url(plane.url())
        .credentials_provider(credentials)
        .http_client(http)
        .build();
    (
        aws_sdk_ecs::Client::from_conf(ecs),
        aws_sdk_ssm::Client::from_conf(ssm),
    )
}

/// The id at the end of a task's ARN.
pub fn id_of(task: &str) -> &str {
    task.rsplit('/').next().expect("an ARN")
}

/// A container that runs a shell script; 64 MiB.
pub fn shell(
    name: &str,
    image: &str,
    script: &str,
) -> aws_sdk_ecs::types::builders::ContainerDefinitionBuilder {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ContainerDefinition::builder()
        .name(name)
        .image(image)
        .memory(64)
        .set_command(Some(command))
}

pub fn variable(name: &str, value: &str) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}

/// The container of a task by its name.
pub fn container<'a>(task: &'a Task, name: &str) -> &'a Container {
    task.containers()
        .iter()
        .find(|container| container.name() == Some(name))
        .expect("the container")
}
