//! A data folder whose disk hangs. A FIFO that nobody reads is a file on it.

use super::*;

#[tokio::test(start_paused = true)]
async fn while_a_session_can_not_be_written_down_others_go_on() {
    let mut world = World::new(BOUNDS);
    let sessions = world.folder.path().join("sessions");
    let fifo = sessions.join(format!("{}.json.new", offer(2).session_id));
    let mut begun = Vec::new();
    for number in [1, 2, 3] {
        let opening = async {
            let mut viewer = world.open(number).await;
            viewer.begin().await;
            (viewer, world.execs.begun().await)
        };
        // Time does not go by itself while a thread blocks.
        let time = async {
            loop {
                tokio::time::advance(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            opened = opening => begun.push(opened),
            () = time, if number > 1 => {}
        }
        if number == 1 {
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
    }
    let disk = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    for (mut viewer, process) in begun {
        process.exits(0);
        told(&mut viewer).await;
    }
    let _folder = world.end().await;
    assert_eq!(std::fs::read_dir(&sessions).unwrap().count(), 0);
    drop(disk);
}
