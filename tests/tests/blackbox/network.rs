//! Bridge, host and none; ports; volumes.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use aws_sdk_ecs::types::{
    HostVolumeProperties, MountPoint, NetworkMode, PortMapping, Task, TransportProtocol, Volume,
};
use longshore_tests::wait;

use crate::system::{self, System, container, shell};

/// Runs one container in a network mode, with these ports.
async fn run(
    system: &System,
    mode: NetworkMode,
    definition: aws_sdk_ecs::types::ContainerDefinition,
) -> String {
    let name = definition.name().expect("a name").to_owned();
    let request = system
        .ecs
        .register_task_definition()
        .family(name)
        .network_mode(mode);
    let definition = system
        .define_with(request.container_definitions(definition))
        .await;
    system.run(&definition).await
}

pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains("200 OK").then_some(answer)
}

pub fn host_port(task: &Task, name: &str) -> u16 {
    let bindings = container(task, name).network_bindings();
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    u16::try_from(bindings[0].host_port().expect("a host port")).expect("a port")
}

#[test]
fn a_web_server_on_a_mapped_port_answers_and_keeps_a_file_in_a_host_volume() {
    system::with(|system| async move {
        let folder = system.host.dir().join("www");
        let port = system.host.free_port();
        let web = shell(
            "web",
            &system.busybox,
            "echo kept > /www/file && exec httpd -f -p 8080 -h /www",
        )
        .port_mappings(
            PortMapping::builder()
                .container_port(8080)
                .host_port(i32::from(port))
                .build(),
        )
        .mount_points(
            MountPoint::builder()
                .source_volume("files")
                .container_path("/www")
                .build(),
        )
        .build();
        let volume = HostVolumeProperties::builder()
            .source_path(folder.to_str().expect("UTF-8"))
            .build();
        let request = system
            .ecs
            .register_task_definition()
            .family("web")
            .network_mode(NetworkMode::Bridge);
        let request = request
            .container_definitions(web)
            .volumes(Volume::builder().name("files").host(volume).build());
        let definition = system.define_with(request).await;
        let task = system.run(&definition).await;
        let running = system.until(&task, "RUNNING").await;
        assert_eq!(host_port(&running, "web"), port);
        let answer = wait::until_some("the web server answers", || get(port, "/file")).await;
        assert!(answer.ends_with("kept\n"), "{answer}");
        system.stop(&task).await;
        system.until(&task, "STOPPED").await;
        assert_eq!(
            std::fs::read_to_string(folder.join("file")).expect("it is kept"),
            "kept\n"
        );
        system
    });
}

#[test]
fn dynamic_ports_differ_and_are_reported() {
    system::with(|system| async move {
        let web = shell(
            "web",
            &system.busybox,
            "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 80 -h /tmp",
        )
        .port_mappings(PortMapping::builder().container_port(80).build())
        .build();
        let request = system
            .ecs
            .register_task_definition()
            .family("many")
            .network_mode(NetworkMode::Bridge);
        let definition = system.define_with(request.container_definitions(web)).await;
        let mut ports = Vec::new();
        for _ in 0..2 {
            let task = system.run(&definition).await;
            let port = host_port(&system.until(&task, "RUNNING").await, "web");
            wait::until_some("the web server answers", || get(port, "/")).await;
            ports.push(port);
        }
        assert_ne!(ports[0], ports[1]);
        system
    });
}

