//! Times as awsJson1_1 has them: JSON numbers, seconds since 1970, fractions allowed.

use serde::{Deserialize, Serialize};

/// The first and the last second of the years 1 to 9999: what clients in most languages can show. Some fail on others.
const SHOWN: std::ops::RangeInclusive<f64> = -62_135_596_800.0..=253_402_300_799.999;

/// A point in time: seconds since 1970-01-01T00:00:00Z, to the millisecond. What is read lies in the years 1 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Timestamp(f64);

/// A number that is no time of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a time in seconds since 1970, in the years 1 to 9999")]
pub struct InvalidTimestamp(f64);

impl TryFrom<f64> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(seconds: f64) -> Result<Self, InvalidTimestamp> {
        SHOWN
            .contains(&seconds)
            .then_some(Self(seconds))
            .ok_or(InvalidTimestamp(seconds))
    }
}

impl From<Timestamp> for f64 {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

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
    fn a_time_that_clients_can_not_show_is_no_time() {
        for text in ["1e300", "-1e300", "253402300800", "-62135596801"] {
            assert!(serde_json::from_str::<Timestamp>(text).is_err(), "{text}");
        }
        for text in ["0", "-1.5", "253402300799", "-62135596800"] {
            assert!(serde_json::from_str::<Timestamp>(text).is_ok(), "{text}");
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
