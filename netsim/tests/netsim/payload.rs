//! Probes that carry something, and links that cannot carry it whole; probes from chosen ports.

use std::{net::IpAddr, process::Command};

use libtest_mimic::Completion;
use netsim::{
    Cluster, ExternalSpec, Fabric, Families, NodeSpec, Place, Protocol, Topology,
    probe::{Outcome, Probe},
};

use crate::{
    Test,
    barrier::swallow,
    world::{
        FABRICS, PATIENCE, PORT, SILENCE, addresses, ask, everybody, external, node, pod, ports,
        spec, tcp, world,
    },
};

const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];

/// More than two links carry in one packet.
const LONG: usize = 4_000;

/// Of the pods on node n2 in [`narrow`], in bytes.
const NARROW: u32 = 1_300;

pub(crate) fn tests() -> Vec<Test> {
    [
        ("it_arrives_whole_in_fragments_or_segments", arrives as fn()),
        ("of_any_length", lengths),
        ("nothing_of_a_denied_packet_arrives", denied),
        ("a_narrow_link_to_pods_cuts_or_complains", narrow_link),
        ("a_node_may_not_have_links_of_any_width", widths),
        ("a_chosen_port_is_seen_and_can_be_had_again", chosen_port),
        ("probes_to_different_places_share_a_port", shared_port),
        ("a_chosen_port_that_is_taken_is_an_error", taken_port),
    ]
    .map(|(name, test)| (format!("payload::{name}"), test))
    .into()
}

fn probe(from: &Place, to: IpAddr, protocol: Protocol, payload: usize) -> Probe {
    Probe {
        payload,
        protocol,
        ..tcp(from, to, if protocol == Protocol::Icmp { 0 } else { PORT })
    }
}

/// All arrive, and are as long as they were.
fn all_arrive(cluster: &mut Cluster, probes: &[Probe]) {
    let answers = cluster.probe(probes, PATIENCE).unwrap();
    for (probe, answer) in probes.iter().zip(answers) {
        let fabric = cluster.topology().fabric;
        assert_eq!(answer.outcome, Outcome::Allowed, "{fabric:?} {probe:?}");
        let received = answer.received;
        assert_eq!(received, Some(probe.payload), "{fabric:?} {probe:?}");
    }
}

fn arrives() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let mut probes = Vec::new();
        for from in [pod("x/a"), node("n1"), external("internet")] {
            for (to, port) in everybody().into_iter().filter(|(_, port)| *port == PORT) {
                assert_eq!(port, PORT);
                for address in addresses(&cluster, &to) {
                    let new = PROTOCOLS.map(|protocol| probe(&from, address, protocol, LONG));
                    probes.extend(new);
                }
            }
        }
        all_arrive(&mut cluster, &probes);
    }
}

fn lengths() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let mut probes = Vec::new();
    for payload in [8, 9, 1_471, 1_472, 1_473, 20_001, Probe::LONGEST_PACKET] {
        for address in cluster.pod_addresses("y/c") {
            let new = PROTOCOLS.map(|protocol| probe(&pod("x/a"), address, protocol, payload));
            probes.extend(new);
        }
    }
    for address in cluster.pod_addresses("y/c") {
        probes.push(probe(&pod("x/a"), address, Protocol::Tcp, 1_000_000));
    }
    all_arrive(&mut cluster, &probes);
    // Who asks for nothing is told nothing.
    for protocol in PROTOCOLS {
        let to = cluster.pod_addresses("y/c")[0];
        let answer = ask(&mut cluster, probe(&pod("x/a"), to, protocol, 0), PATIENCE);
        assert_eq!(answer.outcome, Outcome::Allowed);
        assert_eq!(answer.received, None);
    }
}

fn denied() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let to = cluster.pod_addresses("y/c");
        swallow(&cluster, "n1", &to);
        let mut probes = Vec::new();
        for address in to {
            probes.extend(PROTOCOLS.map(|protocol| probe(&pod("x/a"), address, protocol, LONG)));
        }
        let answers = cluster.probe(&probes, SILENCE).unwrap();
        for (probe, answer) in probes.iter().zip(answers) {
            assert_eq!(answer.outcome, Outcome::Denied, "{fabric:?} {probe:?}");
            assert_eq!(answer.received, None);
        }
    }
}

/// `x/a`, `x/b` on n1, `y/c`, `y/d` on n2, whose pods' links are narrow.
fn narrow(fabric: Fabric) -> Cluster {
    let mut cluster = Cluster::build(&Topology {
        fabric,
        nodes: vec![
            "n1".into(),
            NodeSpec {
                pod_mtu: Some(NARROW),
                ..NodeSpec::from("n2")
            },
        ],
        externals: vec![ExternalSpec::from("internet")],
        ..Topology::default()
    })
    .unwrap();
    let pods = [("x/a", "n1"), ("x/b", "n1"), ("y/c", "n2"), ("y/d", "n2")];
    let specs = pods.map(|(name, node)| spec(name, node));
    cluster.add_pods(specs.into()).unwrap();
    for place in [node("n1"), node("n2"), external("internet")] {
        cluster.listen(&place, &ports(PORT)).unwrap();
    }
    cluster
}

