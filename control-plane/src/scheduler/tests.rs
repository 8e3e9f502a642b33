use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::ecs;
use longshore_protocol::status::InstanceStatus;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::definition::register;

fn candidate(arn: &str) -> Candidate {
    Candidate {
        arn: arn.to_owned(),
        status: InstanceStatus::Active,
        connected: true,
        cloned: false,
        free_cpu: 1024,
        free_memory: 512,
        taken_tcp_ports: BTreeSet::from([22]),
        taken_udp_ports: BTreeSet::new(),
        free_gpus: BTreeSet::from(["GPU-a".into(), "GPU-b".into()]),
        attributes: BTreeMap::from([("can".into(), None), ("arch".into(), Some("arm64".into()))]),
    }
}

fn reasons(result: Result<Placement, Vec<Failure>>) -> Vec<&'static str> {
    result
        .unwrap_err()
        .iter()
        .map(|each| each.reason.as_str())
        .collect()
}

#[test]
fn a_demand_counts_what_a_task_takes() {
    let request = serde_json::from_value(json!({"family": "f", "containerDefinitions": [
        {"name": "a", "image": "i", "cpu": 100, "memory": 64, "memoryReservation": 32,
            "portMappings": [{"containerPort": 1, "hostPort": 80}, {"containerPort": 2}]},
        {"name": "b", "image": "i", "cpu": 28, "memory": 16, "resourceRequirements": [{"type": "GPU", "value": "2"}],
            "portMappings": [{"containerPort": 53, "hostPort": 53, "protocol": "udp"}]},
    ]}))
    .unwrap();
    let definition = register(&request).unwrap().task_definition;
    let demand = Demand::of(&definition, &ecs::TaskOverride::default()).unwrap();
    assert_eq!((demand.cpu, demand.memory), (128, 48));
    assert_eq!(demand.tcp_ports, BTreeSet::from([80]));
    assert_eq!(demand.udp_ports, BTreeSet::from([53]));
    let gpus = GpuDemand {
        container: "b".into(),
        count: 2,
    };
    assert_eq!(demand.gpus, [gpus]);
    assert!(
        demand
            .attributes
            .contains(&("ecs.capability.external".into(), None))
    );
    let overrides = serde_json::from_value(json!({"cpu": "1 vCPU", "memory": "128"})).unwrap();
    let demand = Demand::of(&definition, &overrides).unwrap();
    assert_eq!((demand.cpu, demand.memory), (1024, 128));
}

#[test]
fn each_obstacle_has_its_reason() {
    let fits = Demand::default;
    let ports = BTreeSet::from([22]);
    let gpus = vec![GpuDemand {
        container: "c".into(),
        count: 3,
    }];
    for (demand, reason) in [
        (Demand { cpu: 1025, ..fits() }, "RESOURCE:CPU"),
        (
            Demand {
                memory: 513,
                ..fits()
            },
            "RESOURCE:MEMORY",
        ),
        (
            Demand {
                tcp_ports: ports,
                ..fits()
            },
            "RESOURCE:PORTS",
        ),
        (Demand { gpus, ..fits() }, "RESOURCE:GPU"),
        (
            Demand {
                attributes: vec![("cannot".into(), None)],
                ..fits()
            },
            "ATTRIBUTE",
        ),
        (
            Demand {
                attributes: vec![("arch".into(), Some("x86_64".into()))],
                ..fits()
            },
            "ATTRIBUTE",
        ),
        (
            Demand {
                cpu: u64::MAX,
                ..fits()
            },
            "RESOURCE:CPU",
        ),
    ] {
        assert_eq!(reasons(place(&demand, &[candidate("i")], 0)), [reason]);
    }
    let away = Candidate {
        connected: false,
        ..candidate("away")
    };
    let draining = Candidate {
        status: InstanceStatus::Draining,
        ..candidate("draining")
    };
    assert_eq!(
        reasons(place(&fits(), &[away, draining], 0)),
        ["AGENT", "INACTIVE"]
    );
    assert_eq!(place(&fits(), &[], 7), Err(vec![]));
}

#[test]
fn a_port_of_one_protocol_leaves_the_other_free() {
    let demand = Demand {
        udp_ports: BTreeSet::from([22]),
        attributes: vec![("arch".into(), Some("arm64".into())), ("can".into(), None)],
        ..Default::default()
    };
    assert_eq!(place(&demand, &[candidate("i")], 0).unwrap().instance, "i");
}

