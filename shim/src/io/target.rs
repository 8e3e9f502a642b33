//! Where output goes, as a request to create or exec says it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::IoError;

/// A target of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Nobody wants it.
    Null,
    /// A FIFO that the client reads; or a file, which must exist.
    Path(PathBuf),
    /// A file, made if need be. It takes both streams.
    File(PathBuf),
    /// A logger that reads both streams.
    Binary {
        /// The program.
        program: PathBuf,
        /// What it is called with.
        args: Vec<OsString>,
    },
    /// Our json-file log, with the file that holds its options. It takes both streams.
    Log(PathBuf),
}

impl Target {
    /// Reads a target. A plain path is taken as it is; in a URI, `%` and in its query `+` are decoded.
    pub(super) fn parse(uri: &str) -> Result<Self, IoError> {
        if uri.is_empty() {
            return Ok(Self::Null);
        }
        if uri.starts_with('/') {
            return Ok(Self::Path(uri.into()));
        }
        let fault = || IoError::Uri { uri: uri.to_owned() };
        let (scheme, rest) = uri.split_once("://").ok_or_else(fault)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err(fault());
        }
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
        let path = PathBuf::from(OsStr::from_bytes(&bytes));
        match scheme {
            "fifo" => Ok(Self::Path(path)),
            "file" => Ok(Self::File(path)),
            "longshore-log" => Ok(Self::Log(path)),
            "binary" => Ok(Self::Binary {
                program: path,
                args: words(query),
            }),
            _ => Err(fault()),
        }
    }

    /// Whether a target of stdout takes stderr too, whatever the request says of that: so do containerd's shims.
    pub(super) fn takes_both(&self) -> bool {
        match self {
            Self::File(_) | Self::Binary { .. } | Self::Log(_) => true,
            Self::Null | Self::Path(_) => false,
        }
    }
}

/// The query as a program's arguments: each name and its first value, as containerd's shims pass them.
fn words(query: &str) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !words.iter().step_by(2).any(|known| known == name.as_ref()) {
            words.extend([name.into_owned().into(), value.into_owned().into()]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_by_their_form() {
        let path = |path: &str| PathBuf::from(path);
        for (uri, target) in [
            ("", Target::Null),
            ("/run/a%20b", Target::Path(path("/run/a%20b"))),
            ("fifo:///run/a%20b", Target::Path(path("/run/a b"))),
            ("file:///var/log/a%2Fb", Target::File(path("/var/log/a/b"))),
            ("longshore-log:///o.json", Target::Log(path("/o.json"))),
            (
                "binary:///opt/long%20shore?options=%2Fa%26b+c&flag&n=1&n=2",
                Target::Binary {
                    program: path("/opt/long shore"),
                    args: ["options", "/a&b c", "flag", "", "n", "1"].map(Into::into).into(),
                },
            ),
        ] {
            assert_eq!(Target::parse(uri).unwrap(), target);
        }
        for uri in ["relative", "file://relative", "http:///x", "://", "binary:"] {
            assert!(matches!(Target::parse(uri), Err(IoError::Uri { uri: named }) if named == uri));
        }
    }
}
