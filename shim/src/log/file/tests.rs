use std::path::Path;

use longshore_protocol::json_file::{Record, parse};
use proptest::prelude::*;

use super::*;

const TIME: &str = "2026-01-02T03:04:05.123456789Z";

fn options(dir: &Path, max_size: u64, max_file: u32) -> WriterOptions {
    WriterOptions {
        path: dir.join("log"),
        max_size,
        max_file,
    }
}

fn batch<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut batch = Vec::new();
    for line in lines {
        encode(line.as_bytes(), Stream::Stdout, TIME, &mut batch);
    }
    batch
}

/// The text of every record in a file, `None` if there is no such file.
fn logs(path: &Path) -> Option<Vec<String>> {
    let file = std::fs::read(path).ok()?;
    assert!(file.is_empty() || file.ends_with(b"\n"), "{path:?} is torn");
    let records = file.split_inclusive(|byte| *byte == b'\n').map(parse);
    let records: Vec<Record> = records.map(Result::unwrap).collect();
    Some(records.into_iter().map(|record| record.log).collect())
}

#[test]
fn it_rotates_before_a_file_grows_too_long_and_keeps_so_many() {
    let dir = tempfile::tempdir().unwrap();
    let two = batch(["1\n", "2\n"]).len() as u64;
    let mut log = LogFile::open(options(dir.path(), two, 3));
    log.write(&batch(["1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n"]), TIME);
    assert_eq!(logs(&dir.path().join("log")).unwrap(), ["7\n"]);
    assert_eq!(logs(&dir.path().join("log.1")).unwrap(), ["5\n", "6\n"]);
    assert_eq!(logs(&dir.path().join("log.2")).unwrap(), ["3\n", "4\n"]);
    assert_eq!(logs(&dir.path().join("log.3")), None);
}

#[test]
fn a_record_longer_than_a_file_has_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::open(options(dir.path(), 1, 2));
    log.write(&batch(["a\n", "b\n"]), TIME);
    log.write(&batch(["c\n"]), TIME);
    assert_eq!(logs(&dir.path().join("log")).unwrap(), ["c\n"]);
    assert_eq!(logs(&dir.path().join("log.1")).unwrap(), ["b\n"]);
}

#[test]
fn one_file_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::open(options(dir.path(), 100, 1));
    let mut reader = None;
    for line in ["a\n", "b\n"] {
        log.write(&batch([line]), TIME);
        reader.get_or_insert_with(|| File::open(dir.path().join("log")).unwrap());
    }
    assert_eq!(logs(&dir.path().join("log")).unwrap(), ["b\n"]);
    // Who had the old file open still reads it whole.
    let old = std::io::read_to_string(reader.unwrap()).unwrap();
    assert_eq!(old.as_bytes(), batch(["a\n"]));
}

#[test]
fn it_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    drop(LogFile::open(options(dir.path(), 100, 1)));
    let mode = std::fs::metadata(dir.path().join("log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn it_goes_on_behind_the_last_whole_line() {
    for (torn, kept) in [
        ("", true),
        ("{\"log\":\"tor", true),
        (&*"x".repeat(10_000), true),
        ("x", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let whole = if kept { batch(["old\n"]) } else { Vec::new() };
        let path = dir.path().join("log");
        std::fs::write(&path, [&whole, torn.as_bytes()].concat()).unwrap();
        LogFile::open(options(dir.path(), 1000, 2)).write(&batch(["new\n"]), TIME);
        let expected: &[&str] = if kept { &["old\n", "new\n"] } else { &["new\n"] };
        assert_eq!(logs(&path).unwrap(), expected);
    }
}

#[test]
fn what_could_not_be_written_is_counted_and_said_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("later");
    let mut log = LogFile::open(options(&folder, 10_000, 2));
    log.write(&batch(["a\n", "b\n"]), TIME);
    log.write(&batch(["c\n"]), TIME);
    assert_eq!(log.dropped(), 3);
    std::fs::create_dir(&folder).unwrap();
    log.write(&batch(["d\n"]), TIME);
    assert_eq!(log.dropped(), 0);
    let logs = logs(&folder.join("log")).unwrap();
    assert_eq!(
        logs[0],
        format!(
            "longshore-log: 3 records of output are missing here, dropped since {TIME}: \
             No such file or directory (os error 2)\n"
        )
    );
    assert_eq!(logs[1..], ["d\n"]);
}

#[test]
fn a_gap_at_the_end_is_said_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("later");
    let mut log = LogFile::open(options(&folder, 10_000, 2));
    log.write(&batch(["a\n"]), TIME);
    log.finish(TIME);
    assert_eq!(log.dropped(), 1);
    std::fs::create_dir(&folder).unwrap();
    log.finish(TIME);
    assert!(logs(&folder.join("log")).unwrap()[0].contains(": 1 records of output are missing here"));
}

