//! What the choices of an enforcer make of a Plan and its tables.

mod world;

use enforcer::{
    cluster::{Event, Phase},
    compile::compile,
    nft::diff,
    options::{Deny, Established, Options, Unprogrammed},
    plan::{ConnectionId, Plan, Transport, Verdict},
    policy::{Direction, Protocol, Selector},
};
use rstest::rstest;
use world::{cluster, ip, namespace, node, node_with_ranges, packet, pod, policy};

const EGRESS: Direction = Direction::Egress;
const INGRESS: Direction = Direction::Ingress;
const TCP_80: Transport = Transport::Port(Protocol::Tcp, 80);

const XA: &str = "10.0.1.1";
const YB: &str = "10.0.2.2";
const OUTSIDE: &str = "203.0.113.9";
const NODE: &str = "192.168.0.1";
const OTHER_NODE: &str = "192.168.0.2";
/// A pod that is not known yet, in the range of node n1.
const LATE: &str = "10.0.1.9";
const LATE_IPV6: &str = "fd00:1::9";

/// Pods x/a and y/b, one on each of two nodes that have addresses for their pods.
fn world() -> Vec<Event> {
    let mut events = vec![namespace("x", &[]), namespace("y", &[])];
    for (name, node, addresses) in [
        ("x/a", "n1", ["10.0.1.1", "fd00:1::1"]),
        ("y/b", "n2", ["10.0.2.2", "fd00:2::2"]),
    ] {
        events.push(Event::ApplyPod(pod(name, node, &addresses, &[])));
    }
    events.push(node_with_ranges(
        "n1",
        &[NODE],
        &["10.0.1.0/24", "fd00:1::/64"],
    ));
    events.push(node_with_ranges(
        "n2",
        &[OTHER_NODE],
        &["10.0.2.0/24", "fd00:2::/64"],
    ));
    events
}

fn held(direction: Direction, address: &str) -> Verdict {
    Verdict::Held {
        direction,
        address: ip(address),
    }
}

#[rstest]
#[case::to_the_pod(YB, LATE, held(INGRESS, LATE))]
#[case::from_the_pod(LATE, YB, held(EGRESS, LATE))]
#[case::from_the_pod_to_outside(LATE, OUTSIDE, held(EGRESS, LATE))]
#[case::between_two(LATE, "10.0.1.10", held(EGRESS, LATE))]
#[case::ipv6("fd00:2::2", LATE_IPV6, held(INGRESS, LATE_IPV6))]
#[case::the_first_address_of_the_range(YB, "10.0.1.0", held(INGRESS, "10.0.1.0"))]
#[case::the_last_address_of_the_range(YB, "10.0.1.255", held(INGRESS, "10.0.1.255"))]
#[case::after_the_range(YB, "10.0.2.0", Verdict::Allowed)]
#[case::known_and_not_isolated(YB, XA, Verdict::Allowed)]
#[case::of_another_node(XA, "10.0.2.9", Verdict::Allowed)]
#[case::outside_of_all_ranges(OUTSIDE, XA, Verdict::Allowed)]
fn s217_an_address_is_held_until_its_pod_is_known(
    #[case] source: &str,
    #[case] destination: &str,
    #[case] verdict: Verdict,
) {
    let cluster = cluster(world());
    let packet = packet(source, destination, TCP_80);
    let plan = compile(&cluster, "n1", Options::default());
    assert_eq!(plan.verdict(&packet), verdict);
    let open = Options {
        unprogrammed: Unprogrammed::Open,
        ..Options::default()
    };
    let plan = compile(&cluster, "n1", open);
    assert_eq!(plan.verdict(&packet), Verdict::Allowed);
}

#[test]
fn nothing_is_held_where_no_range_is_known() {
    let mut events = world();
    events.push(node("n1", &[NODE]));
    let plan = compile(&cluster(events), "n1", Options::default());
    let packet = packet(YB, LATE, TCP_80);
    assert_eq!(plan.verdict(&packet), Verdict::Allowed);
}

