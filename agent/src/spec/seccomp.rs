//! The system calls that a container may make.
//!
//! An allow-list: what isn't named fails with EPERM. Calls that are fine with some arguments only are compared here;
//! the names are in [`super::syscalls`]. It is meant for a container without CAP_SYS_ADMIN, and a privileged one has no
//! filter at all.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::SpecError;
use super::syscalls::{ALLOWED, ALLOWED_ARM, ALLOWED_X86};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: none may be in clone's flags.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// AF_VSOCK has no namespaces: its sockets reach the hypervisor and its neighbours from within any container.
const AF_VSOCK: u64 = 40;

/// Linux, 32-bit Linux, both with the old address space layout flag UNAME26, and the query.
const PERSONALITIES: [u64; 5] = [0, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// The profile for an architecture as OCI names it. One that isn't known has the native one's names only.
pub(super) fn profile(architecture: &str) -> Result<LinuxSeccomp, SpecError> {
    let (architectures, own): (Vec<Arch>, &[&str]) = match architecture {
        "amd64" => (
            vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
            &ALLOWED_X86,
        ),
        "386" => (vec![Arch::ScmpArchX86], &ALLOWED_X86),
        "arm64" => (vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm], &ALLOWED_ARM),
        "arm" => (vec![Arch::ScmpArchArm], &ALLOWED_ARM),
        _ => (Vec::new(), &[]),
    };
    let names = ALLOWED.iter().copied().flatten().chain(own).copied();
    let mut syscalls = vec![
        allow(names, None)?,
        allow(
            ["clone"],
            Some(compare(
                0,
                CLONE_NAMESPACES,
                LinuxSeccompOperator::ScmpCmpMaskedEq,
            )?),
        )?,
        // Its flags are behind a pointer that a filter can't follow. C libraries fall back to clone on ENOSYS only.
        rule(["clone3"], LinuxSeccompAction::ScmpActErrno)
            .errno_ret(ENOSYS)
            .build()?,
        allow(
            ["socket"],
            Some(compare(0, AF_VSOCK, LinuxSeccompOperator::ScmpCmpNe)?),
        )?,
    ];
    for personality in PERSONALITIES {
        let argument = compare(0, personality, LinuxSeccompOperator::ScmpCmpEq)?;
        syscalls.push(allow(["personality"], Some(argument))?);
    }
    let profile = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(EPERM)
        .syscalls(syscalls);
    Ok(match architectures.is_empty() {
        true => profile.build()?,
        false => profile.architectures(architectures).build()?,
    })
}

fn rule<'a>(names: impl IntoIterator<Item = &'a str>, action: LinuxSeccompAction) -> LinuxSyscallBuilder {
    LinuxSyscallBuilder::default()
        .names(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        .action(action)
}

fn allow<'a>(
    names: impl IntoIterator<Item = &'a str>,
    argument: Option<LinuxSeccompArg>,
) -> Result<LinuxSyscall, SpecError> {
    let rule = rule(names, LinuxSeccompAction::ScmpActAllow);
    Ok(match argument {
        Some(argument) => rule.args(vec![argument]).build()?,
        None => rule.build()?,
    })
}

/// For a masked comparison `value` is the mask, and what is left of the argument must be 0.
fn compare(index: usize, value: u64, op: LinuxSeccompOperator) -> Result<LinuxSeccompArg, SpecError> {
    Ok(LinuxSeccompArgBuilder::default()
        .index(index)
        .value(value)
        .value_two(0_u64)
        .op(op)
        .build()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn allowed_names() -> BTreeSet<String> {
        let profile = profile("amd64").unwrap();
        let syscalls = profile.syscalls().clone().unwrap();
        syscalls
            .iter()
            .filter(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow && rule.args().is_none())
            .flat_map(|rule| rule.names().clone())
            .collect()
    }

    #[test]
    fn what_changes_the_host_is_not_allowed() {
        for name in [
            "acct",
            "add_key",
            "bpf",
            "clock_settime",
            "clone",
            "clone3",
            "delete_module",
            "finit_module",
            "fsopen",
            "init_module",
            "io_uring_setup",
            "ioperm",
            "iopl",
            "kexec_file_load",
            "kexec_load",
            "keyctl",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_by_handle_at",
            "open_tree",
            "perf_event_open",
            "personality",
            "pivot_root",
            "quotactl",
            "reboot",
            "request_key",
            "setns",
            "settimeofday",
            "socket",
            "swapoff",
            "swapon",
            "syslog",
            "umount",
            "umount2",
            "unshare",
            "userfaultfd",
            "vhangup",
        ] {
            assert!(
                !allowed_names().contains(name),
                "{name} is allowed without a condition"
            );
        }
    }

    #[test]
    fn what_every_program_needs_is_allowed() {
        for name in [
            "read",
            "write",
            "openat",
            "execve",
            "mmap",
            "futex",
            "clock_gettime64",
            "epoll_wait",
            "newfstatat",
            "statx",
            "rt_sigreturn",
            "chroot",
            "getrandom",
            "rseq",
            "set_robust_list",
            "arch_prctl",
            "faccessat2",
            "close_range",
            "pidfd_open",
            "socketpair",
            "sendfile64",
            "exit_group",
            "restart_syscall",
            "prlimit64",
            "landlock_create_ruleset",
        ] {
            assert!(allowed_names().contains(name), "{name} is missing");
        }
    }

    #[test]
    fn no_name_is_there_twice() {
        let names: Vec<_> = ALLOWED.iter().copied().flatten().chain(&ALLOWED_X86).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn an_architecture_brings_its_own_names_and_its_32_bit_sister() {
        let arm = profile("arm64").unwrap();
        let expected = vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm];
        assert_eq!(arm.architectures(), &Some(expected));
        assert!(profile("riscv64").unwrap().architectures().is_none());
    }
}
