//! A virtual machine as most nodes are: systemd, cgroup v2, a kernel of its own, and a power plug.
//!
//! `tests/vm/build-image` makes its disk; QEMU emulates its processors (no KVM, which few test machines have), so what
//! runs in it takes ten to thirty times as long as outside. Each test's machine writes to a layer of its own above that
//! disk.
//!
//! Limits: x86-64, Debian's packages, root. Where it can't be had, `build-image` says why, and scripts/test says it again.

mod channel;
mod image;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use channel::Answer;
pub use image::{Image, Programs};

use crate::process::{Process, run};
use crate::{programs, wait};
use channel::Channel;

/// Until the first command is answered: 15 s where nothing else runs, and minutes where everything else does.
const BOOT: Duration = Duration::from_secs(600);
/// What a command may take unless a test says otherwise.
const COMMAND: Duration = Duration::from_secs(300);
/// What is left for the answer once a command's own time is up.
const ANSWER: Duration = Duration::from_secs(60);
/// Enough for containerd, a control plane, an agent and small containers. The disk is not counted.
const MEMORY_MIB: u32 = 1536;

/// The test machine's loopback, as the virtual one reaches it once it is [`Machine::link`]ed.
pub const HOST: &str = "10.0.2.2";

/// What the emulated processor can do. TCG has helpers for newer instructions, which cost more than they save.
const PROCESSOR: &str = "Nehalem";
/// Nobody attacks it: what guards against speculation is a fifth of the time. On a busy machine its timer may come too late
/// for the kernel, which then takes it to be broken and gives up, unless it is told not to look.
const KERNEL: &str =
    "root=/dev/vda rw console=ttyS0 panic=-1 fsck.mode=auto net.ifnames=0 mitigations=off no_timer_check";

/// A virtual machine.
#[derive(Debug)]
pub struct Machine {
    dir: tempfile::TempDir,
    image: Image,
    power: Option<Power>,
    /// What QEMU's `-rtc base=` takes; the host's time where empty.
    clock: String,
    /// When the last step was over.
    lap: tokio::time::Instant,
}

/// What there is only while it is on.
#[derive(Debug)]
struct Power {
    qemu: Process,
    channel: Channel,
    /// What QEMU had used when the last step was over.
    used: Duration,
}

