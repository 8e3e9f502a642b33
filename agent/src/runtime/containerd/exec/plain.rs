//! Why a session's process did not begin, as a user reads it.

use crate::runtime::RuntimeError;

/// Says in a few words what OCI runtimes say in many: the user gets to read it.
pub(super) fn plainly(error: RuntimeError, args: &[String]) -> RuntimeError {
    let RuntimeError::Refused {
        operation,
        subject,
        why,
    } = error
    else {
        return error;
    };
    let program = args.first().map_or("", String::as_str);
    let lower = why.to_lowercase();
    let why = if lower.contains("executable file") && lower.contains("not found")
        || lower.contains("no such file or directory")
    {
        format!("there is no program {program:?} in the container")
    } else if lower.contains("permission denied") {
        format!("{program:?} in the container may not be run: permission denied")
    } else {
        format!("{program:?} can't be run in the container: {why}")
    };
    RuntimeError::Refused {
        operation,
        subject,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_say_of_a_missing_program_is_said_in_a_few_words() {
        for (why, expected) in [
            (
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": executable \
                 file not found in $PATH: unknown",
                "there is no program \"nope\" in the container",
            ),
            (
                "executable file `nope` not found in $PATH: No such file or directory",
                "there is no program \"nope\" in the container",
            ),
            (
                "exec: \"nope\": permission denied",
                "\"nope\" in the container may not be run: permission denied",
            ),
        ] {
            let error = RuntimeError::Refused {
                operation: "StartExec",
                subject: "c".to_owned(),
                why: why.to_owned(),
            };
            assert_eq!(plainly(error, &["nope".to_owned()]).to_string(), expected);
        }
    }
}
