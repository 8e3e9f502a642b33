//! Opens what a request names, and makes the pipes and streams for it.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;
use std::sync::{Arc, Mutex};

use longshore_protocol::json_file::Stream;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::O_NONBLOCK;

use super::copy::Copy;
use super::engine::Entry;
use super::fifo::Fifo;
use super::logger::Logger;
use super::raw_file::RawFile;
use super::sink::Sink;
use super::status::Status;
use super::target::Target;
use super::{ChildStdio, IoError, ProcessName, StdioRequest};
use crate::log::{LogFile, LogStream};

/// Everything on our side of a process's I/O.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) entries: Vec<Entry>,
    /// With a terminal: what its console is joined to.
    pub(super) console: Option<Console>,
    pub(super) status: Arc<Status>,
}

/// The targets of a console that is still to come.
#[derive(Debug)]
pub(super) struct Console {
    stdin: Option<Stdin>,
    sink: Sink,
    status: Arc<Status>,
}

/// A client's FIFO, and a write end of it that keeps it from ending.
#[derive(Debug)]
struct Stdin {
    reader: File,
    keeper: File,
}

/// What stdin turned out to be.
enum Input {
    Null,
    Fifo(Stdin),
    File(File),
}

pub(super) fn open(
    request: &StdioRequest<'_>,
    name: &ProcessName<'_>,
) -> Result<(ChildStdio, Prepared), IoError> {
    let stdout = Target::parse(request.stdout)?;
    let input = open_stdin(request.stdin)?;
    let status = Arc::new(Status::default());
    let prepare = |entries, console| Prepared {
        entries,
        console,
        status: Arc::clone(&status),
    };
    if request.terminal {
        let (sink, entries) = console_sink(stdout, name, &status)?;
        let stdin = match input {
            Input::Null => None,
            Input::Fifo(stdin) => Some(stdin),
            Input::File(_) => return Err(no_fifo("stdin", request.stdin)),
        };
        status.begin();
        let console = Console {
            stdin,
            sink,
            status: Arc::clone(&status),
        };
        let child = ChildStdio {
            stdin: null()?,
            stdout: null()?,
            stderr: null()?,
        };
        return Ok((child, prepare(entries, Some(console))));
    }
    let mut entries = Vec::new();
    let stdin = match input {
        Input::Null => null()?,
        Input::File(file) => file.into(),
        Input::Fifo(stdin) => {
            let (ours, theirs) = input_pipe(request.owner)?;
            entries.push(Entry::Copy(Copy::input(stdin.reader.into(), stdin.keeper, ours)));
            theirs
        }
    };
    let (stdout, stderr) = outputs(stdout, request, name, &status, &mut entries)?;
    let child = ChildStdio {
        stdin,
        stdout,
        stderr,
    };
    Ok((child, prepare(entries, None)))
}

impl Console {
    /// Joins the console's master to its targets.
    pub(super) fn attach(self, master: OwnedFd) -> Result<Vec<Entry>, IoError> {
        // Of our own, since whoever resizes the console holds the other; they share this flag.
        unblock(&master)?;
        let mut entries = Vec::new();
        if let Some(stdin) = self.stdin {
            let writer = master
                .try_clone()
                .map_err(IoError::system("duplicate a console"))?;
            entries.push(Entry::Copy(Copy::input(
                stdin.reader.into(),
                stdin.keeper,
                writer,
            )));
        }
        entries.push(Entry::Copy(Copy::output(master, self.sink, true, self.status)));
        Ok(entries)
    }
}

/// The write ends of stdout and stderr, for the process.
fn outputs(
    stdout: Target,
    request: &StdioRequest<'_>,
    name: &ProcessName<'_>,
    status: &Arc<Status>,
    entries: &mut Vec<Entry>,
) -> Result<(OwnedFd, OwnedFd), IoError> {
    if !stdout.takes_both() {
        let stderr = Target::parse(request.stderr)?;
        if stderr.takes_both() {
            // containerd's shims look at stdout only: so does whoever follows what they write.
            return Err(IoError::Uri {
                uri: request.stderr.to_owned(),
            });
        }
        let mut one = |stream, target| match single_sink(stream, target)? {
            None => null(),
            Some(sink) => output(sink, request.owner, status, entries),
        };
        return Ok((one("stdout", stdout)?, one("stderr", stderr)?));
    }
    if let Target::Binary { program, args } = stdout {
        let (out, out_end) = output_pipe(request.owner)?;
        let (err, err_end) = output_pipe(request.owner)?;
        let duplicate = |pipe: &PipeReader| {
            let pipe = pipe.try_clone().map_err(IoError::system("duplicate a pipe"))?;
            Ok::<OwnedFd, IoError>(pipe.into())
        };
        let pipes = [duplicate(&out)?, duplicate(&err)?];
        let logger = Logger::start(&program, &args, name, pipes, status)?;
        entries.push(Entry::Logger(logger));
        for pipe in [out, err] {
            status.begin();
            entries.push(Entry::Copy(Copy::output(
                pipe.into(),
                Sink::Logger,
                false,
                Arc::clone(status),
            )));
        }
        return Ok((out_end, err_end));
    }
    let [out, err] = shared_sinks(&stdout)?;
    Ok((
        output(out, request.owner, status, entries)?,
        output(err, request.owner, status, entries)?,
    ))
}

