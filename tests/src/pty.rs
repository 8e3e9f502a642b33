//! A program in a terminal, and who sits before it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{InputModes, LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize};

use crate::wait;

/// A terminal, with a program in it. Dropping it kills the program.
#[derive(Debug)]
pub struct Pty {
    ours: File,
    theirs: OwnedFd,
    child: Child,
    seen: Vec<u8>,
}

impl Pty {
    /// Starts a program in a terminal of this size, which is not the one that controls it.
    ///
    /// # Panics
    /// When that can't be done.
    #[must_use]
    pub fn start(mut command: Command, cols: u16, rows: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        resize(&ours, cols, rows);
        let stream = || theirs.try_clone().unwrap();
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().unwrap();
        Self {
            ours: ours.into(),
            theirs,
            child,
            seen: Vec::new(),
        }
    }

    /// Reads until the text was seen, and gives everything since the one that was waited for before.
    ///
    /// # Panics
    /// When it isn't there within [`wait::patience`], or the program has ended; says what was seen instead.
    pub fn expect(&mut self, text: &str) -> String {
        let find = |seen: &[u8]| seen.windows(text.len()).position(|part| part == text.as_bytes());
        while find(&self.seen).is_none() {
            let more = self.read();
            assert!(
                more > 0,
                "{text:?} was not seen, but {:?}",
                String::from_utf8_lossy(&self.seen)
            );
        }
        let end = find(&self.seen).unwrap_or_default() + text.len();
        let seen: Vec<u8> = self.seen.drain(..end).collect();
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// How many bytes came; 0 if none does.
    fn read(&mut self) -> usize {
        let patience = Timespec {
            tv_sec: i64::try_from(wait::patience().as_secs()).unwrap_or(i64::MAX),
            tv_nsec: 0,
        };
        let ready = poll(&mut [PollFd::new(&self.ours, PollFlags::IN)], Some(&patience));
        if ready != Ok(1) {
            return 0;
        }
        let mut part = [0; 4096];
        let length = self.ours.read(&mut part).unwrap_or(0);
        self.seen.extend_from_slice(&part[..length]);
        length
    }

    /// Types.
    pub fn types(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).expect("a terminal takes keys");
    }

    /// Makes the window larger or smaller. The terminal does not control the program, so it is told here.
    pub fn resize(&self, cols: u16, rows: u16) {
        resize(&self.ours, cols, rows);
        self.signal(Signal::WINCH);
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program is there");
    }

    /// Whether the terminal echoes and takes lines, as it does before a program changes it.
    #[must_use]
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("a terminal");
        let lines = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        modes.local_modes.contains(lines)
            && modes.input_modes.contains(InputModes::ICRNL)
            && modes.output_modes.contains(OutputModes::OPOST)
    }

    /// Waits for the program's end. What it wrote last can still be expected.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("our child")
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &impl AsFd, cols: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}
