//! The agent's settings file: `NAME=VALUE` lines.
//!
//! A line is a comment after `#` or `;`, empty, or a setting. A value is what follows the first `=` up to the end of
//! the line, blanks at both ends cut off, so JSON needs no quotes. A value that stands between two `'` is taken as it
//! is; between two `"`, a backslash keeps `"`, `\`, `$` and `` ` `` literal. That is what systemd's `EnvironmentFile=`
//! makes of a line, but for continued lines, which are refused rather than read in two ways.

/// A line that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The settings in order, and the lines that are none.
#[must_use]
pub fn parse(text: &str) -> (Vec<(String, String)>, Vec<BadLine>) {
    let (mut settings, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        match setting(line) {
            Ok(setting) => settings.push(setting),
            Err(why) => bad.push(BadLine { number, why }),
        }
    }
    (settings, bad)
}

fn setting(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once('=').ok_or("there is no = in it")?;
    let name = name.trim_end();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(letters) {
        return Err("what stands before = is no name of letters, digits and _");
    }
    Ok((name.to_owned(), unquoted(value.trim_start())?))
}

fn unquoted(value: &str) -> Result<String, &'static str> {
    let mut characters = value.chars();
    let Some(quote @ ('"' | '\'')) = characters.next() else {
        return match value.ends_with('\\') {
            true => Err("it ends with a backslash; a value stands on one line"),
            false => Ok(value.to_owned()),
        };
    };
    let mut out = String::with_capacity(value.len());
    while let Some(character) = characters.next() {
        if character == quote {
            return match characters.as_str().trim() {
                "" => Ok(out),
                _ => Err("something follows the closing quote"),
            };
        }
        match (quote, character) {
            ('"', '\\') => match characters.next() {
                Some(kept @ ('"' | '\\' | '$' | '`')) => out.push(kept),
                Some(other) => out.extend(['\\', other]),
                None => return Err("the closing quote is missing"),
            },
            _ => out.push(character),
        }
    }
    Err("the closing quote is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_systemd_reads_them() {
        let text = "\u{feff}# comment\n\n; too\r\nA=1\r\n B = two words # kept \nJSON={\"a\":\"b=c\"}\nS='x \\n \"y\"'\n\
                    D=\"a \\\"b\\\" \\$c \\n\" \nEMPTY=\n";
        let (settings, bad) = parse(text);
        assert_eq!(bad, []);
        let settings: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            settings,
            [
                ("A", "1"),
                ("B", "two words # kept"),
                ("JSON", "{\"a\":\"b=c\"}"),
                ("S", "x \\n \"y\""),
                ("D", "a \"b\" $c \\n"),
                ("EMPTY", ""),
            ]
        );
    }

    #[test]
    fn every_bad_line_is_named() {
        let (_, bad) = parse("nothing\nexport A=1\nB='x\nC=\"x\\\nD='x' y\nE=x\\\n=v\n");
        let lines: Vec<_> = bad.iter().map(|bad| bad.number).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7]);
    }
}
