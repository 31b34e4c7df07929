//! Who reaches whom before anybody forbids anything: everybody everybody, and by their own address.

use netsim::{
    Cluster, ExternalSpec, Fabric, Families, Place, PodSpec, Protocol, Topology,
    probe::{Outcome, Probe},
};

use crate::{
    Test,
    world::{
        FABRICS, FAMILIES, HOST_PORT, PATIENCE, PORT, SILENCE, addresses, ask, everybody, external,
        node, pod, ports, reaches, spec, tcp, world,
    },
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = vec![
        (
            "reach::everybody_reaches_everybody[bridge,ipv4]".into(),
            || all(0, 0),
        ),
        (
            "reach::everybody_reaches_everybody[bridge,ipv6]".into(),
            || all(0, 1),
        ),
        (
            "reach::everybody_reaches_everybody[bridge,dual]".into(),
            || all(0, 2),
        ),
        (
            "reach::everybody_reaches_everybody[routed,ipv4]".into(),
            || all(1, 0),
        ),
        (
            "reach::everybody_reaches_everybody[routed,ipv6]".into(),
            || all(1, 1),
        ),
        (
            "reach::everybody_reaches_everybody[routed,dual]".into(),
            || all(1, 2),
        ),
    ];
    for (name, test) in [
        ("the_server_sees_the_own_address", sources as fn()),
        ("a_pod_reaches_itself_by_loopback", loopback),
        ("gateway_addresses_belong_to_the_node", gateways),
        ("a_port_without_listener_refuses", refused),
        ("an_address_without_owner_is_not_reached", nobody),
        ("a_machine_behind_a_node_is_one_like_any_other", behind),
        ("bursts_of_refusals_all_arrive", many_refusals),
        (
            "more_pairs_than_the_neighbour_table_has_room_for",
            many_pairs,
        ),
    ] {
        tests.push((format!("reach::{name}"), test));
    }
    tests
}

/// Every pair, itself included, every family, every protocol.
fn all(fabric: usize, families: usize) {
    let mut cluster = world(FABRICS[fabric], FAMILIES[families]);
    let mut probes = Vec::new();
    let mut owners = Vec::new();
    for (from, _) in everybody() {
        for (to, port) in everybody() {
            for address in addresses(&cluster, &to) {
                for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp] {
                    let port = if protocol == Protocol::Icmp { 0 } else { port };
                    probes.push(Probe::new(from.clone(), address, port, protocol));
                    owners.push(to.to_string());
                }
            }
        }
    }
    let answers = cluster.probe(&probes, PATIENCE).unwrap();
    let both = if families == 2 { 2 } else { 1 };
    assert_eq!(answers.len(), 7 * 7 * 4 * both);
    for ((probe, answer), owner) in probes.iter().zip(&answers).zip(owners) {
        assert_eq!(answer.outcome, Outcome::Allowed, "{probe:?}");
        if matches!(probe.protocol, Protocol::Tcp | Protocol::Udp) {
            assert_eq!(answer.served_by.as_ref(), Some(&owner), "{probe:?}");
        }
    }
}

/// Nothing is masqueraded between pods, nodes and external machines.
fn sources() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        for (from, _) in everybody() {
            for (to, port) in everybody() {
                for address in addresses(&cluster, &to) {
                    let answer = ask(&mut cluster, tcp(&from, address, port), PATIENCE);
                    let seen = answer.source_seen.map(|seen| seen.ip());
                    assert!(
                        seen.is_some_and(|seen| own(&cluster, &from).contains(&seen)),
                        "{from} -> {to} {address} on {fabric:?}: {answer:?}"
                    );
                }
            }
        }
    }
}

/// What a place may be seen as: a node uses its gateway address towards its own bridged pods.
fn own(cluster: &Cluster, place: &Place) -> Vec<std::net::IpAddr> {
    let mut own = addresses(cluster, place);
    match place {
        Place::Node(name) => own.extend(cluster.gateway_addresses(name)),
        Place::Pod(name) if name == "y/host" => own.extend(cluster.gateway_addresses("n2")),
        _ => {}
    }
    own
}

fn loopback() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    for (from, port) in everybody() {
        for address in ["127.0.0.1", "::1"] {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                let probe = Probe {
                    protocol,
                    ..tcp(&from, address.parse().unwrap(), port)
                };
                let answer = ask(&mut cluster, probe, PATIENCE);
                assert_eq!(answer.served_by, Some(from.to_string()), "{protocol:?}");
            }
        }
    }
}

fn gateways() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    for gateway in cluster.gateway_addresses("n1") {
        for from in [pod("x/a"), pod("y/c"), node("n2"), external("internet")] {
            let answer = reaches(&mut cluster, &from, gateway);
            assert_eq!(answer.served_by.as_deref(), Some("node/n1"));
        }
    }
    assert!(
        world(Fabric::Routed, Families::Dual)
            .gateway_addresses("n1")
            .is_empty()
    );
}