#[test]
fn an_address_that_a_finished_pod_had_is_held() {
    let mut finished = pod("x/done", "n1", &[LATE], &[]);
    finished.phase = Phase::Succeeded;
    let mut events = world();
    events.push(Event::ApplyPod(finished));
    let plan = compile(&cluster(events), "n1", Options::default());
    assert_eq!(plan.verdict(&packet(LATE, YB, TCP_80)), held(EGRESS, LATE));
}

/// Network plug-ins with an address management of their own pay no heed to the ranges of nodes.
#[test]
fn a_known_pod_of_another_node_is_not_held() {
    let mut events = world();
    events.push(Event::ApplyPod(pod("x/elsewhere", "n2", &[LATE], &[])));
    let plan = compile(&cluster(events), "n1", Options::default());
    assert_eq!(plan.verdict(&packet(LATE, YB, TCP_80)), Verdict::Allowed);
}

#[test]
fn a_range_is_held_as_it_is_meant() {
    let mut events = world();
    let ranges = ["10.0.1.7/24", "10.0.1.0/25", "10.0.0.0/24"];
    events.push(node_with_ranges("n1", &[NODE], &ranges));
    let plan = compile(&cluster(events), "n1", Options::default());
    let text = diff(&Plan::default(), &plan).to_string();
    let rules: Vec<_> = text
        .lines()
        .filter(|line| line.contains("goto held"))
        .collect();
    insta::assert_snapshot!(rules.join("\n"), @"
    add rule to forward: ip saddr 10.0.0.0/23 ip saddr != @programmed-v4 goto held
    add rule to forward: ip daddr 10.0.0.0/23 ip daddr != @programmed-v4 goto held
    ");
}

/// Every choice that is not the default.
const OTHERWISE: Options = Options {
    established: Established::Revoke,
    unprogrammed: Unprogrammed::Hold,
    deny: Deny::Reject,
};

#[test]
fn the_tables_that_options_ask_for() {
    let mut events = world();
    events.push(policy("x/deny", INGRESS, Selector::EVERYTHING, vec![]));
    let mut plan = compile(&cluster(events), "n1", OTHERWISE);
    plan.set_revoked([1, 0x0102_0304].map(ConnectionId::new).into());
    insta::assert_snapshot!("options", diff(&Plan::default(), &plan));
}

#[test]
fn a_new_pod_is_one_element_of_what_is_held() {
    let old = compile(&cluster(world()), "n1", Options::default());
    let mut events = world();
    events.push(Event::ApplyPod(pod("x/late", "n1", &[LATE], &[])));
    let new = compile(&cluster(events), "n1", Options::default());
    insta::assert_snapshot!(diff(&old, &new), @"add to programmed-v4: 10.0.1.9");
    insta::assert_snapshot!(diff(&new, &old), @"delete from programmed-v4: 10.0.1.9");
}

#[test]
fn what_is_cut_changes_by_one_rule() {
    let plan = |revoked: &[u32]| {
        let mut plan = compile(&cluster(world()), "n1", OTHERWISE);
        plan.set_revoked(revoked.iter().copied().map(ConnectionId::new).collect());
        plan
    };
    insta::assert_snapshot!(
        diff(&plan(&[]), &plan(&[7])),
        @"add rule to revoked: ct id { 7 } goto denied-revoked"
    );
    insta::assert_snapshot!(diff(&plan(&[7]), &plan(&[7, 8])), @"
    flush chain revoked
    add rule to revoked: ct id { 7, 8 } goto denied-revoked
    ");
    insta::assert_snapshot!(diff(&plan(&[7, 8]), &plan(&[])), @"flush chain revoked");
    assert!(diff(&plan(&[7]), &plan(&[7])).is_empty());
}

#[rstest]
#[case::no_ranges(Options::default(), &[])]
#[case::options(OTHERWISE, &["10.0.1.0/24"])]
#[case::ranges(Options::default(), &["10.0.1.0/25"])]
fn another_frame_replaces_the_table(#[case] options: Options, #[case] ranges: &[&str]) {
    let old = compile(&cluster(world()), "n1", Options::default());
    let mut events = world();
    events.push(node_with_ranges("n1", &[NODE], ranges));
    let new = compile(&cluster(events), "n1", options);
    assert_eq!(diff(&old, &new), diff(&Plan::default(), &new));
}
