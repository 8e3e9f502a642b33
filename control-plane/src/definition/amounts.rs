//! Numbers that ECS carries as text: task-level cpu and memory, GPU counts, sizes of log files.

use super::{MIN_MEMORY, Refusal};

/// The least and the most CPU units of a task: an eighth of a core, 192 cores.
const TASK_CPU: std::ops::RangeInclusive<u64> = 128..=196_608;

/// The most characters of a task-level amount: overrides are kept and sent as they were given.
const MAX_AMOUNT: usize = 32;

/// Task-level cpu in CPU units: `256`, `0.25 vCPU`, `1vcpu`.
pub(super) fn task_cpu(text: &str) -> Result<u64, Refusal> {
    check_length("cpu", text)?;
    scaled(text, "vcpu", 1024)
        .filter(|units| TASK_CPU.contains(units))
        .ok_or_else(|| {
            Refusal::client(format!(
                "Invalid 'cpu' setting for task. {text:?} is neither CPU units such as '256' nor vCPUs such as \
                 '0.25 vCPU', between {} and {} units.",
                TASK_CPU.start(),
                TASK_CPU.end()
            ))
        })
}

/// Task-level memory in MiB: `512`, `1 GB`, `0.5GB`.
pub(super) fn task_memory(text: &str) -> Result<u64, Refusal> {
    check_length("memory", text)?;
    scaled(text, "gb", 1024)
        .filter(|mib| (MIN_MEMORY..=i32::MAX as u64).contains(mib))
        .ok_or_else(|| {
            Refusal::client(format!(
                "Invalid 'memory' setting for task. {text:?} is neither MiB such as '512' nor GB such as '1 GB', at \
                 least {MIN_MEMORY} MiB."
            ))
        })
}

fn check_length(what: &str, text: &str) -> Result<(), Refusal> {
    let length = text.chars().count();
    if length <= MAX_AMOUNT {
        return Ok(());
    }
    Err(Refusal::client(format!(
        "Invalid '{what}' setting for task. It has {length} characters, of at most {MAX_AMOUNT}."
    )))
}

/// A plain whole number, or a decimal number of `unit`s of which each is `factor`; whole after scaling.
fn scaled(text: &str, unit: &str, factor: u64) -> Option<u64> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let Some(number) = lower.strip_suffix(unit) else {
        return digits(text);
    };
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine places: more than any unit of 1/1024 needs, and no overflow below.
    if fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts = digits(fraction)?.checked_mul(factor)?;
    let whole = digits(whole)?.checked_mul(factor)?;
    (parts % scale == 0).then_some(())?;
    whole.checked_add(parts / scale)
}

/// A number of digits only: no sign, no blank.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// How many GPUs a requirement asks for: at least one.
pub(super) fn gpus(text: &str) -> Option<u32> {
    digits(text)
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count >= 1)
}

/// Bytes as Docker writes them, in powers of 1024: `10m`, `1k`, `1g`, `1048576`, `10mb`.
pub(super) fn docker_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, factor) = match bare.as_bytes().last()? {
        b'k' => (&bare[..bare.len() - 1], 1024),
        b'm' => (&bare[..bare.len() - 1], 1024 * 1024),
        b'g' => (&bare[..bare.len() - 1], 1024 * 1024 * 1024),
        _ => (bare, 1),
    };
    digits(number)?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// How many log files are kept: at least one.
pub(super) fn docker_count(text: &str) -> Option<u32> {
    digits(text)
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cpu_and_memory_are_read_in_every_spelling() {
        for (text, units) in [
            ("256", 256),
            ("0.25 vCPU", 256),
            ("1 vcpu", 1024),
            ("2vCPU", 2048),
            ("0.125 vCPU", 128),
            ("196608", 196_608),
        ] {
            assert_eq!(task_cpu(text), Ok(units), "{text}");
        }
        for (text, mib) in [("512", 512), ("1 GB", 1024), ("1GB", 1024), ("0.5 gb", 512)] {
            assert_eq!(task_memory(text), Ok(mib), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_allowed_forms() {
        for text in [
            "",
            "-1",
            "127",
            "196609",
            "1.5",
            "vCPU",
            ". vCPU",
            "0.0001 vCPU",
            "1 core",
            "+256",
            "1e3",
        ] {
            let refusal = task_cpu(text).unwrap_err();
            assert!(
                refusal.message.starts_with("Invalid 'cpu' setting for task."),
                "{text}: {refusal}"
            );
        }
        for text in [
            "",
            "5",
            "1 MB",
            "GB",
            "-1 GB",
            "99999999999999999999 GB",
            "18446744073709551615 GB",
        ] {
            assert!(task_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_docker_s() {
        for (text, bytes) in [
            ("10m", 10 << 20),
            ("1k", 1024),
            ("1g", 1 << 30),
            ("77", 77),
            ("3MB", 3 << 20),
        ] {
            assert_eq!(docker_size(text), Some(bytes), "{text}");
        }
        for text in ["", "0", "-1", "m", "1.5m", "10q", "10 m"] {
            assert_eq!(docker_size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_vcpu_agrees_with_units(text in "[0-9. a-zA-Z-]{0,24}", quarters in 1_u64..700) {
            let _ = (task_cpu(&text), task_memory(&text), docker_size(&text), gpus(&text));
            let vcpus = format!("{}.{:02} vCPU", quarters / 4, quarters % 4 * 25);
            prop_assert_eq!(task_cpu(&vcpus), task_cpu(&(quarters * 256).to_string()));
        }
    }
}
