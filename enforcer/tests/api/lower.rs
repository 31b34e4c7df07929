//! What a NetworkPolicy means.

use enforcer::{
    api::{lower_network_policy, policy_ref},
    policy::{
        Direction, NamespaceScope, Peer, Peers, Policy, PolicyRef, PortMatch, PortRange, Ports,
        Protocol, Requirement, Selector,
    },
};
use rstest::rstest;

use super::{object, policy};

fn lowered(spec: &str) -> Vec<Policy> {
    lower_network_policy(&policy(spec))
}

/// The only rule of the only direction, ingress.
fn rule(rule: &str) -> (Peers, Ports) {
    let [policy] =
        <[Policy; 1]>::try_from(lowered(&format!("{{ingress: [{rule}]}}"))).expect("one direction");
    assert_eq!(policy.broken, None);
    let [rule] = <[_; 1]>::try_from(policy.rules).expect("one rule");
    (rule.peers, rule.ports)
}

fn is(key: &str, value: &str) -> Selector {
    Selector::new([Requirement::In(key.into(), vec![value.into()])])
}

fn own_namespace() -> NamespaceScope {
    NamespaceScope::Named("x".into())
}

fn every_namespace() -> NamespaceScope {
    NamespaceScope::Matching(Selector::EVERYTHING)
}

#[test]
fn the_identity_is_kind_namespace_and_name() {
    let policy = policy("{}");

    assert_eq!(policy_ref(&policy), PolicyRef::network_policy("x", "p"));
    assert_eq!(lowered("{}")[0].origin, policy_ref(&policy));
}

// Semantics 8–17.
#[rstest]
#[case::nothing("{}", &[(Direction::Ingress, 0)])]
#[case::no_rules("{ingress: []}", &[(Direction::Ingress, 0)])]
#[case::null_rules("{ingress: null}", &[(Direction::Ingress, 0)])]
#[case::egress_rules_alone("{egress: [{}]}", &[(Direction::Ingress, 0), (Direction::Egress, 1)])]
#[case::empty_egress("{egress: []}", &[(Direction::Ingress, 0)])]
#[case::egress_alone("{policyTypes: [Egress]}", &[(Direction::Egress, 0)])]
#[case::egress_rules_ignored("{policyTypes: [Ingress], egress: [{}]}", &[(Direction::Ingress, 0)])]
#[case::ingress_rules_ignored("{policyTypes: [Egress], ingress: [{}]}", &[(Direction::Egress, 0)])]
#[case::deny_all("{policyTypes: [Ingress, Egress]}", &[(Direction::Ingress, 0), (Direction::Egress, 0)])]
#[case::either_order("{policyTypes: [Egress, Ingress]}", &[(Direction::Ingress, 0), (Direction::Egress, 0)])]
#[case::twice("{policyTypes: [Ingress, Ingress], ingress: [{}, {}]}", &[(Direction::Ingress, 2)])]
fn directions_and_rules(#[case] spec: &str, #[case] expected: &[(Direction, usize)]) {
    let found: Vec<_> = lowered(spec)
        .iter()
        .map(|p| (p.direction, p.rules.len()))
        .collect();

    assert_eq!(found, expected);
}

// Semantics 22, 26–34.
#[rstest]
#[case::absent("{}", Selector::EVERYTHING)]
#[case::null("{podSelector: null}", Selector::EVERYTHING)]
#[case::empty("{podSelector: {}}", Selector::EVERYTHING)]
#[case::label("{podSelector: {matchLabels: {a: b}}}", is("a", "b"))]
#[case::every_operator(
    "{podSelector: {matchLabels: {l: v}, matchExpressions: [\
       {key: a, operator: In, values: [c, b]}, {key: a, operator: NotIn, values: [d]}, \
       {key: e, operator: Exists}, {key: f, operator: DoesNotExist}]}}",
    Selector::new([
        Requirement::In("l".into(), vec!["v".into()]),
        Requirement::In("a".into(), vec!["b".into(), "c".into()]),
        Requirement::NotIn("a".into(), vec!["d".into()]),
        Requirement::Exists("e".into()),
        Requirement::DoesNotExist("f".into()),
    ])
)]
fn subjects(#[case] spec: &str, #[case] pods: Selector) {
    let [policy] = <[Policy; 1]>::try_from(lowered(spec)).expect("one direction");

    assert_eq!(policy.subject.namespaces, own_namespace());
    assert_eq!(policy.subject.pods, pods);
}

// Semantics 43–53.
#[rstest]
#[case::absent("{}", Peers::Any)]
#[case::null("{from: null}", Peers::Any)]
#[case::empty("{from: []}", Peers::Any)]
#[case::pods("{from: [{podSelector: {matchLabels: {a: b}}}]}", Peers::OneOf(vec![
    Peer::Pods { namespaces: own_namespace(), pods: is("a", "b") },
]))]
#[case::all_pods_of_the_namespace("{from: [{podSelector: {}}]}", Peers::OneOf(vec![
    Peer::Pods { namespaces: own_namespace(), pods: Selector::EVERYTHING },
]))]
#[case::namespaces("{from: [{namespaceSelector: {matchLabels: {a: b}}}]}", Peers::OneOf(vec![
    Peer::Pods { namespaces: NamespaceScope::Matching(is("a", "b")), pods: Selector::EVERYTHING },
]))]
#[case::all_namespaces("{from: [{namespaceSelector: {}}]}", Peers::OneOf(vec![
    Peer::Pods { namespaces: every_namespace(), pods: Selector::EVERYTHING },
]))]
#[case::both_in_one("{from: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}]}", Peers::OneOf(vec![
    Peer::Pods { namespaces: every_namespace(), pods: is("a", "b") },
]))]
#[case::one_of_two("{from: [{namespaceSelector: {}}, {podSelector: {matchLabels: {a: b}}}]}", Peers::OneOf(vec![
    Peer::Pods { namespaces: every_namespace(), pods: Selector::EVERYTHING },
    Peer::Pods { namespaces: own_namespace(), pods: is("a", "b") },
]))]
fn peers(#[case] written: &str, #[case] expected: Peers) {
    assert_eq!(rule(written).0, expected);
}

