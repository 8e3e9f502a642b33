//! Values in the notation of Go, which the settings' names came with: durations and truth values.

use std::time::Duration;

/// What [`duration`] takes, for error texts.
pub const DURATION_FORM: &str = "a duration such as 30s, 1h30m, 500ms or 1.5h, not negative";
/// What [`truth`] takes, for error texts.
pub const TRUTH_FORM: &str = "true or false";

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A duration: numbers with units, `1h30m`, `500ms`, `1.5h`. Units are ns, us (µs), ms, s, m and h; only `0` needs none.
/// Negative ones mean nothing here and are refused.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, |c| !c.is_ascii_digit() && c != '.');
        nanos = nanos.checked_add(scaled(number, nanos_per(unit)?)?)?;
        rest = after;
    }
    // Go's durations are 64-bit nanoseconds: about 292 years.
    let nanos = i64::try_from(nanos).ok()?;
    Some(Duration::from_nanos(nanos.unsigned_abs()))
}

/// A truth value, as Go takes them.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A duration as these settings are written, for warnings.
#[must_use]
pub fn display(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, rest) = (millis / 1000 % 60, millis % 1000);
    let parts = [(hours, "h"), (minutes, "m"), (seconds, "s"), (rest, "ms")];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn nanos_per(unit: &str) -> Option<u128> {
    match unit {
        "ns" => Some(1),
        // Both of Unicode's micro signs, as in Go.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(NANOS_PER_SECOND),
        "m" => Some(60 * NANOS_PER_SECOND),
        "h" => Some(3600 * NANOS_PER_SECOND),
        _ => None,
    }
}

/// A decimal number times a unit, cut to whole nanoseconds.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Beyond 18 digits nothing reaches a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction {
        "" => 0,
        digits => digits.parse::<u128>().ok()? * unit / 10_u128.pow(u32::try_from(digits.len()).ok()?),
    };
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_that_go_takes() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1000),
            ("+2m", 120_000),
            ("0", 0),
            ("1500000us", 1500),
            ("0.000000000000000000001h2ms", 2),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "30",
            "s",
            "1d",
            "-1s",
            "1..5s",
            ".s",
            "1s ",
            " 1s",
            "1 s",
            "1m30",
            "1e3s",
            "300000000h",
            "+",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(millis in 0_u64..1_000_000_000_000) {
            let given = Duration::from_millis(millis);
            prop_assert_eq!(duration(&display(given)), Some(given));
        }

        #[test]
        fn units_add_up(hours in 0_u64..1000, minutes in 0_u64..1000, nanos in 0_u64..1_000_000_000_000) {
            let text = format!("{hours}h{minutes}m{nanos}ns");
            let expected = Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_nanos(nanos);
            prop_assert_eq!(duration(&text), Some(expected));
        }

        #[test]
        fn nothing_panics(text in "[0-9.+a-zµ-]{0,40}") {
            let _ = duration(&text);
        }
    }
}
