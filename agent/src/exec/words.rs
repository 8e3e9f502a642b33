//! A command as a shell would split it, and without a shell.

/// What runs where a client named nothing.
const SHELL: &str = "sh";

/// A command that can't be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command ends inside quotes, or after a backslash: {0}")]
pub struct Unfinished(String);

/// The program and its arguments; at least one.
///
/// # Errors
/// [`Unfinished`].
pub fn split(command: &str) -> Result<Vec<String>, Unfinished> {
    let words = shlex::split(command).ok_or_else(|| Unfinished(command.to_owned()))?;
    Ok(match words.is_empty() {
        true => vec![SHELL.to_owned()],
        false => words,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_would() {
        for (command, words) in [
            ("", &["sh"][..]),
            ("  ", &["sh"]),
            ("/bin/sh", &["/bin/sh"]),
            ("cat '/a b'", &["cat", "/a b"]),
            (
                r#"sh -c "echo \"$A\"; exit 9""#,
                &["sh", "-c", "echo \"$A\"; exit 9"],
            ),
            (r"a\ b c", &["a b", "c"]),
            ("echo a; exit", &["echo", "a;", "exit"]),
            ("a '' b", &["a", "", "b"]),
            ("''", &[""]),
            ("ls '#1' # a comment", &["ls", "#1"]),
        ] {
            assert_eq!(split(command).unwrap(), words, "{command}");
        }
        for command in ["'a", "\"a", "a\\"] {
            assert_eq!(split(command), Err(Unfinished(command.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_a_client_quotes_comes_out_as_it_was(words in proptest::collection::vec("[^\0]{0,12}", 1..6)) {
            let quoted = shlex::try_join(words.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(split(&quoted).unwrap(), words);
        }

        #[test]
        fn no_command_makes_it_panic(command in ".{0,60}") {
            let _ = split(&command);
        }
    }
}
