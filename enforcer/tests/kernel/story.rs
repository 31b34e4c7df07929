//! A cluster's life in steps that use everything the tables have.

use enforcer::{
    cluster::{Cluster, Event},
    compile::compile,
    options::{Deny, Established, Options, Unprogrammed},
    plan::{ConnectionId, Plan},
    policy::{Direction, Protocol, Selector},
};

use crate::world::{
    allow, block, container_port, gone, named, namespace, no_policy, node_with_ranges, pod,
    pods_in, pods_where, policies, policy, port, ports,
    random::{self, Dice},
    with,
};

pub(crate) const NODE: &str = "n1";

/// Choices that between them have every value of each.
pub(crate) const CHOICES: [Options; 3] = [
    Options {
        established: Established::Keep,
        unprogrammed: Unprogrammed::Hold,
        deny: Deny::Drop,
    },
    Options {
        established: Established::Revoke,
        unprogrammed: Unprogrammed::Hold,
        deny: Deny::Reject,
    },
    Options {
        established: Established::Revoke,
        unprogrammed: Unprogrammed::Open,
        deny: Deny::Drop,
    },
];

const EGRESS: Direction = Direction::Egress;
const INGRESS: Direction = Direction::Ingress;
const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;
const ALL: Selector = Selector::EVERYTHING;

fn web(name: &str, node: &str, number: u8, port: u16) -> Event {
    let addresses = [format!("10.0.0.{number}"), format!("fd00::{number:x}")];
    let addresses = addresses.each_ref().map(String::as_str);
    let mut pod = pod(name, node, &addresses, &[("app", "web")]);
    pod.ports = vec![container_port("http", TCP, port)];
    Event::ApplyPod(pod)
}

/// What happens between commits. Every step changes something for the node.
pub(crate) fn steps() -> Vec<(&'static str, Vec<Event>)> {
    vec![
        (
            "pods without policies",
            vec![
                node_with_ranges(NODE, &["192.0.2.1"], &["10.0.0.0/30", "fd00::/125"]),
                namespace("x", &[("team", "x")]),
                namespace("y", &[("team", "y")]),
                web("x/a", "n1", 1, 80),
                web("x/b", "n1", 2, 8080),
                web("y/c", "n2", 3, 80),
            ],
        ),
        (
            "everything is denied",
            vec![policies(
                "x/deny",
                ALL,
                vec![(INGRESS, vec![]), (EGRESS, vec![])],
            )],
        ),
        (
            "peers by selector",
            vec![policy(
                "x/from-y",
                INGRESS,
                ALL,
                vec![allow(vec![pods_where(with(&[("team", "y")]), ALL)], vec![])],
            )],
        ),
        (
            "ports, ranges and names",
            vec![policies(
                "x/ports",
                with(&[("app", "web")]),
                vec![
                    (
                        INGRESS,
                        vec![allow(
                            vec![pods_in("x", ALL)],
                            vec![named(TCP, "http"), ports(TCP, 9000, 9100), port(UDP, 53)],
                        )],
                    ),
                    (
                        EGRESS,
                        vec![
                            allow(vec![pods_in("y", ALL)], vec![named(TCP, "http")]),
                            allow(vec![], vec![port(UDP, 53), port(TCP, 53)]),
                        ],
                    ),
                ],
            )],
        ),
        (
            "ranges of both families",
            vec![policies(
                "x/blocks",
                ALL,
                vec![
                    (
                        EGRESS,
                        vec![
                            allow(vec![block("0.0.0.0/0", &["10.0.0.0/8"])], vec![]),
                            allow(
                                vec![block("10.1.0.0/16", &["10.1.2.0/24"])],
                                vec![port(TCP, 443)],
                            ),
                            allow(vec![block("10.1.2.0/25", &[])], vec![ports(TCP, 0, 65535)]),
                            allow(vec![block("::/0", &["fd00::/8"])], vec![port(TCP, 443)]),
                            allow(vec![block("fd00:1::/64", &[])], vec![ports(UDP, 1, 65535)]),
                        ],
                    ),
                    (
                        INGRESS,
                        vec![allow(
                            vec![
                                block("192.0.2.0/24", &[]),
                                block("192.0.3.0/24", &[]),
                                block("2001:db8::1/128", &[]),
                            ],
                            vec![port(TCP, 80)],
                        )],
                    ),
                ],
            )],
        ),
        (
            "pods come",
            vec![
                web("x/d", "n1", 4, 80),
                web("y/e", "n2", 5, 81),
                web("y/f", "n1", 6, 80),
            ],
        ),
        (
            "a pod goes and another gets its address",
            vec![gone("x/b"), web("y/g", "n2", 2, 80)],
        ),
        (
            "a pod is relabelled",
            vec![Event::ApplyPod(pod(
                "x/d",
                "n1",
                &["10.0.0.4", "fd00::4"],
                &[("app", "db")],
            ))],
        ),
        (
            "the node gets more addresses for its pods",
            vec![node_with_ranges(
                NODE,
                &["192.0.2.1"],
                &["10.0.0.0/24", "fd00::/64", "203.0.113.1/32"],
            )],
        ),
        ("the ranges go", vec![no_policy("x/blocks")]),
        (
            "everything is allowed",
            vec![policy("x/open", INGRESS, ALL, vec![allow(vec![], vec![])])],
        ),
        (
            "another namespace is isolated, with a long name",
            vec![policy(
                &format!("y/{}", "long-name.".repeat(25)),
                INGRESS,
                ALL,
                vec![allow(vec![], vec![port(TCP, 80)])],
            )],
        ),
        (
            "every policy goes",
            vec![
                no_policy("x/deny"),
                no_policy("x/from-y"),
                no_policy("x/ports"),
                no_policy("x/open"),
                no_policy(&format!("y/{}", "long-name.".repeat(25))),
            ],
        ),
    ]
}

/// The Plan after each step. Those that revoke have more connections to cut from step to step, and
/// now and then none.
pub(crate) fn plans(options: Options) -> Vec<(&'static str, Plan)> {
    let mut cluster = Cluster::default();
    let mut count = 0;
    let after = |(step, events): (_, Vec<Event>)| {
        for event in events {
            cluster.handle(event);
        }
        let mut plan = compile(&cluster, NODE, options);
        count = (count + 1) % 5;
        plan.set_revoked((0..count).map(connection).collect());
        (step, plan)
    };
    steps().into_iter().map(after).collect()
}

/// A connection, with a number whose bytes are all different.
pub(crate) fn connection(number: u32) -> ConnectionId {
    ConnectionId::new(0xf102_0304_u32.wrapping_sub(number.wrapping_mul(0x0101_0101)))
}

/// Plans of a cluster in which anything may happen, and of an enforcer that may choose anew.
pub(crate) fn random_plans(mut dice: Dice) -> impl Iterator<Item = Plan> {
    let mut cluster = random::cluster(&mut dice, 0);
    let mut options = Options::default();
    std::iter::repeat_with(move || {
        for _ in 0..=dice.roll(4) {
            cluster.handle(random::event(&mut dice));
        }
        match dice.roll(6) {
            0 => options = random::options(&mut dice),
            1 => {
                cluster.handle(random::node_event(&mut dice));
            }
            _ => {}
        }
        let mut plan = compile(&cluster, NODE, options);
        let count = u32::try_from(dice.roll(4)).expect("below four");
        plan.set_revoked((0..count).map(connection).collect());
        plan
    })
}
