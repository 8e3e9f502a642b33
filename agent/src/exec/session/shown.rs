//! What a session shows: a process or a log, from where it is to run to its last output.

use std::sync::Arc;

use longshore_protocol::data_channel::host::Host;
use longshore_protocol::data_channel::payload::Size;
use longshore_protocol::session::SessionKind;

use super::{Over, Session};
use crate::exec::program::{Ended, Program, ProgramEvent, terminal_size};
use crate::exec::transcript::Transcript;
use crate::exec::words;
use crate::runtime::exec::{ExecId, ExecRequest, TerminalSize};

/// A terminal whose client says no size.
const USUAL: TerminalSize = TerminalSize {
    columns: 80,
    rows: 24,
};

impl Session {
    /// Before it is shown. A transcript is begun with the first output, or the end.
    pub(super) async fn transcribe(&mut self, event: &ProgramEvent) {
        if self.transcript.is_none() {
            let now = self.now().wall;
            self.transcript = Some(Transcript::begin(&self.deps.folder, &self.offer, now).await);
        }
        if let (Some(Some(transcript)), ProgramEvent::Output(_, bytes)) = (&mut self.transcript, event) {
            transcript.write(bytes).await;
        }
    }

    /// Nobody is shown anything any more.
    pub(super) fn over(mut self, told: bool) -> Over {
        self.program.hang_up();
        Over {
            told,
            program: self.program,
        }
    }

    /// Where it is to run; or why it can't.
    pub(super) fn target(&self) -> Result<crate::model::ContainerId, String> {
        let (task, container) = (&self.offer.task_arn, &self.offer.container_name);
        match &self.offer.kind {
            SessionKind::Exec { command, .. } => {
                words::split(command).map_err(|error| error.to_string())?;
                self.deps.containers.running(task, container)
            }
            SessionKind::Logs { .. } => self.deps.containers.known(task, container),
        }
    }

    pub(super) fn start(&mut self, size: Option<Size>) {
        let offer = self.host.as_ref().and_then(Host::offer);
        let terminal = offer.is_none_or(|offer| offer.terminal);
        let size = size.map_or(USUAL, terminal_size);
        match self.program_of(terminal.then_some(size)) {
            Ok(program) => self.program = program,
            Err(why) => self.program_event(ProgramEvent::Ended(Ended {
                code: None,
                reason: Some(why),
            })),
        }
    }

    fn program_of(&self, terminal: Option<TerminalSize>) -> Result<Program, String> {
        let container = self.target()?;
        let (task, name) = (&self.offer.task_arn, &self.offer.container_name);
        match &self.offer.kind {
            SessionKind::Exec { command, .. } => {
                let request = ExecRequest {
                    id: ExecId {
                        container,
                        session: self.offer.session_id.clone(),
                    },
                    args: words::split(command).map_err(|error| error.to_string())?,
                    terminal,
                };
                let (execs, clock) = (Arc::clone(&self.deps.execs), Arc::clone(&self.deps.clock));
                Ok(Program::process(execs, clock, request))
            }
            SessionKind::Logs { follow, since } => {
                let records = self.deps.containers.records(task, name, *follow)?;
                Ok(Program::log(records, *since))
            }
        }
    }

    pub(super) fn program_event(&mut self, event: ProgramEvent) {
        let now = self.now();
        match event {
            ProgramEvent::Output(stream, bytes) => {
                self.active = now.since;
                self.end.bytes_out += bytes.len() as u64;
                if let Some(host) = self.host.as_mut().filter(|host| host.has_room()) {
                    host.write(now, stream, &bytes);
                }
            }
            ProgramEvent::Ended(Ended { code, reason }) => {
                let shown = self
                    .ending
                    .as_ref()
                    .map(|ending| ending.reason.clone())
                    .or(reason);
                if let Some(host) = &mut self.host {
                    match &shown {
                        Some(why) => host.fail(now, why),
                        None => host.exited(now, code.unwrap_or(0)),
                    }
                }
                self.note_end(code, shown);
            }
            ProgramEvent::Gone => {}
        }
    }
}
