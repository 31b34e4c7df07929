//! Two ways to the same answer: the compiled tables and the policies asked one by one.

mod world;

use enforcer::{
    compile::compile,
    explain::explain,
    options::Options,
    plan::{Packet, Transport, Verdict},
    policy::Protocol,
};
use world::{
    ip,
    random::{Dice, cluster},
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
        let plans = ["n1", "n2"].map(|node| (node, compile(&cluster, node, Options::default())));
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
