use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::clock::SystemClock;

fn container(index: u16) -> ContainerId {
    format!("0123456789abcdef0123456789abcdef-{index}")
        .parse()
        .unwrap()
}

fn keeper(range: Option<(u16, u16)>) -> PortKeeper {
    PortKeeper::new(range, BTreeMap::new(), Arc::new(SystemClock))
}

fn mapping(host_port: Option<u16>, protocol: Protocol) -> PortMapping {
    PortMapping {
        container_port: 80,
        host_port,
        protocol,
    }
}

/// What a container had under an agent before.
fn had(port: u16) -> PortBinding {
    PortBinding {
        mapping: mapping(Some(port), Protocol::Tcp),
        bind_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// The error says that this process has the port.
fn assert_is_ours(error: &NetworkError) {
    let why = error.to_string();
    assert!(
        why.contains(&format!("(pid {}) has it", std::process::id())),
        "{why}"
    );
}

fn port_of(bindings: &[PortBinding]) -> u16 {
    bindings[0].mapping.host_port.unwrap()
}

#[test]
fn a_held_port_is_nobody_elses_until_it_is_released() {
    let keeper = keeper(None);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let port = port_of(&keeper.hold(&container(0), &[mapping(None, protocol)]).unwrap());
        let bind = || match protocol {
            Protocol::Tcp => TcpListener::bind(("0.0.0.0", port)).map(|_| ()),
            Protocol::Udp => UdpSocket::bind(("127.0.0.1", port)).map(|_| ()),
        };
        assert!(bind().is_err(), "{protocol:?}");
        let other = keeper.hold(&container(1), &[mapping(Some(port), protocol)]);
        let why = other.unwrap_err().to_string();
        assert!(
            why.contains(&format!("container {} has it", container(0))),
            "{why}"
        );
        keeper.release(&container(0));
        keeper
            .hold(&container(1), &[mapping(Some(port), protocol)])
            .unwrap();
        keeper.release(&container(1));
    }
}

#[test]
fn what_a_container_had_before_is_kept_for_it() {
    let free = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let keeper = keeper(Some((port, port)));
    let old = had(port);
    keeper.expect(&container(0), std::slice::from_ref(&old));
    keeper
        .hold(&container(1), &[mapping(None, Protocol::Tcp)])
        .unwrap_err();
    let fixed = keeper.hold(&container(1), std::slice::from_ref(&old.mapping));
    let why = fixed.unwrap_err().to_string();
    assert!(
        why.contains(&format!("container {} has it", container(0))),
        "{why}"
    );
    // The same number of another protocol is another port.
    keeper
        .hold(&container(2), &[mapping(Some(port), Protocol::Udp)])
        .unwrap();
    keeper.adopt(&container(0), std::slice::from_ref(&old)).unwrap();
    keeper.release(&container(0));
    keeper
        .hold(&container(1), &[mapping(None, Protocol::Tcp)])
        .unwrap_err();
    // Its own it gets, whether it asks for it by number or not, and whoever else had it.
    keeper.expect(&container(3), std::slice::from_ref(&old));
    for mapping in [mapping(None, Protocol::Tcp), old.mapping] {
        let had = keeper.hold(&container(0), &[mapping]).unwrap();
        assert_eq!(port_of(&had), port);
        keeper.release(&container(0));
    }
    keeper.expect_no_more(&container(3));
    keeper.expect_no_more(&container(0));
    keeper
        .hold(&container(1), &[mapping(None, Protocol::Tcp)])
        .unwrap();
}

#[test]
fn a_strangers_port_is_refused_with_his_name() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let error = keeper(None).hold(&container(0), &[mapping(Some(port), Protocol::Tcp)]);
    assert_is_ours(&error.unwrap_err());
}

#[test]
fn a_port_whose_connections_only_linger_is_had() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (accepted, _) = server.accept().unwrap();
    // The side that closes first lingers: the server's.
    drop(accepted);
    drop(server);
    drop(client);
    keeper(None)
        .hold(&container(0), &[mapping(Some(port), Protocol::Tcp)])
        .unwrap();
}

/// A connection of this machine to another, from a port that happens to be this one.
fn connection(port: u16) -> (OwnedFd, TcpListener) {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(client.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    let to = SockaddrIn::new(127, 0, 0, 1, elsewhere.local_addr().unwrap().port());
    nix::sys::socket::connect(client.as_raw_fd(), &to).unwrap();
    (client, elsewhere)
}

/// The kernel gives ports of the dynamic range to whoever connects to anywhere, also those that a container had before a
/// reboot, or that are asked for by number. What comes for the container is sent on before a socket would see it.
#[test]
fn a_connection_to_elsewhere_keeps_no_container_from_its_port() {
    let probe = keeper(None);
    let port = port_of(
        &probe
            .hold(&container(0), &[mapping(None, Protocol::Tcp)])
            .unwrap(),
    );
    probe.release(&container(0));
    let connection = connection(port);
    let (fixed, any) = (
        [mapping(Some(port), Protocol::Tcp)],
        [mapping(None, Protocol::Tcp)],
    );
    let keeper = keeper(Some((port, port)));
    let bindings = keeper.hold(&container(0), &fixed).unwrap();
    assert_eq!(port_of(&bindings), port);

    // There are ports that nobody has for who names none.
    keeper.hold(&container(1), &any).unwrap_err();
    drop(connection);
    // The kernel keeps nobody from it now.
    let why = keeper.hold(&container(1), &fixed).unwrap_err().to_string();
    assert!(
        why.contains(&format!("container {} has it", container(0))),
        "{why}"
    );
    keeper.hold(&container(1), &any).unwrap_err();
    keeper.adopt(&container(0), &bindings).unwrap();
    keeper.release(&container(0));
    keeper.hold(&container(1), &fixed).unwrap();
}

/// The kernel forgets soon which datagrams are a connection's: then they would be sent on to the container.
#[test]
fn a_udp_port_is_not_shared() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect("127.0.0.1:9").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let error = keeper(None).hold(&container(0), &[mapping(Some(port), Protocol::Udp)]);
    assert_is_ours(&error.unwrap_err());
}

