//! Whatever a layer unpacks to.

use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::archive::Archive;
use super::tests::sign;

#[test]
fn layer() {
    Target::new(corpus!("layer"), Form::Bytes).run(|input| {
        let mut archive = input.to_vec();
        // Hardly a mutation has the right sum, and without it nothing more would be tried.
        let headers = archive.chunks_exact_mut(512);
        headers
            .filter(|block| block[257..262] == *b"ustar")
            .for_each(sign);
        let whole = read(&archive, archive.len(), false);
        assert_eq!(read(&archive, 100, false), whole, "parts matter");
        assert_eq!(read(&archive, 1000, true), whole, "bytes that say nothing matter");
        whole
    });
}

/// What comes of an archive in parts of so many bytes; with `leave`, without those that say nothing.
fn read(archive: &[u8], part: usize, leave: bool) -> String {
    let mut follower = Archive::new();
    let mut holes = 0_u64;
    let mut at = 0;
    while at < archive.len() {
        let idle = follower.idle().min((archive.len() - at) as u64);
        if leave && idle > 0 {
            follower.skip(idle);
            at += usize::try_from(idle).unwrap();
            continue;
        }
        let end = (at + part).min(archive.len());
        match follower.read(&archive[at..end]) {
            Ok(more) => holes = holes.saturating_add(more),
            Err(fault) => return fault.to_string(),
        }
        at = end;
    }
    format!("holes: {}, in order: {}", holes > 0, follower.idle() == u64::MAX)
}
