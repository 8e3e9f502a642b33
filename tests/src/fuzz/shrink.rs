//! From an input that fails to a small one that fails too.

/// How often smaller inputs are tried.
const TRIES: usize = 3_000;

/// Takes pieces out of an input, ever smaller ones, as long as it fails.
pub(super) fn smallest(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut small = input.to_vec();
    let mut tries = 0;
    let mut piece = small.len().div_ceil(2);
    while piece > 0 {
        let (mut start, mut shrunk) = (0, false);
        while start < small.len() {
            tries += 1;
            if tries > TRIES {
                return small;
            }
            let end = (start + piece).min(small.len());
            let less = [&small[..start], &small[end..]].concat();
            match fails(&less) {
                true => (small, shrunk) = (less, true),
                false => start = end,
            }
        }
        if !shrunk || piece > 1 {
            piece /= 2;
        }
    }
    small
}
