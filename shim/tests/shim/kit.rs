//! A shim, called as containerd would call it: bundles, `start`, ttrpc, a listener for events.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_protocol::exit_record::{ExitRecord, file_name};
use longshore_shim::api::events::{ForwardRequest, TaskExit};
use longshore_shim::api::task::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest,
    KillRequest, SERVICE, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse, Status,
    WaitRequest, WaitResponse,
};
use longshore_shim::api::{Any, Message};
use longshore_shim::ttrpc::client::{CallError, Client};
use longshore_shim::ttrpc::server::{Progress, Reader};
use longshore_tests::host::Host;
use longshore_tests::process::run;
use serde_json::{Value, json};

/// The program under test.
pub const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-longshore-v1");
/// How long anything may take.
pub const LONG: Duration = Duration::from_secs(60);

/// A host with what shims need, and a stand-in for containerd's events.
pub struct Shims {
    pub host: std::rc::Rc<Host>,
    pub exits: PathBuf,
    events: Events,
}

/// Runs a test of shims on a host of its own.
pub fn on_a_host(test: impl FnOnce(Shims)) {
    longshore_tests::host::on_a_host(|host| async move {
        let dir = host.dir();
        rootfs(&dir.join("rootfs"));
        let exits = dir.join("exits");
        std::fs::create_dir_all(&exits).expect("a folder");
        let events = Events::listen(&dir.join("events"));
        let shims = Shims {
            host: std::rc::Rc::clone(&host),
            exits,
            events,
        };
        test(shims);
        let left = host.leftovers();
        assert!(left.is_empty(), "left behind: {left:?}");
    });
}

/// A root file system with busybox.
pub fn rootfs(folder: &Path) {
    for name in ["bin", "proc", "sys", "dev", "tmp"] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    std::fs::copy("/bin/busybox", folder.join("bin/busybox")).expect("busybox-static is installed");
    let applets = [
        "sh", "sleep", "cat", "echo", "true", "false", "kill", "dd", "seq", "head", "tail", "yes", "stty",
        "setsid", "tr", "printf", "ls",
    ];
    for applet in applets {
        let _ = std::os::unix::fs::symlink("busybox", folder.join("bin").join(applet));
    }
}

/// A container to be.
pub struct Container {
    pub id: String,
    pub bundle: PathBuf,
    pub config: Value,
    pub request: CreateTaskRequest,
}

