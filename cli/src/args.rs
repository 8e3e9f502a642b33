//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::error::EXIT_CODES;
use crate::input::OVERRIDE_FORMS;

/// Run ECS tasks on your own machines: a whole system on this one (`up`), and a small client of the ECS API.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_CODES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a control plane and an agent on this machine, in the foreground.
    Up(Up),
    /// Register a task definition from a file (or name one), and run it.
    Run(Run),
    /// List tasks.
    Ps(Ps),
    /// Show everything about tasks.
    Describe(Tasks),
    /// Show the output of a task, wherever it runs.
    Logs(Logs),
    /// Run a command in a container of a task: in a terminal if this is one, else with pipes.
    Exec(Exec),
    /// Stop tasks.
    Stop(Stop),
    /// List the machines of the cluster.
    Nodes(Nodes),
    /// Make an activation, and print the line that registers a machine with it.
    Activate(Activate),
}

/// What every command of the client takes.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// The folder of a `longshore up` whose endpoint and keys to use [default: the AWS_* variables, else up's own
    /// default folder].
    #[arg(long, value_name = "DIR")]
    pub env: Option<PathBuf>,
    /// The cluster [default: LONGSHORE_CLUSTER, else `default`].
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// JSON for scripts instead of a table: the API's own answer.
    #[arg(long)]
    pub json: bool,
}

/// `up`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Up {
    /// Where everything is kept; names of namespace, bridge and cgroup come from it [default: /var/lib/longshore-up].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the API listens. Port 0: any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8474")]
    pub listen: SocketAddr,
    /// TLS with a certificate of its own, as an address that is not loopback needs.
    #[arg(long)]
    pub tls_self_signed: bool,
    /// The containerd to use [default: the system's where one answers, else a private one].
    #[arg(long, value_name = "SOCKET")]
    pub containerd_address: Option<PathBuf>,
    /// A file to touch once everything runs.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Leave the tasks running at the end; the next `up` finds them again.
    #[arg(long)]
    pub keep_tasks: bool,
    /// Remove the data folder at the end.
    #[arg(long, conflicts_with = "keep_tasks")]
    pub clean: bool,
    /// Run a sample task first. Without a terminal, or with ONCE=1: check it, and stop.
    #[arg(long)]
    pub sample: bool,
}

/// `run`.
#[derive(Debug, ClapArgs)]
pub struct Run {
    #[command(flatten)]
    /// Endpoint, cluster, output.
    pub common: Common,
    /// A task definition that is registered already: FAMILY or FAMILY:REVISION.
    #[arg(
        value_name = "TASKDEF",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    pub task_definition: Option<String>,
    /// A file with the input of RegisterTaskDefinition in JSON; `-` is standard input.
    #[arg(short, long, value_name = "TASKDEF.json")]
    pub file: Option<PathBuf>,
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10))]
    pub count: i32,
    #[arg(long = "override", value_name = "WHAT", help = format!("What to change for this run; may be repeated. {OVERRIDE_FORMS}"))]
    /// What to change.
    pub overrides: Vec<String>,
    /// Let `longshore exec` run commands in the tasks' containers.
    #[arg(long)]
    pub enable_execute_command: bool,
    /// Wait until the tasks have stopped.
    #[arg(long)]
    pub wait: bool,
}

/// `ps`.
#[derive(Debug, ClapArgs)]
pub struct Ps {
    #[command(flatten)]
    /// Endpoint, cluster, output.
    pub common: Common,
    /// Stopped tasks too, as long as the control plane keeps them.
    #[arg(short, long)]
    pub all: bool,
}

/// `describe`.
#[derive(Debug, ClapArgs)]
pub struct Tasks {
    #[command(flatten)]
    /// Endpoint, cluster, output.
    pub common: Common,
    /// Ids or ARNs.
    #[arg(value_name = "TASK", required = true)]
    pub tasks: Vec<String>,
}

