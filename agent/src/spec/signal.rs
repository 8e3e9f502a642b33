//! The image's STOPSIGNAL.

/// A text that names no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no signal: use a name such as SIGTERM or QUIT, SIGRTMIN+n, SIGRTMAX-n, or a number from 1 to 64"
)]
pub struct InvalidSignal(pub String);

/// The first and last real-time signals that programs see; C libraries keep the two below for themselves.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The number of a signal: `SIGQUIT`, `quit`, `3` and `SIGRTMIN+3` are understood, as Dockerfiles have them.
///
/// # Errors
/// [`InvalidSignal`], also for 0 and for what is beyond the real-time signals.
pub fn parse_signal(text: &str) -> Result<i32, InvalidSignal> {
    let invalid = || InvalidSignal(text.to_owned());
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return Some(number)
            .filter(|number| (1..=64).contains(number))
            .ok_or_else(invalid);
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(*REAL_TIME.start(), offset, '+').ok_or_else(invalid);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(*REAL_TIME.end(), offset, '-').ok_or_else(invalid);
    }
    let name = match name {
        "CLD" => "CHLD",
        "POLL" => "IO",
        "IOT" => "ABRT",
        other => other,
    };
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .map(|signal| signal as i32)
        .map_err(|_| invalid())
}

/// `RTMIN`, `RTMIN+n` or `RTMAX-n`.
fn real_time(base: i32, offset: &str, sign: char) -> Option<i32> {
    let number = match offset {
        "" => base,
        offset => {
            let digits = offset.strip_prefix(sign)?;
            let distance: i32 = digits.parse::<u8>().ok()?.into();
            if sign == '-' {
                base - distance
            } else {
                base + distance
            }
        }
    };
    REAL_TIME.contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_understood_as_dockerfiles_have_them() {
        for (text, number) in [
            ("SIGQUIT", 3),
            ("QUIT", 3),
            ("sigterm", 15),
            ("3", 3),
            ("SIGUSR1", 10),
            ("SIGCLD", 17),
            ("SIGWINCH", 28),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-14", 50),
            ("SIGRTMAX", 64),
            ("64", 64),
        ] {
            assert_eq!(parse_signal(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused_by_name() {
        for text in [
            "",
            "0",
            "65",
            "-9",
            "SIG",
            "SIGNONE",
            "SIGRTMIN+31",
            "SIGRTMIN-1",
            "SIGRTMAX+1",
            "SIGRTMIN+-1",
        ] {
            assert_eq!(parse_signal(text), Err(InvalidSignal(text.to_owned())));
        }
    }
}