impl Shims {
    /// A container that runs a shell script, in its own pid namespace, with its exits recorded. By runc, or what
    /// `LONGSHORE_TEST_OCI_RUNTIME` names.
    pub fn container(&self, id: &str, script: &str) -> Container {
        let bundle = self.host.dir().join("bundles").join(id);
        std::fs::create_dir_all(&bundle).expect("a folder");
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": process(script),
            "root": {"path": self.host.dir().join("rootfs")},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, dev(), pts()],
            "linux": {
                "cgroupsPath": format!("{}/{id}", self.host.cgroup_parent()),
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
                "resources": {"devices": [{"allow": true, "access": "rwm"}]},
            },
            "annotations": {"longshore.exits": self.exits},
        });
        if let Some(runtime) = std::env::var_os("LONGSHORE_TEST_OCI_RUNTIME") {
            config["annotations"]["longshore.runtime"] = runtime.to_str().expect("UTF-8").into();
        }
        let request = CreateTaskRequest {
            id: id.to_owned(),
            bundle: bundle.to_str().expect("UTF-8").to_owned(),
            ..CreateTaskRequest::default()
        };
        Container {
            id: id.to_owned(),
            bundle,
            config,
            request,
        }
    }

    /// An OCI runtime: a shell script, then runc with the same words.
    pub fn runtime(&self, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let program = self.host.dir().join("oci-runtime");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\nexec runc \"$@\"\n")).expect("a script");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        program
    }

    /// Calls the program.
    pub fn command(&self, container: &Container, words: &[&str]) -> Command {
        let mut command = Command::new(SHIM);
        command
            .args(["-namespace", &self.host.containerd_namespace()])
            .args(["-address", "/run/none.sock", "-publish-binary", "/bin/false"])
            .args(["-id", &container.id])
            .args(words)
            .current_dir(&container.bundle)
            .env("TTRPC_ADDRESS", &self.events.socket)
            .stdin(Stdio::null());
        command
    }

    /// Writes the configuration and has a shim; its socket.
    pub fn start(&self, container: &Container) -> PathBuf {
        container.write();
        let output = run(&mut self.command(container, &["start"]));
        let address = String::from_utf8(output.stdout).expect("an address");
        address.strip_prefix("unix://").expect("a socket").into()
    }

    /// A shim for a container, connected.
    pub fn shim(&self, container: &Container) -> Shim {
        Shim::connect(&self.start(container))
    }

    /// A container that runs; its shim.
    pub fn running(&self, container: &Container) -> Shim {
        let mut shim = self.shim(container);
        shim.create(container).expect("created");
        shim.begin(&container.id, "").expect("started");
        shim
    }

    /// The record of an exit; none if there is none.
    pub fn record(&self, id: &str, exec: Option<&str>) -> Option<ExitRecord> {
        let json = std::fs::read(self.exits.join(file_name(id, exec))).ok()?;
        Some(ExitRecord::parse(&json).expect("a whole record"))
    }

    /// Freezes a container's cgroup behind everybody's back, or lets it go on.
    pub fn freeze(&self, id: &str, frozen: bool) {
        let parent = self.host.cgroup_parent();
        let v1 = PathBuf::from(format!("/sys/fs/cgroup/freezer{parent}/{id}/freezer.state"));
        let v2 = PathBuf::from(format!("/sys/fs/cgroup{parent}/{id}/cgroup.freeze"));
        let write = |file: &Path, word: &str| std::fs::write(file, word).expect("a cgroup");
        if !v1.exists() {
            return write(&v2, if frozen { "1" } else { "0" });
        }
        if !frozen {
            return write(&v1, "THAWED");
        }
        // Version 1 may get stuck on the way, if a process forks meanwhile: try again from the start.
        until("it is frozen", || {
            write(&v1, "THAWED");
            write(&v1, "FROZEN");
            std::fs::read_to_string(&v1).expect("a cgroup").trim() == "FROZEN"
        });
    }

    /// The topics of a container's events so far.
    pub fn topics(&self, id: &str) -> Vec<String> {
        let all = self.events.received.lock().expect("no panic");
        let of = |event: &&(String, Vec<u8>)| String::from_utf8_lossy(&event.1).contains(id);
        all.iter().filter(of).map(|(topic, _)| topic.clone()).collect()
    }

    /// The exits that were told so far, in their order: of whom, and the status.
    pub fn exit_events(&self) -> Vec<(String, u32)> {
        let all = self.events.received.lock().expect("no panic");
        let exits = all.iter().filter(|(topic, _)| topic == "/tasks/exit");
        let exit = |(_, event): &(String, Vec<u8>)| TaskExit::decode(event.as_slice()).expect("an exit");
        exits.map(exit).map(|exit| (exit.id, exit.exit_status)).collect()
    }
}

/// A process that runs a shell script.
pub fn process(script: &str) -> Value {
    json!({
        "args": ["/bin/sh", "-c", script],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    })
}

fn dev() -> Value {
    json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]})
}

fn pts() -> Value {
    let options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options})
}

impl Container {
    pub fn write(&self) {
        std::fs::write(self.bundle.join("config.json"), self.config.to_string()).expect("a configuration");
    }

    /// Puts it into a group.
    pub fn in_group(mut self, group: &str) -> Self {
        self.config["annotations"]["io.containerd.runc.v2.group"] = group.into();
        self
    }

    /// Has its processes in the host's pid namespace, where they outlive the first.
    pub fn in_hosts_pids(mut self) -> Self {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "pid");
        // A new /proc needs a pid namespace.
        let proc = json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]});
        self.config["mounts"] = json!([proc, dev(), pts()]);
        self
    }

    /// Sends both streams to a file; that file.
    pub fn with_output(mut self) -> (Self, PathBuf) {
        let file = self.bundle.join("output");
        self.request.stdout = format!("file://{}", file.display());
        (self, file)
    }
}

/// A connection to a shim.
pub struct Shim {
    pub socket: PathBuf,
    client: Client,
}