/// `logs`.
#[derive(Debug, ClapArgs)]
pub struct Logs {
    /// An id or ARN.
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The container; needed where the task has several.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Go on with what is written from now on.
    #[arg(short, long)]
    pub follow: bool,
    /// Nothing older: a time like 2026-01-31T12:00:00Z, or how long ago, like 90s, 10m or 2h30m.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<jiff::Timestamp>,
    /// The cluster [default: LONGSHORE_CLUSTER, else `default`].
    #[arg(long, value_name = "NAME", conflicts_with_all = ["env", "socket"])]
    pub cluster: Option<String>,
    /// Ask the agent of the `longshore up` in this folder, which must run on this machine, not its control plane.
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    pub env: Option<PathBuf>,
    /// Ask the agent with this admin socket, which must run on this machine, not the control plane.
    #[arg(long, value_name = "SOCKET")]
    pub socket: Option<PathBuf>,
    /// Records as JSON lines, with their times.
    #[arg(long)]
    pub json: bool,
}

/// A time, or how long ago it was.
fn since(text: &str) -> Result<jiff::Timestamp, String> {
    since_by(crate::clock::now(), text)
}

fn since_by(now: jiff::Timestamp, text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time);
    }
    let ago = text
        .parse::<jiff::SignedDuration>()
        .map_err(|_| "neither a time like 2026-01-31T12:00:00Z nor a duration like 10m".to_owned())?;
    let time = now.checked_sub(ago.abs());
    time.map_err(|_| "that is too long ago".to_owned())
}

/// `exec`.
#[derive(Debug, ClapArgs)]
pub struct Exec {
    /// The folder of a `longshore up` whose endpoint and keys to use [default: the AWS_* variables, else up's own
    /// default folder].
    #[arg(long, value_name = "DIR")]
    pub env: Option<PathBuf>,
    /// The cluster [default: LONGSHORE_CLUSTER, else `default`].
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// An id or ARN.
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The container; needed where the task has several.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// The program and its arguments, run as they are: for more than one command, `sh -c '…'`.
    #[arg(value_name = "CMD", required = true, last = true)]
    pub command: Vec<String>,
}

/// `stop`.
#[derive(Debug, ClapArgs)]
pub struct Stop {
    #[command(flatten)]
    /// Endpoint, cluster, output.
    pub common: Common,
    /// Ids or ARNs.
    #[arg(value_name = "TASK", required = true)]
    pub tasks: Vec<String>,
    /// Kill at once, without the stop signal and its timeout.
    #[arg(long)]
    pub force: bool,
    /// Shown as the task's stoppedReason.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `nodes`.
#[derive(Debug, ClapArgs)]
pub struct Nodes {
    #[command(flatten)]
    /// Endpoint, cluster, output.
    pub common: Common,
}

/// `activate`.
#[derive(Debug, ClapArgs)]
pub struct Activate {
    #[command(flatten)]
    /// Endpoint, cluster, output.
    pub common: Common,
    /// How many machines may register with it.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub limit: i32,
    /// After how many hours it ends.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(i64).range(1..=720))]
    pub hours: i64,
    /// The URL under which the machine reaches the control plane [default: the endpoint in use].
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<url::Url>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now = "2026-01-31T12:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let by = |text: &str| since_by(now, text).unwrap().to_string();
        assert_eq!(by("2026-01-31T13:00:00+02:00"), "2026-01-31T11:00:00Z");
        assert_eq!(by("2h30m"), "2026-01-31T09:30:00Z");
        assert_eq!(by("90s"), "2026-01-31T11:58:30Z");
        assert!(since_by(now, "10").is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        parse("longshore run -f t.json --count 2 --override web:cpu=1 --override cpu=2 --wait").unwrap();
        parse("longshore run web --enable-execute-command").unwrap();
        parse("longshore run web:3 --json").unwrap();
        parse("longshore exec 0a -c web -- sh -c x --help").unwrap();
        parse("longshore logs 0a --since 10m --cluster c -f").unwrap();
        parse("longshore up --listen 127.0.0.1:0 --keep-tasks").unwrap();
        for wrong in [
            "longshore run",
            "longshore run web -f t.json",
            "longshore run web --count 11",
            "longshore stop",
            "longshore exec 0a",
            "longshore exec 0a sh",
            "longshore logs 0a --since yesterday",
            "longshore logs 0a --socket s --cluster c",
            "longshore up --clean --keep-tasks",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
