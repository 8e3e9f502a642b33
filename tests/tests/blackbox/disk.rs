//! Disks that are full, and files that are gone, damaged or of another time: what runs goes on, and the node says why.

use std::path::{Path, PathBuf};

use aws_sdk_ecs::types::{ContainerInstance, ContainerInstanceField, InstanceHealthCheckState};
use longshore_tests::{image, wait};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::deaths::{Waiting, is_dead, pid_of, until_dead};
use crate::system::{self, System, container, shell};

/// Ends with code 5 when it is told to.
const GRACEFUL: &str = "trap 'exit 5' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done";

/// A small file system in place of a folder.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    fn at(at: &Path, bytes: u64) -> Self {
        let kept = moved_away(at);
        let size = format!("size={bytes},mode=700");
        mount(Some("disk"), at, Some("tmpfs"), MsFlags::empty(), Some(&*size)).expect("a small disk");
        copy(&kept, at);
        Self { at: at.to_owned() }
    }

    fn fill(&self) {
        let filler = std::fs::write(self.at.join("filler"), vec![0; 64 << 20]);
        filler.expect_err("it is full now");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.at.join("filler")).expect("it was filled");
    }

    /// Brings back what is on it to where it was.
    fn leave(self) {
        let kept = self.at.with_extension("kept");
        copy(&self.at, &kept);
        umount2(&self.at, MntFlags::MNT_DETACH).expect("it is mounted");
        std::fs::remove_dir(&self.at).expect("an empty folder");
        std::fs::rename(kept, &self.at).expect("a free name");
    }
}

fn moved_away(folder: &Path) -> PathBuf {
    let kept = folder.with_extension("kept");
    std::fs::rename(folder, &kept).expect("a free name");
    std::fs::create_dir(folder).expect("a free name");
    kept
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    let mut command = std::process::Command::new("cp");
    longshore_tests::process::run(command.arg("-a").arg(from.join(".")).arg(to));
    if from.extension().is_some() {
        std::fs::remove_dir_all(from).expect("a copy");
    }
}

/// A system whose agent has a disk of its own, on which there is room.
async fn on_a_small_disk(system: &mut System) -> SmallDisk {
    system.agent.terminate().await;
    let disk = SmallDisk::at(&system.agent.data_dir(), 4 << 20);
    system.agent.start();
    system.until_connected().await;
    disk
}

/// Ends everything, so that the disk can be taken away.
async fn leave(system: &mut System, disk: SmallDisk) {
    system.stop_everything().await;
    system.agent.terminate().await;
    disk.leave();
    system.agent.start();
    system.until_connected().await;
}

async fn instance(system: &System) -> ContainerInstance {
    let request = system
        .ecs
        .describe_container_instances()
        .container_instances(system.until_connected().await)
        .include(ContainerInstanceField::ContainerInstanceHealth);
    let answer = request.send().await.expect("an answer");
    answer
        .container_instances()
        .first()
        .expect("the instance")
        .clone()
}

async fn until_health(system: &System, state: &InstanceHealthCheckState) -> ContainerInstance {
    wait::until(&format!("the node is {state}"), || async {
        let seen = instance(system).await;
        let health = seen.health_status().and_then(|health| health.overall_status());
        (health == Some(state)).then_some(seen)
    })
    .await
}

/// A container that runs [`GRACEFUL`] and has said some lines: its task, and the process.
async fn graceful(system: &System, name: &str) -> (String, i32) {
    let task = system
        .run_container(shell(name, &system.busybox, GRACEFUL).build())
        .await;
    system.agent.until_logs(&task, name, "line 3\n").await;
    system.until(&task, "RUNNING").await;
    let pid = pid_of(system, &task, 0);
    (task, pid)
}

fn status_text(system: &System) -> String {
    String::from_utf8(system.agent.ask("status", &[]).stdout).expect("UTF-8")
}

