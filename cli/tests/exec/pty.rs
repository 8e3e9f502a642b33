//! The program in a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// A terminal, with the program in it.
pub struct Pty {
    ours: File,
    theirs: OwnedFd,
    child: Child,
    seen: String,
}

impl Pty {
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
            seen: String::new(),
        }
    }

    /// Reads until the text was seen; everything since the last one that was waited for.
    pub fn expect(&mut self, text: &str) -> String {
        while !self.seen.contains(text) {
            let mut part = [0; 4096];
            let length = self.ours.read(&mut part).unwrap();
            self.seen.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end).collect()
    }

    pub fn types(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).unwrap();
    }

    /// The program has no terminal that controls it, so it is told as the kernel would tell it.
    pub fn resize(&self, cols: u16, rows: u16) {
        resize(&self.ours, cols, rows);
        self.signal(rustix::process::Signal::WINCH);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether it echoes and takes lines, as terminals do before a program changes them.
    pub fn is_cooked(&self) -> bool {
        use rustix::termios::{InputModes, LocalModes, OutputModes};
        let modes = tcgetattr(&self.theirs).unwrap();
        let lines = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        modes.local_modes.contains(lines)
            && modes.input_modes.contains(InputModes::ICRNL)
            && modes.output_modes.contains(OutputModes::OPOST)
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &impl std::os::fd::AsFd, cols: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}