/// The one sink of a console, and the logger behind it if there is one.
fn console_sink(
    stdout: Target,
    name: &ProcessName<'_>,
    status: &Arc<Status>,
) -> Result<(Sink, Vec<Entry>), IoError> {
    if let Target::Binary { program, args } = stdout {
        let (out, out_end) = pipe()?;
        // It is given a stderr too, which has ended.
        let (err, _) = pipe()?;
        unblock(&out_end)?;
        let logger = Logger::start(&program, &args, name, [out.into(), err.into()], status)?;
        return Ok((Sink::Process(out_end.into()), vec![Entry::Logger(logger)]));
    }
    if stdout.takes_both() {
        let [out, _] = shared_sinks(&stdout)?;
        return Ok((out, Vec::new()));
    }
    Ok((
        single_sink("stdout", stdout)?.unwrap_or(Sink::Nowhere),
        Vec::new(),
    ))
}

/// What both streams of a file or log go to.
fn shared_sinks(target: &Target) -> Result<[Sink; 2], IoError> {
    match target {
        Target::Log(options) => {
            let log = Arc::new(Mutex::new(LogFile::open(crate::log::read(options)?)));
            Ok([Stream::Stdout, Stream::Stderr]
                .map(|stream| Sink::Log(LogStream::new(stream), Arc::clone(&log))))
        }
        Target::File(path) => {
            let file = RawFile::create(path).map_err(cant_open("stdout", path))?;
            let file = Arc::new(Mutex::new(file));
            Ok([Sink::File(Arc::clone(&file)), Sink::File(file)])
        }
        Target::Null | Target::Path(_) | Target::Binary { .. } => Ok([Sink::Nowhere, Sink::Nowhere]),
    }
}

/// What one stream goes to; `None` if nobody wants it.
fn single_sink(stream: &'static str, target: Target) -> Result<Option<Sink>, IoError> {
    let Target::Path(path) = target else {
        return Ok(None);
    };
    if let Some(fifo) = Fifo::open(&path).map_err(cant_open(stream, &path))? {
        return Ok(Some(Sink::Fifo(fifo)));
    }
    let file = RawFile::open(&path).map_err(cant_open(stream, &path))?;
    Ok(Some(Sink::File(Arc::new(Mutex::new(file)))))
}

/// A pipe for output to a sink: its write end.
fn output(
    sink: Sink,
    owner: Option<(u32, u32)>,
    status: &Arc<Status>,
    entries: &mut Vec<Entry>,
) -> Result<OwnedFd, IoError> {
    let (ours, theirs) = output_pipe(owner)?;
    unblock(&ours)?;
    status.begin();
    entries.push(Entry::Copy(Copy::output(
        ours.into(),
        sink,
        false,
        Arc::clone(status),
    )));
    Ok(theirs)
}

fn output_pipe(owner: Option<(u32, u32)>) -> Result<(PipeReader, OwnedFd), IoError> {
    let (ours, theirs) = pipe()?;
    own(&theirs, owner)?;
    Ok((ours, theirs.into()))
}

fn input_pipe(owner: Option<(u32, u32)>) -> Result<(OwnedFd, OwnedFd), IoError> {
    let (theirs, ours) = pipe()?;
    own(&theirs, owner)?;
    unblock(&ours)?;
    Ok((ours.into(), theirs.into()))
}

fn pipe() -> Result<(PipeReader, PipeWriter), IoError> {
    io::pipe().map_err(IoError::system("make a pipe"))
}

fn own(pipe: impl AsFd, owner: Option<(u32, u32)>) -> Result<(), IoError> {
    let Some((user, group)) = owner else { return Ok(()) };
    fchown(pipe, Some(user), Some(group)).map_err(IoError::system("give a pipe to its owner"))
}

/// Lets reads and writes fail rather than wait.
pub(super) fn unblock(fd: impl AsFd) -> Result<(), IoError> {
    let flags = fcntl(&fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    flags
        .and_then(|flags| fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)))
        .map(drop)
        .map_err(|error| IoError::system("set a descriptor's flags")(error.into()))
}

fn open_stdin(path: &str) -> Result<Input, IoError> {
    if path.is_empty() {
        return Ok(Input::Null);
    }
    let path = Path::new(path);
    let fault = |source| cant_open("stdin", path)(source);
    // Neither end waits for the other: a reader need not, and the keeper finds one.
    let reader = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .map_err(fault)?;
    if !reader.metadata().map_err(fault)?.file_type().is_fifo() {
        return Ok(Input::File(reader));
    }
    let keeper = OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .map_err(fault)?;
    Ok(Input::Fifo(Stdin { reader, keeper }))
}

fn null() -> Result<OwnedFd, IoError> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/null");
    Ok(file.map_err(cant_open("null", Path::new("/dev/null")))?.into())
}

fn cant_open(stream: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IoError {
    move |source| IoError::Open {
        stream,
        path: path.into(),
        source,
    }
}

fn no_fifo(stream: &'static str, path: &str) -> IoError {
    cant_open(stream, Path::new(path))(io::Error::new(io::ErrorKind::InvalidInput, "it is no FIFO"))
}
