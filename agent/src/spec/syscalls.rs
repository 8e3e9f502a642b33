#![cfg_attr(rustfmt, rustfmt::skip)]
//! The names of the system calls that a container may make with any arguments, by what they are for.
//!
//! Left out on purpose: what changes the host or sees beyond the container (modules, kexec, reboot, swap, clocks,
//! quotas, accounting, kernel log, I/O ports, perf, bpf, keyrings, which have no namespace), what makes or enters
//! namespaces and mounts, what opens files around permissions (`open_by_handle_at`), NUMA policy (CAP_SYS_NICE), what
//! reaches into other processes beyond ptrace (`kcmp`, `pidfd_getfd`, `process_madvise`), and interfaces with a long
//! record of holes that few programs miss (`io_uring_*`, `userfaultfd`). Names that a kernel doesn't have do no harm.

/// All architectures.
pub(super) const ALLOWED: [&[&str]; 12] = [
    FILES,
    PATHS,
    ATTRIBUTES,
    MEMORY,
    PROCESSES,
    IDENTITY,
    SIGNALS,
    SCHEDULING,
    TIME,
    SOCKETS,
    WAITING,
    IPC,
];

/// Open files: reading, writing, moving, locking.
const FILES: &[&str] = &[
    "_llseek", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3", "fadvise64", "fadvise64_64",
    "fallocate", "fcntl", "fcntl64", "fdatasync", "flock", "fsync", "ftruncate", "ftruncate64", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "lseek",
    "memfd_create", "open", "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
    "pwritev2", "read", "readahead", "readv", "sendfile", "sendfile64", "splice", "sync", "sync_file_range",
    "sync_file_range2", "syncfs", "tee", "truncate", "truncate64", "vmsplice", "write", "writev",
];

/// Names of files and folders.
const PATHS: &[&str] = &[
    "chdir", "chroot", "fanotify_mark", "fchdir", "getcwd", "getdents", "getdents64", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "link", "linkat", "listmount", "mkdir", "mkdirat", "mknod", "mknodat",
    "name_to_handle_at", "readlink", "readlinkat", "rename", "renameat", "renameat2", "rmdir", "statmount", "symlink",
    "symlinkat", "umask", "unlink", "unlinkat",
];

/// What files are like and whose they are.
const ATTRIBUTES: &[&str] = &[
    "access", "cachestat", "chmod", "chown", "chown32", "faccessat", "faccessat2", "fchmod", "fchmodat", "fchmodat2",
    "fchown", "fchown32", "fchownat", "fgetxattr", "flistxattr", "fremovexattr", "fsetxattr", "fstat", "fstat64",
    "fstatat64", "fstatfs", "fstatfs64", "futimesat", "getxattr", "getxattrat", "lchown", "lchown32", "lgetxattr",
    "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lsetxattr", "lstat", "lstat64", "newfstatat",
    "removexattr", "removexattrat", "setxattr", "setxattrat", "stat", "stat64", "statfs", "statfs64", "statx", "utime",
    "utimensat", "utimensat_time64", "utimes",
];

const MEMORY: &[&str] = &[
    "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_secret", "mincore", "mlock", "mlock2", "mlockall", "mmap",
    "mmap2", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "remap_file_pages",
];

/// Making, watching and ending processes and threads; filters and rules that only ever take away.
const PROCESSES: &[&str] = &[
    "execve", "execveat", "exit", "exit_group", "fork", "get_robust_list", "get_thread_area", "getpgid", "getpgrp",
    "getpid", "getppid", "getsid", "gettid", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
    "pidfd_open", "prctl", "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace", "rseq", "seccomp",
    "set_robust_list", "set_thread_area", "set_tid_address", "setpgid", "setsid", "vfork", "wait4", "waitid", "waitpid",
];

/// Users, groups, capabilities, limits; what the machine is called and has.
const IDENTITY: &[&str] = &[
    "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32",
    "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage", "getuid", "getuid32",
    "prlimit64", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32",
    "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32",
    "setrlimit", "setuid", "setuid32", "sysinfo", "ugetrlimit", "uname",
];

const SIGNALS: &[&str] = &[
    "alarm", "kill", "pause", "pidfd_send_signal", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sigaction", "sigaltstack", "signal", "signalfd", "signalfd4", "sigpending", "sigprocmask", "sigreturn", "sigsuspend",
    "tgkill", "tkill",
];

const SCHEDULING: &[&str] = &[
    "getcpu", "getpriority", "ioprio_get", "ioprio_set", "nice", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
    "sched_yield", "setpriority",
];

/// Reading clocks (setting one takes CAP_SYS_TIME, adjtimex included) and waiting for them.
const TIME: &[&str] = &[
    "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
    "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep", "setitimer",
    "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
    "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    "times",
];

/// All but `socket` itself, which is allowed by family.
const SOCKETS: &[&str] = &[
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv", "recvfrom",
    "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    "socketcall", "socketpair",
];

const WAITING: &[&str] = &[
    "_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "futex", "futex_requeue", "futex_time64", "futex_wait",
    "futex_waitv", "futex_wake", "poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select",
];

/// System V and POSIX: bounded by the IPC namespace.
const IPC: &[&str] = &[
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
    "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop",
    "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget",
];

/// x86 alone: segments, which C libraries keep thread data in.
pub(super) const ALLOWED_X86: [&str; 3] = ["arch_prctl", "modify_ldt", "uretprobe"];

/// Arm alone.
pub(super) const ALLOWED_ARM: [&str; 6] = [
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "breakpoint",
    "cacheflush",
    "get_tls",
    "set_tls",
];
