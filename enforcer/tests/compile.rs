//! What a Plan says about packets, line by line of the semantics; and its tables as text.

mod world;

use enforcer::{
    cluster::{Event, Phase},
    compile::compile,
    explain::explain,
    nft::diff,
    options::Options,
    plan::{Packet, Plan, Transport, Verdict},
    policy::{Direction, PolicyRef, Protocol, Requirement, Selector},
};
use rstest::rstest;
use world::*;

const EGRESS: Direction = Direction::Egress;
const INGRESS: Direction = Direction::Ingress;
const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;
const SCTP: Protocol = Protocol::Sctp;
const ALL: Selector = Selector::EVERYTHING;

const XA: &str = "10.0.1.1";
const XB: &str = "10.0.2.1";
const YA: &str = "10.0.1.2";
const YB: &str = "10.0.2.2";
const OUTSIDE: &str = "203.0.113.9";
const NODE: &str = "192.168.0.1";
const OTHER_NODE: &str = "192.168.0.2";

/// Namespaces x and y with pods a and b each, on two nodes, dual stack. Port `web` is TCP 80 on a
/// and TCP 81 on b; `dns` is UDP 53 on both.
fn world() -> Vec<Event> {
    let mut events = vec![
        namespace("x", &[("team", "x")]),
        namespace("y", &[("team", "y")]),
        node("n1", &[NODE]),
        node("n2", &[OTHER_NODE]),
    ];
    for (space, last) in [("x", 1), ("y", 2)] {
        for (name, node, net) in [("a", "n1", 1), ("b", "n2", 2)] {
            let addresses = [format!("10.0.{net}.{last}"), format!("fd00:{net}::{last}")];
            let mut pod = pod(
                &format!("{space}/{name}"),
                node,
                &addresses.each_ref().map(String::as_str),
                &[("pod", name)],
            );
            pod.ports = vec![
                container_port("web", TCP, if name == "a" { 80 } else { 81 }),
                container_port("dns", UDP, 53),
            ];
            events.push(Event::ApplyPod(pod));
        }
    }
    events
}

fn tcp(port: u16) -> Transport {
    Transport::Port(TCP, port)
}

const PING: Transport = Transport::Other(1);

/// One policy, one packet.
fn says(policy: Event, source: &str, destination: &str, transport: Transport) -> bool {
    let mut events = world();
    events.push(policy);
    let cluster = cluster(events);
    let packet = packet(source, destination, transport);
    let verdict = passes(&cluster, &packet);
    assert_eq!(
        explain(&cluster, &packet).allowed(),
        verdict,
        "the explanation says something else about {packet:?}"
    );
    verdict
}

fn deny(direction: Direction) -> Event {
    policy("x/deny", direction, ALL, vec![])
}

fn rules(direction: Direction, rules: Vec<enforcer::policy::Rule>) -> Event {
    policy("x/allow", direction, ALL, rules)
}

#[rstest]
#[case::s2_ingress_denied(deny(INGRESS), YA, XA, false)]
#[case::s5_one_empty_rule(rules(INGRESS, vec![allow(vec![], vec![])]), YA, XA, true)]
#[case::s6_one_empty_rule_for_egress(rules(EGRESS, vec![allow(vec![], vec![])]), XA, OUTSIDE, true)]
#[case::s7_egress_denied(deny(EGRESS), XA, OUTSIDE, false)]
#[case::s13_egress_alone_leaves_ingress(deny(EGRESS), YA, XA, true)]
#[case::s18_ingress_alone_leaves_egress(deny(INGRESS), XA, YA, true)]
#[case::s22_only_its_own_namespace(deny(INGRESS), XA, YA, true)]
#[case::s24_selects_nothing(policy("x/none", INGRESS, with(&[("pod", "c")]), vec![]), YA, XA, true)]
#[case::s28_selects_by_label(policy("x/a", INGRESS, with(&[("pod", "a")]), vec![]), YA, XA, false)]
#[case::s28_and_no_other(policy("x/a", INGRESS, with(&[("pod", "a")]), vec![]), YA, XB, true)]
fn isolation(
    #[case] policy: Event,
    #[case] source: &str,
    #[case] destination: &str,
    #[case] passes: bool,
) {
    assert_eq!(says(policy, source, destination, tcp(80)), passes);
}

