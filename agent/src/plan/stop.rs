//! Towards STOPPED: the stop signal, a deadline, SIGKILL to every process; again if that did not do.

use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::model::{ContainerFact, LiveContainer, PulledImage, Step, StopDeadline, TaskState};

use super::{Now, Plan, Policy, decide};

/// After a SIGKILL that ended nothing, the next goes this much later, and each further one twice as late.
const KILL_AGAIN: Duration = Duration::from_secs(5);
const KILL_AGAIN_MOST: Duration = Duration::from_secs(300);

pub(super) fn plan(state: &TaskState, index: u16, now: Now<'_>, policy: Policy, plan: &mut Plan) {
    let position = usize::from(index);
    let definition = state.task().and_then(|task| task.containers.get(position));
    let (Some(definition), Some(container), Some(live)) = (
        definition,
        state.record.containers.get(position),
        state.live.containers.get(position),
    ) else {
        return;
    };
    let timeout = definition.stop_timeout.unwrap_or(policy.stop_timeout);
    if state.assignment.force || timeout.is_zero() {
        return kill(index, live, now, plan);
    }
    let Some(deadline) = &container.stop_deadline else {
        let deadline = StopDeadline {
            boot_id: now.boot_id.to_owned(),
            since_boot: now.since_boot + timeout,
        };
        plan.decisions
            .push(decide(index, ContainerFact::StopDeadline(deadline)));
        return;
    };
    if deadline.boot_id != now.boot_id || deadline.since_boot <= now.since_boot {
        return kill(index, live, now, plan);
    }
    let (name, signal) = stop_signal(container.image.as_ref());
    if !live.terminated {
        plan.steps.push(Step::Terminate(index, signal));
    }
    plan.wake_at(deadline.since_boot);
    let cause = format!("waiting for it to end after {name}, then SIGKILL");
    plan.wait(index, cause, Some(deadline.since_boot));
}

fn kill(index: u16, live: &LiveContainer, now: Now<'_>, plan: &mut Plan) {
    let Some((times, last)) = live.killed else {
        plan.steps.push(Step::Kill(index, 1));
        return;
    };
    let pause = KILL_AGAIN.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1)));
    let again = last + pause.min(KILL_AGAIN_MOST);
    if again <= now.since_boot {
        plan.steps.push(Step::Kill(index, times.saturating_add(1)));
        return;
    }
    plan.wake_at(again);
    if times > 1 {
        let cause = format!("it got SIGKILL {times} times and does not end: a process hangs in the kernel");
        plan.wait(index, cause, None);
    }
}

/// The image's STOPSIGNAL, by name and number. One that can't be read is SIGTERM, as in Docker.
fn stop_signal(image: Option<&PulledImage>) -> (String, i32) {
    let text = image.and_then(|image| image.config.stop_signal.as_deref());
    let parsed = text.and_then(|text| Some((text.to_owned(), parse(text.trim())?)));
    parsed.unwrap_or_else(|| ("SIGTERM".to_owned(), Signal::SIGTERM as i32))
}

fn parse(text: &str) -> Option<i32> {
    // Linux's real-time signals as glibc counts them: 34 to 64.
    const MIN: i32 = 34;
    const MAX: i32 = 64;
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse::<i32>() {
        return (1..=MAX).contains(&number).then_some(number);
    }
    let offset = |text: &str| match text {
        "" => Some(0),
        _ => text.parse::<i32>().ok(),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => MIN + offset(rest)?,
        (None, Some(rest)) => MAX + offset(rest)?,
        (None, None) => {
            return Signal::from_str(&format!("SIG{name}"))
                .ok()
                .map(|signal| signal as i32);
        }
    };
    (MIN..=MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn stop_signals_are_read_as_images_spell_them() {
        for (text, number) in [
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("sigquit", Some(3)),
            ("3", Some(3)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("0", None),
            ("65", None),
            ("RTMIN+31", None),
            ("SIGNONE", None),
            ("", None),
        ] {
            assert_eq!(parse(text), number, "{text:?}");
        }
    }
}