/// What a monitor would see.
fn metrics(system: &System) -> String {
    use std::io::{Read as _, Write as _};
    let socket = system.agent.data_dir().join("admin.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("the admin socket");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n")
        .expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// Invariants 1, 2, 3 and 9.
#[test]
fn a_full_disk_stops_nothing_and_mends_by_itself() {
    system::with(|mut system| async move {
        let disk = on_a_small_disk(&mut system).await;
        let ends = Waiting::run(&system, "ends", 7).await;
        let stays = Waiting::run(&system, "stays", 8).await;
        let (stopped, pid) = graceful(&system, "stopped").await;
        let agent = system.agent.pid();
        disk.fill();

        let definition = shell("late", &system.busybox, GRACEFUL).build();
        let late = system.run_container(definition).await;
        let impaired = until_health(&system, &InstanceHealthCheckState::Impaired).await;
        let reason = impaired.status_reason().unwrap_or_default().to_owned();
        assert!(reason.contains("agent.db can't be written"), "{reason}");
        let text = status_text(&system);
        assert!(
            text.contains("trouble ") && text.contains("agent.db can't be written"),
            "{text}"
        );
        let seen = metrics(&system);
        assert!(seen.contains("\nlongshore_node_healthy 0\n"), "{seen}");

        ends.end().await;
        system.stop(&stopped).await;
        until_dead(pid).await;
        wait::until_some("why it is not told", || {
            let tasks = String::from_utf8(system.agent.ask("tasks", &[]).stdout).expect("UTF-8");
            (tasks.matches("it has ended; that is told once").count() == 2).then_some(())
        })
        .await;
        for task in [&ends.task, &stopped] {
            let seen = system.describe(task).await;
            let last = seen.last_status();
            assert_ne!(last, Some("STOPPED"), "nothing unstored is told: {seen:?}");
        }
        assert_eq!(system.describe(&late).await.last_status(), Some("PENDING"));
        assert!(!is_dead(stays.pid));

        disk.make_room();
        let told = system.until(&stopped, "STOPPED").await;
        assert_eq!(container(&told, "stopped").exit_code(), Some(5));
        let told = system.until(&ends.task, "STOPPED").await;
        assert_eq!(container(&told, "ends").exit_code(), Some(7));
        system.until(&late, "RUNNING").await;
        until_health(&system, &InstanceHealthCheckState::Ok).await;
        let seen = metrics(&system);
        assert!(seen.contains("\nlongshore_node_healthy 1\n"), "{seen}");
        system.agent.until_logs(&late, "late", "line 3\n").await;
        assert_eq!(system.agent.pid(), agent, "the agent has lived through it");
        let log = system.agent.output();
        let count = |text: &str| log.matches(text).count();
        assert_eq!(count("the disk takes writes again"), 1, "{log}");
        // Once for each thing that it says: full, and what follows from it.
        assert!((1..=2).contains(&count("the disk takes no writes")), "{log}");
        stays.end().await;
        stays.until_known(&system).await;
        leave(&mut system, disk).await;
        system
    });
}

#[test]
fn an_agent_that_dies_on_a_full_disk_comes_back_and_stops_what_it_is_told_to() {
    system::with(|mut system| async move {
        let disk = on_a_small_disk(&mut system).await;
        let (task, pid) = graceful(&system, "app").await;
        disk.fill();
        system.agent.kill();
        system.agent.start();
        system.until_connected().await;
        assert!(!is_dead(pid));
        system.stop(&task).await;
        until_dead(pid).await;
        disk.make_room();
        let told = system.until(&task, "STOPPED").await;
        assert_eq!(container(&told, "app").exit_code(), Some(5));
        leave(&mut system, disk).await;
        system
    });
}

/// Invariants 4 and 5.
#[test]
fn a_store_that_is_lost_or_damaged_costs_no_container() {
    system::with(|mut system| async move {
        let store = system.agent.data_dir().join("agent.db");
        let (task, pid) = graceful(&system, "app").await;

        // Removed under the running agent, which is killed before it notices.
        for name in ["agent.db", "agent.db-wal"] {
            let _ = std::fs::remove_file(store.with_file_name(name));
        }
        system.agent.kill();
        system.agent.start();
        adopted(&system, &task, pid).await;

        // Damaged.
        system.agent.kill();
        // Its log alone might hold all of it.
        std::fs::remove_file(store.with_file_name("agent.db-wal")).expect("it was in use");
        std::fs::write(&store, "no database ".repeat(1000)).expect("a file");
        system.agent.start();
        adopted(&system, &task, pid).await;
        let text = status_text(&system);
        assert!(
            text.contains("agent.db.damaged-") && text.contains("is damaged"),
            "{text}"
        );
        let kept = std::fs::read_dir(system.agent.data_dir()).expect("the folder");
        let kept = kept.filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().starts_with("agent.db.damaged-")
        });
        assert_eq!(kept.count(), 1);

        system.stop(&task).await;
        let told = system.until(&task, "STOPPED").await;
        assert_eq!(container(&told, "app").exit_code(), Some(5));
        system
    });
}

