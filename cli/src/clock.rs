//! Where this program gets the time from.

/// The wall clock.
#[must_use]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
