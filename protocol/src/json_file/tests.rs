use proptest::prelude::*;

use super::*;

const TIME: &str = "2026-01-02T03:04:05.123456789Z";

/// What Docker makes of bytes: U+FFFD for each byte that is no part of a character.
fn replaced(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

fn encoded(output: &[u8], stream: Stream) -> Vec<u8> {
    let mut out = Vec::new();
    encode(output, stream, TIME, &mut out);
    out
}

fn decoded(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Result<Record, InvalidRecord>> {
    let mut records = Vec::new();
    decoder.feed(bytes, |record| records.push(record));
    records
}

#[test]
fn a_record_looks_as_docker_writes_it() {
    assert_eq!(
        String::from_utf8(encoded(b"say \"hi\"\t\\ \x01\xff\n", Stream::Stderr)).unwrap(),
        "{\"log\":\"say \\\"hi\\\"\\t\\\\ \\u0001\\ufffd\\n\",\"stream\":\"stderr\",\
         \"time\":\"2026-01-02T03:04:05.123456789Z\"}\n"
    );
}

#[test]
fn the_longest_record_keeps_to_its_bound() {
    assert!(encoded(&[1; MAX_CHUNK], Stream::Stdout).len() <= MAX_ENCODED);
    assert!(encoded(&[0xff; MAX_CHUNK], Stream::Stdout).len() <= MAX_ENCODED);
}

#[test]
fn garbage_is_named_and_what_follows_is_read() {
    let good = encoded(b"good\n", Stream::Stdout);
    let mut file = b"{\"log\":\"torn\n".to_vec();
    file.extend_from_slice(&good);
    file.extend(std::iter::repeat_n(b'x', MAX_ENCODED + 1));
    file.push(b'\n');
    file.extend_from_slice(&good);
    for size in [1, 100, file.len()] {
        let mut decoder = Decoder::default();
        let records: Vec<_> = file
            .chunks(size)
            .flat_map(|piece| decoded(&mut decoder, piece))
            .collect();
        assert!(matches!(records[0], Err(InvalidRecord::Syntax(_))));
        assert_eq!(records[1].as_ref().unwrap().log, "good\n");
        assert!(matches!(records[2], Err(InvalidRecord::TooLong)));
        assert_eq!(records[3].as_ref().unwrap().log, "good\n");
        assert_eq!(records.len(), 4);
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back_with_bad_ones_replaced(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let line = encoded(&bytes, Stream::Stdout);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert!(line.len() <= bytes.len() * 6 + 128);
        let record = parse(&line).unwrap();
        prop_assert_eq!(record.log, replaced(&bytes));
        prop_assert_eq!(record.time, TIME);
    }

    #[test]
    fn any_ascii_comes_back_however_long_its_runs_are(
        pieces in prop::collection::vec(("[ -~]{0,70}", 0_u8..0x80), 0..20), newline: bool,
    ) {
        let mut text: String = pieces.into_iter().map(|(run, byte)| run + &char::from(byte).to_string()).collect();
        if newline {
            text.push('\n');
        }
        let record = parse(&encoded(text.as_bytes(), Stream::Stdout)).unwrap();
        prop_assert_eq!(record.log, text);
    }

    #[test]
    fn what_is_plain_is_encoded_the_same_without_a_look(
        bytes in prop_oneof![
            "[ !#-Z^-~\n]{0,200}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..100),
            (prop::collection::vec(0x5d_u8..0x80, 0..100), any::<u8>()).prop_map(|(mut bytes, last)| { bytes.push(last); bytes }),
        ],
    ) {
        let fit = bytes.iter().all(|byte| byte.is_ascii() && (*byte >= b' ' && !b"\"\\".contains(byte) || *byte == b'\n'));
        prop_assert_eq!(is_plain(&bytes), fit);
        if fit {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let mut out = Vec::new();
                Encoder::new(Stream::Stdout, TIME).encode_plain(line, &mut out);
                prop_assert_eq!(out, encoded(line, Stream::Stdout));
            }
        }
    }

    #[test]
    fn any_text_comes_back_as_it_was(text: String, stderr: bool) {
        let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
        let record = parse(&encoded(text.as_bytes(), stream)).unwrap();
        prop_assert_eq!(record, Record { log: text, stream, time: TIME.into() });
    }

    #[test]
    fn any_file_is_read_within_bounds(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..500)) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let mut decoder = Decoder::default();
        prop_assert_eq!(decoded(&mut decoder, &bytes).len(), lines);
        let rest = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        prop_assert_eq!(decoder.pending(), rest.len());
    }

    #[test]
    fn a_file_reads_the_same_however_it_is_cut(
        lines in prop::collection::vec(".{0,40}", 1..20), sizes in prop::collection::vec(1_usize..50, 1..200),
    ) {
        let mut file = Vec::new();
        for line in &lines {
            encode(line.as_bytes(), Stream::Stdout, TIME, &mut file);
        }
        let torn = file.len();
        file.extend_from_slice(b"{\"log\":");
        let mut decoder = Decoder::default();
        let mut logs = Vec::new();
        let mut rest = file.as_slice();
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            logs.extend(decoded(&mut decoder, piece).into_iter().map(|record| record.unwrap().log));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(logs, lines);
        prop_assert_eq!(decoder.pending(), file.len() - torn);
    }
}