/// More than a narrow link carries, less than the others do; more than they do; much.
const LENGTHS: [usize; 3] = [1_400, LONG, 60_000];

fn narrow_link() {
    for fabric in FABRICS {
        let mut cluster = narrow(fabric);
        let places = [
            pod("x/a"),
            pod("y/c"),
            pod("y/d"),
            node("n1"),
            node("n2"),
            external("internet"),
        ];
        for length in LENGTHS {
            let mut probes = Vec::new();
            for from in &places {
                for address in places.iter().flat_map(|to| addresses(&cluster, to)) {
                    let new = PROTOCOLS.map(|protocol| probe(from, address, protocol, length));
                    probes.extend(new);
                }
            }
            // br_netfilter joins the fragments of IPv6 and forgets how long they were.
            let is_joined = |probe: &Probe| {
                probe.protocol != Protocol::Tcp && probe.to.is_ipv6() && length < 1_452
            };
            probes.retain(|probe| fabric == Fabric::Routed || !is_joined(probe));
            all_arrive(&mut cluster, &probes);
        }
    }
}

fn widths() {
    for (mtu, is_right) in [(1_279, false), (1_280, true), (1_500, true), (1_501, false)] {
        let built = Cluster::build(&Topology {
            nodes: vec![NodeSpec {
                name: "n1".into(),
                pod_mtu: Some(mtu),
            }],
            ..Topology::default()
        });
        assert_eq!(built.is_ok(), is_right, "{mtu}");
    }
}

/// Without the complaints of the server's node, TCP sends into a void for ever.
#[expect(clippy::disallowed_methods, reason = "what people would type")]
pub(crate) fn complaints() -> Completion {
    for fabric in FABRICS {
        for blocked in [false, true] {
            let mut cluster = narrow(fabric);
            if blocked {
                let rules = "table inet test { chain forward { type filter hook forward priority 0; \
                    icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }";
                let netns = cluster.netns(&node("n1")).unwrap();
                let output = netns.run(|| Command::new("nft").arg(rules).output());
                match output.unwrap() {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Completion::ignored_with("nft is not installed");
                    }
                    output => assert!(output.unwrap().status.success()),
                }
            }
            for address in cluster.pod_addresses("y/c") {
                let (expected, patience) = match blocked {
                    true => (Outcome::Denied, 3 * SILENCE),
                    false => (Outcome::Allowed, PATIENCE),
                };
                let probe = probe(&pod("x/a"), address, Protocol::Tcp, 100_000);
                let answer = ask(&mut cluster, probe, patience);
                assert_eq!(answer.outcome, expected, "{address} on {fabric:?}");
            }
        }
    }
    Completion::Completed
}

fn from_port(probe: Probe, port: u16) -> Probe {
    Probe {
        source_port: Some(port),
        ..probe
    }
}

fn chosen_port() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        for address in cluster.pod_addresses("y/c") {
            for protocol in PROTOCOLS {
                for _ in 0..5 {
                    let probe = from_port(probe(&pod("x/a"), address, protocol, 0), 53);
                    let answer = ask(&mut cluster, probe, PATIENCE);
                    assert_eq!(answer.outcome, Outcome::Allowed, "{protocol:?}");
                    let seen = answer.source_seen.map(|seen| seen.port());
                    let expected = (protocol != Protocol::Icmp).then_some(53);
                    assert_eq!(seen, expected, "{protocol:?}");
                }
            }
        }
    }
}

fn shared_port() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let quiet = netsim::PodSpec {
        listen: Vec::new(),
        ..spec("x/quiet", "n2")
    };
    cluster.add_pod(quiet).unwrap();
    swallow(&cluster, "n1", &cluster.pod_addresses("y/c"));
    let expected = [
        (pod("x/b"), Outcome::Allowed),
        (pod("y/c"), Outcome::Denied),
        (pod("x/quiet"), Outcome::Refused),
        (external("internet"), Outcome::Allowed),
    ];
    let mut probes = Vec::new();
    let mut outcomes = Vec::new();
    for (to, outcome) in expected {
        for address in addresses(&cluster, &to) {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                probes.push(from_port(probe(&pod("x/a"), address, protocol, 0), 53));
                outcomes.push(outcome);
            }
        }
    }
    let answers = cluster.probe(&probes, SILENCE * 2).unwrap();
    for ((probe, answer), outcome) in probes.iter().zip(answers).zip(outcomes) {
        assert_eq!(answer.outcome, outcome, "{probe:?}");
    }
}

fn taken_port() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let to = cluster.pod_addresses("y/c")[0];
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        // Its own listener has it.
        let probe = from_port(probe(&pod("x/a"), to, protocol, 0), PORT);
        let error = cluster.probe(&[probe], SILENCE).unwrap_err();
        assert_eq!(error.to_string(), "send a probe from x/a");
        assert!(format!("{error:?}").contains("AddrInUse"), "{error:?}");
    }
}
