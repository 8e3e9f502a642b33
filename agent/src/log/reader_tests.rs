use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::pin::pin;

use longshore_protocol::json_file::{Stream as Output, encode};

use super::*;
use crate::clock::SystemClock;

const ALL: ReadOptions = ReadOptions {
    tail: None,
    follow: false,
};
const FOLLOW: ReadOptions = ReadOptions {
    tail: None,
    follow: true,
};

fn record(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(
        text.as_bytes(),
        Output::Stdout,
        "2026-01-02T03:04:05.000000006Z",
        &mut bytes,
    );
    bytes
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// As the writer does it: the oldest goes, each moves one up.
fn rotate(path: &Path, max_file: u32) {
    let name = |number: u32| match number {
        0 => path.to_owned(),
        number => PathBuf::from(format!("{}.{number}", path.display())),
    };
    if max_file == 1 {
        fs::remove_file(path).unwrap();
        return;
    }
    for number in (0..max_file - 1).rev() {
        if name(number).exists() {
            fs::rename(name(number), name(number + 1)).unwrap();
        }
    }
}

fn start(
    path: &Path,
    options: ReadOptions,
    ended: &CancellationToken,
) -> impl Stream<Item = Result<Record, LogError>> + Send + use<> {
    read(path.to_owned(), options, ended.clone(), Arc::new(SystemClock))
}

async fn texts(path: &Path, options: ReadOptions) -> Vec<String> {
    let records = start(path, options, &CancellationToken::new());
    records.map(|record| record.unwrap().log).collect().await
}

fn log() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.log");
    (dir, path)
}

#[tokio::test]
async fn all_files_are_read_oldest_first_or_the_last_records_only() {
    let (_dir, path) = log();
    assert!(texts(&path, ALL).await.is_empty());
    for file in [["1\n", "2\n"], ["3\n", "part"], ["4\n", "5\n"]] {
        rotate_if_there(&path);
        append(&path, &file.map(record).concat());
    }
    append(&path, b"{\"log\":\"torn");
    assert_eq!(
        texts(&path, ALL).await,
        ["1\n", "2\n", "3\n", "part", "4\n", "5\n"]
    );
    let tail = |records| ReadOptions {
        tail: Some(records),
        follow: false,
    };
    assert_eq!(texts(&path, tail(0)).await, Vec::<String>::new());
    assert_eq!(texts(&path, tail(3)).await, ["part", "4\n", "5\n"]);
    assert_eq!(texts(&path, tail(99)).await.len(), 6);
}

