//! The network by the real CNI plugins, each test in network and mount namespaces of its own: it runs itself again
//! under `unshare`, so bridge, rules and mounts end with it, whatever happens.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod broken_off;
mod old_boots;
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use longshore_agent::model::Protocol;
use longshore_agent::network::{Attach, Network, NetworkError};
use longshore_protocol::status::NetworkMode;
use support::{address, ask_udp, bridge, host_port, id, inside, isolated, read_tcp, run, tcp_server, within};

#[test]
fn containers_reach_the_host_and_each_other_and_detach_leaves_nothing() {
    isolated(
        "containers_reach_the_host_and_each_other_and_detach_leaves_nothing",
        |place| async move {
            let network = place.network();
            let first = network.attach(&bridge(0, &[])).await.unwrap();
            let second = network.attach(&bridge(1, &[])).await.unwrap();
            assert_ne!(first.addresses, second.addresses);
            let server = tcp_server(&first, 80, "first");
            assert_eq!(read_tcp((address(&first), 80)).unwrap(), "first");
            server.join().unwrap();
            let server = tcp_server(&first, 81, "neighbour");
            assert_eq!(
                within(inside(&second), || read_tcp((address(&first), 81))).unwrap(),
                "neighbour"
            );
            server.join().unwrap();
            let host = TcpListener::bind("172.29.0.1:0").unwrap();
            let at = host.local_addr().unwrap();
            let server = std::thread::spawn(move || host.accept().unwrap().0.write_all(b"host").unwrap());
            assert_eq!(within(inside(&first), || read_tcp(at)).unwrap(), "host");
            server.join().unwrap();
            within(inside(&first), || TcpListener::bind("127.0.0.1:0").unwrap());
            for index in [0, 1] {
                network.detach(&id(index)).await.unwrap();
                network.detach(&id(index)).await.unwrap();
            }
            assert_eq!(place.traces(), Vec::<String>::new());
            assert_eq!(network.list().await.unwrap(), []);
        },
    );
}

#[test]
fn mapped_ports_answer_from_the_host_and_from_outside() {
    isolated(
        "mapped_ports_answer_from_the_host_and_from_outside",
        |place| async move {
            // Another machine, and the policy that Docker sets.
            run(
                "ip link add out0 type veth peer name out1; ip addr add 10.9.0.1/24 dev out0; ip link set out0 up",
            );
            run("iptables -P FORWARD DROP");
            let network = place.network();
            let outside = place.dir.path().join("outside");
            run(&format!("touch {0}; unshare --net={0} true", outside.display()));
            run(&format!("ip link set out1 netns {}", outside.display()));
            run(&format!(
                "nsenter --net={} sh -c 'ip addr add 10.9.0.2/24 dev out1; ip link set out1 up'",
                outside.display()
            ));
            let ports = [
                (80, Some(8080), Protocol::Tcp),
                (80, None, Protocol::Tcp),
                (53, None, Protocol::Udp),
            ];
            let web = network.attach(&bridge(0, &ports)).await.unwrap();
            assert_eq!(host_port(&web, 0), 8080);
            let any = Ipv4Addr::UNSPECIFIED;
            assert!(web.bindings.iter().all(|binding| binding.bind_ip == any));
            let from_host = [
                ([127, 0, 0, 1], 8080),
                ([10, 9, 0, 1], 8080),
                ([127, 0, 0, 1], host_port(&web, 1)),
            ];
            for (ip, port) in from_host {
                let server = tcp_server(&web, 80, "web");
                assert_eq!(read_tcp((ip, port)).unwrap(), "web", "{ip:?}:{port}");
                server.join().unwrap();
            }
            let server = tcp_server(&web, 80, "web");
            assert_eq!(
                within(&outside, || read_tcp(([10, 9, 0, 1], 8080))).unwrap(),
                "web"
            );
            server.join().unwrap();
            let server = tcp_server(&web, 80, "itself");
            assert_eq!(
                within(inside(&web), || read_tcp(([10, 9, 0, 1], 8080))).unwrap(),
                "itself"
            );
            server.join().unwrap();
            let at = |ip: [u8; 4]| SocketAddr::from((ip, host_port(&web, 2)));
            assert_eq!(ask_udp(&web, 53, at([127, 0, 0, 1])), "asked");
            assert_eq!(within(&outside, || ask_udp(&web, 53, at([10, 9, 0, 1]))), "asked");

            let again = network
                .attach(&bridge(1, &[(80, Some(8080), Protocol::Tcp)]))
                .await;
            let why = again.unwrap_err().to_string();
            assert!(why.contains(&id(0).to_string()), "{why}");
            network.detach(&id(0)).await.unwrap();
            // In this order: with the namespace the kernel takes the link, at some time.
            run(&format!("ip link del out0; umount {}", outside.display()));
            assert_eq!(place.traces(), Vec::<String>::new());
            read_tcp(([127, 0, 0, 1], 8080)).unwrap_err();
        },
    );
}

