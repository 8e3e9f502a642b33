//! What glibc's allocator is told, so that a shim stays small.

/// One heap for all threads, which gives back what is free above this many bytes.
const TRIM: libc::c_int = 64 * 1024;
/// From how many bytes on a block is mapped by itself, and given back as soon as it is freed.
const MAP: libc::c_int = 64 * 1024;

/// Makes the allocator thrifty. Call it first.
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
pub fn economize() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no other thread runs yet, and each value is one that mallopt knows.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAP);
    }
}

/// Gives back what is free, after something large.
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
