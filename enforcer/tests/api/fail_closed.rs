//! What cannot be read never opens, and closes no more than it must (semantics 227).

use enforcer::{
    api::lower_network_policy,
    policy::{Direction, Peer, Peers, Policy, PortMatch, PortRange, Ports, Protocol, Selector},
};
use rstest::rstest;

use super::policy;

fn lowered(spec: &str) -> Vec<Policy> {
    lower_network_policy(&policy(spec))
}

#[rstest]
#[case::nothing("{}", "spec.ingress[0].from[0]: Required value: must specify a peer")]
#[case::two_kinds(
    "{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}",
    "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"
)]
#[case::range(
    "{ipBlock: {cidr: 10.0.0.0/33}}",
    "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
)]
#[case::hole(
    "{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, ten]}}",
    "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"ten\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
)]
#[case::operator(
    "{podSelector: {matchExpressions: [{key: a, operator: Gt, values: [\"1\"]}]}}",
    "spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: Invalid value: \"Gt\": not a valid selector operator"
)]
#[case::in_nothing(
    "{namespaceSelector: {matchExpressions: [{key: a, operator: NotIn}]}}",
    "spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
)]
fn a_peer_that_cannot_be_read_matches_nobody(#[case] peer: &str, #[case] reason: &str) {
    let alone = &lowered(&format!("{{ingress: [{{from: [{peer}]}}]}}"))[0];
    let beside = &lowered(&format!(
        "{{ingress: [{{from: [{peer}, {{podSelector: {{}}}}]}}]}}"
    ))[0];

    assert_eq!(
        alone.rules[0].peers,
        Peers::OneOf(vec![Peer::Unreadable(reason.into())])
    );
    assert_eq!(
        alone.broken.as_deref(),
        Some(format!("{reason}; this peer matches nobody").as_str())
    );
    // It keeps its place, so that explanations count as the object does.
    assert!(
        matches!(&beside.rules[0].peers, Peers::OneOf(peers) if matches!(peers[..], [Peer::Unreadable(_), Peer::Pods { .. }]))
    );
}

#[rstest]
#[case::protocol(
    "{protocol: ICMP}",
    "protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\""
)]
#[case::zero(
    "{port: 0}",
    "port: Invalid value: 0: must be between 1 and 65535, inclusive"
)]
#[case::too_great(
    "{port: 65536}",
    "port: Invalid value: 65536: must be between 1 and 65535, inclusive"
)]
#[case::name(
    "{port: \"80\"}",
    "port: Invalid value: \"80\": must contain at least one letter (a-z)"
)]
#[case::end_before_port(
    "{port: 80, endPort: 79}",
    "endPort: Invalid value: 79: must be greater than or equal to `port`"
)]
#[case::end_too_great(
    "{port: 80, endPort: 70000}",
    "endPort: Invalid value: 70000: must be between 1 and 65535, inclusive"
)]
#[case::end_of_nothing(
    "{endPort: 80}",
    "endPort: Invalid value: 80: may not be specified when `port` is not specified"
)]
#[case::end_of_a_name(
    "{port: http, endPort: 80}",
    "endPort: Invalid value: 80: may not be specified when `port` is non-numeric"
)]
fn a_port_that_cannot_be_read_matches_nothing(#[case] port: &str, #[case] reason: &str) {
    let alone = &lowered(&format!("{{ingress: [{{ports: [{port}]}}]}}"))[0];
    let beside = &lowered(&format!("{{ingress: [{{ports: [{{port: 1}}, {port}]}}]}}"))[0];

    assert_eq!(alone.rules[0].ports, Ports::OneOf(Vec::new()));
    assert_eq!(
        alone.broken.as_deref(),
        Some(format!("spec.ingress[0].ports[0].{reason}; this entry matches no port").as_str())
    );
    assert_eq!(
        beside.rules[0].ports,
        Ports::OneOf(vec![PortMatch::Range(Protocol::Tcp, PortRange::single(1))])
    );
}

#[test]
fn a_subject_that_cannot_be_told_isolates_the_namespace() {
    let policies = lowered(
        "{podSelector: {matchExpressions: [{key: a, operator: Gt}]}, policyTypes: [Egress], egress: [{}]}",
    );

    let [policy] = <[Policy; 1]>::try_from(policies).expect("one direction");
    assert_eq!(policy.direction, Direction::Egress);
    assert_eq!(policy.subject.pods, Selector::EVERYTHING);
    // Its rule was meant for some pods, and must not open all of them.
    assert_eq!(policy.rules, []);
    insta::assert_snapshot!(policy.broken.expect("a reason"), @r#"spec.podSelector.matchExpressions[0].operator: Invalid value: "Gt": not a valid selector operator; all pods of the namespace are isolated, and nothing is allowed"#);
}

#[test]
fn an_unknown_type_isolates_both_directions() {
    let policies = lowered("{policyTypes: [ingress], ingress: [{}]}");

    let directions: Vec<_> = policies
        .iter()
        .map(|p| (p.direction, p.rules.len()))
        .collect();
    assert_eq!(
        directions,
        [(Direction::Ingress, 0), (Direction::Egress, 0)]
    );
    insta::assert_snapshot!(policies[0].broken.as_deref().expect("a reason"), @r#"spec.policyTypes[0]: Unsupported value: "ingress": supported values: "Ingress", "Egress"; both directions are isolated, and nothing is allowed"#);
}

#[test]
fn each_direction_reports_its_own_trouble() {
    let policies = lowered("{ingress: [{from: [{}]}], egress: [{}]}");

    assert!(policies[0].broken.is_some());
    assert_eq!(policies[1].broken, None);
}

#[test]
fn labels_that_no_object_can_have_are_read_as_they_stand() {
    let policies = lowered("{podSelector: {matchLabels: {a: b c}}}");

    assert_eq!(policies[0].broken, None);
    assert!(!policies[0].subject.pods.is_everything());
}
