//! What the tests share: namespaces to run in, traces to look for, servers and clients.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use longshore_agent::clock::SystemClock;
use longshore_agent::config::Config;
use longshore_agent::model::{ContainerId, PortMapping, Protocol};
use longshore_agent::network::{Attach, Attachment, CniNetwork};
use longshore_protocol::status::NetworkMode;
use nix::sched::{CloneFlags, setns};

const INSIDE: &str = "LONGSHORE_TEST_IN_NAMESPACE";
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` in namespaces of its own.
pub fn isolated<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Place) -> F) {
    if std::env::var_os(INSIDE).is_some() {
        run("ip link set lo up");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(Place::new()));
        return;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount"]);
    if !nix::unistd::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let status = unshare
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its namespaces");
}

/// What a command prints.
pub fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A data folder and the settings for it.
pub struct Place {
    /// The data folder.
    pub dir: tempfile::TempDir,
    config: Config,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        Self { dir, config }
    }

    /// Other settings from here on.
    pub fn set(&mut self, settings: &[(&str, &str)]) {
        self.config = config(self.dir.path(), settings);
    }

    /// The network as an agent of another boot has it.
    pub fn network_in(&self, boot_id: &str) -> CniNetwork {
        CniNetwork::new(&self.config, boot_id, Arc::new(SystemClock))
    }

    pub fn network(&self) -> CniNetwork {
        self.network_in("this boot")
    }

    /// All that an attachment makes, wherever it is.
    pub fn traces(&self) -> Vec<String> {
        let rules = run("iptables-save");
        let mut found: Vec<_> = rules
            .lines()
            .filter(|line| {
                line.contains("172.29.")
                    || line.contains("CNI-DN-")
                    || line.contains("id: ")
                    || line.contains("longshore:")
                    || is_a_containers_chain(line)
            })
            .map(str::to_owned)
            .collect();
        found.extend(
            run("ip -o link")
                .lines()
                .filter(|l| l.contains("veth"))
                .map(str::to_owned),
        );
        // Those of others on this machine came along with the mount namespace.
        let ours = format!("nsfs {}", self.dir.path().display());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        found.extend(mounts.lines().filter(|l| l.starts_with(&ours)).map(str::to_owned));
        for folder in ["network", "netns", "ipam/ls-test0"] {
            if let Ok(entries) = std::fs::read_dir(self.dir.path().join(folder)) {
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                // The cursor and the lock of host-local stay.
                found.extend(names.filter(|name| !name.starts_with("last_reserved_ip") && name != "lock"));
            }
        }
        found
    }
}

/// `:CNI-` and hexadecimal digits, as `iptables-save` shows it even if it is empty.
fn is_a_containers_chain(line: &str) -> bool {
    let name = line.strip_prefix(":CNI-").and_then(|rest| rest.split(' ').next());
    name.is_some_and(|name| name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub fn config(dir: &Path, settings: &[(&str, &str)]) -> Config {
    let standard = [
        ("LONGSHORE_DATA_DIR", dir.to_str().unwrap()),
        ("LONGSHORE_BRIDGE", "ls-test0"),
    ];
    let all = standard.iter().chain(settings);
    let owned = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(None, owned).unwrap().0
}

pub fn id(index: u16) -> ContainerId {
    format!("0123456789abcdef0123456789abcdef-{index}")
        .parse()
        .unwrap()
}

pub fn bridge(index: u16, ports: &[(u16, Option<u16>, Protocol)]) -> Attach {
    let mapping = |(container_port, host_port, protocol): &(u16, Option<u16>, Protocol)| PortMapping {
        container_port: *container_port,
        host_port: *host_port,
        protocol: *protocol,
    };
    Attach {
        container: id(index),
        mode: NetworkMode::Bridge,
        ports: ports.iter().map(mapping).collect(),
        hostname: format!("c{index}"),
    }
}

/// Runs `work` on a thread inside a namespace; sockets that it returns stay there.
pub fn within<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let inside = || {
            setns(std::fs::File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        scope.spawn(inside).join().unwrap()
    })
}

pub fn inside(attachment: &Attachment) -> &Path {
    attachment.namespace.as_deref().unwrap()
}

pub fn address(attachment: &Attachment) -> IpAddr {
    attachment.addresses[0]
}

/// Answers one TCP connection on the port in the container with `word`.
pub fn tcp_server(attachment: &Attachment, port: u16, word: &'static str) -> std::thread::JoinHandle<()> {
    let listener = within(inside(attachment), || {
        TcpListener::bind(("0.0.0.0", port)).unwrap()
    });
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(word.as_bytes()).unwrap())
}

pub fn read_tcp(address: impl Into<SocketAddr>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// What the port in the container answers to a datagram from here.
pub fn ask_udp(attachment: &Attachment, port: u16, at: SocketAddr) -> String {
    let server = within(inside(attachment), || UdpSocket::bind(("0.0.0.0", port)).unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (size, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..size], from).unwrap();
    });
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"asked", at).unwrap();
    let mut buffer = [0; 64];
    let size = client.recv(&mut buffer).unwrap();
    echo.join().unwrap();
    String::from_utf8_lossy(&buffer[..size]).into_owned()
}

pub fn host_port(attachment: &Attachment, index: usize) -> u16 {
    attachment.bindings[index].mapping.host_port.unwrap()
}
