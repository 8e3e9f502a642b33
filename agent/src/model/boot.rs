//! What a restart of the machine means to a task.
//!
//! Its processes, namespaces, cgroups and firewall rules are gone; its containers' records, their writable layers and what
//! was chosen for them are not. A task that ran goes on by itself if it is to run, this is the machine that ran it, and
//! the settings say so; else it ends. Nobody is asked, so it works with no link.
//!
//! Invariants: what never ran is not concerned, it just begins; an end that is stored stays; judging twice is judging
//! once.

use longshore_protocol::status::DesiredStatus;
use serde::{Deserialize, Serialize};

use super::{ContainerRecord, KnownStatus, ResolvedContainer, TaskState, boot_of};
use crate::config::ResumeOnBoot;

/// Why a container has no exit code after a restart of the machine.
pub(super) const LOST: &str = "HostRebooted: the machine was restarted while the container ran";
const NOT_RESUMED: &str =
    "HostRebooted: the machine was restarted, and an essential container has no restartPolicy";
const NOT_ALLOWED: &str =
    "HostRebooted: the machine was restarted, and LONGSHORE_RESUME_ON_BOOT=none resumes nothing";
const ANOTHER_MACHINE: &str =
    "HostRebooted: the agent's data is on another machine than the one that the task ran on";

/// The boot and the machine of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Random per boot of the machine.
    pub boot_id: String,
    /// What tells the machine from a copy of it.
    pub fingerprint: String,
}

/// Takes into a task's state that this boot may be another than the one that it ran in. Says whether it has changed what
/// is to be stored.
pub fn judge(state: &mut TaskState, boot: &Boot, before: Option<&Boot>, resume: ResumeOnBoot) -> bool {
    let cut_off = state
        .record
        .containers
        .iter()
        .any(|record| is_cut_off(record, &boot.boot_id));
    if !cut_off || state.record.desired == DesiredStatus::Stopped {
        return false;
    }
    // An agent that kept no note of its machine ran on this one, for all that is known.
    let copied = before.is_some_and(|before| before.fingerprint != boot.fingerprint);
    let policy = |definition: &ResolvedContainer| definition.restart_policy.is_some();
    let all_have_one = state
        .containers()
        .all(|(_, definition, ..)| !definition.essential || policy(definition));
    let why = match resume {
        _ if copied => ANOTHER_MACHINE,
        ResumeOnBoot::None => NOT_ALLOWED,
        ResumeOnBoot::RestartPolicy if !all_have_one => NOT_RESUMED,
        ResumeOnBoot::RestartPolicy | ResumeOnBoot::All => return false,
    };
    state.record.desired = DesiredStatus::Stopped;
    state.record.reason.get_or_insert_with(|| why.to_owned());
    true
}

/// Whether a container ran when another boot ended.
fn is_cut_off(record: &ContainerRecord, boot_id: &str) -> bool {
    record.known == KnownStatus::Running && boot_of(record).is_some_and(|boot| boot != boot_id)
}

/// Whether a container of a task that goes on runs again, whose end nobody had stored when the machine went down. A code
/// that its shim still wrote down is that of a machine that was shut down as often as not, so it counts only for what can
/// end without its task: an essential container would end a task that is to go on.
pub(super) fn runs_again(definition: &ResolvedContainer, has_code: bool) -> bool {
    !has_code || definition.essential || definition.restart_policy.is_some()
}