fn from(peers: Vec<enforcer::policy::Peer>) -> Event {
    rules(INGRESS, vec![allow(peers, vec![])])
}

fn without_label(key: &str) -> Selector {
    Selector::new([Requirement::DoesNotExist(key.into())])
}

#[rstest]
#[case::s43_anyone_outside(from(vec![]), OUTSIDE, true)]
#[case::s44_pods_of_the_policys_namespace(from(vec![pods_in("x", with(&[("pod", "b")]))]), XB, true)]
#[case::s44_not_of_another(from(vec![pods_in("x", with(&[("pod", "b")]))]), YB, false)]
#[case::s46_namespaces(from(vec![pods_where(with(&[("team", "y")]), ALL)]), YB, true)]
#[case::s46_not_others(from(vec![pods_where(with(&[("team", "y")]), ALL)]), XB, false)]
#[case::s47_every_namespace_is_not_outside(from(vec![pods_where(ALL, ALL)]), OUTSIDE, false)]
#[case::s48_both_selectors(from(vec![pods_where(with(&[("team", "y")]), with(&[("pod", "b")]))]), YB, true)]
#[case::s48_not_one_of_them(from(vec![pods_where(with(&[("team", "y")]), with(&[("pod", "b")]))]), YA, false)]
#[case::s50_label_everywhere(from(vec![pods_where(ALL, with(&[("pod", "b")]))]), YB, true)]
#[case::s52_one_or_the_other(from(vec![pods_in("x", with(&[("pod", "b")])), pods_where(with(&[("team", "y")]), ALL)]), YA, true)]
#[case::s54_labels_of_the_right_object(from(vec![pods_where(with(&[("pod", "b")]), ALL)]), YB, false)]
#[case::s55_namespace_without_label(from(vec![pods_where(without_label("env"), ALL)]), YB, true)]
#[case::s56_namespace_by_name(from(vec![pods_where(with(&[("kubernetes.io/metadata.name", "y")]), ALL)]), YB, true)]
#[case::s57_selects_nobody(from(vec![pods_in("x", with(&[("pod", "c")]))]), XB, false)]
#[case::s64_block(from(vec![block("203.0.113.0/24", &[])]), OUTSIDE, true)]
#[case::s65_block_of_one_pod(from(vec![block("10.0.2.2/32", &[])]), YB, true)]
#[case::s65_and_no_other(from(vec![block("10.0.2.2/32", &[])]), YA, false)]
#[case::s66_except(from(vec![block("203.0.113.0/24", &["203.0.113.8/29"])]), OUTSIDE, false)]
#[case::s67_except_is_no_denial(from(vec![block("10.0.0.0/8", &["10.0.2.2/32"]), pods_where(ALL, with(&[("pod", "b")]))]), YB, true)]
#[case::s70_except_of_its_own_block(from(vec![block("10.0.0.0/8", &["10.0.2.0/24"]), block("10.0.2.0/25", &[])]), YB, true)]
#[case::s71_excepts_cover_the_block(from(vec![block("10.0.2.0/24", &["10.0.2.0/25", "10.0.2.128/25"])]), YB, false)]
#[case::s72_nested(from(vec![block("10.0.0.0/8", &[]), block("10.0.2.0/24", &[])]), YB, true)]
#[case::s76_everything(from(vec![block("0.0.0.0/0", &[])]), YB, true)]
#[case::s76_but_not_the_other_family(from(vec![block("::/0", &[])]), YB, false)]
#[case::s80_node_by_block(from(vec![block("192.168.0.2/32", &[])]), OTHER_NODE, true)]
#[case::s166_other_node(deny(INGRESS), OTHER_NODE, false)]
#[case::s167_every_namespace_is_no_node(from(vec![pods_where(ALL, ALL)]), OTHER_NODE, false)]
#[case::s168_empty_rule_lets_nodes_in(from(vec![]), OTHER_NODE, true)]
#[case::s176_itself(deny(INGRESS), XA, true)]
fn who_reaches_x_a(#[case] policy: Event, #[case] source: &str, #[case] passes: bool) {
    assert_eq!(says(policy, source, XA, tcp(80)), passes);
}

