//! What a session's process is: the container's own one, but for what it runs, and with marks that say whose it is.
//!
//! Between its start and its move to a group of its own it may have forked, and what it forks may clear its environment, as
//! `su -` does. A limit is left then: one on time that only realtime processes are given, and so great that none reaches it.

use oci_spec::runtime::{
    BoxBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process as ProcessSpec, Spec,
};
use prost_types::Any;

use super::refused;
use crate::containerd::services::v1::Container;
use crate::runtime::RuntimeError;
use crate::runtime::cgroup::Mark;
use crate::runtime::exec::{ExecId, ExecRequest};

/// As containerd's own clients call OCI's process.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The variable that says whose a process is.
const MARK: &str = "LONGSHORE_EXEC_SESSION";
/// The least limit that is a mark, in microseconds: some 70,000 years.
const LEAST_LIMIT: u64 = 1 << 61;

/// The container's own process, but for what it runs.
pub(super) fn process_spec(record: &Container, request: &ExecRequest) -> Result<Any, RuntimeError> {
    let invalid = |why: &dyn std::error::Error| refused("Exec", &record.id, why);
    let spec = record.spec.as_ref().map_or(&[][..], |any| &any.value);
    let spec: Spec = serde_json::from_slice(spec).map_err(|error| invalid(&error))?;
    let mut process = spec.process().clone().unwrap_or_default();
    fit(&mut process, request);
    let value = serde_json::to_vec(&process).map_err(|error| invalid(&error))?;
    Ok(Any {
        type_url: PROCESS_TYPE.to_owned(),
        value,
    })
}

fn fit(process: &mut ProcessSpec, request: &ExecRequest) {
    process.set_args(Some(request.args.clone()));
    process.set_terminal(Some(request.terminal.is_some()));
    let size = request.terminal.and_then(|size| {
        let console = BoxBuilder::default().width(size.columns).height(size.rows);
        // Both are set, so it can be built.
        console.build().ok()
    });
    process.set_console_size(size);
    let env = process.env_mut().get_or_insert_default();
    if request.terminal.is_some() && !env.iter().any(|line| line.starts_with("TERM=")) {
        env.push("TERM=xterm-256color".to_owned());
    }
    let mark = mark(&request.id);
    env.push(mark.line);
    let mut limits = process.rlimits().clone().unwrap_or_default();
    let own = |limit: &PosixRlimit| limit.typ() == PosixRlimitType::RlimitRttime;
    // All three are set, so it can be built.
    let limit = PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitRttime)
        .soft(mark.limit)
        .hard(mark.limit)
        .build();
    if !limits.iter().any(own) {
        limits.extend(limit);
    }
    process.set_rlimits(Some(limits));
}

/// What is found on all of a session's processes, unless they took care to lose it.
pub(super) fn mark(id: &ExecId) -> Mark {
    let digest = longshore_protocol::sigv4::sha256_hex(id.session.as_bytes());
    // Hexadecimal digits: they are a number.
    let number = u64::from_str_radix(&digest[..16], 16).unwrap_or_default();
    Mark {
        line: format!("{MARK}={}", id.session),
        limit: LEAST_LIMIT | number >> 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::exec::TerminalSize;

    fn request(terminal: bool) -> ExecRequest {
        ExecRequest {
            id: ExecId {
                container: "0123456789abcdef0123456789abcdef-0".parse().unwrap(),
                session: "ecs-execute-command-1".to_owned(),
            },
            args: vec!["sh".to_owned()],
            terminal: terminal.then_some(TerminalSize {
                columns: 80,
                rows: 24,
            }),
        }
    }

    #[test]
    fn a_session_is_as_the_containers_own_process_is() {
        let mut process = ProcessSpec::default();
        process
            .set_env(Some(vec!["A=1".to_owned()]))
            .set_cwd("/srv".into())
            .set_no_new_privileges(Some(true));
        fit(&mut process, &request(true));
        let json = serde_json::to_value(&process).unwrap();
        assert_eq!(json["args"], serde_json::json!(["sh"]));
        assert_eq!(json["cwd"], "/srv");
        assert_eq!(json["noNewPrivileges"], true);
        assert_eq!(json["terminal"], true);
        assert_eq!(
            json["consoleSize"],
            serde_json::json!({"height": 24, "width": 80})
        );
        let mark = "LONGSHORE_EXEC_SESSION=ecs-execute-command-1";
        assert_eq!(
            json["env"],
            serde_json::json!(["A=1", "TERM=xterm-256color", mark])
        );
        let limits = json["rlimits"].as_array().unwrap();
        assert_eq!(limits.last().unwrap()["type"], "RLIMIT_RTTIME");
        // A limit that the task has is its own.
        let limit = serde_json::json!([{"type": "RLIMIT_RTTIME", "soft": 5, "hard": 5}]);
        process.set_rlimits(Some(serde_json::from_value(limit.clone()).unwrap()));
        fit(&mut process, &request(true));
        assert_eq!(serde_json::to_value(&process).unwrap()["rlimits"], limit);
    }

    #[test]
    fn an_image_that_says_its_terminal_keeps_it_and_pipes_have_none() {
        let mut process = ProcessSpec::default();
        process.set_env(Some(vec!["TERM=dumb".to_owned()]));
        fit(&mut process, &request(true));
        assert_eq!(process.env().as_ref().unwrap()[0], "TERM=dumb");
        assert_eq!(process.env().as_ref().unwrap().len(), 2);
        let mut process = ProcessSpec::default();
        process.set_env(Some(Vec::new()));
        fit(&mut process, &request(false));
        assert_eq!(process.env().as_ref().unwrap().len(), 1);
        assert_eq!(process.console_size(), None);
    }
}