fn refused() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        for to in ["x/b", "y/c", "y/host"] {
            for address in cluster.pod_addresses(to) {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let probe = Probe {
                        protocol,
                        ..tcp(&pod("x/a"), address, 81)
                    };
                    let answer = ask(&mut cluster, probe, PATIENCE);
                    assert_eq!(answer.outcome, Outcome::Refused, "{to} {protocol:?}");
                }
            }
        }
    }
}

fn nobody() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        for address in ["10.244.3.77", "10.244.4.77", "fd00:10:244::77", "192.0.2.1"] {
            let probe = tcp(&pod("x/a"), address.parse().unwrap(), PORT);
            let outcome = ask(&mut cluster, probe, SILENCE).outcome;
            assert!(
                matches!(outcome, Outcome::Unreachable | Outcome::Denied),
                "{address} on {fabric:?}: {outcome}"
            );
        }
    }
}

/// The kernel speaks of at most 1,000 ICMP errors a second unless it is told otherwise.
fn many_refusals() {
    let mut cluster = world(Fabric::Routed, Families::Dual);
    for address in cluster.pod_addresses("y/c") {
        let probes: Vec<_> = (0..1_500)
            .map(|number| Probe {
                protocol: Protocol::Udp,
                ..tcp(&pod("x/a"), address, 10_000 + number)
            })
            .collect();
        let answers = cluster.probe(&probes, PATIENCE).unwrap();
        let refused = answers
            .iter()
            .filter(|answer| answer.outcome == Outcome::Refused)
            .count();
        assert_eq!(refused, probes.len(), "to {address}");
    }
}

/// 60 pods of one bridge have 3,540 pairs; the kernel has room for 1,024 neighbours that had to ask.
fn many_pairs() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let names: Vec<_> = (0..60).map(|number| format!("z/p{number}")).collect();
    let specs = names.iter().map(|name| spec(name, "n1")).collect();
    let addresses = cluster.add_pods(specs).unwrap();
    let mut probes = Vec::new();
    for name in &names {
        for to in addresses.iter().flatten() {
            probes.push(tcp(&pod(name), *to, PORT));
        }
    }
    assert_eq!(probes.len(), 60 * 60 * 2);
    let answers = cluster.probe(&probes, PATIENCE).unwrap();
    for (probe, answer) in probes.iter().zip(answers) {
        assert_eq!(answer.outcome, Outcome::Allowed, "{probe:?}");
    }
    // And the host network of another node has its own port.
    let host = PodSpec {
        host_network: true,
        ..spec("z/host", "n1")
    };
    assert!(
        cluster.add_pod(host).is_err(),
        "node/n1 listens on {PORT} already"
    );
    assert_ne!(PORT, HOST_PORT);
}

/// Pods, nodes and machines everywhere know a machine behind a node by its own address, and it them.
fn behind() {
    for fabric in FABRICS {
        let behind = |name: &str, node: &str| ExternalSpec {
            name: name.into(),
            behind: Some(node.into()),
        };
        let mut cluster = Cluster::build(&Topology {
            fabric,
            nodes: vec!["n1".into(), "n2".into()],
            externals: vec![behind("vm", "n1"), "internet".into(), behind("far", "n2")],
            ..Topology::default()
        })
        .unwrap();
        cluster
            .add_pods(vec![spec("x/a", "n1"), spec("y/c", "n2")])
            .unwrap();
        let places = [
            pod("x/a"),
            pod("y/c"),
            node("n1"),
            node("n2"),
            external("internet"),
            external("vm"),
            external("far"),
        ];
        for place in &places[2..] {
            cluster.listen(place, &ports(PORT)).unwrap();
        }
        for from in &places {
            for to in &places {
                for address in addresses(&cluster, to) {
                    let answer = reaches(&mut cluster, from, address);
                    assert_eq!(answer.served_by, Some(to.to_string()));
                    let seen = answer.source_seen.unwrap().ip();
                    assert!(
                        own(&cluster, from).contains(&seen),
                        "{from} -> {to}: {seen}"
                    );
                }
            }
        }
        let vm = addresses(&cluster, &external("vm"));
        let mut others = cluster.pod_cidrs();
        others.extend(cluster.service_cidrs());
        assert_eq!(vm.len(), 2);
        assert!(
            !others
                .iter()
                .any(|range| range.contains(&vm[0]) || range.contains(&vm[1]))
        );
        // Its packets pass its node.
        let passed = cluster.dump("n1").unwrap().conntrack;
        for address in vm {
            let to_it = format!("-> {address} ");
            assert!(
                passed.iter().any(|line| line.contains(&to_it)),
                "{passed:#?}"
            );
        }
    }
    let nowhere = Topology {
        externals: vec![ExternalSpec {
            name: "vm".into(),
            behind: Some("n1".into()),
        }],
        ..Topology::default()
    };
    let error = Cluster::build(&nowhere).unwrap_err();
    assert_eq!(error.to_string(), "find node/n1: it does not exist");
}