fn on(ports: Vec<enforcer::policy::PortMatch>) -> Event {
    rules(INGRESS, vec![allow(vec![], ports)])
}

#[rstest]
#[case::s84_every_port(on(vec![]), Transport::Port(SCTP, 9), true)]
#[case::s84_and_icmp(on(vec![]), PING, true)]
#[case::s85_one_port(on(vec![port(TCP, 80)]), tcp(80), true)]
#[case::s85_no_other(on(vec![port(TCP, 80)]), tcp(81), false)]
#[case::s86_one_or_the_other(on(vec![port(TCP, 80), port(TCP, 90)]), tcp(90), true)]
#[case::s90_every_port_of_a_protocol(on(vec![ports(UDP, 0, 65535)]), Transport::Port(UDP, 5), true)]
#[case::s90_of_that_protocol(on(vec![ports(UDP, 0, 65535)]), tcp(5), false)]
#[case::s91_named(on(vec![named(TCP, "web")]), tcp(80), true)]
#[case::s92_not_anothers_number(on(vec![named(TCP, "web")]), tcp(81), false)]
#[case::s93_name_in_another_protocol(on(vec![named(TCP, "dns")]), tcp(53), false)]
#[case::s94_unknown_name(on(vec![named(TCP, "nope")]), tcp(80), false)]
#[case::s98_named_and_numbered(on(vec![named(TCP, "nope"), port(TCP, 8080)]), tcp(8080), true)]
#[case::s101_range_start(on(vec![ports(TCP, 80, 83)]), tcp(80), true)]
#[case::s101_range_end(on(vec![ports(TCP, 80, 83)]), tcp(83), true)]
#[case::s101_after_the_range(on(vec![ports(TCP, 80, 83)]), tcp(84), false)]
#[case::s104_overlapping_ranges(on(vec![ports(TCP, 80, 90), ports(TCP, 85, 95)]), tcp(95), true)]
#[case::s105_range_of_its_protocol(on(vec![ports(TCP, 80, 83)]), Transport::Port(UDP, 81), false)]
#[case::s110_tcp_is_not_udp(on(vec![port(TCP, 80)]), Transport::Port(UDP, 80), false)]
#[case::s112_sctp_is_not_tcp(on(vec![port(SCTP, 80)]), tcp(80), false)]
#[case::s115_ports_are_not_icmp(on(vec![port(TCP, 80)]), PING, false)]
fn what_reaches_x_a(#[case] policy: Event, #[case] transport: Transport, #[case] passes: bool) {
    assert_eq!(says(policy, YB, XA, transport), passes);
}

fn to(peers: Vec<enforcer::policy::Peer>, ports: Vec<enforcer::policy::PortMatch>) -> Event {
    rules(EGRESS, vec![allow(peers, ports)])
}

#[rstest]
#[case::s87_peer_and_port(to(vec![pods_in("y", ALL)], vec![port(TCP, 80)]), YB, tcp(80), true)]
#[case::s87_not_the_peer_alone(to(vec![pods_in("y", ALL)], vec![port(TCP, 80)]), YB, tcp(81), false)]
#[case::s91_named_on_the_destination(to(vec![pods_in("y", ALL)], vec![named(TCP, "web")]), YB, tcp(81), true)]
#[case::s92_each_its_own_number(to(vec![pods_in("y", ALL)], vec![named(TCP, "web")]), YA, tcp(81), false)]
#[case::s92_each_its_own_number_too(to(vec![pods_in("y", ALL)], vec![named(TCP, "web")]), YA, tcp(80), true)]
#[case::named_without_peers_means_pods(to(vec![], vec![named(TCP, "web")]), YB, tcp(81), true)]
#[case::named_without_peers_not_outside(to(vec![], vec![named(TCP, "web")]), OUTSIDE, tcp(81), false)]
#[case::s97_named_to_a_block(to(vec![block("10.0.0.0/8", &[])], vec![named(TCP, "web")]), YB, tcp(81), false)]
#[case::s126_outside_by_block(to(vec![block("0.0.0.0/0", &["10.0.0.0/8"])], vec![]), OUTSIDE, tcp(1), true)]
#[case::s77_external_only(to(vec![block("0.0.0.0/0", &["10.0.0.0/8"])], vec![]), YB, tcp(1), false)]
#[case::s126_never_by_namespaces(to(vec![pods_where(ALL, ALL)], vec![]), OUTSIDE, tcp(1), false)]
#[case::s170_other_node(to(vec![pods_where(ALL, ALL)], vec![]), OTHER_NODE, tcp(1), false)]
#[case::s170_other_node_by_block(to(vec![block("192.168.0.0/24", &[])], vec![]), OTHER_NODE, tcp(1), true)]
fn where_x_a_reaches(
    #[case] policy: Event,
    #[case] destination: &str,
    #[case] transport: Transport,
    #[case] passes: bool,
) {
    assert_eq!(says(policy, XA, destination, transport), passes);
}

