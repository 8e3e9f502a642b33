//! The kit itself: a host runs containers by hand, notices what is left, and takes everything with it.

use longshore_tests::containerd::Containerd;
use longshore_tests::host::on_a_host;
use longshore_tests::registry::Registry;
use serde_json::json;

#[test]
fn a_host_runs_a_container_from_its_registry_and_notices_what_is_left() {
    on_a_host(|host| async move {
        let containerd = Containerd::start(&host).await;
        let registry = Registry::start(&host).await;
        let image = registry.push_busybox(&host, "busybox:1", &json!({}));
        let namespace = host.containerd_namespace();
        containerd.ctr(&namespace, &["images", "pull", "--plain-http", &image]);
        let said = containerd.ctr(&namespace, &["run", "--rm", &image, "one", "/bin/echo", "hello"]);
        assert_eq!(said, "hello");
        assert_eq!(host.leftovers(), Vec::<String>::new());

        let cgroup = format!("{}/task/two", host.cgroup_parent());
        containerd.ctr(
            &namespace,
            &[
                "run",
                "-d",
                "--cgroup",
                &cgroup,
                &image,
                "two",
                "/bin/sleep",
                "1000",
            ],
        );
        let left = host.leftovers();
        assert!(left.iter().any(|line| line.starts_with("cgroup ")), "{left:?}");
        assert!(left.iter().any(|line| line.starts_with("mount ")), "{left:?}");
    });
}

#[test]
fn a_registry_with_a_login_wants_it() {
    on_a_host(|host| async move {
        let registry = Registry::start_with_login(&host).await;
        let image = registry.push_busybox(&host, "busybox:1", &json!({}));
        let inspect = |creds: &[&str]| {
            let mut command = std::process::Command::new("skopeo");
            command
                .args(["inspect", "--tls-verify=false"])
                .args(creds)
                .arg(format!("docker://{image}"));
            command.output().expect("skopeo").status.success()
        };
        assert!(!inspect(&[]));
        assert!(inspect(&["--creds", "dock:worker"]));
    });
}
