//! A container's `restartPolicy`, with ECS's limits.

use longshore_protocol::ecs;

/// The most exit codes that can be ignored.
const MAX_CODES: usize = 50;
/// The bounds of restartAttemptPeriod, in seconds.
const PERIODS: std::ops::RangeInclusive<i32> = 60..=1800;

/// Whether a container is ever restarted.
pub(super) fn is_enabled(container: &ecs::ContainerDefinition) -> bool {
    let policy = container.restart_policy.as_ref();
    policy.and_then(|policy| policy.enabled) == Some(true)
}

pub(super) fn check(policy: Option<&ecs::ContainerRestartPolicy>) -> Result<(), String> {
    let Some(policy) = policy else {
        return Ok(());
    };
    if policy.enabled.is_none() {
        return Err("The 'restartPolicy' needs 'enabled'.".to_owned());
    }
    let codes = policy.ignored_exit_codes.as_deref().unwrap_or_default();
    if codes.len() > MAX_CODES {
        return Err(format!(
            "At most {MAX_CODES} 'ignoredExitCodes' are allowed in a 'restartPolicy', but there are {}.",
            codes.len()
        ));
    }
    match policy.restart_attempt_period {
        Some(seconds) if !PERIODS.contains(&seconds) => Err(format!(
            "The 'restartAttemptPeriod' must be from {} to {} seconds, but is {seconds}.",
            PERIODS.start(),
            PERIODS.end()
        )),
        Some(_) | None => Ok(()),
    }
}
