//! Attaching and detaching that are broken off, by the end of the agent or of a plugin.

use std::net::TcpListener;
use std::time::Duration;

use longshore_agent::model::Protocol;
use longshore_agent::network::Network;

use crate::support::{address, bridge, id, inside, isolated, run, within};

#[test]
fn whenever_an_attachment_is_broken_off_it_can_be_taken_back() {
    isolated(
        "broken_off::whenever_an_attachment_is_broken_off_it_can_be_taken_back",
        |place| async move {
            let network = place.network();
            // From before the first effect to past the last one, in steps shorter than a plugin.
            for millis in (0..400).step_by(15) {
                let request = bridge(0, &[(80, None, Protocol::Tcp)]);
                let attach = network.attach(&request);
                let finished = tokio::time::timeout(Duration::from_millis(millis), attach)
                    .await
                    .is_ok();
                let next = place.network();
                for container in next.list().await.unwrap() {
                    next.detach(&container).await.unwrap();
                }
                network.detach(&id(0)).await.unwrap();
                assert_eq!(
                    place.traces(),
                    Vec::<String>::new(),
                    "broken off after {millis} ms"
                );
                if finished {
                    return;
                }
            }
        },
    );
}

#[test]
fn whenever_a_detachment_is_broken_off_it_can_be_finished() {
    isolated(
        "broken_off::whenever_a_detachment_is_broken_off_it_can_be_finished",
        |place| async move {
            let network = place.network();
            // From before the first effect to past the last one, in steps as short as a plugin.
            for millis in (0..400).step_by(25) {
                network
                    .attach(&bridge(0, &[(80, None, Protocol::Tcp)]))
                    .await
                    .unwrap();
                let container = id(0);
                let detach = network.detach(&container);
                let finished = tokio::time::timeout(Duration::from_millis(millis), detach)
                    .await
                    .is_ok();
                // Another agent, or the same one again.
                let next = place.network();
                let next = if millis % 2 == 0 { &next } else { &network };
                next.detach(&id(0)).await.unwrap();
                network.detach(&id(0)).await.unwrap();
                assert_eq!(
                    place.traces(),
                    Vec::<String>::new(),
                    "broken off after {millis} ms"
                );
                if finished {
                    return;
                }
            }
        },
    );
}

#[test]
fn rules_that_outlived_their_interface_are_taken_away() {
    isolated(
        "broken_off::rules_that_outlived_their_interface_are_taken_away",
        |place| async move {
            let network = place.network();
            let kept = network.attach(&bridge(1, &[])).await.unwrap();
            for orphaned in [false, true] {
                let cut_off = network.attach(&bridge(0, &[])).await.unwrap();
                // What a bridge plugin leaves that is killed between interface and rule, or between rule and chain.
                run(&format!(
                    "nsenter --net={} ip link del eth0",
                    inside(&cut_off).display()
                ));
                if orphaned {
                    let rules = run("iptables-save -t nat");
                    let rule = rules
                        .lines()
                        .find(|line| line.starts_with("-A POSTROUTING") && line.contains(&id(0).to_string()));
                    let chain = rule.unwrap().rsplit(' ').next().unwrap();
                    let rule = rule.unwrap().replacen("-A", "-D", 1);
                    run(&format!(
                        "iptables -t nat {}; iptables -t nat -F {chain}",
                        rule.replace('"', "'").replace("\\'", "\"")
                    ));
                }
                place.network().detach(&id(0)).await.unwrap();
                let traces = place.traces();
                let left = traces.iter().any(|line| line.contains(&id(0).to_string()));
                assert!(!left, "{traces:#?}");
                let chains = traces.iter().filter(|line| line.starts_with(":CNI-")).count();
                assert_eq!(chains, 1, "the other container's: {traces:#?}");
            }
            assert!(within(inside(&kept), || TcpListener::bind((address(&kept), 0))).is_ok());
            network.detach(&id(1)).await.unwrap();
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}
