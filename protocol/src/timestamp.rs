//! Times as awsJson1_1 has them: JSON numbers, seconds since 1970, fractions allowed.

use serde::{Deserialize, Serialize};

/// A point in time: seconds since 1970-01-01T00:00:00Z, to the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(f64);

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds stay below 2^53 for 285,000 years"
        )]
        Self(millis as f64 / 1000.0)
    }

    /// Milliseconds since 1970, rounded to the nearest.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`as` saturates, which is what a wild value deserves"
        )]
        let millis = (self.0 * 1000.0).round() as i64;
        millis
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC, as far as it can be said so.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}s", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn milliseconds_round_trip_through_json(millis in 0_i64..4_102_444_800_000) {
            let json = serde_json::to_string(&Timestamp::from_millis(millis)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap().as_millis(), millis);
        }
    }

    #[test]
    fn prints_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_millis(1_732_363_869_123).to_string(),
            "2024-11-23T12:11:09.123Z"
        );
    }
}
