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
    for back in 1..=3.min(bytes.len()) {
        let length = match bytes[bytes.len() - back] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
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

    proptest! {
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
