//! Which live connections a Plan denies.

mod world;

use enforcer::{
    cluster::Event,
    compile::compile,
    conntrack::{Entry, Tuple, revoked},
    options::{Established, Options, Unprogrammed},
    plan::{ConnectionId, Plan},
    policy::{Direction, Protocol},
};
use rstest::rstest;
use world::*;

const A: &str = "10.0.1.1";
const B: &str = "10.0.1.2";
const OUTSIDE: &str = "203.0.113.9";
const SERVICE: &str = "10.96.0.1";
const NODE: &str = "192.0.2.1";
/// In the node's range, of no pod.
const NOBODY: &str = "10.0.1.99";

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// Pod x/a takes TCP 80 from everyone and says UDP 53 to everyone; nothing else.
fn plan(options: Options) -> Plan {
    let pods = with(&[("pod", "a")]);
    let events = [
        namespace("x", &[]),
        node_with_ranges("n1", &[NODE], &["10.0.1.0/24"]),
        Event::ApplyPod(pod("x/a", "n1", &[A], &[("pod", "a")])),
        Event::ApplyPod(pod("x/b", "n1", &[B], &[("pod", "b")])),
        policies(
            "x/some",
            pods,
            vec![
                (
                    Direction::Ingress,
                    vec![allow(vec![], vec![port(Protocol::Tcp, 80)])],
                ),
                (
                    Direction::Egress,
                    vec![allow(vec![], vec![port(Protocol::Udp, 53)])],
                ),
            ],
        ),
    ];
    compile(&cluster(events), "n1", options)
}

fn revoking() -> Plan {
    plan(Options {
        established: Established::Revoke,
        ..Options::default()
    })
}

fn tuple(protocol: u8, source: &str, destination: &str, destination_port: u16) -> Tuple {
    Tuple {
        source: ip(source),
        destination: ip(destination),
        protocol,
        source_port: 40_000,
        destination_port,
    }
}

fn answer(to: Tuple) -> Tuple {
    Tuple {
        source: to.destination,
        destination: to.source,
        source_port: to.destination_port,
        destination_port: to.source_port,
        ..to
    }
}

fn entry(protocol: u8, source: &str, destination: &str, port: u16) -> Entry {
    let original = tuple(protocol, source, destination, port);
    Entry {
        id: ConnectionId::new(1),
        original,
        reply: answer(original),
        master: None,
    }
}

/// To a Service that chose one of its pods.
fn through_service(mut entry: Entry, port: u16) -> Entry {
    entry.original.destination = ip(SERVICE);
    entry.original.destination_port = port;
    entry
}

/// Out through the address of the node.
fn masqueraded(mut entry: Entry) -> Entry {
    entry.reply.destination = ip(NODE);
    entry.reply.destination_port = 1;
    entry
}

#[rstest]
#[case::allowed(entry(TCP, B, A, 80), false)]
#[case::another_port(entry(TCP, B, A, 81), true)]
#[case::another_protocol(entry(UDP, B, A, 80), true)]
#[case::icmp(entry(ICMP, B, A, 0), true)]
#[case::by_the_port_of_the_source(entry(UDP, A, B, 40_000), true)]
#[case::egress_allowed(entry(UDP, A, OUTSIDE, 53), false)]
#[case::egress_denied(entry(TCP, A, OUTSIDE, 443), true)]
#[case::egress_masqueraded(masqueraded(entry(TCP, A, OUTSIDE, 443)), true)]
#[case::egress_masqueraded_and_allowed(masqueraded(entry(UDP, A, OUTSIDE, 53)), false)]
#[case::service_to_an_allowed_port(through_service(entry(TCP, B, A, 80), 8080), false)]
#[case::service_to_a_denied_port(through_service(entry(TCP, B, A, 81), 80), true)]
#[case::nobody_isolated(entry(TCP, B, OUTSIDE, 443), false)]
#[case::held_alone(entry(TCP, OUTSIDE, NOBODY, 80), false)]
#[case::held_and_denied(entry(TCP, NOBODY, A, 81), true)]
#[case::itself(entry(TCP, A, A, 81), false)]
fn what_is_no_longer_allowed(#[case] entry: Entry, #[case] is_revoked: bool) {
    for unprogrammed in Unprogrammed::ALL {
        let plan = plan(Options {
            established: Established::Revoke,
            unprogrammed,
            ..Options::default()
        });
        assert_eq!(!revoked(&plan, &[entry]).is_empty(), is_revoked);
    }
}

#[test]
fn nothing_is_revoked_unless_chosen() {
    let denied = entry(TCP, B, A, 81);
    assert!(revoked(&plan(Options::default()), &[denied]).is_empty());
}

#[test]
fn only_a_plan_that_revokes_can_be_told_what() {
    let connections = || [ConnectionId::new(7)].into();
    let mut keeping = plan(Options::default());
    keeping.set_revoked(connections());
    assert!(keeping.revoked().is_empty());
    let mut revoking = revoking();
    revoking.set_revoked(connections());
    assert_eq!(*revoking.revoked(), connections());
}

/// An FTP client outside, its control connection to x/a, and data that x/a sends back to it.
#[rstest]
#[case::announced_by_what_is_allowed(80, false)]
#[case::announced_by_what_is_denied(21, true)]
fn who_is_announced_shares_the_fate(#[case] control_port: u16, #[case] is_revoked: bool) {
    let control = entry(TCP, OUTSIDE, A, control_port);
    let data = Entry {
        id: ConnectionId::new(2),
        master: Some(control.original),
        ..entry(TCP, A, OUTSIDE, 50_000)
    };
    let grandchild = Entry {
        id: ConnectionId::new(3),
        master: Some(data.original),
        ..entry(UDP, OUTSIDE, A, 50_001)
    };
    let all = [control, data, grandchild];
    let expected = if is_revoked { 3 } else { 0 };
    assert_eq!(revoked(&revoking(), &all).len(), expected);
}

#[test]
fn who_was_announced_by_nobody_known_is_left_alone() {
    let orphan = Entry {
        master: Some(tuple(TCP, OUTSIDE, A, 21)),
        ..entry(TCP, A, OUTSIDE, 50_000)
    };
    let own_master = Entry {
        master: Some(orphan.original),
        ..orphan
    };
    assert!(revoked(&revoking(), &[orphan]).is_empty());
    assert!(revoked(&revoking(), &[own_master]).is_empty());
}
