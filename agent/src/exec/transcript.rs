//! What was shown in a session, kept on the node: in a file of its own, or in the journal.
//!
//! Invariants: bounded in size, number and age; a disk or a journal that takes nothing costs the transcript and not the
//! session, and is logged.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_protocol::session::{SessionKind, SessionOffer, Transcript as Kind};
use tokio::net::UnixDatagram;

use crate::blocking;
use crate::files::{absent_is_none, make_private_dir};

/// The most bytes of one session.
const MOST: usize = 8 << 20;
/// How many sessions' files there are at most; the oldest go first.
const FILES: usize = 64;
/// How long a file is kept after it was last written.
const AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest line of the journal; longer ones are several.
const LINE: usize = 4096;
/// How long a write may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// What stands where the rest is left out.
const CUT: &[u8] = b"\n[the transcript ends here: it is as long as it may be]\n";
/// Where the system's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

enum Sink {
    /// `None` while a thread writes to it.
    File(Option<File>),
    Journal {
        socket: UnixDatagram,
        fields: String,
        line: Vec<u8>,
    },
}

/// A transcript that is being written.
pub struct Transcript {
    session: String,
    /// `None` after a failure, or once it is full.
    sink: Option<Sink>,
    written: usize,
}

impl Transcript {
    /// Begins one where the offer asks for it.
    pub async fn begin(folder: &Path, offer: &SessionOffer, now: jiff::Timestamp) -> Option<Self> {
        let SessionKind::Exec {
            command,
            transcript: Some(kind),
        } = &offer.kind
        else {
            return None;
        };
        let sink = match kind {
            Kind::File => file(folder.join("transcripts"), &offer.session_id, now).await,
            Kind::Journald => journal(Path::new(JOURNAL), offer).await,
        };
        let sink = sink
            .map_err(|error| tracing::warn!(session = offer.session_id, %error, "there is no transcript"));
        let mut transcript = Self {
            session: offer.session_id.clone(),
            sink: sink.ok(),
            written: 0,
        };
        let (task, container) = (&offer.task_arn, &offer.container_name);
        let head = format!("[{now} {} {task} {container}: {command}]\n", offer.session_id);
        transcript.write(head.as_bytes()).await;
        Some(transcript)
    }

    /// Adds what was shown.
    pub async fn write(&mut self, bytes: &[u8]) {
        let room = MOST - self.written;
        let fits = &bytes[..bytes.len().min(room)];
        self.written += fits.len();
        let full = fits.len() < bytes.len();
        let Some(sink) = &mut self.sink else { return };
        let writing = async {
            sink.write(fits).await?;
            if full {
                sink.write(CUT).await?;
            }
            io::Result::Ok(())
        };
        let written = tokio::time::timeout(DEADLINE, writing).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = &written {
            tracing::warn!(session = self.session, %error, "a transcript is not complete");
        }
        if full || written.is_err() {
            self.sink = None;
        }
    }
}

