//! Cuts a stream of bytes into records' worth: whole lines, and pieces of lines that are too long for one record.

use longshore_protocol::json_file::MAX_CHUNK;

/// The unfinished line of one stream; less than [`MAX_CHUNK`] bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes what was read and hands on every piece that is complete: a line with its `\n`, or [`MAX_CHUNK`] bytes of
    /// one, less up to three where a character would be cut.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_CHUNK - self.partial.len();
            let window = &bytes[..room.min(bytes.len())];
            match memchr::memchr(b'\n', window) {
                Some(at) if self.partial.is_empty() => {
                    each(&window[..=at]);
                    bytes = &bytes[at + 1..];
                }
                Some(at) => {
                    self.partial.extend_from_slice(&window[..=at]);
                    each(&self.partial);
                    self.partial.clear();
                    bytes = &bytes[at + 1..];
                }
                None => {
                    self.partial.extend_from_slice(window);
                    bytes = &bytes[window.len()..];
                    if self.partial.len() == MAX_CHUNK {
                        let end = MAX_CHUNK - cut_character(&self.partial);
                        each(&self.partial[..end]);
                        self.partial.drain(..end);
                    }
                }
            }
        }
    }

    /// What is held of an unfinished line.
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// The stream has ended: hands on what is left.
    pub(super) fn finish(&mut self, each: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            each(&self.partial);
            self.partial.clear();
        }
    }
}

/// How many bytes at the end are the beginning of a character whose rest is still to come: 0 to 3.
fn cut_character(bytes: &[u8]) -> usize {
    let is_begun = |tail: &[u8]| {
        std::str::from_utf8(tail).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let most = 3.min(bytes.len());
    (1..=most)
        .find(|back| is_begun(&bytes[bytes.len() - back..]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(reads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut pieces = Vec::new();
        for read in reads {
            lines.feed(read, |piece| pieces.push(piece.to_vec()));
        }
        lines.finish(|piece| pieces.push(piece.to_vec()));
        pieces
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        for (character, offset) in [("é", 1), ("€", 1), ("€", 2), ("😀", 1), ("😀", 2), ("😀", 3)]
        {
            let line = format!("{}{}\n", "a".repeat(MAX_CHUNK - offset), character);
            let pieces = pieces(&[line.as_bytes().to_vec()]);
            assert_eq!(pieces[0].len(), MAX_CHUNK - offset, "{character}");
            assert_eq!(pieces[1], format!("{character}\n").as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_text_fill_their_piece() {
        let pieces = pieces(&[vec![0xbf; MAX_CHUNK + 1]]);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_CHUNK, 1]);
    }

    #[test]
    fn a_line_that_just_fits_is_one_piece() {
        let mut line = vec![b'a'; MAX_CHUNK];
        line[MAX_CHUNK - 1] = b'\n';
        assert_eq!(pieces(&[line.clone()]), [line]);
    }

    /// What the pieces must be, however the stream was read: made from all of it at once.
    fn reference(stream: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        for line in stream.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = line;
            while rest.len() > MAX_CHUNK || rest.len() == MAX_CHUNK && !rest.ends_with(b"\n") {
                let full = &rest[..MAX_CHUNK];
                // What is left over of a character that this cuts, if what there is of it could still become one.
                let cut = (1..=3).find(|back| {
                    let tail = &full[MAX_CHUNK - back..];
                    std::str::from_utf8(tail)
                        .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
                });
                let (piece, after) = rest.split_at(MAX_CHUNK - cut.unwrap_or(0));
                pieces.push(piece.to_vec());
                rest = after;
            }
            if !rest.is_empty() {
                pieces.push(rest.to_vec());
            }
        }
        pieces
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_same_however_a_stream_is_read(
            runs in prop::collection::vec(
                prop_oneof![
                    4 => prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..100),
                    2 => (0..MAX_CHUNK + 9).prop_map(|length| vec![b'x'; length]),
                    1 => (MAX_CHUNK - 9..MAX_CHUNK + 9).prop_map(|length| vec![b'x'; length]),
                    2 => "[aé€😀\n]{0,40}".prop_map(String::into_bytes),
                ],
                0..12,
            ),
            sizes in prop::collection::vec(1..MAX_CHUNK * 2, 1..20),
        ) {
            let stream = runs.concat();
            let mut reads = Vec::new();
            let mut rest = stream.as_slice();
            for size in sizes.iter().cycle() {
                let (read, after) = rest.split_at((*size).min(rest.len()));
                reads.push(read.to_vec());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(pieces(&reads) == reference(&stream), "pieces differ");
        }

        #[test]
        fn nothing_is_lost_and_pieces_keep_to_their_form(
            reads in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300),
                    prop::collection::vec(Just(b'x'), MAX_CHUNK - 50..MAX_CHUNK * 2),
                ],
                0..12,
            )
        ) {
            let pieces = pieces(&reads);
            prop_assert_eq!(pieces.concat(), reads.concat());
            for (n, piece) in pieces.iter().enumerate() {
                let newlines = piece.iter().filter(|byte| **byte == b'\n').count();
                prop_assert!(!piece.is_empty() && piece.len() <= MAX_CHUNK && newlines <= 1);
                prop_assert!(newlines == 0 || piece.ends_with(b"\n"));
                let full = piece.len() > MAX_CHUNK - 4;
                prop_assert!(newlines == 1 || full || n + 1 == pieces.len());
            }
        }
    }
}
