//! What becomes of probes, protocol by protocol, when something is in their way.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use netsim::{
    Cluster, Fabric, Families, Place, Protocol,
    probe::{Answer, Outcome, Probe},
};

use crate::{
    Test,
    barrier::{prohibit, swallow},
    world::{FABRICS, HOST_PORT, PATIENCE, PORT, SILENCE, node, pod, ports, spec, tcp, world},
};

const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];

pub(crate) fn tests() -> Vec<Test> {
    [
        ("silence_is_denied_at_the_deadline", silence as fn()),
        ("a_prohibited_way_is_unreachable", prohibited),
        ("a_family_without_address_is_unreachable", no_address),
        (
            "a_port_nobody_listens_on_refuses_in_every_protocol",
            refused,
        ),
        ("sctp_refuses_while_both_sides_ask", sctp_both_ask),
        ("sctp_ports_of_one_namespace_know_their_owners", sctp_shared),
        ("answers_do_not_wait_for_the_deadline", early),
        ("the_silent_do_not_hold_up_the_others", mixed),
        ("thousands_at_once_all_arrive", thousands),
        ("no_two_probes_share_a_source_port", fresh_ports),
        ("a_probe_leaves_no_established_connection", nothing_left),
        ("a_place_that_does_not_exist_is_an_error", no_place),
        ("a_listener_that_is_gone_refuses", gone),
    ]
    .map(|(name, test)| (format!("answers::{name}"), test))
    .into()
}

fn probes(from: &Place, to: &[IpAddr], port: u16) -> Vec<Probe> {
    let mut probes = Vec::new();
    for address in to {
        for protocol in PROTOCOLS {
            probes.push(Probe {
                port: if protocol == Protocol::Icmp { 0 } else { port },
                protocol,
                ..tcp(from, *address, port)
            });
        }
    }
    probes
}

/// Every probe of both families and all protocols ends the same.
fn all_end(cluster: &mut Cluster, probes: &[Probe], patience: Duration, expected: Outcome) {
    let answers = cluster.probe(probes, patience).unwrap();
    assert_eq!(answers.len(), probes.len());
    for (probe, answer) in probes.iter().zip(answers) {
        assert_eq!(answer.outcome, expected, "{probe:?}: {answer:?}");
        if expected != Outcome::Allowed {
            assert_eq!(
                (answer.source_seen, answer.served_by),
                (None, None),
                "{probe:?}"
            );
        }
    }
}

fn silence() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let to = cluster.pod_addresses("y/c");
        swallow(&cluster, "n1", &to);
        let probes = probes(&pod("x/a"), &to, PORT);
        let start = Instant::now();
        let answers = cluster.probe(&probes, SILENCE).unwrap();
        assert!(start.elapsed() < SILENCE * 5, "{:?}", start.elapsed());
        for (probe, answer) in probes.iter().zip(answers) {
            assert_eq!(answer.outcome, Outcome::Denied, "{probe:?}");
            assert!(answer.latency >= SILENCE, "{probe:?}: {:?}", answer.latency);
        }
    }
}

fn prohibited() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let to = cluster.pod_addresses("y/c");
        prohibit(&cluster, "n1", &to);
        // A pod hears it by ICMP, the node from its own routes.
        for from in [pod("x/a"), node("n1")] {
            let probes = probes(&from, &to, PORT);
            all_end(&mut cluster, &probes, PATIENCE, Outcome::Unreachable);
        }
    }
}

fn no_address() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let v6: IpAddr = "fd00:10:244::2".parse().unwrap();
    let probes = probes(&pod("x/a"), &[v6], PORT);
    let start = Instant::now();
    all_end(&mut cluster, &probes, PATIENCE, Outcome::Unreachable);
    assert!(start.elapsed() < PATIENCE / 2);
}

fn refused() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let quiet = spec("x/quiet", "n2");
        let listen = Vec::new();
        cluster
            .add_pod(netsim::PodSpec { listen, ..quiet })
            .unwrap();
        // With other listeners, and without any.
        for to in ["y/c", "x/quiet"] {
            let mut probes = probes(&pod("x/a"), &cluster.pod_addresses(to), 81);
            probes.retain(|probe| probe.protocol != Protocol::Icmp);
            all_end(&mut cluster, &probes, PATIENCE, Outcome::Refused);
        }
    }
}

/// A raw socket makes the kernel silent about SCTP, so whoever asks must also say no.
fn sctp_both_ask() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let mut probes = Vec::new();
    for (from, to) in [("x/a", "y/c"), ("y/c", "x/a"), ("x/a", "x/a")] {
        for address in cluster.pod_addresses(to) {
            for _ in 0..20 {
                probes.push(Probe {
                    protocol: Protocol::Sctp,
                    ..tcp(&pod(from), address, 81)
                });
            }
        }
    }
    all_end(&mut cluster, &probes, PATIENCE, Outcome::Refused);
}

