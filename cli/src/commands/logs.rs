//! `longshore logs`: the output of a task that runs on this machine, from its agent's admin socket.

use std::io::Write as _;
use std::path::PathBuf;

use longshore_protocol::json_file::{Record, Stream};

use super::up_dir;
use crate::admin::{self, LogQuery, SERVICE_DATA_DIR, SOCKET};
use crate::args::Logs;
use crate::error::Error;
use crate::input::task_id;
use crate::settings::UP_DIR;
use crate::{out, up};

pub(super) async fn logs(options: &Logs) -> Result<(), Error> {
    let socket = socket(options);
    let query = LogQuery {
        task: task_id(&options.task),
        container: options.container.as_deref(),
        follow: options.follow,
    };
    let mut logs = admin::logs(&socket, &query).await?;
    while let Some(record) = logs.next().await? {
        match options.json {
            true => out::line(serde_json::to_string(&record).map_err(std::io::Error::other)?)?,
            false => show(&record)?,
        }
    }
    Ok(())
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
    usual.extend(std::env::var_os("LONGSHORE_DATA_DIR").map(|folder| PathBuf::from(folder).join(SOCKET)));
    usual.extend([of_up(up_dir()), PathBuf::from(SERVICE_DATA_DIR).join(SOCKET)]);
    let there = usual.iter().find(|socket| socket.exists()).cloned();
    there.unwrap_or_else(|| usual.swap_remove(0))
}

/// Output goes where the container wrote it.
fn show(record: &Record) -> std::io::Result<()> {
    match record.stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(record.log.as_bytes())?;
            out.flush()
        }
        Stream::Stderr => std::io::stderr().lock().write_all(record.log.as_bytes()),
    }
}
