use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::open::unblock;
use super::super::raw_file::RawFile;
use super::super::sink::Sink;
use super::super::status::Status;
use super::*;

/// Streams of one process, which all go to one file: their ids and the ends that the process writes to.
fn streams(mover: &mut Mover, path: &Path) -> [(u64, File); 2] {
    let file = Arc::new(Mutex::new(RawFile::create(path).unwrap()));
    let status = Arc::new(Status::default());
    [(); 2].map(|()| {
        let (reader, writer) = std::io::pipe().unwrap();
        unblock(&reader).unwrap();
        status.begin();
        let sink = Sink::File(Arc::clone(&file));
        let copy = Copy::output(reader.into(), sink, false, Arc::clone(&status));
        let id = mover.next;
        mover.commands.send(Command::Add(1, vec![Entry::Copy(copy)]));
        mover.obey();
        (id, File::from(OwnedFd::from(writer)))
    })
}

#[test]
fn what_one_stream_holds_back_is_read_before_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut mover = Mover::new(jiff::Timestamp::now).unwrap();
    let [(out, mut stdout), (err, mut stderr)] = streams(&mut mover, &path);
    stdout.write_all(b"1\n").unwrap();
    mover.ready(out, EpollFlags::EPOLLIN);
    stdout.write_all(b"2\n").unwrap();
    stderr.write_all(b"3\n").unwrap();
    mover.ready(err, EpollFlags::EPOLLIN);
    assert_eq!(std::fs::read(&path).unwrap(), b"1\n2\n3\n");
}

#[test]
fn a_rest_ends_with_a_read_of_each_stream() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut mover = Mover::new(jiff::Timestamp::now).unwrap();
    let [(out, mut stdout), (err, mut stderr)] = streams(&mut mover, &path);
    stderr.write_all(b"1\n").unwrap();
    mover.ready(err, EpollFlags::EPOLLIN);
    stdout.write_all(b"2\n").unwrap();
    mover.ready(out, EpollFlags::EPOLLIN);
    stderr.write_all(b"4\n").unwrap();
    stdout.write_all(b"3\n").unwrap();
    mover.rested();
    assert_eq!(std::fs::read(&path).unwrap(), b"1\n2\n3\n4\n");
}