/// Waits until the agent has found a task again, which runs as it did.
async fn adopted(system: &System, task: &str, pid: i32) {
    let id = system::id_of(task);
    wait::until_some("the task is adopted", || {
        let tasks = system.agent.ask("tasks", &["--json"]).stdout;
        String::from_utf8_lossy(&tasks).contains(id).then_some(())
    })
    .await;
    system.until_connected().await;
    assert!(!is_dead(pid));
    assert_eq!(pid_of(system, task, 0), pid);
    assert_eq!(system.describe(task).await.last_status(), Some("RUNNING"));
}

#[test]
fn an_agent_that_can_not_begin_says_what_to_do_and_stops_nothing() {
    system::with(|mut system| async move {
        let task = system
            .run_container(shell("app", &system.busybox, GRACEFUL).build())
            .await;
        system.until(&task, "RUNNING").await;
        let pid = pid_of(&system, &task, 0);
        system.agent.terminate().await;
        let refused = |name: &str, spoil: &dyn Fn(&mut Vec<u8>), said: &[&str]| {
            let path = system.agent.data_dir().join(name);
            let whole = std::fs::read(&path).expect("the file");
            let mut bytes = whole.clone();
            spoil(&mut bytes);
            std::fs::write(&path, &bytes).expect("the file");
            let output = system.agent.ask("run", &[]);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(5), "{text}");
            for part in said.iter().copied().chain([&*path.to_string_lossy()]) {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert_eq!(std::fs::read(&path).expect("the file"), bytes, "it is left alone");
            std::fs::write(&path, whole).expect("the file");
            assert!(!is_dead(pid));
        };
        // The number of the format, in SQLite's header.
        let newer = |bytes: &mut Vec<u8>| bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
        refused(
            "agent.db",
            &newer,
            &["format 99", "Install that agent again", "move"],
        );
        let half = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
        refused(
            "identity.json",
            &half,
            &["can't be used", "restore it", "register this machine again"],
        );
        refused("identity.json", &|bytes| bytes.clear(), &["can't be used"]);
        refused("node.pem", &half, &["can't be used", "restore it"]);
        system.agent.start();
        adopted(&system, &task, pid).await;
        system
    });
}

/// Pushes an image of which so many bytes can't be compressed.
fn push_big(system: &System, bytes: u64) -> String {
    let dir = system.host.dir().join("images/big");
    std::fs::create_dir_all(dir.join("rootfs/data")).expect("a folder");
    let noise = std::fs::File::open("/dev/urandom").expect("noise");
    let mut file = std::fs::File::create(dir.join("rootfs/data/noise")).expect("a file");
    std::io::copy(&mut std::io::Read::take(noise, bytes), &mut file).expect("noise");
    let image = image::busybox(&dir, image::architecture(), &serde_json::json!({}));
    system.registry.push(&image, "big:1")
}

#[test]
fn an_image_that_does_not_fit_fails_its_task_alone() {
    let small = |host: &longshore_tests::host::Host| {
        let root = host.dir().join("containerd/root");
        std::fs::create_dir_all(&root).expect("a folder");
        let size = Some("size=24m");
        mount(Some("disk"), &root, Some("tmpfs"), MsFlags::empty(), size).expect("a small disk");
    };
    system::with_prepared(small, |system| async move {
        let old = system
            .run_container(shell("old", &system.busybox, GRACEFUL).build())
            .await;
        system.until(&old, "RUNNING").await;
        let big = push_big(&system, 40 << 20);
        let task = system.run_container(shell("big", &big, "true").build()).await;
        let told = system.until(&task, "STOPPED").await;
        let reason = container(&told, "big").reason().unwrap_or_default();
        assert!(
            reason.starts_with("CannotPullContainerError: ") && reason.contains("no space left on device"),
            "{reason}"
        );
        // What it had fetched is given back, by containerd and in its own time; then something else fits, while what
        // ran runs on.
        let namespace = system.host.containerd_namespace();
        wait::until_some("nothing is left of the pull", || {
            let active = system.containerd.ctr(&namespace, &["content", "active"]);
            (!active.contains("layer-")).then_some(())
        })
        .await;
        let new = system
            .run_container(shell("new", &system.busybox, GRACEFUL).build())
            .await;
        system.until(&new, "RUNNING").await;
        assert_eq!(system.describe(&old).await.last_status(), Some("RUNNING"));
        system
    });
}
