//! A power cut, as far as namespaces can have one.
//!
//! Everything that runs dies at once, and what a kernel holds is gone: mounts, `/run`, network namespaces and links,
//! firewall rules, cgroups. Files stay. The boot id is another: a file is mounted over the kernel's in this host's mount
//! namespace, so programs need to know nothing of it.
//!
//! Limits: the clock since boot goes on, and no byte of the disk's cache is lost.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{Host, children_of, mount_run, mounts};
use crate::process::run;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Host {
    /// Cuts the power and boots again; `boot` is any number that no other boot of this host had. What a test has a handle
    /// of is to be killed by it before.
    ///
    /// # Panics
    /// When something outlives it.
    pub fn reboot(&self, boot: u32) {
        kill_all();
        self.remove_cgroups();
        self.unmount_all();
        mount_run();
        forget_network();
        self.set_boot_id(boot);
    }

    /// Everything that was mounted since the host is there, its `/run` included. The newest goes first.
    fn unmount_all(&self) {
        let places = |lines: Vec<String>| -> Vec<String> {
            let place = |line: &String| line.split_whitespace().nth(4).map(str::to_owned);
            lines.iter().filter_map(place).collect()
        };
        for _ in 0..100 {
            let new: Vec<_> = mounts()
                .into_iter()
                .filter(|line| !self.mounts.contains(line))
                .collect();
            let below = |place: &String| {
                place != BOOT_ID && (place.starts_with("/run/") || !place.starts_with("/run"))
            };
            let new: Vec<_> = places(new).into_iter().filter(below).collect();
            if new.is_empty() {
                break;
            }
            for place in new.iter().rev() {
                let _ = umount2(Path::new(place), MntFlags::MNT_DETACH);
            }
        }
        umount2("/run", MntFlags::MNT_DETACH).expect("/run can be unmounted");
    }

    fn set_boot_id(&self, boot: u32) {
        let file = self.dir().join("boot_id");
        let is_there = file.exists();
        std::fs::write(&file, format!("00000000-0000-4000-8000-{boot:012}\n")).expect("a boot id");
        if !is_there {
            let none = None::<&str>;
            mount(Some(&file), BOOT_ID, none, MsFlags::MS_BIND, none).expect("another boot id");
        }
    }
}

/// Shims go before what they look after: a shim that sees the end writes it down, as none does when the power is cut.
fn kill_all() {
    for _ in 0..1000 {
        let children = children_of(std::process::id());
        if children.is_empty() {
            return;
        }
        for pid in &children {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
        }
        for pid in children {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("something outlives the power cut");
}

/// Links of network namespaces went with those.
fn forget_network() {
    let links = run(Command::new("ip").args(["-o", "link"])).stdout;
    let links = String::from_utf8_lossy(&links).into_owned();
    let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
    for link in links.lines().filter_map(name).filter(|name| name != "lo") {
        let _ = Command::new("ip").args(["link", "delete", &link]).output();
    }
    for table in ["nat", "filter", "mangle", "raw"] {
        for what in ["-F", "-X"] {
            let _ = Command::new("iptables").args(["-t", table, what]).output();
            let _ = Command::new("ip6tables").args(["-t", table, what]).output();
        }
    }
}
