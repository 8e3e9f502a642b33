//! `longshore exec`: a command in a container, with our standard streams or our terminal.

use std::process::ExitCode;

use longshore_protocol::ecs;

use super::connect_to;
use crate::args::Exec;
use crate::error::{Error, NO_CODE};
use crate::input::InputError;
use crate::session::{self, Opened, SessionError, Terms};

/// Runs it, and ends with its exit code.
///
/// # Errors
/// [`Error::Exec`], so that no other exit code is taken for the command's.
pub(super) async fn exec(options: &Exec) -> Result<ExitCode, Error> {
    let code = run(options).await.map_err(|error| Error::Exec(Box::new(error)))?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(NO_CODE)))
}

fn quoted(words: &[String]) -> Result<String, InputError> {
    shlex::try_join(words.iter().map(String::as_str)).map_err(InputError::Unquotable)
}

async fn run(options: &Exec) -> Result<u32, Error> {
    let (client, cluster) = connect_to(options.env.as_deref(), options.cluster.as_deref())?;
    let request = ecs::ExecuteCommandRequest {
        cluster: Some(cluster),
        task: Some(options.task.clone()),
        container: options.container.clone(),
        // The agent splits it by the same rules.
        command: Some(quoted(&options.command)?),
        // With pipes too: the API takes nothing else.
        interactive: Some(true),
    };
    let started: ecs::ExecuteCommandResponse = client.ecs("ExecuteCommand", &request).await?;
    let terms = Terms {
        terminal: session::is_in_terminal(),
        input: true,
    };
    let mut show = |output, bytes, pieces: &mut Vec<_>| {
        pieces.push((output, bytes));
        Ok(())
    };
    let code = session::run(&client, Opened::try_from(started.session)?, terms, &mut show).await?;
    Ok(code.ok_or(SessionError::Ended)?)
}
