//! Processes that write much: they are read in fewer reads, and nothing is lost or held back by that.

use std::sync::Arc;

use nix::fcntl::{FcntlArg, fcntl};

use super::super::copy::{Copy, READ, Want};
use super::super::raw_file::RawFile;
use super::super::sink::{Sink, Tools};
use super::super::status::Status;
use super::*;

fn tools() -> Tools {
    Tools {
        batch: Vec::new(),
        time: String::new(),
        now: jiff::Timestamp::now,
    }
}

/// A stream from a pipe to a file, and the pipe's other end.
fn stream(path: &Path, console: bool) -> (Copy, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    super::super::open::unblock(&reader).unwrap();
    let sink = Sink::File(Arc::new(Mutex::new(RawFile::create(path).unwrap())));
    let status = Arc::new(Status::default());
    status.begin();
    let copy = Copy::output(reader.into(), sink, console, status);
    (copy, File::from(OwnedFd::from(writer)))
}

#[test]
fn a_stream_rests_after_each_read_until_there_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let (mut copy, mut writer) = stream(&path, false);
    let (mut buffer, mut tools) = (vec![0; READ], tools());
    for _ in 0..3 {
        writer.write_all(b"a line\n").unwrap();
        copy.step(&mut buffer, &mut tools);
        assert!(matches!(copy.want(), Want::Rest));
    }
    copy.step(&mut buffer, &mut tools);
    assert!(matches!(copy.want(), Want::Read(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"a line\na line\na line\n");
}

#[test]
fn a_pipe_that_was_full_is_made_larger_and_read_without_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (mut copy, mut writer) = stream(&dir.path().join("file"), false);
    let size = |writer: &File| fcntl(writer, FcntlArg::F_GETPIPE_SZ).unwrap();
    let before = size(&writer);
    for _ in 0..2 {
        writer.write_all(&[b'x'; READ]).unwrap();
        copy.step(&mut vec![0; READ], &mut tools());
        assert!(matches!(copy.want(), Want::Read(_)));
    }
    assert!(size(&writer) > before);
}

#[test]
fn a_console_never_rests() {
    let dir = tempfile::tempdir().unwrap();
    let (mut copy, mut writer) = stream(&dir.path().join("file"), true);
    for _ in 0..100 {
        writer.write_all(b"shown\n").unwrap();
        copy.step(&mut vec![0; READ], &mut tools());
        assert!(matches!(copy.want(), Want::Read(_)));
    }
}