fn ports() -> impl Strategy<Value = BTreeSet<u16>> {
    proptest::collection::btree_set(1_u16..6, 0..3)
}

prop_compose! {
    fn any_candidate()(
        status in proptest::sample::select(InstanceStatus::ALL), connected: bool, cloned: bool, free_cpu in -2_i64..5,
        free_memory in -2_i64..5, tcp in ports(), udp in ports(), gpus in proptest::collection::btree_set("[a-f]", 0..4),
        can in proptest::collection::btree_map("[xy]", Just(None), 0..3),
    ) -> Candidate {
        Candidate {
            arn: String::new(), status, connected, cloned, free_cpu, free_memory, taken_tcp_ports: tcp, taken_udp_ports: udp,
            free_gpus: gpus, attributes: can,
        }
    }
}

prop_compose! {
    fn any_demand()(
        cpu in 0_u64..4, memory in 0_u64..4, tcp_ports in ports(), udp_ports in ports(),
        gpus in proptest::collection::vec(1_u32..3, 0..2), attributes in proptest::collection::vec("[xy]", 0..2),
    ) -> Demand {
        let gpu = |(index, count)| GpuDemand { container: format!("c{index}"), count };
        Demand {
            cpu, memory, tcp_ports, udp_ports, gpus: gpus.into_iter().enumerate().map(gpu).collect(),
            attributes: attributes.into_iter().map(|name| (name, None)).collect(),
        }
    }
}

/// Written apart from the code under test, as one sentence.
fn fits(demand: &Demand, on: &Candidate) -> bool {
    on.status == InstanceStatus::Active
        && on.connected
        && !on.cloned
        && i128::from(demand.cpu) <= i128::from(on.free_cpu)
        && i128::from(demand.memory) <= i128::from(on.free_memory)
        && demand.tcp_ports.is_disjoint(&on.taken_tcp_ports)
        && demand.udp_ports.is_disjoint(&on.taken_udp_ports)
        && demand.gpus.iter().map(|each| each.count as usize).sum::<usize>() <= on.free_gpus.len()
        && demand
            .attributes
            .iter()
            .all(|(name, _)| on.attributes.contains_key(name))
}

proptest! {
    #[test]
    fn only_what_fits_is_placed_and_everything_that_fits_is(
        demand in any_demand(), candidates in proptest::collection::vec(any_candidate(), 0..6), random: u64,
    ) {
        let named = |(index, each)| Candidate { arn: format!("i{index}"), ..each };
        let candidates: Vec<_> = candidates.into_iter().enumerate().map(named).collect();
        let placed = place(&demand, &candidates, random);
        let mut turned = candidates.clone();
        turned.reverse();
        prop_assert_eq!(place(&demand, &turned, random).ok(), placed.clone().ok());
        match placed {
            Ok(placement) => {
                let on = candidates.iter().find(|each| each.arn == placement.instance).unwrap();
                prop_assert!(fits(&demand, on));
                let dealt: Vec<_> = placement.gpus.iter().flat_map(|each| each.gpu_ids.clone()).collect();
                prop_assert_eq!(dealt.iter().collect::<BTreeSet<_>>().len(), dealt.len());
                prop_assert!(dealt.iter().all(|id| on.free_gpus.contains(id)));
                let counts: Vec<_> = placement.gpus.iter().map(|each| each.gpu_ids.len() as u32).collect();
                prop_assert_eq!(counts, demand.gpus.iter().map(|each| each.count).collect::<Vec<_>>());
            }
            Err(failures) => {
                prop_assert!(!candidates.iter().any(|each| fits(&demand, each)));
                let arns: Vec<_> = failures.iter().map(|each| &each.arn).collect();
                prop_assert_eq!(arns, candidates.iter().map(|each| &each.arn).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_instance_that_fits_can_be_chosen(count in 1_u64..5) {
        let candidates: Vec<_> = (0..count).map(|index| candidate(&format!("i{index}"))).collect();
        let chosen: BTreeSet<_> = (0..count)
            .map(|random| place(&Demand::default(), &candidates, random).unwrap().instance)
            .collect();
        prop_assert_eq!(chosen.len() as u64, count);
    }
}