impl Sink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(place) => {
                let Some(mut file) = place.take() else {
                    return Err(io::Error::other("a write before this one has not come back"));
                };
                let bytes = bytes.to_vec();
                let write = move || file.write_all(&bytes).map(|()| file);
                *place = Some(blocking::DISK.io(write).await?);
                Ok(())
            }
            Self::Journal { socket, fields, line } => {
                for byte in bytes {
                    match byte {
                        b'\n' => entry(socket, fields, line).await?,
                        b'\r' => {}
                        _ => line.push(*byte),
                    }
                    if line.len() >= LINE {
                        entry(socket, fields, line).await?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Sends a line, in the journal's own form, which takes any bytes.
async fn entry(socket: &UnixDatagram, fields: &str, line: &mut Vec<u8>) -> io::Result<()> {
    let mut datagram = fields.as_bytes().to_vec();
    datagram.extend(b"MESSAGE\n");
    datagram.extend((line.len() as u64).to_le_bytes());
    datagram.append(line);
    datagram.push(b'\n');
    socket.send(&datagram).await.map(drop)
}

async fn journal(path: &Path, offer: &SessionOffer) -> io::Result<Sink> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    let (session, task, container) = (&offer.session_id, &offer.task_arn, &offer.container_name);
    Ok(Sink::Journal {
        socket,
        fields: format!(
            "PRIORITY=6\nSYSLOG_IDENTIFIER=longshore-exec\nLONGSHORE_SESSION={session}\nLONGSHORE_TASK={task}\n\
             LONGSHORE_CONTAINER={container}\n"
        ),
        line: Vec::new(),
    })
}

async fn file(folder: PathBuf, session: &str, now: jiff::Timestamp) -> io::Result<Sink> {
    let path = folder.join(format!("{session}.log"));
    let made = blocking::DISK.io(move || {
        make_private_dir(&folder)?;
        prune(&folder, now)?;
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).mode(0o600).open(&path)
    });
    let file = tokio::time::timeout(DEADLINE, made).await;
    let file = file.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(Sink::File(Some(file)))
}

/// Removes what is too old, and the oldest of what is too many.
fn prune(folder: &Path, now: jiff::Timestamp) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Another session's may have removed it meanwhile.
        let Some(metadata) = absent_is_none(entry.metadata())? else {
            continue;
        };
        let written = jiff::Timestamp::try_from(metadata.modified()?);
        files.push((written.unwrap_or(now), entry.path()));
    }
    files.sort_unstable();
    let too_many = (files.len() + 1).saturating_sub(FILES);
    for (index, (written, path)) in files.iter().enumerate() {
        let age = now.duration_since(*written);
        if index < too_many || age > jiff::SignedDuration::try_from(AGE).unwrap_or_default() {
            absent_is_none(std::fs::remove_file(path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;

    fn offer(kind: Option<Kind>) -> SessionOffer {
        SessionOffer {
            session_id: "s-1".to_owned(),
            task_arn: sample::arn(1),
            container_name: "app".to_owned(),
            kind: SessionKind::Exec {
                command: "sh".to_owned(),
                transcript: kind,
            },
        }
    }

    fn now() -> jiff::Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_file_has_what_was_shown_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            Transcript::begin(folder.path(), &offer(None), now())
                .await
                .is_none()
        );
        let offer = offer(Some(Kind::File));
        let mut transcript = Transcript::begin(folder.path(), &offer, now()).await.unwrap();
        transcript.write(b"$ ls\r\n").await;
        let path = folder.path().join("transcripts/s-1.log");
        let text = std::fs::read_to_string(&path).unwrap();
        let task = &offer.task_arn;
        assert_eq!(
            text,
            format!("[2026-01-02T03:04:05Z s-1 {task} app: sh]\n$ ls\r\n")
        );
        for _ in 0..9 {
            transcript.write(&[b'x'; 1 << 20]).await;
        }
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text.len(), MOST + CUT.len());
        assert!(text.ends_with(CUT));
    }

    /// A FIFO that nobody reads is a disk that does not answer.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_costs_the_transcript_and_not_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transcripts");
        std::fs::create_dir(&path).unwrap();
        let fifo = path.join("s-1.log");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let offer = offer(Some(Kind::File));
        let beginning = Transcript::begin(folder.path(), &offer, now());
        // Time does not go by itself while a thread blocks.
        let time = async {
            tokio::task::yield_now().await;
            tokio::time::advance(DEADLINE).await;
        };
        let (transcript, ()) = tokio::join!(beginning, time);
        assert!(transcript.unwrap().sink.is_none());
        let disk = File::options().read(true).write(true).open(&fifo).unwrap();
        while blocking::DISK.free() < blocking::DISK.most() {
            tokio::task::yield_now().await;
        }
        drop(disk);
    }

    #[test]
    fn the_old_and_the_many_go() {
        let folder = tempfile::tempdir().unwrap();
        let now = now();
        let make = |name: &str, age: i64| {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            let at = now - jiff::SignedDuration::from_hours(age);
            let at = Duration::from_millis(at.as_millisecond().unsigned_abs());
            file.set_modified(std::time::UNIX_EPOCH + at).unwrap();
        };
        make("ancient", 24 * 31);
        make("yesterday", 24);
        prune(folder.path(), now).unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["yesterday"]);
        for number in 0..FILES {
            make(&format!("{number:02}"), 1);
        }
        prune(folder.path(), now).unwrap();
        assert_eq!(names().len(), FILES - 1);
        assert!(!names().contains(&"yesterday".to_owned()));
    }

    #[test]
    fn sessions_that_begin_at_once_all_have_one() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            for number in 0..200 {
                std::fs::write(folder.path().join(format!("{round}-{number}")), "").unwrap();
            }
            std::thread::scope(|scope| {
                let both = [(); 4].map(|()| scope.spawn(|| prune(folder.path(), now())));
                for pruned in both {
                    pruned.join().unwrap().unwrap();
                }
            });
        }
    }

    #[tokio::test]
    async fn the_journal_gets_lines_whatever_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal_end = UnixDatagram::bind(&path).unwrap();
        let mut transcript = Transcript {
            session: "s-1".to_owned(),
            sink: Some(journal(&path, &offer(Some(Kind::Journald))).await.unwrap()),
            written: 0,
        };
        transcript.write(b"a\xff=b\r\nrest").await;
        let mut datagram = [0; 1024];
        let length = journal_end.recv(&mut datagram).await.unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        assert!(
            text.contains("SYSLOG_IDENTIFIER=longshore-exec\nLONGSHORE_SESSION=s-1\n"),
            "{text}"
        );
        assert!(
            datagram[..length].ends_with(b"MESSAGE\n\x04\0\0\0\0\0\0\0a\xff=b\n"),
            "{text:?}"
        );
        // A journal that has gone costs the transcript alone.
        drop(journal_end);
        transcript.write(b"\nmore\n").await;
        assert!(transcript.sink.is_none());
    }
}
