//! Other inputs made of known ones.

use fastrand::Rng;

use super::{Form, json};

/// How many words are kept of the corpus.
const WORDS: usize = 4_000;
/// What breaks parsers, in texts of any grammar.
const ODD: [&str; 36] = [
    "\0", "\n", "\r\n", "\t", " ", "\"", "'", "\\", "\\u0000", "\\ud800", "\u{feff}", "\u{202e}", "é", "😀",
    "%00", "%", "/", "..", "//", "@", ":", "=", ",", ";", "{", "}", "[", "]", "null", "-1", "1e400", "0x7f",
    "NaN", "true", "*", "-",
];
/// Numbers at which something overflows.
pub(super) const NUMBERS: [&str; 18] = [
    "0",
    "1",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
];

/// The inputs that are mutated.
pub(super) struct Pool {
    form: Form,
    longest: usize,
    entries: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    keys: Vec<String>,
}

impl Pool {
    pub(super) fn new(form: Form, longest: usize, given: impl Iterator<Item = Vec<u8>>) -> Self {
        let entries: Vec<_> = given.collect();
        let mut words: Vec<Vec<u8>> = entries.iter().flat_map(|entry| words(entry)).collect();
        words.sort();
        words.dedup();
        words.truncate(WORDS);
        words.extend(ODD.iter().chain(&NUMBERS).map(|word| word.as_bytes().to_vec()));
        let mut keys = entries
            .iter()
            .filter_map(|entry| serde_json::from_slice(entry).ok())
            .flat_map(|value| json::keys(&value))
            .collect::<Vec<_>>();
        keys.sort();
        keys.dedup();
        Self {
            form,
            longest,
            entries,
            words,
            keys,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn add(&mut self, input: Vec<u8>) {
        self.entries.push(input);
    }

    pub(super) fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// A known input.
    pub(super) fn pick<'a>(&'a self, rng: &mut Rng) -> &'a [u8] {
        rng.choice(&self.entries).map_or(&[], Vec::as_slice)
    }

    /// A new one, not longer than the longest.
    pub(super) fn mutation(&self, rng: &mut Rng) -> Vec<u8> {
        let entry = self.pick(rng);
        let of_json = self.form == Form::Json && rng.u8(..4) > 0;
        let mutated = of_json.then(|| json::mutation(self, entry, rng)).flatten();
        let mut input = mutated.unwrap_or_else(|| self.of_bytes(entry, rng));
        input.truncate(self.longest);
        match self.form {
            Form::Text => String::from_utf8_lossy(&input).into_owned().into_bytes(),
            Form::Bytes | Form::Json => input,
        }
    }

    /// One to four changes, none of which knows what the bytes are.
    pub(super) fn of_bytes(&self, entry: &[u8], rng: &mut Rng) -> Vec<u8> {
        let mut input = entry.to_vec();
        for _ in 0..rng.usize(1..=4) {
            self.change(&mut input, rng);
        }
        input
    }

    fn change(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let at = rng.usize(..=input.len());
        let end = (at + 1 + rng.usize(..8) * rng.usize(..8)).min(input.len());
        let word = rng.choice(&self.words).cloned().unwrap_or_default();
        match rng.u8(..12) {
            0 => drop(input.splice(at..at, word)),
            1 => drop(input.splice(at..end, word)),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
            5 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = rng.u8(..);
                }
            }
            6 => {
                let copy = input[at..end].to_vec();
                let to = rng.usize(..=input.len());
                input.splice(to..to, copy);
            }
            7 => {
                let piece = input[at..end].to_vec();
                let most = self.longest.saturating_sub(input.len()) / piece.len().max(1);
                let times = few_or_many(most, rng);
                input.splice(at..at, piece.repeat(times));
            }
            8 => {
                let other = self.pick(rng);
                let from = rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            9 | 10 => {
                // A whole word for another one: what stands between the separators of most grammars.
                let (start, end) = word_at(input, at);
                input.splice(start..end, word);
            }
            _ => {
                let (start, end) = word_at(input, at);
                let number = rng.choice(NUMBERS).unwrap_or("0");
                input.splice(start..end, number.bytes());
            }
        }
    }
}

/// Mostly a few; at times as many as there is room for.
pub(super) fn few_or_many(most: usize, rng: &mut Rng) -> usize {
    match rng.u8(..16) {
        0 => most,
        _ => rng.usize(1..=8).min(most),
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Where the word around a place begins and ends.
fn word_at(input: &[u8], at: usize) -> (usize, usize) {
    let before = input[..at]
        .iter()
        .rev()
        .take_while(|byte| is_of_word(**byte))
        .count();
    let after = input[at..].iter().take_while(|byte| is_of_word(**byte)).count();
    (at - before, at + after)
}

fn words(entry: &[u8]) -> Vec<Vec<u8>> {
    let parts = entry.split(|byte| !is_of_word(*byte));
    let quoted = entry.split(|byte| *byte == b'"');
    parts
        .chain(quoted)
        .filter(|word| !word.is_empty() && word.len() < 300)
        .map(<[u8]>::to_vec)
        .collect()
}