impl Machine {
    /// A machine that is off, with the image's disk under a layer of its own, and `programs` on a second one.
    ///
    /// # Panics
    /// When the disks can't be written.
    #[must_use]
    pub fn new(image: &Image, programs: &Programs) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("lst-vm-")
            .tempdir()
            .expect("a folder");
        // A copy would have to reach the disk before the first flush of the guest does.
        let mut layer = Command::new(programs::find("qemu-img"));
        layer.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        run(layer.arg(image.disk()).arg(dir.path().join("root.qcow2")));
        programs.write_disk(&dir.path().join("programs.img"));
        Self {
            dir,
            image: image.clone(),
            power: None,
            clock: String::new(),
            lap: tokio::time::Instant::now(),
        }
    }

    /// What its battery-backed clock says at the next boot: `2026-01-31T12:00:00`, in UTC.
    pub fn set_clock(&mut self, to: &str) {
        to.clone_into(&mut self.clock);
    }

    /// Switches it on, and waits until it takes commands. The programs are in `/opt/longshore` then.
    ///
    /// # Panics
    /// When it doesn't boot; then with the end of its console.
    pub async fn boot(&mut self) {
        let socket = self.path("channel");
        let _ = std::fs::remove_file(&socket);
        let mut command = self.qemu(&socket);
        let qemu = Process::spawn("qemu", command.stdin(Stdio::null()), &self.path("qemu.log"));
        wait::until_some("QEMU opens the channel", || socket.exists().then_some(())).await;
        let channel = Channel::connect(&socket).await;
        let used = Duration::ZERO;
        self.power = Some(Power { qemu, channel, used });
        let answer = self
            .run_for(
                BOOT,
                "mkdir -p /opt/longshore && mount -r /dev/vdb /opt/longshore",
            )
            .await;
        assert_eq!(answer.status, 0, "the programs' disk: {}", answer.output);
        self.step_is_over("boot");
    }

    /// Says what the time since the last step went to: by a clock on the wall, and of processors.
    pub fn step_is_over(&mut self, step: &str) {
        let wall = std::mem::replace(&mut self.lap, tokio::time::Instant::now()).elapsed();
        let Some(power) = &mut self.power else { return };
        let total = power.qemu.processor_time();
        let used = total - std::mem::replace(&mut power.used, total);
        println!(
            "{:6.1} s, {:6.1} s of processors: {step}",
            wall.as_secs_f32(),
            used.as_secs_f32()
        );
    }

    fn qemu(&self, socket: &Path) -> Command {
        let drive = |file: &str, more: &str| format!("file={},if=virtio,{more}", self.path(file).display());
        let mut command = Command::new("nice");
        command.args(["-n", "5", "qemu-system-x86_64"]);
        command.args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            PROCESSOR,
            "-smp",
            "2",
            "-machine",
            "q35",
        ]);
        command.args(["-m", &MEMORY_MIB.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        command.arg("-kernel").arg(self.image.kernel());
        command.arg("-initrd").arg(self.image.initrd());
        command.args(["-append", KERNEL]);
        // Killing QEMU is a power cut then: what the guest has flushed is in the file, what it has not may be lost.
        command.args(["-drive", &drive("root.qcow2", "format=qcow2,cache=writeback")]);
        command.args(["-drive", &drive("programs.img", "format=raw,readonly=on")]);
        command.args(["-netdev", "user,id=net,ipv6=off"]);
        command.args(["-device", "virtio-net-pci,netdev=net"]);
        command.arg("-serial");
        command.arg(format!("file:{}", self.console_path().display()));
        command.args(["-device", "virtio-serial", "-device", "virtio-rng-pci"]);
        command.arg("-chardev");
        command.arg(format!(
            "socket,id=channel,path={},server=on,wait=off",
            socket.display()
        ));
        command.args(["-device", "virtserialport,chardev=channel,name=longshore"]);
        if !self.clock.is_empty() {
            command.args(["-rtc", &format!("base={}", self.clock)]);
        }
        command
    }

    /// Has it reach [`HOST`], and nothing beyond, until it is switched off.
    ///
    /// # Panics
    /// When it isn't on, or has no network card.
    pub async fn link(&mut self) {
        let card = "modprobe virtio_net && udevadm settle && ip link set eth0 up";
        self.ok(&format!("{card} && ip address replace 10.0.2.15/24 dev eth0"))
            .await;
    }

    /// Runs a shell script in it, as root.
    ///
    /// # Panics
    /// When it isn't on, or doesn't answer in time.
    pub async fn run(&mut self, script: &str) -> Answer {
        self.run_for(COMMAND, script).await
    }

    /// As [`Machine::run`], with its own patience. A script that takes longer is killed, with status 124 or 137 and what
    /// it had printed: the machine can be asked what it waited for.
    ///
    /// # Panics
    /// When it isn't on, doesn't answer at all, or switches itself off; then with the end of its console.
    pub async fn run_for(&mut self, patience: Duration, script: &str) -> Answer {
        let seconds = patience.as_secs();
        let bounded = channel::bounded(seconds, script);
        let power = self.power.as_mut().expect("it is on");
        match tokio::time::timeout(patience + ANSWER, power.channel.run(&bounded)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => panic!(
                "the machine is off ({error}) before it answered to:\n{script}\nThe console ends so:\n{}",
                self.console_end()
            ),
            Err(_) => panic!(
                "no answer within {seconds} s to:\n{script}\nThe console ends so:\n{}",
                self.console_end()
            ),
        }
    }

    /// What a script prints.
    ///
    /// # Panics
    /// When it fails, or doesn't answer in time; then with the machine's journal.
    pub async fn ok(&mut self, script: &str) -> String {
        let answer = self.run(script).await;
        if answer.status != 0 {
            let Answer { status, output } = answer;
            panic!("status {status}: {script}\n{output}\n{}", self.journal().await);
        }
        answer.output.trim().to_owned()
    }

    /// What its services and its kernel said last, and which services have failed: for whoever must say why a test did.
    ///
    /// # Panics
    /// When it isn't on.
    pub async fn journal(&mut self) -> String {
        let script =
            "uptime; systemctl --no-pager --failed; journalctl --no-pager -b -n 400 -o short-precise";
        self.run(script).await.output
    }

    /// Asks until a script succeeds, and gives what it printed then.
    ///
    /// # Panics
    /// When it hasn't within `patience`; then with what it printed last, and the machine's journal.
    pub async fn until(&mut self, patience: Duration, script: &str) -> String {
        let begun = tokio::time::Instant::now();
        loop {
            let asked = tokio::time::Instant::now();
            let answer = self.run(script).await;
            if answer.status == 0 {
                return answer.output.trim().to_owned();
            }
            if begun.elapsed() >= patience {
                panic!(
                    "not within {} s: {script}\n{}\n{}",
                    patience.as_secs(),
                    answer.output,
                    self.journal().await
                );
            }
            // What is waited for needs the processors more than the question.
            tokio::time::sleep(asked.elapsed().max(Duration::from_millis(500))).await;
        }
    }

    /// Pulls the plug.
    ///
    /// # Panics
    /// When it isn't on.
    pub fn cut_power(&mut self) {
        let mut power = self.power.take().expect("it is on");
        power.qemu.kill();
    }

    /// Where the kernel and systemd write to.
    #[must_use]
    pub fn console_path(&self) -> PathBuf {
        self.path("console")
    }

    fn console_end(&self) -> String {
        let text = std::fs::read(self.console_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(40)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
