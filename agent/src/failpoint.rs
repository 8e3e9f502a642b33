//! Places at which a test has the agent die, to see that nothing is lost there.
//!
//! Each place is crossed with a name: `before-CALL` or `after-CALL`. While the file that `LONGSHORE_TEST_FAIL_POINT` names holds
//! `NAME:N`, the agent kills itself with SIGKILL when it crosses `NAME` for the Nth time from then on, and removes the
//! file first, so that it dies once. Each crossing adds its name as a line to the file that `LONGSHORE_TEST_FAIL_POINT_COUNTS`
//! names, and a death adds `killed NAME`.
//!
//! Limits: builds for debugging only; a release has none of it, and without the variables nothing is done.

/// Does a call between its two fail points.
pub async fn around<T>(call: &'static str, does: impl Future<Output = T>) -> T {
    cross("before", call);
    let done = does.await;
    cross("after", call);
    done
}

/// As [`around`], for what blocks.
pub fn around_blocking<T>(call: &'static str, does: impl FnOnce() -> T) -> T {
    cross("before", call);
    let done = does();
    cross("after", call);
    done
}

#[cfg(not(debug_assertions))]
fn cross(_side: &str, _call: &str) {}

#[cfg(debug_assertions)]
use armed::cross;

#[cfg(debug_assertions)]
mod armed {
    use std::fs::File;
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    /// What the environment says, read once.
    struct Settings {
        file: Option<PathBuf>,
        counts: Option<File>,
        countdown: Mutex<Countdown>,
    }

    /// An order, and how often its place has been crossed since it was seen.
    #[derive(Default)]
    pub(super) struct Countdown {
        order: String,
        crossed: u32,
    }

    impl Countdown {
        /// Whether this crossing is the one that `order` means.
        pub(super) fn is_due(&mut self, order: &str, name: &str) -> bool {
            if self.order != order {
                order.clone_into(&mut self.order);
                self.crossed = 0;
            }
            let Some((place, times)) = order.trim().split_once(':') else {
                return false;
            };
            if place != name {
                return false;
            }
            self.crossed = self.crossed.saturating_add(1);
            times.parse().is_ok_and(|times: u32| self.crossed >= times)
        }
    }

    static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let append = |path| File::options().create(true).append(true).open(path).ok();
        Settings {
            file: path("LONGSHORE_TEST_FAIL_POINT"),
            counts: path("LONGSHORE_TEST_FAIL_POINT_COUNTS").and_then(append),
            countdown: Mutex::default(),
        }
    });

    pub(super) fn cross(side: &str, call: &str) {
        let settings = &*SETTINGS;
        let Some(path) = &settings.file else { return };
        let name = format!("{side}-{call}");
        let count = |line: String| {
            if let Some(mut counts) = settings.counts.as_ref() {
                // Figures for people: a disk that takes none costs no test its result.
                let _ = counts.write_all(line.as_bytes());
            }
        };
        count(format!("{name}\n"));
        // Held to the end: who crosses meanwhile waits, and does not do what comes after the death.
        let mut countdown = settings.countdown.lock().unwrap_or_else(PoisonError::into_inner);
        let order = std::fs::read_to_string(path).unwrap_or_default();
        // Who takes the order away decides: a test that has taken it back may rely on that nobody dies of it.
        if countdown.is_due(&order, &name) && std::fs::remove_file(path).is_ok() {
            count(format!("killed {name}\n"));
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_order_counts_the_crossings_of_its_own_place_from_when_it_was_given() {
            let mut countdown = Countdown::default();
            assert!(!countdown.is_due("after-create:2", "after-create"));
            assert!(!countdown.is_due("after-create:2", "before-create"));
            assert!(countdown.is_due("after-create:2", "after-create"));
            assert!(!countdown.is_due("", "after-create"));
            assert!(!countdown.is_due("after-create:2", "after-create"), "a new order");
            assert!(!countdown.is_due("after-create:x", "after-create"));
            assert!(countdown.is_due("before-start:1\n", "before-start"));
        }
    }
}
