//! A data folder whose disk hangs or refuses while the link has something to write down. A FIFO that nobody reads is a
//! file on a disk that does not answer.

use std::path::{Path, PathBuf};

use super::*;

/// A disk that doesn't answer to who writes `file`.
struct Hanging(PathBuf);

impl Hanging {
    fn at(folder: &Path, file: &str) -> Self {
        let fifo = folder.join(format!("{file}.new"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Self(fifo)
    }

    /// It answers: what was to be written is not, and whatever comes next is.
    fn answer(self) {
        // Read and write: whoever waits to open it for writing goes on, and nobody else need come.
        let opened = std::fs::File::options().read(true).write(true).open(&self.0);
        std::fs::remove_file(&self.0).unwrap();
        drop(opened.unwrap());
    }
}

/// The key that a control plane knows.
type Known = Arc<Mutex<String>>;

/// Knows a node by its key, changes that where `wants_another`, and takes everything else. The first credentials are over
/// for the task `later`.
async fn plane_for_keys(wants_another: bool) -> (Plane, Known) {
    let known = Known::default();
    let (key, issued) = (Arc::clone(&known), Mutex::new(0));
    let answer = move |seen: &Seen| {
        let mut key = key.lock().unwrap();
        match seen.operation.as_str() {
            "SubmitTaskStateChange" if seen.body["task"] == "later" && seen.signed_with("secret1") => {
                Reply::Json(403, json!({"__type": "ExpiredTokenException", "message": "over"}))
            }
            "SubmitTaskStateChange" => Reply::Json(200, json!({})),
            "RegisterContainerInstance" => {
                Reply::Json(200, json!({"containerInstance": {"containerInstanceArn": ARN}}))
            }
            _ if !seen.signed_by(&key) => wrong_signature(),
            "UpdateManagedInstancePublicKey" => {
                *key = seen.body["NewPublicKey"].as_str().unwrap().to_owned();
                Reply::Json(200, json!({}))
            }
            _ => {
                *issued.lock().unwrap() += 1;
                token(*issued.lock().unwrap(), wants_another)
            }
        }
    };
    (plane(0, Arc::new(answer)).await, known)
}

/// A node that it knows.
async fn known_node(wants_another: bool) -> (Plane, Known, Node) {
    let (plane, known) = plane_for_keys(wants_another).await;
    let node = node(&plane.endpoint);
    known.lock().unwrap().clone_from(&node.key);
    (plane, known, node)
}

fn later() -> ecs::SubmitTaskStateChangeRequest {
    ecs::SubmitTaskStateChangeRequest {
        task: Some("later".to_owned()),
        ..Default::default()
    }
}

fn public(key: Option<NodeKey>) -> Option<String> {
    key.map(|key| key.public().unwrap())
}

#[tokio::test]
async fn reports_go_on_while_who_the_node_is_cant_be_written_down() {
    let (_plane, _, node) = known_node(false).await;
    let link = link(&node);
    let disk = Hanging::at(node.dir.path(), "identity.json");
    let request = ecs::RegisterContainerInstanceRequest::default;
    let reported = async {
        // The registration is about to write by then.
        tokio::task::yield_now().await;
        let reported = link.submit_task_state_change(submit()).await;
        disk.answer();
        reported
    };
    let (registered, reported) = tokio::join!(link.register_container_instance(request()), reported);
    reported.unwrap();
    if let Err(error) = registered {
        assert!(error.is_transient(), "{error}");
    }
    assert_eq!(link.identity(), node.files.load().unwrap());
    link.register_container_instance(request()).await.unwrap();
    let identity = link.identity();
    assert_eq!(identity, node.files.load().unwrap());
    assert_eq!(identity.container_instance.unwrap().to_string(), ARN);
}

#[tokio::test]
async fn credentials_are_given_while_the_new_key_cant_be_written_down() {
    let (plane, known, node) = known_node(true).await;
    let link = link(&node);
    let disk = Hanging::at(node.dir.path(), "node-next.pem");
    let first = link.check_identity();
    let others = async {
        // They are there once the first has asked for them.
        while plane.calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let reported = link.submit_task_state_change(submit()).await;
        assert_eq!(
            *known.lock().unwrap(),
            node.key,
            "no key is offered that isn't stored"
        );
        disk.answer();
        reported
    };
    let (first, others) = tokio::join!(first, others);
    first.unwrap();
    others.unwrap();
    link.submit_task_state_change(later()).await.unwrap();
    let stored = public(node.files.key().ok()).unwrap();
    assert_eq!(*known.lock().unwrap(), stored);
    assert_ne!(stored, node.key);
}

/// The answer to a new key got lost, and then the disk refuses to make it the only one.
#[tokio::test]
async fn a_key_that_cant_be_moved_still_gets_credentials_and_is_moved_later() {
    let (_plane, known, node) = known_node(false).await;
    let next = NodeKey::generate().unwrap();
    node.files.store_next_key(&next).unwrap();
    *known.lock().unwrap() = next.public().unwrap();
    let link = link(&node);
    let key = node.dir.path().join("node.pem");
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    link.submit_task_state_change(submit()).await.unwrap();
    std::fs::remove_dir(&key).unwrap();
    link.submit_task_state_change(later()).await.unwrap();
    assert_eq!(public(node.files.key().ok()), next.public().ok());
    assert_eq!(public(node.files.next_key().unwrap()), None);
}