#[rstest]
#[case::s194_both_addresses(from(vec![pods_in("y", ALL)]), "fd00:2::2", true)]
#[case::s195_both_families_isolated(from(vec![block("0.0.0.0/0", &[])]), "fd00:2::2", false)]
#[case::s196_ipv6_block(from(vec![block("fd00:2::/32", &[])]), "fd00:2::2", true)]
#[case::s76_everything_ipv6(from(vec![block("::/0", &[])]), "2001:db8::1", true)]
#[case::except_ipv6(from(vec![block("::/0", &["2001:db8::/32"])]), "2001:db8::1", false)]
#[case::the_last_address(from(vec![block("::/0", &["::/1"])]), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true)]
fn who_reaches_x_a_by_ipv6(#[case] policy: Event, #[case] source: &str, #[case] passes: bool) {
    assert_eq!(says(policy, source, "fd00:1::1", tcp(80)), passes);
}

#[test]
fn s61_rules_never_mix() {
    let policy = rules(
        INGRESS,
        vec![
            allow(vec![pods_in("x", ALL)], vec![port(TCP, 80)]),
            allow(vec![pods_in("y", ALL)], vec![port(TCP, 81)]),
        ],
    );
    for (source, number, expected) in [
        (XB, 80, true),
        (XB, 81, false),
        (YB, 80, false),
        (YB, 81, true),
    ] {
        assert_eq!(says(policy.clone(), source, XA, tcp(number)), expected);
    }
}

#[test]
fn a_peer_gets_all_that_any_rule_or_block_allows() {
    let policy = rules(
        INGRESS,
        vec![
            allow(
                vec![pods_in("y", with(&[("pod", "b")]))],
                vec![port(TCP, 80)],
            ),
            allow(vec![pods_in("y", ALL)], vec![port(TCP, 81)]),
            allow(vec![block("10.0.2.0/24", &[])], vec![port(TCP, 82)]),
            allow(vec![], vec![port(TCP, 83)]),
        ],
    );
    let open = |source| -> Vec<u16> {
        (79..=84)
            .filter(|&number| says(policy.clone(), source, XA, tcp(number)))
            .collect()
    };
    assert_eq!(open(YB), [80, 81, 82, 83]);
    assert_eq!(open(YA), [81, 83]);
    assert_eq!(open("10.0.2.77"), [82, 83]);
    assert_eq!(open(OUTSIDE), [83]);
}

#[rstest]
#[case(false, false, true)]
#[case(true, false, false)]
#[case(false, true, false)]
#[case(true, true, false)]
fn s19_both_sides_must_allow(
    #[case] egress_denied: bool,
    #[case] ingress_denied: bool,
    #[case] allowed: bool,
    #[values(YA, YB)] destination: &str,
) {
    let mut events = world();
    if egress_denied {
        events.push(policy("x/egress", EGRESS, ALL, vec![]));
    }
    if ingress_denied {
        events.push(policy("y/ingress", INGRESS, ALL, vec![]));
    }
    let packet = packet(XA, destination, tcp(80));
    assert_eq!(passes(&cluster(events), &packet), allowed);
}

#[test]
fn an_allowed_egress_never_skips_the_ingress_of_the_same_node() {
    let mut events = world();
    events.push(policy(
        "x/egress",
        EGRESS,
        ALL,
        vec![allow(vec![pods_in("y", ALL)], vec![])],
    ));
    events.push(policy("y/ingress", INGRESS, ALL, vec![]));
    let cluster = cluster(events);
    assert!(!passes(&cluster, &packet(XA, YA, tcp(80))));
}