impl Shim {
    pub fn connect(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            client: Client::connect(socket, LONG).expect("a shim"),
        }
    }

    pub fn call<R: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Result<R, CallError> {
        self.client.call(SERVICE, method, request)
    }

    /// Calls with bytes that need not be a request.
    pub fn raw(&mut self, method: &str, payload: Vec<u8>) -> Result<Empty, CallError> {
        self.call(method, &Raw(payload))
    }

    pub fn create(&mut self, container: &Container) -> Result<u32, CallError> {
        container.write();
        self.call::<CreateTaskResponse>("Create", &container.request)
            .map(|response| response.pid)
    }

    pub fn begin(&mut self, id: &str, exec: &str) -> Result<u32, CallError> {
        let request = StartRequest {
            id: id.into(),
            exec_id: exec.into(),
        };
        self.call::<StartResponse>("Start", &request)
            .map(|response| response.pid)
    }

    pub fn exec(&mut self, id: &str, exec: &str, script: &str) -> Result<(), CallError> {
        self.call::<Empty>("Exec", &exec_request(id, exec, script))
            .map(|_| ())
    }

    /// Waits for an end; the status.
    pub fn wait(&mut self, id: &str, exec: &str) -> u32 {
        let request = WaitRequest {
            id: id.into(),
            exec_id: exec.into(),
        };
        self.call::<WaitResponse>("Wait", &request)
            .expect("an end")
            .exit_status
    }

    pub fn state(&mut self, id: &str, exec: &str) -> Result<StateResponse, CallError> {
        let request = StateRequest {
            id: id.into(),
            exec_id: exec.into(),
        };
        self.call("State", &request)
    }

    pub fn is(&mut self, id: &str, status: Status) -> bool {
        self.state(id, "")
            .is_ok_and(|state| state.status == status as i32)
    }

    pub fn kill(&mut self, id: &str, signal: u32, all: bool) -> Result<(), CallError> {
        let request = KillRequest {
            id: id.into(),
            exec_id: String::new(),
            signal,
            all,
        };
        self.call::<Empty>("Kill", &request).map(|_| ())
    }

    pub fn delete(&mut self, id: &str, exec: &str) -> Result<DeleteResponse, CallError> {
        let request = DeleteRequest {
            id: id.into(),
            exec_id: exec.into(),
        };
        self.call("Delete", &request)
    }

    /// Waits for a container's end and deletes it; the status.
    pub fn finish(&mut self, id: &str) -> u32 {
        let status = self.wait(id, "");
        let deleted = self.delete(id, "").expect("deleted");
        assert_eq!(deleted.exit_status, status);
        status
    }

    /// Kills the only container that is left, and sees the shim to its end.
    pub fn kill_and_end(mut self, id: &str) {
        self.kill(id, 9, false).expect("killed");
        assert_eq!(self.finish(id), 137);
        self.end();
    }

    /// Asks the shim to end.
    pub fn shutdown(&mut self) {
        let request = ShutdownRequest {
            id: String::new(),
            now: false,
        };
        self.call::<Empty>("Shutdown", &request).expect("an answer");
    }

    /// Asks the shim to end, and waits until it has.
    pub fn end(mut self) {
        let pid = self.pid();
        self.shutdown();
        until("the shim has ended", || !runs(pid));
        assert!(!self.socket.exists());
    }

    /// The shim's pid.
    pub fn pid(&mut self) -> i32 {
        use longshore_shim::api::task::{ConnectRequest, ConnectResponse};
        let request = ConnectRequest { id: String::new() };
        let response: ConnectResponse = self.call("Connect", &request).expect("an answer");
        response.shim_pid.cast_signed()
    }
}

/// Bytes in the place of a message.
#[derive(Debug, Default)]
struct Raw(Vec<u8>);

impl Message for Raw {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::wire_type::WireType,
        buffer: &mut impl prost::bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

pub fn exec_request(id: &str, exec: &str, script: &str) -> ExecProcessRequest {
    ExecProcessRequest {
        id: id.into(),
        exec_id: exec.into(),
        spec: Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".into(),
            value: process(script).to_string().into_bytes(),
        }),
        ..ExecProcessRequest::default()
    }
}

/// Asks again and again until it is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    while !is() {
        assert!(waited < LONG, "{what}: not within {} s", LONG.as_secs());
        std::thread::sleep(Duration::from_millis(10));
        waited += Duration::from_millis(10);
    }
}

/// Topics and events, in the order in which they came.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// What stands in for containerd: takes events.
struct Events {
    socket: PathBuf,
    received: Received,
}

impl Events {
    fn listen(socket: &Path) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let listener = UnixListener::bind(socket).expect("a socket");
        let sink = Arc::clone(&received);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || take(Reader::new(stream).expect("a connection"), &sink));
            }
        });
        Self {
            socket: socket.to_owned(),
            received,
        }
    }
}

fn take(mut reader: Reader, sink: &Mutex<Vec<(String, Vec<u8>)>>) {
    loop {
        let progress = reader.read(|call| {
            let request = ForwardRequest::decode(call.request.payload.as_slice()).expect("an event");
            let envelope = request.envelope.expect("an envelope");
            let event = envelope.event.expect("an event");
            sink.lock().expect("no panic").push((envelope.topic, event.value));
            call.responder.answer(&Empty {});
        });
        if progress == Progress::Closed {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process runs; a zombie doesn't.
pub fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// How many open descriptors a process has.
pub fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it runs")
        .count()
}
