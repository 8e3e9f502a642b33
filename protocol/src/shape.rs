//! JSON, looked over before it is read: reading makes far more of it than it is. The two bytes of `{}` can become a
//! structure of a thousand, so a reader that bounds bytes alone bounds nothing.
//!
//! Limits: only lists and objects are counted; a text or a number takes at most ten times its bytes.

/// The most objects and lists in the answer to a poll or to a call of a node, or in a poll. The smallest object that means
/// something has 16 bytes, so a full poll's answer stays below it.
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

/// Counts objects and lists, as much as their brackets tell: whether it is JSON at all is for its reader to say.
///
/// # Errors
/// [`InvalidShape`] if there are more than `most`, or deeper than [`MAX_DEPTH`].
pub fn check(json: &[u8], most: usize) -> Result<(), InvalidShape> {
    let (mut nodes, mut depth) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{' | b'[') => {
                nodes += 1;
                depth += 1;
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (true | false, _) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_judged_by_what_is_not_quoted() {
        let quoted = format!(r#"["{}", "\"{{[", "\\"]"#, "[{".repeat(100_000));
        assert_eq!(check(quoted.as_bytes(), 1), Ok(()));
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert_eq!(check(deep.as_bytes(), MAX_NODES), Err(InvalidShape::Depth));
        let full = format!("[{}{{}}]", "{},".repeat(8));
        assert_eq!(check(full.as_bytes(), 10), Ok(()));
        assert_eq!(check(full.as_bytes(), 9), Err(InvalidShape::Nodes(9)));
    }
}
