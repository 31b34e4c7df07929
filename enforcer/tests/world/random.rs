//! Clusters in which anything may happen.

use enforcer::{
    cluster::{Cluster, Event},
    options::{Deny, Established, Options, Unprogrammed},
    policy::{Direction, Peer, Protocol, Selector},
};

use super::{
    allow, block, container_port, gone, named, namespace, no_policy, node_with_ranges, pod,
    pods_in, pods_where, policy, port, ports, with,
};

const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;
const ALL: Selector = Selector::EVERYTHING;

/// Numbers that look random and are the same every time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// One of a list.
    pub(crate) fn any<T: Clone>(&mut self, of: &[T]) -> T {
        let count = u64::try_from(of.len()).expect("a short list");
        let index = usize::try_from(self.roll(count)).expect("below the length");
        of[index].clone()
    }
}

/// A cluster after this many events. Its namespaces are x and y, its nodes n1 and n2, its addresses
/// 10.0.0.1 to 10.0.0.20 and fd00::1 to fd00::14.
pub(crate) fn cluster(dice: &mut Dice, events: usize) -> Cluster {
    let mut cluster = Cluster::default();
    for event in [
        namespace("x", &[("team", "x")]),
        namespace("y", &[("team", "y")]),
    ] {
        cluster.handle(event);
    }
    for _ in 0..events {
        cluster.handle(event(dice));
    }
    cluster
}

/// Any choice of an enforcer.
pub(crate) fn options(dice: &mut Dice) -> Options {
    Options {
        established: dice.any(&Established::ALL),
        unprogrammed: dice.any(&Unprogrammed::ALL),
        deny: dice.any(&Deny::ALL),
    }
}

/// Anything that may happen to a node: it gets ranges for its pods, or loses them.
pub(crate) fn node_event(dice: &mut Dice) -> Event {
    let ranges: &[&str] = dice.any(&[
        &[][..],
        &["10.0.0.0/29"],
        &["10.0.0.8/29", "10.0.0.0/29"],
        &["10.0.0.0/30", "fd00::/125"],
        &["fd00::5/128", "10.0.0.4/30"],
    ]);
    node_with_ranges(dice.any(&["n1", "n2"]), &["192.0.2.1"], ranges)
}

/// Anything that may happen, but to nodes.
pub(crate) fn event(dice: &mut Dice) -> Event {
    let space = dice.any(&["x", "y"]);
    let pod_number = dice.roll(12);
    let pod_name = format!("{space}/p{pod_number}");
    let policy_name = format!("{space}/q{}", dice.roll(5));
    match dice.roll(8) {
        0 => gone(&pod_name),
        1 => no_policy(&policy_name),
        2..=5 => {
            let address = 1 + dice.roll(20);
            let addresses = [format!("10.0.0.{address}"), format!("fd00::{address:x}")];
            let addresses = addresses.each_ref().map(String::as_str);
            let labels = [("app", dice.any(&["web", "db", "job"]))];
            let mut pod = pod(&pod_name, dice.any(&["n1", "n2"]), &addresses, &labels);
            pod.ports = vec![container_port("http", TCP, dice.any(&[80, 81, 8080]))];
            Event::ApplyPod(pod)
        }
        _ => {
            let rules = (0..dice.roll(4))
                .map(|_| {
                    let peers = (0..dice.roll(3)).map(|_| any_peer(dice)).collect();
                    let entries = (0..dice.roll(3))
                        .map(|_| {
                            dice.any(&[
                                port(TCP, 80),
                                port(UDP, 53),
                                ports(TCP, 80, 90),
                                ports(TCP, 85, 95),
                                ports(UDP, 0, 65535),
                                named(TCP, "http"),
                                named(TCP, "nope"),
                            ])
                        })
                        .collect();
                    allow(peers, entries)
                })
                .collect();
            let direction = dice.any(&Direction::ALL);
            policy(&policy_name, direction, any_selector(dice), rules)
        }
    }
}

fn any_selector(dice: &mut Dice) -> Selector {
    dice.any(&[
        ALL,
        with(&[("app", "web")]),
        with(&[("app", "db")]),
        with(&[("app", "nobody")]),
    ])
}

fn any_peer(dice: &mut Dice) -> Peer {
    let selector = any_selector(dice);
    match dice.roll(3) {
        0 => pods_in(dice.any(&["x", "y"]), selector),
        1 => {
            let namespaces = dice.any(&[ALL, with(&[("team", "x")])]);
            pods_where(namespaces, selector)
        }
        _ => dice.any(&[
            block("0.0.0.0/0", &["10.0.0.0/29"]),
            block("10.0.0.0/24", &[]),
            block("10.0.0.0/28", &["10.0.0.4/30", "10.0.0.8/32"]),
            block("::/0", &["fd00::/120"]),
            block("fd00::/64", &[]),
            block("255.255.255.0/24", &[]),
        ]),
    }
}
