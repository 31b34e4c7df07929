//! Explanations as people read them.

mod world;

use enforcer::{
    cluster::{Cluster, Event},
    explain::{Side, explain},
    plan::Transport,
    policy::{Direction, Peer, PortMatch, Protocol, Requirement, Selector},
};
use rstest::rstest;
use world::{
    allow, block, cluster, container_port, named, namespace, node, packet, pod, pods_in,
    pods_where, policy, port, with,
};

const ALL: Selector = Selector::EVERYTHING;
const TCP: Protocol = Protocol::Tcp;

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";
const JOB: &str = "10.0.0.3";

fn shop(policy: Event) -> Cluster {
    let mut db = pod("shop/db", "n1", &[DB], &[("app", "db")]);
    db.ports = vec![container_port("sql", TCP, 3306)];
    let mut host = pod("shop/host", "n2", &["192.168.0.2"], &[("app", "web")]);
    host.host_network = true;
    cluster([
        namespace("shop", &[("team", "shop")]),
        namespace("batch", &[("team", "batch")]),
        node("n1", &["192.168.0.1"]),
        Event::ApplyPod(pod(
            "shop/web",
            "n1",
            &[WEB],
            &[("app", "web"), ("tier", "front")],
        )),
        Event::ApplyPod(db),
        Event::ApplyPod(pod("batch/job", "n2", &[JOB], &[("app", "job")])),
        Event::ApplyPod(host),
        policy,
    ])
}

fn lines(side: &Side) -> String {
    let mut lines = vec![if side.allowed { "allowed" } else { "denied" }.to_owned()];
    lines.extend(
        side.isolated_by
            .iter()
            .map(|policy| format!("isolated by {policy}")),
    );
    lines.extend(
        side.allowed_by
            .iter()
            .map(|rule| format!("allowed by {rule}")),
    );
    if let Some(miss) = &side.nearest {
        lines.push(format!("nearest is {}", miss.rule));
        lines.extend(miss.reasons.iter().map(|reason| format!("  {reason}")));
    }
    lines.join("\n")
}

/// What the ingress side of a connection to shop/db says with one policy on it.
fn ask(rules: Vec<(Vec<Peer>, Vec<PortMatch>)>, source: &str, transport: Transport) -> String {
    let rules = rules
        .into_iter()
        .map(|(peers, ports)| allow(peers, ports))
        .collect();
    let cluster = shop(policy(
        "shop/db",
        Direction::Ingress,
        with(&[("app", "db")]),
        rules,
    ));
    lines(&explain(&cluster, &packet(source, DB, transport)).ingress)
}

fn sql() -> Vec<PortMatch> {
    vec![port(TCP, 3306)]
}

const SQL: Transport = Transport::Port(TCP, 3306);

#[test]
fn a_wrong_port_is_nearer_than_a_wrong_label() {
    let rules = vec![
        (vec![pods_in("shop", with(&[("app", "api")]))], vec![]),
        (vec![pods_in("shop", with(&[("app", "web")]))], sql()),
    ];
    insta::assert_snapshot!(ask(rules, WEB, Transport::Port(TCP, 80)), @r"
    denied
    isolated by shop/db
    nearest is shop/db ingress[1].from[0]
      it allows TCP 3306, not TCP 80
    ");
}

#[test]
fn fewer_wrong_labels_are_nearer() {
    let rules = vec![
        (
            vec![pods_in("shop", with(&[("app", "api"), ("tier", "back")]))],
            sql(),
        ),
        (
            vec![
                pods_in("batch", with(&[("app", "api")])),
                pods_in("shop", with(&[("app", "web"), ("tier", "back")])),
            ],
            sql(),
        ),
    ];
    insta::assert_snapshot!(ask(rules, WEB, SQL), @r"
    denied
    isolated by shop/db
    nearest is shop/db ingress[1].from[1]
      it wants pods with tier=back, and shop/web has tier=front
    ");
}

#[rstest]
#[case::another_namespace(
    pods_in("shop", ALL),
    JOB,
    "it is about pods of namespace shop, and batch/job is in batch"
)]
#[case::namespace_label(pods_where(with(&[("team", "shop")]), ALL), JOB, "it wants namespaces with team=shop, and batch has team=batch")]
#[case::absent_label(pods_in("batch", Selector::new([Requirement::Exists("role".into())])), JOB, "it wants pods with the label role, and batch/job has no label role")]
#[case::present_label(pods_in("batch", Selector::new([Requirement::DoesNotExist("app".into())])), JOB, "it wants pods with no label app, and batch/job has app=job")]
#[case::forbidden_value(pods_in("batch", Selector::new([Requirement::NotIn("app".into(), vec!["job".into(), "x".into()])])), JOB, "it wants pods with app not in (job, x), and batch/job has app=job")]
#[case::other_values(pods_in("batch", Selector::new([Requirement::In("app".into(), vec!["a".into(), "b".into()])])), JOB, "it wants pods with app in (a, b), and batch/job has app=job")]
#[case::outside(
    pods_where(ALL, ALL),
    "203.0.113.1",
    "it is about pods, and 203.0.113.1 is not a pod's"
)]
#[case::s63_host_network(
    pods_where(ALL, ALL),
    "192.168.0.2",
    "it is about pods, and 192.168.0.2 is the address of the host of shop/host: only an ipBlock or a rule without peers matches it"
)]
#[case::outside_block(block("192.0.2.0/24", &[]), "203.0.113.1", "203.0.113.1 is not in 192.0.2.0/24")]
#[case::excepted(block("203.0.0.0/16", &["203.0.113.0/24"]), "203.0.113.1", "203.0.113.1 is in 203.0.0.0/16 but in its except 203.0.113.0/24")]
fn reasons(#[case] peer: Peer, #[case] source: &str, #[case] reason: &str) {
    let answer = ask(vec![(vec![peer], sql())], source, SQL);
    assert_eq!(
        answer.lines().last().map(str::trim),
        Some(reason),
        "{answer}"
    );
}

