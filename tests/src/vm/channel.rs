//! Commands for the guest, over a virtio serial port: a line each way, see `tests/vm/guest/longshore-channel`.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// What came of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status.
    pub status: i32,
    /// What it printed, standard error included.
    pub output: String,
}

#[derive(Debug)]
pub(super) struct Channel {
    stream: BufReader<UnixStream>,
    last: u64,
}

impl Channel {
    pub(super) async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.expect("QEMU's socket");
        Self {
            stream: BufReader::new(stream),
            last: 0,
        }
    }

    /// Runs a script. One that nobody waited for may still answer; its answer is passed over.
    ///
    /// # Errors
    /// When QEMU has ended, as it does when the guest's kernel panics.
    pub(super) async fn run(&mut self, script: &str) -> std::io::Result<Answer> {
        self.last += 1;
        let line = format!("{} {}\n", self.last, encode(script.as_bytes()));
        self.stream.write_all(line.as_bytes()).await?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = parse(&line, self.last) {
                return Ok(answer);
            }
        }
    }
}

/// A script that runs another one, but no longer than that.
pub(super) fn bounded(seconds: u64, script: &str) -> String {
    let script = encode(script.as_bytes());
    format!("exec timeout --kill-after=10 {seconds} bash -c \"$(base64 -d <<<{script})\"")
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn parse(line: &str, id: u64) -> Option<Answer> {
    use base64::Engine as _;
    let mut words = line.trim_end().split(' ');
    if words.next()?.parse::<u64>().ok()? != id {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let output = base64::engine::general_purpose::STANDARD
        .decode(words.next().unwrap_or_default())
        .ok()?;
    Some(Answer {
        status,
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_takes_too_long_ends_with_what_it_had_said() {
        let run = |seconds, script: &str| {
            let mut command = std::process::Command::new("bash");
            let output = command.arg("-c").arg(bounded(seconds, script)).output().unwrap();
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let quoted = "x='a \"b\" $HOME'; echo \"$x\"\nexit 3";
        assert_eq!(run(60, quoted), (Some(3), "a \"b\" $HOME\n".to_owned()));
        let hangs = "echo begun; sleep 600";
        assert_eq!(run(1, hangs), (Some(124), "begun\n".to_owned()));
    }

    #[test]
    fn an_answer_is_of_its_own_script() {
        let answer = Answer {
            status: 3,
            output: "hi\n".to_owned(),
        };
        assert_eq!(parse("7 3 aGkK\n", 7), Some(answer));
        assert_eq!(parse("6 3 aGkK\n", 7), None, "an earlier one");
        assert_eq!(parse("7 0 \n", 7).unwrap().output, "");
        assert_eq!(parse("7 0 a*\n", 7), None);
        assert_eq!(parse("\n", 7), None);
    }
}
