//! Two ways to the same answer: the compiled tables and the policies asked one by one; and what
//! options change about it.

mod world;

use std::net::IpAddr;

use enforcer::{
    cluster::Cluster,
    compile::compile,
    conntrack::{Entry, Tuple, revoked},
    explain::explain,
    options::{Established, Options, Unprogrammed},
    plan::{ConnectionId, Packet, Transport, Verdict},
    policy::{Direction, Protocol},
};
use world::{
    ip,
    random::{Dice, cluster, node_event, options},
};

/// Addresses of pods, of nobody, and around the edges of the blocks.
fn addresses() -> Vec<String> {
    let mut addresses: Vec<_> = (0..=33).map(|last| format!("10.0.0.{last}")).collect();
    addresses.extend(["10.0.1.0", "203.0.113.1", "255.255.255.255"].map(Into::into));
    addresses.extend((0..=0x15).map(|last| format!("fd00::{last:x}")));
    addresses.extend(["fd00::100", "fd00::ffff", "fd00:0:0:1::", "2001:db8::1"].map(Into::into));
    addresses
}

const TRANSPORTS: [Transport; 7] = [
    Transport::Port(Protocol::Tcp, 80),
    Transport::Port(Protocol::Tcp, 81),
    Transport::Port(Protocol::Tcp, 95),
    Transport::Port(Protocol::Tcp, 8080),
    Transport::Port(Protocol::Udp, 53),
    Transport::Port(Protocol::Sctp, 80),
    Transport::Other(1),
];

#[test]
fn plans_and_explanations_agree_in_clusters_of_any_kind() {
    let addresses: Vec<_> = addresses().iter().map(|address| ip(address)).collect();
    let mut denied = 0;
    for seed in 0..40 {
        let cluster = cluster(&mut Dice::new(seed), 40);
        let open = Options {
            unprogrammed: Unprogrammed::Open,
            ..options(&mut Dice::new(seed))
        };
        let plans = ["n1", "n2"].map(|node| (node, compile(&cluster, node, open)));
        let judge = |address, packet: &Packet| {
            let node = cluster.owner(address).and_then(|pod| pod.node.as_deref());
            plans
                .iter()
                .find(|(name, _)| Some(*name) == node)
                .is_none_or(|(_, plan)| plan.verdict(packet) == Verdict::Allowed)
        };
        for &source in &addresses {
            for &destination in &addresses {
                if source.is_ipv4() != destination.is_ipv4() {
                    continue;
                }
                for transport in TRANSPORTS {
                    let packet = Packet {
                        source,
                        destination,
                        transport,
                    };
                    let plan = judge(source, &packet) && judge(destination, &packet);
                    let explanation = explain(&cluster, &packet);
                    assert_eq!(
                        plan,
                        explanation.allowed(),
                        "cluster {seed}, {packet:?}: {explanation:#?}"
                    );
                    denied += usize::from(!plan);
                    for side in [explanation.egress, explanation.ingress] {
                        assert!(
                            side.allowed || !side.isolated_by.is_empty(),
                            "a denial without a policy: {side:?}"
                        );
                    }
                }
            }
        }
    }
    assert!(denied > 10_000, "only {denied} denials: this proves little");
}

/// The end of a packet that `node` holds: an address of its range that no pod has.
fn held(cluster: &Cluster, node: &str, packet: &Packet) -> Option<Verdict> {
    let is_held = |address: IpAddr| {
        let ranges = cluster.node(node).map(|node| node.pod_cidrs.clone());
        let is_its_own = ranges
            .into_iter()
            .flatten()
            .any(|range| range.contains(&address));
        let is_known = cluster.owner(address).is_some();
        is_its_own && !is_known
    };
    let ends = [
        (Direction::Egress, packet.source),
        (Direction::Ingress, packet.destination),
    ];
    ends.into_iter()
        .find(|(_, address)| is_held(*address))
        .map(|(direction, address)| Verdict::Held { direction, address })
}

#[test]
fn options_change_nothing_but_what_they_are_about() {
    let addresses: Vec<_> = addresses().iter().map(|address| ip(address)).collect();
    let (mut held_count, mut revoked_count) = (0, 0);
    for seed in 0..25 {
        let mut dice = Dice::new(seed);
        let mut cluster = cluster(&mut dice, 30);
        for _ in 0..3 {
            cluster.handle(node_event(&mut dice));
        }
        let chosen = options(&mut dice);
        let open = Options {
            unprogrammed: Unprogrammed::Open,
            ..Options::default()
        };
        let (plan, policies_alone) = (
            compile(&cluster, "n1", chosen),
            compile(&cluster, "n1", open),
        );
        for (count, &source) in (0..).zip(&addresses) {
            for &destination in &addresses {
                if source.is_ipv4() != destination.is_ipv4() {
                    continue;
                }
                let transport = dice.any(&TRANSPORTS);
                let packet = Packet {
                    source,
                    destination,
                    transport,
                };
                let by_policies = policies_alone.verdict(&packet);
                let expected = match chosen.unprogrammed {
                    Unprogrammed::Open => None,
                    Unprogrammed::Hold => held(&cluster, "n1", &packet),
                };
                held_count += usize::from(expected.is_some());
                assert_eq!(
                    plan.verdict(&packet),
                    expected.unwrap_or_else(|| by_policies.clone()),
                    "cluster {seed}, {packet:?}, {chosen:?}"
                );
                let entry = entry(ConnectionId::new(count), &packet);
                let is_revoked = revoked(&plan, &[entry]).contains(&entry.id);
                revoked_count += usize::from(is_revoked);
                assert_eq!(
                    is_revoked,
                    chosen.established == Established::Revoke && by_policies != Verdict::Allowed,
                    "cluster {seed}, {packet:?}, {chosen:?}"
                );
            }
        }
    }
    assert!(held_count > 500, "only {held_count} held");
    assert!(revoked_count > 1_000, "only {revoked_count} revoked");
}

/// A connection that began with `packet`.
fn entry(id: ConnectionId, packet: &Packet) -> Entry {
    let (protocol, destination_port) = match packet.transport {
        Transport::Port(protocol, port) => (protocol.number(), port),
        Transport::Other(number) => (number, 0),
    };
    let original = Tuple {
        source: packet.source,
        destination: packet.destination,
        protocol,
        source_port: 40_000,
        destination_port,
    };
    Entry {
        id,
        original,
        reply: Tuple {
            source: packet.destination,
            destination: packet.source,
            source_port: destination_port,
            destination_port: original.source_port,
            ..original
        },
        master: None,
    }
}