#[test]
fn rotation_that_fails_pushes_nothing_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut log = LogFile::open(options(dir.path(), 1, 4));
    log.write(&batch(["1\n", "2\n", "3\n"]), TIME);
    // A folder that is not empty can't be replaced by a file.
    std::fs::create_dir_all(path("log.3/full")).unwrap();
    for _ in 0..5 {
        log.write(&batch(["lost\n"]), TIME);
    }
    assert_eq!(log.dropped(), 5);
    assert_eq!(logs(&path("log")).unwrap(), ["3\n"]);
    assert_eq!(logs(&path("log.1")).unwrap(), ["2\n"]);
    assert_eq!(logs(&path("log.2")).unwrap(), ["1\n"]);
    std::fs::remove_dir_all(path("log.3")).unwrap();
    log.write(&batch(["4\n"]), TIME);
    assert_eq!(logs(&path("log.3")).unwrap(), ["2\n"]);
}

#[test]
fn rotation_fills_the_gap_that_a_broken_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut log = LogFile::open(options(dir.path(), 1, 3));
    log.write(&batch(["1\n", "2\n", "3\n"]), TIME);
    // As if the try before had stopped after its first rename.
    std::fs::remove_file(path("log.1")).unwrap();
    log.write(&batch(["4\n"]), TIME);
    assert_eq!(logs(&path("log.1")).unwrap(), ["3\n"]);
    assert_eq!(logs(&path("log.2")).unwrap(), ["1\n"]);
}

#[test]
fn a_failed_write_leaves_whole_records_and_marks_the_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogFile::open(options(dir.path(), u64::MAX, 1));
    let records = batch(["a\n", "b\n", "c\n", "d\n", "e\n"]);
    let begin = note("output is dropped from here on: full", TIME);
    let record = records.len() / 5;
    for written in 0..records.len() {
        log.open = Some(open_file(&log.options).unwrap());
        let open = log.open.as_mut().unwrap();
        open.file.set_len(0).unwrap();
        open.end = 0;
        open.file.write_all_at(&records[..written], 0).unwrap();
        let kept = open.cut(&records[..written], &begin).unwrap();
        let noted = written >= begin.len();
        let room = if noted { written - begin.len() } else { written };
        assert_eq!(kept, room / record * record);
        let logs = logs(&dir.path().join("log")).unwrap();
        assert_eq!(logs.len(), kept / record + usize::from(noted));
        assert_eq!(open.end, open.file.metadata().unwrap().len());
    }
}

proptest! {
    #[test]
    fn the_files_hold_the_newest_records_in_order(
        sizes in prop::collection::vec(0_usize..200, 1..80), max_size in 1_u64..2000, max_file in 1_u32..5,
        per_batch in 1_usize..10, reopen: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let lines: Vec<String> = sizes.iter().enumerate().map(|(n, size)| format!("{n} {}\n", "x".repeat(*size))).collect();
        let mut log = LogFile::open(options(dir.path(), max_size, max_file));
        for chunk in lines.chunks(per_batch) {
            log.write(&batch(chunk.iter().map(String::as_str)), TIME);
            if reopen {
                log = LogFile::open(options(dir.path(), max_size, max_file));
            }
        }
        prop_assert_eq!(log.dropped(), 0);
        let mut kept = Vec::new();
        for n in (1..max_file + 2).rev() {
            let path = dir.path().join(format!("log.{n}"));
            let file = logs(&path);
            prop_assert!(file.is_none() || n < max_file);
            kept.extend(file.unwrap_or_default());
        }
        kept.extend(logs(&dir.path().join("log")).unwrap());
        prop_assert!(!kept.is_empty());
        prop_assert_eq!(&kept[..], &lines[lines.len() - kept.len()..]);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let length = std::fs::metadata(&path).unwrap().len();
            prop_assert!(length <= max_size || logs(&path).unwrap().len() == 1);
        }
    }
}
