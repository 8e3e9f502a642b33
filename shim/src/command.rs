//! The command line, as containerd calls shims: Go's flags, then a word.

use std::path::PathBuf;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See to it that a container has a shim, and print its address.
    Start,
    /// Clean up after a shim that has died.
    Delete,
    /// Print the version.
    Version,
    /// Print what runtime this is.
    Info,
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What is to be done.
    pub action: Action,
    /// containerd's namespace.
    pub namespace: String,
    /// The container.
    pub id: String,
    /// containerd's socket.
    pub address: String,
    /// The container's bundle; the working directory if it is not given.
    pub bundle: Option<PathBuf>,
    /// Whether to log more.
    pub debug: bool,
}

/// A command line that can't be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A flag without its value.
    #[error("-{0} needs a value; containerd calls this program, people need not")]
    Value(String),
    /// An unknown flag.
    #[error("-{0} is unknown; containerd calls this program, people need not")]
    Flag(String),
    /// An unknown word.
    #[error(
        "{0:?} is unknown: the words are start and delete; containerd calls this program, people need not"
    )]
    Word(String),
    /// No word.
    #[error("a word is missing: start or delete; containerd calls this program, people need not")]
    NoWord,
    /// A flag that is missing.
    #[error("-{0} is missing; containerd calls this program, people need not")]
    Missing(&'static str),
}

impl Arguments {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut action = None;
        let mut arguments = Self {
            action: Action::Start,
            namespace: String::new(),
            id: String::new(),
            address: String::new(),
            bundle: None,
            debug: false,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else {
                action = Some(match word.as_str() {
                    "start" => Action::Start,
                    "delete" => Action::Delete,
                    _ => return Err(UsageError::Word(word)),
                });
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, given) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let on = given.as_deref() != Some("false");
            let mut value = || {
                given
                    .clone()
                    .or_else(|| words.next())
                    .ok_or_else(|| UsageError::Value(name.to_owned()))
            };
            match name {
                "namespace" => arguments.namespace = value()?,
                "id" => arguments.id = value()?,
                "address" => arguments.address = value()?,
                "bundle" => arguments.bundle = Some(value()?.into()),
                // Where others publish events: we speak to containerd ourselves, at an address from the environment.
                "publish-binary" | "socket" => drop(value()?),
                "debug" => arguments.debug = on,
                "v" if on => action = Some(Action::Version),
                "info" if on => action = Some(Action::Info),
                "v" | "info" => {}
                _ => return Err(UsageError::Flag(name.to_owned())),
            }
        }
        arguments.action = action.ok_or(UsageError::NoWord)?;
        arguments.check()
    }

    fn check(self) -> Result<Self, UsageError> {
        if matches!(self.action, Action::Version | Action::Info) {
            return Ok(self);
        }
        if self.namespace.is_empty() {
            return Err(UsageError::Missing("namespace"));
        }
        if self.id.is_empty() {
            return Err(UsageError::Missing("id"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, UsageError> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn as_containerd_calls() {
        let start = parse("-namespace n -address /a -publish-binary /b -id c -debug start").unwrap();
        assert_eq!(start.action, Action::Start);
        assert_eq!((start.namespace.as_str(), start.id.as_str()), ("n", "c"));
        assert_eq!((start.address.as_str(), start.debug), ("/a", true));
        let delete = parse("--namespace=n --id=c -bundle /b --debug=false delete").unwrap();
        assert_eq!((delete.action, delete.debug), (Action::Delete, false));
        assert_eq!(delete.bundle.unwrap(), PathBuf::from("/b"));
        assert_eq!(parse("-v").unwrap().action, Action::Version);
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(parse("-id c start"), Err(UsageError::Missing("namespace")));
        assert_eq!(parse("-namespace n -id"), Err(UsageError::Value("id".into())));
        assert_eq!(
            parse("-namespace n -id c stop"),
            Err(UsageError::Word("stop".into()))
        );
        assert_eq!(parse("-namespace n -id c"), Err(UsageError::NoWord));
        assert_eq!(parse("-what"), Err(UsageError::Flag("what".into())));
    }
}