/// `y/host` and `node/n2` are one namespace.
fn sctp_shared() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    for (port, owner) in [(PORT, "node/n2"), (HOST_PORT, "y/host")] {
        for address in cluster.node_addresses("n2") {
            let probe = Probe {
                protocol: Protocol::Sctp,
                ..tcp(&pod("x/a"), address, port)
            };
            let answers = cluster.probe(&[probe], PATIENCE).unwrap();
            assert_eq!(answers[0].served_by.as_deref(), Some(owner));
            let seen = answers[0].source_seen.unwrap().ip();
            assert!(cluster.pod_addresses("x/a").contains(&seen), "{seen}");
        }
    }
    let taken = cluster.listen(&node("n2"), &ports(HOST_PORT));
    let text = taken.unwrap_err().to_string();
    assert!(text.contains("node/n2"), "{text}");
}

fn early() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let probes = probes(&pod("x/a"), &cluster.pod_addresses("y/c"), PORT);
    let start = Instant::now();
    all_end(
        &mut cluster,
        &probes,
        Duration::from_secs(60),
        Outcome::Allowed,
    );
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// The budget is 0.3 s on a machine that does nothing else.
fn mixed() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let (far, near) = (cluster.pod_addresses("y/c"), cluster.pod_addresses("x/b"));
    swallow(&cluster, "n1", &far);
    let mut matrix = Vec::new();
    for to in [&far, &near] {
        for _ in 0..10 {
            matrix.extend(probes(&pod("x/a"), to, PORT));
        }
    }
    let deadline = Duration::from_millis(250);
    let start = Instant::now();
    let answers = cluster.probe(&matrix, deadline).unwrap();
    assert!(start.elapsed() < deadline * 4, "{:?}", start.elapsed());
    let (denied, allowed) = answers.split_at(matrix.len() / 2);
    let are = |answers: &[Answer], outcome| answers.iter().all(|answer| answer.outcome == outcome);
    assert!(are(denied, Outcome::Denied));
    assert!(are(allowed, Outcome::Allowed));
}

fn thousands() {
    let mut cluster = world(Fabric::Routed, Families::Dual);
    for protocol in PROTOCOLS {
        let mut probes = Vec::new();
        for to in cluster.pod_addresses("y/c") {
            let probe = Probe {
                protocol,
                ..tcp(&pod("x/a"), to, PORT)
            };
            probes.extend(vec![probe; 1_500]);
        }
        all_end(&mut cluster, &probes, PATIENCE * 4, Outcome::Allowed);
    }
}

fn fresh_ports() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let mut seen = BTreeSet::new();
    let probes = probes(&pod("x/a"), &cluster.pod_addresses("y/c"), PORT);
    for _ in 0..100 {
        for answer in cluster.probe(&probes, PATIENCE).unwrap() {
            if let Some(source) = answer.source_seen {
                assert!(seen.insert(source), "{source} was there before");
            }
        }
    }
    assert_eq!(seen.len(), 300, "TCP, UDP and SCTP");
}

/// What a later probe with the same addresses and ports could ride on.
fn nothing_left() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let to = cluster.pod_addresses("y/c");
    let probes = probes(&pod("x/a"), &to, PORT);
    all_end(&mut cluster, &probes, PATIENCE, Outcome::Allowed);
    let netns = cluster.netns(&node("n1")).unwrap();
    let table = netns.run(|| std::fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
    let Ok(table) = table.unwrap() else {
        // Not every kernel shows it; the ports are fresh in any case.
        return;
    };
    for protocol in ["tcp", "sctp"] {
        let line = |line: &&str| line.split_whitespace().nth(2) == Some(protocol);
        let states: Vec<_> = table.lines().filter(line).collect();
        assert!(!states.is_empty(), "{table}");
        for state in states {
            assert!(state.contains("CLOSE"), "{state}");
        }
    }
}

fn no_place() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let to = cluster.pod_addresses("y/c")[0];
    let error = cluster.probe(&[tcp(&pod("x/nobody"), to, PORT)], SILENCE);
    let text = format!("{:?}", error.unwrap_err());
    assert!(text.contains("x/nobody"), "{text}");
}

fn gone() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let host = netsim::PodSpec {
        host_network: true,
        listen: ports(9000),
        ..spec("y/passing", "n2")
    };
    cluster.add_pod(host).unwrap();
    let to = cluster.node_addresses("n2");
    let mut probes = probes(&pod("x/a"), &to, 9000);
    probes.retain(|probe| probe.protocol != Protocol::Icmp);
    all_end(&mut cluster, &probes, PATIENCE, Outcome::Allowed);
    cluster.remove_pod("y/passing").unwrap();
    all_end(&mut cluster, &probes, PATIENCE, Outcome::Refused);
}
