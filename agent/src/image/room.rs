//! How much of downloads is in memory at once.
//!
//! What comes from a registry is handed to containerd in chunks. A few downloads have large ones, since each costs a
//! call; many share what there is. So a node that starts everything at once, after a power cut say, does not need
//! memory in proportion. None waits for another: a registry that hangs holds up its own images alone.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes for the chunks of all downloads.
const ALL: usize = 8 << 20;
/// Bytes of a chunk: below it calls cost more than the memory is worth.
const LEAST: usize = 32 << 10;
/// Bytes of a chunk: above it nothing gets faster.
const MOST: usize = 512 << 10;

/// The room that downloads share.
#[derive(Debug, Default)]
pub struct Room(AtomicUsize);

/// The part of one download, until it is dropped.
#[derive(Debug)]
pub struct Part<'a>(&'a AtomicUsize);

impl Room {
    /// Takes part.
    pub fn enter(&self) -> Part<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Part(&self.0)
    }
}

impl Part<'_> {
    /// How many bytes a chunk may have, as things are now.
    #[must_use]
    pub fn chunk(&self) -> usize {
        (ALL / self.0.load(Ordering::Relaxed).max(1)).clamp(LEAST, MOST)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_have_all_they_want_and_many_share() {
        let room = Room::default();
        let first = room.enter();
        assert_eq!(first.chunk(), MOST);
        let others: Vec<_> = (0..63).map(|_| room.enter()).collect();
        assert!(others.iter().all(|part| part.chunk() * 64 <= ALL));
        assert_eq!(first.chunk(), ALL / 64);
        let more: Vec<_> = (0..10_000).map(|_| room.enter()).collect();
        assert_eq!(first.chunk(), LEAST);
        drop((others, more));
        assert_eq!(first.chunk(), MOST);
    }
}