/// What it had before is no reason why it can't have it.
#[test]
fn a_container_is_not_told_that_it_has_the_port_itself() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let keeper = keeper(None);
    let old = had(port);
    keeper.expect(&container(0), std::slice::from_ref(&old));
    assert_is_ours(&keeper.hold(&container(0), &[old.mapping]).unwrap_err());
}

#[test]
fn a_failed_hold_holds_nothing() {
    let keeper = keeper(None);
    let stranger = TcpListener::bind("0.0.0.0:0").unwrap();
    let taken = stranger.local_addr().unwrap().port();
    let free = port_of(
        &keeper
            .hold(&container(0), &[mapping(None, Protocol::Udp)])
            .unwrap(),
    );
    keeper.release(&container(0));
    let both = [
        mapping(Some(free), Protocol::Udp),
        mapping(Some(taken), Protocol::Tcp),
    ];
    keeper.hold(&container(0), &both).unwrap_err();
    assert!(keeper.lock().is_empty());
}

#[test]
fn when_the_range_is_used_up_the_error_names_it() {
    let probe = keeper(None);
    let port = port_of(
        &probe
            .hold(&container(0), &[mapping(None, Protocol::Tcp)])
            .unwrap(),
    );
    let keeper = keeper(Some((port, port)));
    let why = keeper
        .hold(&container(1), &[mapping(None, Protocol::Tcp)])
        .unwrap_err()
        .to_string();
    assert!(why.contains(&format!("{port}-{port}")), "{why}");
    assert!(why.contains("ECS_DYNAMIC_HOST_PORT_RANGE"), "{why}");
}

#[test]
fn ports_that_no_task_gets_are_never_chosen() {
    let probe = keeper(None);
    let port = port_of(
        &probe
            .hold(&container(0), &[mapping(None, Protocol::Tcp)])
            .unwrap(),
    );
    probe.release(&container(0));
    let never = BTreeMap::from([(Protocol::Tcp, vec![port])]);
    let keeper = PortKeeper::new(Some((port, port)), never, Arc::new(SystemClock));
    keeper
        .hold(&container(0), &[mapping(None, Protocol::Tcp)])
        .unwrap_err();
}

#[test]
fn adopting_holds_again_and_reports_what_a_stranger_took() {
    let first = keeper(None);
    let mappings = [mapping(None, Protocol::Tcp), mapping(None, Protocol::Tcp)];
    let bindings = first.hold(&container(0), &mappings).unwrap();
    first.adopt(&container(0), &bindings).unwrap();
    first.release(&container(0));
    let taken = bindings[0].mapping.host_port.unwrap();
    let _stranger = TcpListener::bind(("0.0.0.0", taken)).unwrap();
    let next = keeper(None);
    let error = next.adopt(&container(0), &bindings).unwrap_err();
    assert!(
        matches!(error, NetworkError::Port { port, .. } if port == taken),
        "{error}"
    );
    let kept = bindings[1].mapping.host_port.unwrap();
    assert!(next.lock()[&container(0)].iter().any(|held| held.port == kept));
}

#[test]
fn reserved_lists_are_read_as_the_kernel_writes_them() {
    assert_eq!(reserved_list("8080,9148-9150\n"), [(8080, 8080), (9148, 9150)]);
    assert_eq!(reserved_list("\n"), []);
}

proptest::proptest! {
    #[test]
    fn fixed_and_dynamic_ports_never_meet(fixed_first: bool, dynamics in 1_usize..8) {
        let probe = keeper(None);
        let port = port_of(&probe.hold(&container(0), &[mapping(None, Protocol::Udp)]).unwrap());
        probe.release(&container(0));
        let mut mappings = vec![mapping(None, Protocol::Udp); dynamics];
        let at = if fixed_first { 0 } else { dynamics };
        mappings.insert(at, mapping(Some(port), Protocol::Udp));
        let range = (port, port.saturating_add(200));
        if let Ok(bindings) = keeper(Some(range)).hold(&container(0), &mappings) {
            let mut ports: Vec<_> = bindings.iter().filter_map(|b| b.mapping.host_port).collect();
            proptest::prop_assert_eq!(ports[at], port);
            ports.sort_unstable();
            ports.dedup();
            proptest::prop_assert_eq!(ports.len(), mappings.len());
        }
    }
}
