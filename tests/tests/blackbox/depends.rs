//! Containers that wait for each other, and stop one after the other.

use std::path::PathBuf;

use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{
    ContainerCondition, ContainerDefinition, ContainerDependency, HostVolumeProperties, MountPoint,
    NetworkMode, TaskStopCode, Volume,
};

use crate::system::{self, System, container, shell};

fn on(name: &str, condition: ContainerCondition) -> ContainerDependency {
    let edge = ContainerDependency::builder()
        .container_name(name)
        .condition(condition);
    edge.build().expect("both are there")
}

/// A container that sees the folder of its test as `/data`.
fn with_data(name: &str, image: &str, script: &str) -> ContainerDefinitionBuilder {
    let mount = MountPoint::builder()
        .source_volume("data")
        .container_path("/data");
    shell(name, image, script)
        .mount_points(mount.build())
        .stop_timeout(30)
}

fn folder(system: &System) -> PathBuf {
    let folder = system.host.dir().join("shared");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

async fn run(system: &System, containers: Vec<ContainerDefinition>) -> String {
    let folder = folder(system);
    let host = HostVolumeProperties::builder().source_path(folder.to_str().expect("UTF-8"));
    let volume = Volume::builder().name("data").host(host.build()).build();
    let request = system
        .ecs
        .register_task_definition()
        .family("chain")
        .network_mode(NetworkMode::None)
        .volumes(volume)
        .set_container_definitions(Some(containers));
    let definition = system.define_with(request).await;
    system.run(&definition).await
}

/// Ends as if it took a while, so that one that is stopped too early would be seen to write first.
const WRITES_AT_ITS_END: &str = "trap 'sleep 1; echo $NAME >> /data/order; exit 0' TERM; echo ready; \
                                 while :; do sleep 0.1; done";

fn writer(name: &str, image: &str) -> ContainerDefinitionBuilder {
    with_data(name, image, &WRITES_AT_ITS_END.replace("$NAME", name))
}

#[test]
fn a_chain_comes_up_link_by_link_and_goes_down_in_reverse() {
    system::with(|system| async move {
        let image = &system.busybox;
        let migrate = with_data(
            "migrate",
            image,
            "while [ ! -e /data/go ]; do sleep 0.05; done; echo migrate >> /data/begun",
        )
        .essential(false);
        let begin = |name: &str| {
            format!(
                "echo {name} >> /data/begun; {}",
                WRITES_AT_ITS_END.replace("$NAME", name)
            )
        };
        let app =
            with_data("app", image, &begin("app")).depends_on(on("migrate", ContainerCondition::Success));
        let proxy =
            with_data("proxy", image, &begin("proxy")).depends_on(on("app", ContainerCondition::Start));
        let task = run(&system, vec![proxy.build(), app.build(), migrate.build()]).await;

        let seen = system.until(&task, "ACTIVATING").await;
        let status = |task: &_, name| container(task, name).last_status().map(str::to_owned);
        assert_eq!(status(&seen, "migrate").as_deref(), Some("RUNNING"));
        assert_eq!(status(&seen, "app").as_deref(), Some("PENDING"));
        let tasks = system.agent.ask("tasks", &["--json"]).stdout;
        let tasks = String::from_utf8(tasks).expect("UTF-8");
        assert!(tasks.contains("waiting for 'migrate' to exit with 0"), "{tasks}");
        std::fs::write(folder(&system).join("go"), "").expect("a file");

        let seen = system.until(&task, "RUNNING").await;
        assert_eq!(status(&seen, "migrate").as_deref(), Some("STOPPED"));
        assert_eq!(container(&seen, "migrate").exit_code(), Some(0));
        for name in ["app", "proxy"] {
            system.agent.until_logs(&task, name, "ready").await;
        }
        let begun = std::fs::read_to_string(folder(&system).join("begun")).expect("a file");
        assert!(begun.starts_with("migrate\n"), "{begun}");
        system.stop(&task).await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::UserInitiated));
        let order = std::fs::read_to_string(folder(&system).join("order")).expect("a file");
        assert_eq!(order, "proxy\napp\n");
        system
    });
}

#[test]
fn an_essential_exit_stops_dependents_before_what_they_depend_on() {
    system::with(|system| async move {
        let image = &system.busybox;
        let ends = with_data(
            "ends",
            image,
            "while [ ! -e /data/go ]; do sleep 0.05; done; exit 5",
        );
        let top = writer("top", image).depends_on(on("base", ContainerCondition::Start));
        let containers = vec![writer("base", image).build(), top.build(), ends.build()];
        let task = run(&system, containers).await;
        for name in ["base", "top"] {
            system.agent.until_logs(&task, name, "ready").await;
        }
        std::fs::write(folder(&system).join("go"), "").expect("a file");
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
        assert_eq!(container(&stopped, "ends").exit_code(), Some(5));
        let order = std::fs::read_to_string(folder(&system).join("order")).expect("a file");
        assert_eq!(order, "top\nbase\n");
        system
    });
}

#[test]
fn a_dependency_that_failed_is_named_and_its_dependent_never_runs() {
    system::with(|system| async move {
        let image = &system.busybox;
        let migrate = shell("migrate", image, "exit 4").essential(false);
        let app = shell("app", image, "echo never").depends_on(on("migrate", ContainerCondition::Success));
        let task = run(&system, vec![app.build(), migrate.build()]).await;
        let stopped = system.until(&task, "STOPPED").await;
        let edge = "TaskDependencyError: container 'app' depends on 'migrate' with SUCCESS, but 'migrate' exited with 4";
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
        assert_eq!(stopped.stopped_reason(), Some(edge));
        let app = container(&stopped, "app");
        assert_eq!((app.exit_code(), app.reason()), (None, Some(edge)));
        assert_eq!(container(&stopped, "migrate").exit_code(), Some(4));
        system
    });
}
