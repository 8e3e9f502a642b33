//! What glibc's allocator is told, so that an agent with nothing to do stays small.

/// From how many free bytes on the heap's end is given back, and a block is mapped by itself.
const LARGE: libc::c_int = 64 * 1024;

/// One heap for all threads: else each keeps one of its own, with what a pull once needed. Call it before there are any.
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
pub(super) fn economize() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no other thread runs yet, and each value is one that mallopt knows.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
