//! How a container may be told to have ended, by what it does and what was done to it.

use longshore_tests::binaries;

use crate::plan::Kind;

/// The codes of what is stopped before its program says that it began: runc's first process, a Go program, ends with 2 on
/// SIGTERM, since as the first of a PID namespace it can't die of the signal; or SIGKILL came first.
const UNBORN: [i32; 2] = [2, 137];

/// An end as it was told, and what is known of it besides.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub kind: Kind,
    pub name: &'a str,
    /// Whether the client has asked for the task's end.
    pub stopped: bool,
    pub shim_killed: bool,
    /// How often it said itself that it began.
    pub started: usize,
    /// Whether it may have been told to stop before it said that it began. The kernel drops a SIGTERM for the first process
    /// of a PID namespace that has no handler yet, so that one may never hear of it.
    pub stopped_early: bool,
    pub code: Option<i32>,
    pub reason: &'a str,
}

/// What is wrong with it.
pub fn lie(seen: &Seen<'_>) -> Option<&'static str> {
    // Its neighbour's end stops it.
    let told_to_stop = seen.stopped || seen.kind == Kind::Several && seen.name != "app";
    let (own, by_stop) = codes(seen.kind, seen.name);
    let shim_died = seen.reason.starts_with("ShimDied: ");
    match (seen.started, seen.code) {
        (2.., _) => Some("it ran more than once"),
        (_, Some(_)) if shim_died => Some("an exit code that nobody can know"),
        (0, Some(code)) => {
            let unborn = told_to_stop && UNBORN.contains(&code);
            (!unborn).then_some("an exit code of what never ran")
        }
        (_, Some(code)) => {
            let unheard = seen.stopped_early && code == 137;
            let known = own == Some(code) || told_to_stop && (by_stop == code || unheard);
            (!known).then_some("no such exit code")
        }
        (_, None) if shim_died && !seen.shim_killed => Some("nobody has killed its shim"),
        (0, None) => {
            let excused = told_to_stop || seen.shim_killed;
            (!excused).then_some("it never ran, and nobody asked for its end")
        }
        (_, None) => {
            // containerd's own shim leaves nothing behind when containerd forgets what has ended.
            let stock = || binaries::shim() == binaries::STOCK_SHIM;
            let excused = shim_died || seen.reason.starts_with("ExitStatusLost: ") && stock();
            (!excused).then_some("the exit code is lost")
        }
    }
}

/// The exit code that a container ends with by itself, and the one that it has if it is told to stop once it has begun.
/// A shell is the first of its PID namespace, so what it has no trap for it does not hear.
fn codes(kind: Kind, name: &str) -> (Option<i32>, i32) {
    match (kind, name) {
        (Kind::Several, "app") => (Some(3), 137),
        (Kind::Several, "side") | (Kind::Polite | Kind::Bridge, _) => (None, 5),
        (Kind::Several, _) | (Kind::Deaf, _) => (None, 137),
        (Kind::Quick(code) | Kind::Slow(code), _) => (Some(code), 137),
        (Kind::Lines, _) => (Some(0), 137),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Seen<'_> = Seen {
        kind: Kind::Slow(3),
        name: "app",
        stopped: false,
        shim_killed: false,
        started: 1,
        stopped_early: false,
        code: Some(3),
        reason: "",
    };

    #[test]
    fn a_signal_is_believed_of_what_was_told_to_stop_alone() {
        assert_eq!(lie(&SLOW), None);
        let killed = Seen {
            code: Some(137),
            ..SLOW
        };
        assert_eq!(lie(&killed), Some("no such exit code"));
        assert_eq!(
            lie(&Seen {
                stopped: true,
                ..killed
            }),
            None
        );
        let terminated = Seen {
            code: Some(143),
            stopped: true,
            ..SLOW
        };
        assert_eq!(lie(&terminated), Some("no such exit code"));
        let polite = Seen {
            kind: Kind::Polite,
            stopped: true,
            ..SLOW
        };
        assert_eq!(
            lie(&Seen {
                code: Some(5),
                ..polite
            }),
            None
        );
        let killed = Seen {
            code: Some(137),
            ..polite
        };
        assert_eq!(lie(&killed), Some("no such exit code"));
        let unheard = Seen {
            stopped_early: true,
            ..killed
        };
        assert_eq!(lie(&unheard), None);
        let unasked = Seen {
            stopped: false,
            ..unheard
        };
        assert_eq!(lie(&unasked), Some("no such exit code"));
    }

    #[test]
    fn what_never_ran_has_no_exit_code_of_its_own() {
        let never = Seen { started: 0, ..SLOW };
        assert_eq!(lie(&never), Some("an exit code of what never ran"));
        let made_up = Seen {
            code: Some(137),
            ..never
        };
        assert_eq!(lie(&made_up), Some("an exit code of what never ran"));
        assert_eq!(
            lie(&Seen {
                stopped: true,
                ..made_up
            }),
            None
        );
        let silent = Seen { code: None, ..never };
        assert_eq!(lie(&silent), Some("it never ran, and nobody asked for its end"));
        let app = Seen {
            kind: Kind::Several,
            ..silent
        };
        assert_eq!(lie(&app), Some("it never ran, and nobody asked for its end"));
        assert_eq!(lie(&Seen { name: "side", ..app }), None);
        assert_eq!(lie(&Seen { started: 2, ..SLOW }), Some("it ran more than once"));
    }

    #[test]
    fn only_a_killed_shim_takes_an_exit_code_with_it() {
        let lost = Seen { code: None, ..SLOW };
        assert_eq!(lie(&lost), Some("the exit code is lost"));
        let reason = "ShimDied: the container's shim was killed";
        let died = Seen { reason, ..lost };
        assert_eq!(lie(&died), Some("nobody has killed its shim"));
        let killed = Seen {
            shim_killed: true,
            ..died
        };
        assert_eq!(lie(&killed), None);
        assert_eq!(lie(&Seen { reason: "", ..killed }), Some("the exit code is lost"));
        let known = Seen {
            code: Some(137),
            ..killed
        };
        assert_eq!(lie(&known), Some("an exit code that nobody can know"));
    }
}