#[test]
fn a_denial_names_everything_that_isolates() {
    let mut events = world();
    events.push(policy(
        "x/one",
        INGRESS,
        ALL,
        vec![allow(vec![pods_in("x", ALL)], vec![])],
    ));
    events.push(policy("x/two", INGRESS, with(&[("pod", "a")]), vec![]));
    let verdict = verdict(&cluster(events), &packet(YB, XA, tcp(80)));
    assert_eq!(
        verdict,
        Verdict::Denied {
            direction: INGRESS,
            pod: "x/a".parse().unwrap(),
            isolated_by: vec![
                PolicyRef::network_policy("x", "one"),
                PolicyRef::network_policy("x", "two"),
            ],
        }
    );
}

#[test]
fn s39_finished_pods_are_neither_subject_nor_peer() {
    let mut finished = pod("y/done", "n2", &["10.0.2.9"], &[("pod", "b")]);
    finished.phase = Phase::Succeeded;
    let mut subject = pod("x/done", "n1", &["10.0.1.9"], &[]);
    subject.phase = Phase::Failed;
    let mut events = world();
    events.extend([Event::ApplyPod(finished), Event::ApplyPod(subject)]);
    events.push(rules(INGRESS, vec![allow(vec![pods_in("y", ALL)], vec![])]));
    let cluster = cluster(events);
    assert!(!passes(&cluster, &packet("10.0.2.9", XA, tcp(80))));
    assert!(passes(&cluster, &packet(OUTSIDE, "10.0.1.9", tcp(80))));
}

#[test]
fn s41_s63_s173_host_network_pods_are_their_node() {
    let mut host = pod("x/host", "n1", &[NODE], &[("pod", "b")]);
    host.host_network = true;
    let mut events = world();
    events.push(Event::ApplyPod(host));
    events.push(deny(INGRESS));
    events.push(policy(
        "y/from-x",
        INGRESS,
        ALL,
        vec![allow(vec![pods_where(ALL, ALL)], vec![])],
    ));
    let cluster = cluster(events);
    assert!(
        !compile(&cluster, "n1", Options::default())
            .subjects(INGRESS)
            .contains_key(&ip(NODE))
    );
    assert!(!passes(&cluster, &packet(NODE, YB, tcp(80))));
}

#[test]
fn s83_a_reused_address_belongs_to_the_new_pod() {
    let mut events = world();
    events.push(rules(
        INGRESS,
        vec![allow(vec![pods_in("y", with(&[("pod", "b")]))], vec![])],
    ));
    events.push(gone("y/b"));
    events.push(Event::ApplyPod(pod("y/c", "n2", &[YB], &[("pod", "c")])));
    assert!(!passes(&cluster(events), &packet(YB, XA, tcp(80))));
}

#[test]
fn only_local_pods_are_subjects() {
    let mut events = world();
    events.push(deny(INGRESS));
    let cluster = cluster(events);
    let subjects: Vec<_> = compile(&cluster, "n1", Options::default())
        .subjects(INGRESS)
        .keys()
        .copied()
        .collect();
    assert_eq!(subjects, [ip(XA), ip("fd00:1::1")]);
}

#[test]
fn equal_rules_share_their_tables_whatever_the_words() {
    let mut events = world();
    let peers = || vec![pods_in("y", ALL), pods_in("x", ALL)];
    events.push(policy(
        "x/one",
        INGRESS,
        ALL,
        vec![allow(peers(), vec![port(TCP, 80), port(TCP, 81)])],
    ));
    events.push(policy(
        "y/two",
        INGRESS,
        ALL,
        vec![
            allow(peers(), vec![port(TCP, 81)]),
            allow(peers(), vec![ports(TCP, 80, 81)]),
        ],
    ));
    let plan = compile(&cluster(events), "n1", Options::default());
    let tables: Vec<_> = plan
        .profiles()
        .values()
        .map(|profile| profile.peers)
        .collect();
    assert_eq!(tables.len(), 2, "the policies are different");
    assert_eq!(tables[0], tables[1], "what they say is not");
}