#[rstest]
#[case::ping(vec![port(TCP, 80), named(TCP, "sql")], Transport::Other(1), "it allows TCP 80, TCP `sql`, not ICMP")]
#[case::s94_unknown_name(vec![named(TCP, "http")], SQL, "shop/db has no TCP port named `http`")]
fn port_reasons(#[case] ports: Vec<PortMatch>, #[case] asked: Transport, #[case] reason: &str) {
    let answer = ask(vec![(vec![], ports)], WEB, asked);
    assert_eq!(
        answer.lines().last().map(str::trim),
        Some(reason),
        "{answer}"
    );
}

#[test]
fn every_rule_that_allows_is_named() {
    let rules = vec![
        (vec![block("10.0.0.0/8", &[])], vec![named(TCP, "sql")]),
        (vec![], vec![port(TCP, 80)]),
        (vec![pods_in("shop", ALL), pods_in("batch", ALL)], vec![]),
    ];
    insta::assert_snapshot!(ask(rules, WEB, SQL), @r"
    allowed
    isolated by shop/db
    allowed by shop/db ingress[0].from[0]
    allowed by shop/db ingress[2].from[0]
    ");
}

#[rstest]
#[case::s164_its_own_node("192.168.0.1", "allowed\nisolated by shop/db")]
#[case::s176_itself(DB, "allowed\nisolated by shop/db")]
#[case::nobody_else(WEB, "denied\nisolated by shop/db")]
fn some_are_allowed_without_a_rule(#[case] source: &str, #[case] answer: &str) {
    assert_eq!(ask(vec![], source, SQL), answer);
}

#[test]
fn whoever_is_no_pod_is_not_judged() {
    let cluster = shop(policy("shop/db", Direction::Ingress, ALL, vec![]));
    let explanation = explain(&cluster, &packet(WEB, "203.0.113.1", SQL));
    assert_eq!(lines(&explanation.ingress), "allowed");
    assert_eq!(explanation.ingress.pod, None);
    assert_eq!(explanation.egress.pod, Some("shop/web".parse().unwrap()));
    assert!(explanation.allowed());
}

#[test]
fn a_peer_that_cannot_be_read_keeps_its_place() {
    let rules = || {
        let unreadable = Peer::Unreadable("spec.ingress[0].from[0]: must specify a peer".into());
        vec![(vec![unreadable, pods_in("shop", ALL)], sql())]
    };

    insta::assert_snapshot!(ask(rules(), WEB, SQL), @r"
    allowed
    isolated by shop/db
    allowed by shop/db ingress[0].from[1]
    ");
    insta::assert_snapshot!(ask(rules(), "192.0.2.1", SQL), @r"
    denied
    isolated by shop/db
    nearest is shop/db ingress[0].from[0]
      it cannot be read: spec.ingress[0].from[0]: must specify a peer
    ");
}
