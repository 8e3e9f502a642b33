//! The file `env` in a folder of `longshore up`: a shell can source it, and this program can read it.
//!
//! Limits: `export NAME=VALUE …` and `unset NAME …` lines and comments; values plain, in single quotes, or in double
//! quotes without anything to expand. That is all that [`write()`] makes.

use std::collections::BTreeMap;

/// A line that isn't understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is not of the form export NAME=VALUE")]
pub struct InvalidEnvFile {
    /// Which, from 1.
    pub line: usize,
    /// What stands there; never a value.
    pub text: String,
}

/// Reads the assignments.
///
/// # Errors
/// The first line that isn't understood.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, InvalidEnvFile> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line_of = |text: &str| InvalidEnvFile {
            line: index + 1,
            text: text.to_owned(),
        };
        let words = words(line).ok_or_else(|| line_of("a quote that isn't closed"))?;
        let Some((first, rest)) = words.split_first() else {
            continue;
        };
        let assignments = match first.as_str() {
            "export" => rest,
            "unset" => continue,
            _ => &words,
        };
        for assignment in assignments {
            let (name, value) = assignment.split_once('=').ok_or_else(|| line_of(assignment))?;
            if !is_name(name) {
                return Err(line_of(name));
            }
            values.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(values)
}

/// An `export` line for each value.
#[must_use]
pub fn write(values: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| format!("export {name}={}\n", quote(value));
    values.iter().map(line).collect()
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// As a shell takes it for one word.
#[must_use]
pub fn quote(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=+@%,".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Splits as a shell does, without expanding anything; `None` if a quote isn't closed.
#[must_use]
pub fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shell_spellings_are_read() {
        let text = "# made by longshore up\n\nexport A=1 B='two words' C=\"t\\\"hree\" # end\nD=4\nunset E F\nexport G=\n";
        let values = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "t\"hree"),
            ("D", "4"),
            ("G", ""),
        ];
        let expected: BTreeMap<_, _> = expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(values, expected);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        assert_eq!(
            parse("export A=1\nrm -rf x")
                .unwrap_err()
                .to_string()
                .split(':')
                .next(),
            Some("line 2")
        );
        assert!(parse("export 1A=x").is_err());
        assert!(parse("export A='x").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,9}", "[^\0\n\r]{0,20}", 0..5)) {
            let pairs: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            prop_assert_eq!(parse(&write(&pairs)).unwrap(), values);
        }

        #[test]
        fn a_quoted_word_is_one_word(value in "[^\0]{0,20}") {
            prop_assert_eq!(words(&quote(&value)), Some(vec![value]));
        }
    }

    #[test]
    fn a_shell_reads_what_is_written() {
        let value = "a 'b' \"c\" $HOME `id` \\ #";
        let script = format!("{}printf %s \"$X\"", write(&[("X", value.to_owned())]));
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    }
}