#[test]
fn udp_is_mapped_too() {
    system::with(|system| async move {
        let port = system.host.free_port();
        let mapping = PortMapping::builder()
            .container_port(9)
            .host_port(i32::from(port))
            .protocol(TransportProtocol::Udp);
        // busybox has nothing that answers datagrams, so the container borrows the machine's perl.
        let echo = "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(9, INADDR_ANY)); \
                    while (my $from = recv(S, my $data, 99, 0)) { send(S, $data, 0, $from) }";
        let mut echo = shell("echo", &system.busybox, "")
            .set_command(Some(["/usr/bin/perl", "-e", echo].map(str::to_owned).to_vec()))
            .port_mappings(mapping.build());
        let mut request = system
            .ecs
            .register_task_definition()
            .family("echo")
            .network_mode(NetworkMode::Bridge);
        for folder in ["usr", "lib", "lib64"]
            .into_iter()
            .filter(|name| Path::new("/").join(name).exists())
        {
            let path = format!("/{folder}");
            echo = echo.mount_points(
                MountPoint::builder()
                    .source_volume(folder)
                    .container_path(&path)
                    .read_only(true)
                    .build(),
            );
            let source = HostVolumeProperties::builder().source_path(path).build();
            request = request.volumes(Volume::builder().name(folder).host(source).build());
        }
        let definition = system
            .define_with(request.container_definitions(echo.build()))
            .await;
        let task = system.run(&definition).await;
        system.until(&task, "RUNNING").await;
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a timeout");
        wait::until_some("the echo comes back", || {
            socket.send_to(b"ping", ("127.0.0.1", port)).ok()?;
            let mut buffer = [0; 8];
            let (size, _) = socket.recv_from(&mut buffer).ok()?;
            (&buffer[..size] == b"ping").then_some(())
        })
        .await;
        system
    });
}

#[test]
fn a_port_can_be_had_once_and_again_after_its_task() {
    system::with(|system| async move {
        let port = system.host.free_port();
        let mapping = PortMapping::builder()
            .container_port(80)
            .host_port(i32::from(port))
            .build();
        let holder = shell("holder", &system.busybox, "exec sleep 1000")
            .port_mappings(mapping)
            .build();
        let request = system
            .ecs
            .register_task_definition()
            .family("holder")
            .network_mode(NetworkMode::Bridge);
        let definition = system.define_with(request.container_definitions(holder)).await;
        let first = system.run(&definition).await;
        system.until(&first, "RUNNING").await;
        let refused = system
            .ecs
            .run_task()
            .task_definition(&definition)
            .send()
            .await
            .expect("an answer");
        assert_eq!(refused.failures()[0].reason(), Some("RESOURCE:PORTS"));
        system.stop(&first).await;
        system.until(&first, "STOPPED").await;
        let second = system.run(&definition).await;
        system.until(&second, "RUNNING").await;
        system
    });
}

#[test]
fn the_host_network_is_the_hosts() {
    system::with(|system| async move {
        let port = system.host.free_port();
        let script = format!("mkdir -p /tmp/www; echo hi > /tmp/www/x; exec httpd -f -p {port} -h /tmp/www");
        let script = script.replace("mkdir", "busybox mkdir");
        let task = run(
            &system,
            NetworkMode::Host,
            shell("web", &system.busybox, &script).build(),
        )
        .await;
        system.until(&task, "RUNNING").await;
        let answer = wait::until_some("the web server answers", || get(port, "/x")).await;
        assert!(answer.ends_with("hi\n"), "{answer}");
        system
    });
}

#[test]
fn no_network_is_loopback_alone() {
    system::with(|system| async move {
        let script = "busybox ip -o link | busybox grep -c .; echo end";
        let task = run(
            &system,
            NetworkMode::None,
            shell("alone", &system.busybox, script).build(),
        )
        .await;
        let logs = system.agent.until_logs(&task, "alone", "end").await;
        assert!(logs.trim_start().starts_with('1'), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}

#[test]
fn containers_know_their_name_and_where_to_ask() {
    system::with(|system| async move {
        let script = "cat /etc/hosts; cat /etc/resolv.conf; echo [$(busybox hostname)]; echo end";
        let task = run(
            &system,
            NetworkMode::Bridge,
            shell("names", &system.busybox, script).build(),
        )
        .await;
        let logs = system.agent.until_logs(&task, "names", "end").await;
        let name = logs
            .split('[')
            .nth(1)
            .and_then(|rest| rest.split(']').next())
            .expect("a name")
            .to_owned();
        assert!(
            !name.is_empty() && logs.matches(&name).count() >= 2,
            "the hosts file has the name: {logs}"
        );
        assert!(!logs.contains("127.0.0.53"), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}
