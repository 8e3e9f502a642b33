//! `longshore logs`: the output of a task, by a session with its node through the control plane, or from the agent on this
//! machine.
//!
//! The agent here is asked where it is named, or where no control plane is; and instead of a control plane that doesn't
//! answer, or doesn't reach the node, if there is an agent.

use std::path::PathBuf;

use longshore_protocol::Timestamp;
use longshore_protocol::data_channel::host::Output;
use longshore_protocol::json_file::{Record, Stream};
use longshore_protocol::session::{StartLogsSessionRequest, StartLogsSessionResponse};

use super::{connect_to, up_dir};
use crate::admin::{self, LogQuery, SERVICE_SETTINGS, SOCKET};
use crate::api::{ApiError, Client};
use crate::args::Logs;
use crate::error::Error;
use crate::input::task_id;
use crate::session::{self, Opened, Piece, SessionError, Terms};
use crate::settings::{SettingsError, UP_DIR};
use crate::{out, up};

/// The most bytes of a line: a record of the log is far below.
const MAX_LINE: usize = 1024 * 1024;

pub(super) async fn logs(options: &Logs) -> Result<(), Error> {
    if options.socket.is_some() || options.env.is_some() {
        return of_this_machine(options).await;
    }
    let (client, cluster) = match connect_to(None, options.cluster.as_deref()) {
        Err(Error::Settings(SettingsError::NoControlPlane { .. })) if options.cluster.is_none() => {
            return of_this_machine(options).await;
        }
        connected => connected?,
    };
    match start(&client, &cluster, options).await {
        Ok(started) => of_any_machine(&client, started, options.json).await,
        Err(error) if is_out_of_reach(&error) && socket(options).exists() => {
            out::note(format_args!(
                "longshore: {error}. Asking the agent on this machine."
            ));
            of_this_machine(options).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the log may be had all the same where it is.
fn is_out_of_reach(error: &ApiError) -> bool {
    let is_away = matches!(error, ApiError::Refused { code, .. } if code == "TargetNotConnectedException");
    error.is_silence() || is_away
}

async fn start(client: &Client, cluster: &str, options: &Logs) -> Result<StartLogsSessionResponse, ApiError> {
    let request = StartLogsSessionRequest {
        cluster: Some(cluster.to_owned()),
        task: Some(options.task.clone()),
        container: options.container.clone(),
        follow: Some(options.follow),
        since: options
            .since
            .map(|since| Timestamp::from_millis(since.as_millisecond())),
    };
    client.longshore("StartLogsSession", &request).await
}

async fn of_any_machine(client: &Client, started: StartLogsSessionResponse, json: bool) -> Result<(), Error> {
    let terms = Terms {
        terminal: false,
        input: false,
    };
    let mut lines = Lines::default();
    let mut show = |output, bytes: Vec<u8>, pieces: &mut Vec<Piece>| match output {
        Output::Stdout => lines.take(&bytes, json, pieces),
        Output::Stderr => {
            pieces.push((output, bytes));
            Ok(())
        }
    };
    session::run(client, Opened::try_from(started.session)?, terms, &mut show).await?;
    Ok(())
}

/// Records, a line each, that come in pieces of any size.
#[derive(Debug, Default)]
struct Lines {
    /// What came of the next one.
    begun: Vec<u8>,
}

impl Lines {
    /// Takes a piece, and gives what is to be shown of the lines that it completes.
    fn take(&mut self, bytes: &[u8], json: bool, pieces: &mut Vec<Piece>) -> Result<(), SessionError> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.len() + part.len() > MAX_LINE {
                return Err(SessionError::NoLog(format!(
                    "a line is longer than {MAX_LINE} bytes"
                )));
            }
            self.begun.extend_from_slice(part);
            if !part.ends_with(b"\n") {
                return Ok(());
            }
            let line = std::mem::take(&mut self.begun);
            if json {
                put(pieces, Output::Stdout, &line);
            } else {
                let record: Record =
                    serde_json::from_slice(&line).map_err(|error| SessionError::NoLog(error.to_string()))?;
                put(pieces, output_of(record.stream), record.log.as_bytes());
            }
        }
        Ok(())
    }
}

/// Adds bytes to the last piece if it goes the same way: many short lines are one write.
fn put(pieces: &mut Vec<Piece>, output: Output, bytes: &[u8]) {
    match pieces.last_mut() {
        Some((last, written)) if *last == output => written.extend_from_slice(bytes),
        _ => pieces.push((output, bytes.to_vec())),
    }
}

/// Output goes where the container wrote it.
fn output_of(stream: Stream) -> Output {
    match stream {
        Stream::Stdout => Output::Stdout,
        Stream::Stderr => Output::Stderr,
    }
}

async fn of_this_machine(options: &Logs) -> Result<(), Error> {
    let query = LogQuery {
        task: task_id(&options.task),
        container: options.container.as_deref(),
        follow: options.follow,
    };
    let mut logs = admin::logs(&socket(options), &query).await?;
    while let Some(record) = logs.next().await? {
        if options.since.is_some_and(|since| is_before(&record, since)) {
            continue;
        }
        match options.json {
            true => out::line(serde_json::to_string(&record).map_err(std::io::Error::other)?)?,
            false => show(&record)?,
        }
    }
    Ok(())
}

/// A record whose time can't be read is shown.
fn is_before(record: &Record, since: jiff::Timestamp) -> bool {
    let time = record.time.parse::<jiff::Timestamp>();
    time.is_ok_and(|time| time < since)
}

/// The socket that is named, that of the folder that is named, or the first of the usual ones that is there.
fn socket(options: &Logs) -> PathBuf {
    if let Some(socket) = &options.socket {
        return socket.clone();
    }
    let of_up = |folder: PathBuf| up::agent_data_dir(&folder).join(SOCKET);
    if let Some(folder) = &options.env {
        return of_up(folder.clone());
    }
    let mut usual = Vec::new();
    usual.extend(std::env::var_os(UP_DIR).map(|folder| of_up(PathBuf::from(folder))));
    usual.extend(admin::named_socket(|name| std::env::var(name).ok()));
    let settings = std::fs::read_to_string(SERVICE_SETTINGS).ok();
    usual.extend([of_up(up_dir()), admin::service_socket(settings.as_deref())]);
    let there = usual.iter().find(|socket| socket.exists()).cloned();
    there.unwrap_or_else(|| usual.swap_remove(0))
}

fn show(record: &Record) -> std::io::Result<()> {
    use std::io::Write as _;

    match record.stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(record.log.as_bytes())?;
            out.flush()
        }
        Stream::Stderr => std::io::stderr().lock().write_all(record.log.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00.5Z\"}\n\
                       {\"log\":\"b\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:01Z\"}\n\
                       {\"log\":\"c\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-01T00:00:02Z\"}\n";

    fn taken(pieces: &[&[u8]], json: bool) -> Vec<Piece> {
        let (mut lines, mut shown) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, json, &mut shown).unwrap();
        }
        shown
    }

    #[test]
    fn records_may_be_cut_anywhere() {
        let whole = [
            (Output::Stdout, b"a\nb".to_vec()),
            (Output::Stderr, b"c\n".to_vec()),
        ];
        for cut in 0..=LOG.len() {
            let (before, after) = LOG.as_bytes().split_at(cut);
            assert_eq!(taken(&[before, after], false), whole, "{cut}");
        }
        assert_eq!(
            taken(&[LOG.as_bytes()], true),
            [(Output::Stdout, LOG.as_bytes().to_vec())]
        );
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        let (mut lines, mut shown) = (Lines::default(), Vec::new());
        assert!(lines.take(b"{}\n", false, &mut shown).is_err());
        let endless = vec![b'x'; MAX_LINE];
        assert!(Lines::default().take(&endless, false, &mut shown).is_ok());
        assert!(
            lines
                .take(&[&endless[..], b"x"].concat(), false, &mut shown)
                .is_err()
        );
    }

    #[test]
    fn times_are_compared_by_what_they_mean() {
        let record: Record = serde_json::from_str(LOG.lines().next().unwrap()).unwrap();
        let since = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        assert!(is_before(&record, since("2026-01-01T01:00:00.6+01:00")));
        assert!(!is_before(&record, since("2026-01-01T00:00:00.5Z")));
    }
}