#[test]
fn attaching_again_takes_the_first_attachment_back() {
    isolated(
        "attaching_again_takes_the_first_attachment_back",
        |place| async move {
            let network = place.network();
            let request = bridge(0, &[(80, Some(8080), Protocol::Tcp)]);
            network.attach(&request).await.unwrap();
            // A new agent, which knows nothing but the disk; the old one has let its sockets go.
            drop(network);
            let network = place.network();
            let web = network.attach(&request).await.unwrap();
            let server = tcp_server(&web, 80, "again");
            assert_eq!(read_tcp(([127, 0, 0, 1], 8080)).unwrap(), "again");
            server.join().unwrap();
            network.detach(&id(0)).await.unwrap();
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_damaged_record_does_not_keep_anything() {
    isolated("a_damaged_record_does_not_keep_anything", |place| async move {
        let network = place.network();
        let ports = [(80, Some(8080), Protocol::Tcp)];
        network.attach(&bridge(0, &ports)).await.unwrap();
        let folder = place.dir.path().join("network").join(id(0).to_string());
        std::fs::write(folder.join("attachment.json"), "{").unwrap();
        network.detach(&id(0)).await.unwrap();
        assert_eq!(place.traces(), Vec::<String>::new());
    });
}

#[test]
fn an_adopted_container_keeps_its_port() {
    isolated("an_adopted_container_keeps_its_port", |place| async move {
        let network = place.network();
        let web = network
            .attach(&bridge(0, &[(80, None, Protocol::Tcp)]))
            .await
            .unwrap();
        drop(network);
        TcpListener::bind(("0.0.0.0", host_port(&web, 0))).unwrap();
        let network = place.network();
        network.adopt(&id(0), &web).await.unwrap();
        TcpListener::bind(("0.0.0.0", host_port(&web, 0))).unwrap_err();
        network.detach(&id(0)).await.unwrap();
        TcpListener::bind(("0.0.0.0", host_port(&web, 0))).unwrap();
        assert_eq!(place.traces(), Vec::<String>::new());
    });
}

/// The kernel gives its dynamic ports to whoever connects, also one that a container had before a reboot.
#[test]
fn a_container_and_a_connection_to_elsewhere_share_a_port() {
    isolated(
        "a_container_and_a_connection_to_elsewhere_share_a_port",
        |place| async move {
            let network = place.network();
            // From its first rule on, the kernel keeps track of connections.
            let ports = [(80, Some(8080), Protocol::Tcp)];
            network.attach(&bridge(1, &ports)).await.unwrap();
            let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(elsewhere.local_addr().unwrap()).unwrap();
            let (mut server, from) = elsewhere.accept().unwrap();
            let port = from.port();

            let ports = [(80, Some(port), Protocol::Tcp)];
            let web = network.attach(&bridge(0, &ports)).await.unwrap();
            assert_eq!(host_port(&web, 0), port);
            let answering = tcp_server(&web, 80, "web");
            assert_eq!(read_tcp(([127, 0, 0, 1], port)).unwrap(), "web");
            answering.join().unwrap();
            let mut word = [0; 4];
            server.write_all(b"here").unwrap();
            client.read_exact(&mut word).unwrap();
            client.write_all(&word).unwrap();
            server.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"here");

            drop((client, server, elsewhere));
            let again = network.attach(&bridge(2, &ports)).await;
            let why = again.unwrap_err().to_string();
            assert!(why.contains(&id(0).to_string()), "{why}");
            for index in [0, 1] {
                network.detach(&id(index)).await.unwrap();
            }
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_lease_that_was_never_written_is_given_back() {
    isolated(
        "a_lease_that_was_never_written_is_given_back",
        |place| async move {
            let network = place.network();
            network.attach(&bridge(0, &[])).await.unwrap();
            // What host-local leaves that is killed between making and writing it.
            std::fs::write(place.dir.path().join("ipam/ls-test0/172.29.0.77"), "").unwrap();
            network.detach(&id(0)).await.unwrap();
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn many_attach_and_detach_at_once() {
    isolated("many_attach_and_detach_at_once", |place| async move {
        let network = Arc::new(place.network());
        let mut attaching = tokio::task::JoinSet::new();
        for index in 0..10 {
            let network = Arc::clone(&network);
            attaching.spawn(async move {
                network
                    .attach(&bridge(index, &[(80, None, Protocol::Tcp)]))
                    .await
                    .unwrap()
            });
        }
        let attached = attaching.join_all().await;
        let mut addresses: Vec<_> = attached.iter().map(address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 10);
        for web in &attached {
            let server = tcp_server(web, 80, "one of many");
            assert_eq!(
                read_tcp(([127, 0, 0, 1], host_port(web, 0))).unwrap(),
                "one of many"
            );
            server.join().unwrap();
        }
        let mut detaching = tokio::task::JoinSet::new();
        for index in 0..10 {
            let network = Arc::clone(&network);
            detaching.spawn(async move { network.detach(&id(index)).await.unwrap() });
        }
        detaching.join_all().await;
        assert_eq!(place.traces(), Vec::<String>::new());
    });
}

#[test]
fn a_plugins_refusal_is_told_in_its_words_and_leaves_nothing() {
    isolated(
        "a_plugins_refusal_is_told_in_its_words_and_leaves_nothing",
        |mut place| async move {
            // Five addresses beside the gateway's.
            place.set(&[("LONGSHORE_BRIDGE_SUBNET", "172.29.0.0/29")]);
            let network = place.network();
            for index in 0..5 {
                network.attach(&bridge(index, &[])).await.unwrap();
            }
            let request = bridge(5, &[(80, None, Protocol::Udp)]);
            let error = network.attach(&request).await.unwrap_err();
            let NetworkError::Plugin {
                command, plugin, why, ..
            } = &error
            else {
                panic!("{error}");
            };
            assert_eq!((*command, plugin.as_str()), ("ADD", "bridge"));
            assert!(why.contains("no IP addresses available"), "{why}");
            for index in 0..5 {
                network.detach(&id(index)).await.unwrap();
            }
            assert_eq!(place.traces(), Vec::<String>::new());

            place.set(&[("LONGSHORE_CNI_BIN_DIRS", "/nonexistent")]);
            let error = place
                .network()
                .attach(&bridge(0, &[]))
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains("install containernetworking-plugins"), "{error}");
            // What was begun is taken back once there are plugins.
            place.set(&[("LONGSHORE_BRIDGE_SUBNET", "172.29.0.0/29")]);
            place.network().detach(&id(0)).await.unwrap();
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_network_that_the_machine_has_elsewhere_is_not_taken_over() {
    isolated(
        "a_network_that_the_machine_has_elsewhere_is_not_taken_over",
        |mut place| async move {
            // As DHCP clients set a link up: with a metric that any other route beats.
            run("ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up");
            run("ip addr add 172.29.0.9/16 dev lan0 noprefixroute");
            run("ip route add 172.29.0.0/16 dev lan0 metric 100");
            let network = place.network();
            let attached = network.attach(&bridge(0, &[(80, None, Protocol::Tcp)])).await;
            let way = run("ip route get 172.29.0.77");
            assert!(way.contains("lan0"), "{way}");
            let error = attached.unwrap_err();
            assert!(matches!(error, NetworkError::Subnet { .. }), "{error}");
            assert!(error.to_string().contains("172.29.0.0/16 on lan0"), "{error}");
            assert_eq!(network.list().await.unwrap(), []);

            // Another one is had, and again: the bridge's own route is nobody else's.
            place.set(&[("LONGSHORE_BRIDGE_SUBNET", "172.28.0.0/16")]);
            let network = place.network();
            for index in [0, 1] {
                network.attach(&bridge(index, &[])).await.unwrap();
            }
            for index in [0, 1] {
                network.detach(&id(index)).await.unwrap();
            }
            run("ip link del lan0");
        },
    );
}

#[test]
fn host_and_none_get_files_only() {
    isolated("host_and_none_get_files_only", |place| async move {
        let network = place.network();
        for (index, mode) in [(0, NetworkMode::Host), (1, NetworkMode::None)] {
            let request = Attach {
                mode,
                ..bridge(index, &[(80, Some(8080), Protocol::Tcp)])
            };
            let attachment = network.attach(&request).await.unwrap();
            assert_eq!((attachment.namespace, attachment.addresses.len()), (None, 0));
            assert!(attachment.bindings.is_empty());
            let over: Vec<_> = attachment
                .files
                .iter()
                .map(|(_, over)| over.to_str().unwrap())
                .collect();
            assert!(
                over.contains(&"/etc/hosts") && over.contains(&"/etc/hostname"),
                "{over:?}"
            );
            assert_eq!(over.contains(&"/etc/resolv.conf"), mode == NetworkMode::Host);
        }
        assert_eq!(network.list().await.unwrap(), [id(0), id(1)]);
        for index in [0, 1] {
            network.detach(&id(index)).await.unwrap();
        }
        assert_eq!(place.traces(), Vec::<String>::new());
    });
}
