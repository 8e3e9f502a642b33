//! Waiting for a condition, never for luck.

use std::time::Duration;

/// How long anything may take before a test gives up. Generous: machines are slow at times, and a test that passes does
/// not wait for it. `LONGSHORE_TEST_PATIENCE`, in seconds, says otherwise: an emulated machine is slow all the time.
///
/// # Panics
/// When the variable is no number.
#[must_use]
pub fn patience() -> Duration {
    let seconds = std::env::var("LONGSHORE_TEST_PATIENCE").map_or(60, |text| {
        text.parse()
            .expect("LONGSHORE_TEST_PATIENCE is a number of seconds")
    });
    Duration::from_secs(seconds)
}

/// Asks again and again until the answer is something.
///
/// # Panics
/// When nothing came within [`patience`]; `what` says what was awaited.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_within(patience(), what, ask).await
}

/// As [`until`], for what takes long by itself.
///
/// # Panics
/// When nothing came within `patience`.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(patience, wait).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what}: not within {} s", patience.as_secs()),
    }
}

/// As [`until`], for what can be asked without waiting.
pub async fn until_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    until(what, || std::future::ready(ask())).await
}