// Semantics 64–79: what a range means, also in forms that only older servers accepted.
#[rstest]
#[case::plain("10.0.0.0/8", &[], "10.0.0.0/8", &[])]
#[case::every_address("0.0.0.0/0", &["10.0.0.0/8"], "0.0.0.0/0", &["10.0.0.0/8"])]
#[case::version_6("FD00:0::/48", &["fd00:0:0:1::/64"], "fd00::/48", &["fd00:0:0:1::/64"])]
#[case::host_bits("10.0.0.1/24", &["10.0.0.9/28"], "10.0.0.0/24", &["10.0.0.0/28"])]
#[case::leading_zeros_are_decimal("010.000.0.0/08", &["010.010.0.0/16"], "10.0.0.0/8", &["10.10.0.0/16"])]
#[case::mapped("::ffff:10.0.0.0/104", &["::ffff:10.1.0.0/112", "10.2.0.0/16"], "10.0.0.0/8", &["10.1.0.0/16", "10.2.0.0/16"])]
#[case::mapped_block_itself("::ffff:0:0/96", &[], "0.0.0.0/0", &[])]
#[case::mapped_with_a_short_prefix_is_not_v4("::ffff:10.0.0.0/24", &[], "::/24", &[])]
#[case::hole_of_the_other_family("10.0.0.0/8", &["fd00::/64"], "10.0.0.0/8", &[])]
#[case::hole_of_all("10.0.0.0/8", &["10.0.0.0/8"], "10.0.0.0/8", &["10.0.0.0/8"])]
fn blocks(
    #[case] cidr: &str,
    #[case] except: &[&str],
    #[case] meaning: &str,
    #[case] holes: &[&str],
) {
    let (peers, _) = rule(&format!(
        "{{from: [{{ipBlock: {{cidr: '{cidr}', except: {except:?}}}}}]}}"
    ));

    let expected = Peer::Block {
        cidr: meaning.parse().expect("a range"),
        except: holes
            .iter()
            .map(|hole| hole.parse().expect("a range"))
            .collect(),
    };
    assert_eq!(peers, Peers::OneOf(vec![expected]));
}

// Semantics 84–103.
#[rstest]
#[case::absent("{}", Ports::All)]
#[case::null("{ports: null}", Ports::All)]
#[case::empty("{ports: []}", Ports::All)]
#[case::empty_entry("{ports: [{}]}", Ports::OneOf(vec![PortMatch::Range(Protocol::Tcp, PortRange::ALL)]))]
#[case::number("{ports: [{port: 80}]}", Ports::OneOf(vec![PortMatch::Range(Protocol::Tcp, PortRange::single(80))]))]
#[case::protocol("{ports: [{protocol: UDP}]}", Ports::OneOf(vec![PortMatch::Range(Protocol::Udp, PortRange::ALL)]))]
#[case::name("{ports: [{port: web, protocol: SCTP}]}", Ports::OneOf(vec![PortMatch::Named(Protocol::Sctp, "web".into())]))]
#[case::range("{ports: [{port: 80, endPort: 90}]}", Ports::OneOf(vec![PortMatch::Range(Protocol::Tcp, PortRange::new(80, 90).unwrap())]))]
#[case::several("{ports: [{port: 53, protocol: UDP}, {port: 53}]}", Ports::OneOf(vec![
    PortMatch::Range(Protocol::Udp, PortRange::single(53)),
    PortMatch::Range(Protocol::Tcp, PortRange::single(53)),
]))]
fn ports(#[case] written: &str, #[case] expected: Ports) {
    assert_eq!(rule(written).1, expected);
}

#[test]
fn rules_keep_their_index_and_their_own_ports() {
    let policies =
        lowered("{egress: [{to: [{podSelector: {}}]}, {ports: [{port: 80}]}], ingress: [{}]}");

    let [ingress, egress] = <[Policy; 2]>::try_from(policies).expect("two directions");
    let indices: Vec<_> = egress.rules.iter().map(|rule| rule.index).collect();
    assert_eq!(indices, [0, 1]);
    assert_eq!(egress.rules[0].ports, Ports::All);
    assert_eq!(egress.rules[1].peers, Peers::Any);
    assert_eq!(ingress.rules.len(), 1);
}

#[test]
fn a_policy_without_a_spec_isolates_its_namespace() {
    let [policy] = <[Policy; 1]>::try_from(lower_network_policy(&object(
        "metadata: {namespace: x, name: p}",
    )))
    .expect("one direction");

    assert_eq!(policy.subject.pods, Selector::EVERYTHING);
    assert_eq!(policy.rules, []);
}