fn rotate_if_there(path: &Path) {
    if path.exists() {
        rotate(path, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn following_waits_for_the_log_and_for_the_end_of_a_torn_line() {
    let (_dir, path) = log();
    let ended = CancellationToken::new();
    let mut stream = pin!(start(&path, FOLLOW, &ended));
    let writing = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let bytes = record("late\n");
        append(&path, &bytes[..20]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        append(&path, &bytes[20..]);
    };
    let (first, ()) = tokio::join!(stream.next(), writing);
    assert_eq!(first.unwrap().unwrap().log, "late\n");
    append(&path, &record("last\n"));
    append(&path, b"{\"torn");
    ended.cancel();
    assert_eq!(stream.next().await.unwrap().unwrap().log, "last\n");
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_is_read_to_its_end_first() {
    let (_dir, path) = log();
    let ended = CancellationToken::new();
    append(&path, &record("1\n"));
    let mut stream = pin!(start(&path, FOLLOW, &ended));
    assert_eq!(stream.next().await.unwrap().unwrap().log, "1\n");
    append(&path, &record("2\n"));
    rotate(&path, 5);
    append(&path, &record("3\n"));
    rotate(&path, 5);
    append(&path, &record("4\n"));
    ended.cancel();
    for expected in ["2\n", "3\n", "4\n"] {
        assert_eq!(stream.next().await.unwrap().unwrap().log, expected);
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_rotated_away_unread_is_told() {
    let (_dir, path) = log();
    let ended = CancellationToken::new();
    append(&path, &record("1\n"));
    let mut stream = pin!(start(&path, FOLLOW, &ended));
    assert_eq!(stream.next().await.unwrap().unwrap().log, "1\n");
    for text in ["2\n", "3\n", "4\n"] {
        rotate(&path, 2);
        append(&path, &record(text));
    }
    ended.cancel();
    assert!(matches!(stream.next().await, Some(Err(LogError::Gap { .. }))));
    for expected in ["3\n", "4\n"] {
        assert_eq!(stream.next().await.unwrap().unwrap().log, expected);
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_damaged_line_hides_no_other() {
    let (_dir, path) = log();
    append(
        &path,
        &[record("1\n"), b"no record\n".to_vec(), record("2\n")].concat(),
    );
    let records = start(&path, ALL, &CancellationToken::new());
    let all: Vec<_> = records.collect().await;
    assert_eq!(all[0].as_ref().unwrap().log, "1\n");
    assert!(matches!(all[1], Err(LogError::Invalid { .. })));
    assert_eq!(all[2].as_ref().unwrap().log, "2\n");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_its_writer_took_back_is_not_read() {
    let (_dir, path) = log();
    let ended = CancellationToken::new();
    append(&path, &record("1\n"));
    let whole = fs::metadata(&path).unwrap().len();
    append(&path, b"{\"log\":\"no room");
    let mut stream = pin!(start(&path, FOLLOW, &ended));
    assert_eq!(stream.next().await.unwrap().unwrap().log, "1\n");
    let writing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(whole)
            .unwrap();
        append(&path, &record("2\n"));
    };
    let (next, ()) = tokio::join!(stream.next(), writing);
    assert_eq!(next.unwrap().unwrap().log, "2\n");
}

#[tokio::test]
async fn a_folder_in_the_logs_place_is_an_error_that_ends_the_stream() {
    let (_dir, path) = log();
    fs::create_dir(&path).unwrap();
    let all: Vec<_> = start(&path, ALL, &CancellationToken::new()).collect().await;
    assert!(matches!(all[..], [Err(LogError::Io { .. })]), "{all:?}");
}

/// A writer on a thread of its own that rotates all the time, and a reader that must lose and double nothing.
#[tokio::test]
async fn nothing_is_lost_or_doubled_while_it_is_rotated() {
    const RECORDS: u32 = 4000;
    let (_dir, path) = log();
    let ended = CancellationToken::new();
    let (writer_path, writer_ended) = (path.clone(), ended.clone());
    let writer = std::thread::spawn(move || {
        for number in 0..RECORDS {
            // More files than there are rotations, so that no gap is allowed.
            if number > 0 && number % 50 == 0 {
                rotate(&writer_path, 200);
            }
            append(&writer_path, &record(&format!("{number}\n")));
        }
        writer_ended.cancel();
    });
    let records: Vec<_> = start(&path, FOLLOW, &ended).collect().await;
    writer.join().unwrap();
    let numbers: Vec<u32> = records
        .into_iter()
        .map(|record| record.unwrap().log.trim_end().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
}

proptest::proptest! {
    #[test]
    fn the_tail_is_the_end_of_the_whole(
        files in proptest::collection::vec(proptest::collection::vec("[a-z]{0,40}", 0..5), 1..4),
        records in 0_usize..12,
    ) {
        let (_dir, path) = log();
        for file in &files {
            rotate_if_there(&path);
            append(&path, &file.iter().flat_map(|text| record(text)).collect::<Vec<_>>());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let whole = runtime.block_on(texts(&path, ALL));
        let tail = ReadOptions { tail: Some(records), follow: false };
        let from = whole.len().saturating_sub(records);
        proptest::prop_assert_eq!(&runtime.block_on(texts(&path, tail)), &whole[from..]);
    }
}

/// A FIFO that nobody writes is a disk that does not answer.
#[test]
fn readers_of_a_disk_that_hangs_leave_threads_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking::LOGS.most() + 1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..3 * blocking::LOGS.most() {
            let stream = start(&path, ALL, &CancellationToken::new());
            readers.spawn(async move { pin!(stream).next().await });
        }
        while blocking::LOGS.free() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
        // Each gets its turn once the disk answers.
        while !readers.is_empty() {
            let answer = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
            let _ = rustix::fs::open(&path, answer, rustix::fs::Mode::empty());
            tokio::time::sleep(Duration::from_millis(1)).await;
            while readers.try_join_next().is_some() {}
        }
    });
}
