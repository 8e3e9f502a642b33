//! JSON, looked over before it is read: reading makes far more of it than it is. The two bytes of `{}` can become a
//! structure of a thousand, so a reader that bounds bytes alone bounds nothing.
//!
//! Limits: only lists and objects are counted; a text or a number takes at most ten times its bytes.

/// The most objects and lists in the answer to a poll or to a call of a node, or in the bodies of a poll: whoever writes
/// them cuts them to it by [`count`].
pub const MAX_NODES: usize = 64 * 1024;
/// How deep they may lie in each other; a task's definition has eight levels.
pub const MAX_DEPTH: usize = 32;

/// JSON that is not worth reading. Trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShape {
    /// Too many objects and lists.
    #[error("it holds more than {0} objects and lists")]
    Nodes(usize),
    /// Too deep.
    #[error("it is nested deeper than {MAX_DEPTH}")]
    Depth,
}

/// Whether each bracket that is not quoted opens something.
fn brackets(json: &[u8]) -> impl Iterator<Item = bool> {
    let (mut quoted, mut escaped) = (false, false);
    json.iter().filter_map(move |byte| {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{' | b'[') => return Some(true),
            (false, b'}' | b']') => return Some(false),
            (true | false, _) => {}
        }
        None
    })
}

/// How many objects and lists there are.
#[must_use]
pub fn count(json: &[u8]) -> usize {
    brackets(json).filter(|opens| *opens).count()
}

/// Counts objects and lists, as much as their brackets tell: whether it is JSON at all is for its reader to say.
///
/// # Errors
/// [`InvalidShape`] if there are more than `most`, or deeper than [`MAX_DEPTH`].
pub fn check(json: &[u8], most: usize) -> Result<(), InvalidShape> {
    let (mut nodes, mut depth) = (0_usize, 0_usize);
    for opens in brackets(json) {
        if opens {
            nodes += 1;
            depth += 1;
        } else {
            depth = depth.saturating_sub(1);
        }
        if nodes > most {
            return Err(InvalidShape::Nodes(most));
        }
        if depth > MAX_DEPTH {
            return Err(InvalidShape::Depth);
        }
    }
    Ok(())
}

/// Room in one message for values that are written one after the other, cut where its reader would cut it off.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    bytes: usize,
    nodes: usize,
    is_empty: bool,
}

impl Room {
    /// Room for so many bytes, separators included, and so many objects and lists.
    #[must_use]
    pub fn new(bytes: usize, nodes: usize) -> Self {
        Self {
            bytes,
            nodes,
            is_empty: true,
        }
    }

    /// Takes a value if it fits with those before it; says whether it did. The first always does.
    pub fn take(&mut self, json: &[u8]) -> bool {
        let (bytes, nodes) = (json.len() + 1, count(json));
        let fits = bytes <= self.bytes && nodes <= self.nodes;
        if !fits && !self.is_empty {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.nodes = self.nodes.saturating_sub(nodes);
        self.is_empty = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_has_room_whatever_its_size_and_others_while_there_is_some() {
        let mut room = Room::new(0, 0);
        assert!(room.take(b"[{}]") && !room.take(b"1"));
        let mut room = Room::new(8, 9);
        assert!(
            room.take(b"[1]") && room.take(b"[2]") && !room.take(b""),
            "by bytes"
        );
        let mut room = Room::new(99, 3);
        assert!(
            room.take(b"[[]]") && !room.take(b"[[]]") && room.take(b"[]"),
            "by objects"
        );
    }

    #[test]
    fn the_shape_is_judged_by_what_is_not_quoted() {
        let quoted = format!(r#"["{}", "\"{{[", "\\"]"#, "[{".repeat(100_000));
        assert_eq!(check(quoted.as_bytes(), 1), Ok(()));
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert_eq!(check(deep.as_bytes(), MAX_NODES), Err(InvalidShape::Depth));
        let full = format!("[{}{{}}]", "{},".repeat(8));
        assert_eq!((check(full.as_bytes(), 10), count(full.as_bytes())), (Ok(()), 10));
        assert_eq!(check(full.as_bytes(), 9), Err(InvalidShape::Nodes(9)));
    }
}