#[test]
fn a_pod_that_comes_or_goes_touches_elements_only() {
    let mut events = world();
    events.push(rules(
        INGRESS,
        vec![
            allow(
                vec![pods_where(ALL, with(&[("pod", "b")]))],
                vec![port(TCP, 80)],
            ),
            allow(vec![block("192.0.2.0/24", &["192.0.2.8/29"])], vec![]),
        ],
    ));
    let old = compile(&cluster(events.clone()), "n1", Options::default());
    events.push(Event::ApplyPod(pod(
        "y/b2",
        "n2",
        &["10.0.2.3"],
        &[("pod", "b")],
    )));
    events.push(Event::ApplyPod(pod(
        "x/c",
        "n1",
        &["10.0.1.3"],
        &[("pod", "c")],
    )));
    events.push(gone("x/b"));
    let new = compile(&cluster(events), "n1", Options::default());
    insta::assert_snapshot!("a_pod_comes", diff(&old, &new));
    insta::assert_snapshot!("a_pod_goes", diff(&new, &old));
}

#[test]
fn a_pod_costs_an_element_per_address_however_many_tables_know_it() {
    let mut events = vec![namespace("x", &[])];
    for number in 1..=50 {
        let name = format!("server-{number}");
        events.push(Event::ApplyPod(pod(
            &format!("x/{name}"),
            "n1",
            &[&format!("10.0.1.{number}")],
            &[("app", &name)],
        )));
        events.push(policy(
            &format!("x/{name}"),
            INGRESS,
            with(&[("app", &name)]),
            vec![allow(
                vec![pods_in("x", with(&[("role", "client")]))],
                vec![port(TCP, number)],
            )],
        ));
    }
    let client = |name, addresses: &[&str]| {
        Event::ApplyPod(pod(name, "n2", addresses, &[("role", "client")]))
    };
    events.push(client("x/c1", &["10.0.2.1", "fd00:2::1"]));
    let old = compile(&cluster(events.clone()), "n1", Options::default());
    assert_eq!(old.profiles().len(), 50);
    events.push(client("x/c2", &["10.0.2.2", "fd00:2::2"]));
    let new = compile(&cluster(events), "n1", Options::default());
    insta::assert_snapshot!(diff(&old, &new), @"
    add to classes-v4: 10.0.2.2 : f4b1:f22f
    add to classes-v6: fd00:2::2 : f4b1:f22f
    ");
}

#[test]
fn the_tables_of_a_small_world() {
    let mut events = world();
    events.push(policies(
        "x/web",
        with(&[("pod", "a")]),
        vec![
            (
                INGRESS,
                vec![
                    allow(
                        vec![pods_where(with(&[("team", "y")]), ALL)],
                        vec![named(TCP, "web")],
                    ),
                    allow(
                        vec![
                            block("10.0.0.0/8", &["10.0.2.0/24"]),
                            block("fd00::/16", &[]),
                        ],
                        vec![port(TCP, 443), ports(UDP, 1000, 1999)],
                    ),
                ],
            ),
            (
                EGRESS,
                vec![allow(vec![], vec![port(UDP, 53), port(TCP, 53)])],
            ),
        ],
    ));
    events.push(policy("y/deny", INGRESS, ALL, vec![]));
    let plan = compile(&cluster(events), "n1", Options::default());
    insta::assert_snapshot!("small_world", diff(&Plan::default(), &plan));
}

#[test]
fn a_node_without_policies_tracks_connections_and_judges_nobody() {
    let plan = compile(&cluster(world()), "n1", Options::default());
    insta::assert_snapshot!("no_policies", diff(&Plan::default(), &plan));
    assert!(diff(&plan, &plan).is_empty());
    insta::assert_snapshot!(diff(&plan, &Plan::default()), @"
    add table
    delete table
    ");
}

#[test]
fn a_plan_denies_nothing_where_nothing_is_local() {
    let mut events = world();
    events.push(deny(INGRESS));
    let plan = compile(&cluster(events), "n3", Options::default());
    let packet: Packet = packet(YB, XA, tcp(80));
    assert_eq!(plan.verdict(&packet), Verdict::Allowed);
}
