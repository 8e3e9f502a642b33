use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::clock::SystemClock;
use crate::network::lock::lock;

/// A folder with one plugin, a shell script.
struct Place {
    dir: tempfile::TempDir,
    lock: Lock,
    container: ContainerId,
}

impl Place {
    async fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Written under another name: a script that another test's fork holds open for writing can't be run.
        let (new, path) = (dir.path().join("new"), dir.path().join("bridge"));
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(
            std::process::Command::new("cp")
                .arg("-p")
                .args([&new, &path])
                .status()
                .unwrap()
                .success()
        );
        let lock = lock(&dir.path().join("c"), true, &SystemClock).await.unwrap();
        Self {
            dir,
            lock: lock.unwrap(),
            container: "0123456789abcdef0123456789abcdef-0".parse().unwrap(),
        }
    }

    async fn call(&self) -> Result<Value, NetworkError> {
        let plugins = Plugins {
            dirs: vec!["/nonexistent".into(), self.dir.path().to_owned()],
            clock: Arc::new(SystemClock),
        };
        let call = Call {
            verb: Verb::Add,
            container: &self.container,
            namespace: Some(Path::new("/netns")),
            interface: "eth0",
            lock: &self.lock,
        };
        plugins
            .call(&call, &json!({"type": "bridge", "name": "net"}))
            .await
    }

    async fn fails_with(&self, part: &str) {
        let NetworkError::Plugin {
            command, plugin, why, ..
        } = self.call().await.unwrap_err()
        else {
            panic!("not the plugin's error");
        };
        assert_eq!((command, plugin.as_str()), ("ADD", "bridge"));
        assert!(why.contains(part), "{why}");
    }
}

#[tokio::test]
async fn a_plugin_gets_what_the_specification_says() {
    let script = r#"printf '{"verb":"%s","id":"%s","ns":"%s","if":"%s","path":"%s","conf":' \
        $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_PATH; cat; echo '}'"#;
    let place = Place::new(script).await;
    let expected = json!({
        "verb": "ADD",
        "id": "0123456789abcdef0123456789abcdef-0",
        "ns": "/netns",
        "if": "eth0",
        "path": format!("/nonexistent:{}", place.dir.path().display()),
        "conf": {"type": "bridge", "name": "net"},
    });
    assert_eq!(place.call().await.unwrap(), expected);
}

#[tokio::test]
async fn a_plugins_error_is_told_in_its_words() {
    let failing = r#"echo '{"cniVersion":"0.4.0","code":7,"msg":"no subnet","details":"set one"}'; exit 1"#;
    Place::new(failing)
        .await
        .fails_with("no subnet: set one (code 7)")
        .await;
    Place::new("echo oops; exit 1").await.fails_with("oops").await;
    Place::new("echo oops")
        .await
        .fails_with("its result is not JSON")
        .await;
    Place::new("cat > /dev/null").await.call().await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_is_given_up_ends_with_what_it_started() {
    let place = Place::new("sleep 1000 & echo $! > $0.pid; wait").await;
    let file = place.dir.path().join("bridge.pid");
    let started = async {
        loop {
            match fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    let pid = tokio::select! {
        result = place.call() => panic!("{result:?}"),
        pid = started => pid,
    };
    let ended = async {
        loop {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Gone, or dead and not yet collected.
            if stat.is_empty() || stat.contains(") Z ") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_plugin_keeps_the_containers_lock() {
    // The agent has died meanwhile: nothing but the plugin has the lock.
    let place = Place::new("cat > /dev/null; exec >&-; sleep 0.2; echo late >&2").await;
    let folder = place.dir.path().join("c");
    let Place {
        dir,
        lock: held,
        container,
    } = place;
    let plugin = std::process::Command::new(dir.path().join("bridge"))
        .stdin(Stdio::null())
        .stderr(Stdio::from(held.try_clone().unwrap()))
        .spawn();
    drop(held);
    let waited = lock(&folder, true, &SystemClock).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("lock")).unwrap(), "late\n");
    drop((waited, container));
    plugin.unwrap().wait().unwrap();
}
