//! Policies that a newer server might send: what is unknown in them closes, and is reported
//! (semantics 227, 248).

use enforcer::{
    api::{lower_stored_network_policy, network_policy_from_json, policy_ref},
    policy::{Direction, Peer, Peers, Policy, PolicyRef, PortMatch, PortRange, Ports, Protocol},
};
use rstest::rstest;
use serde_json::{Value, json};

/// The policy `x/p` as a server sends it, lowered.
fn lowered(spec: &Value) -> Vec<Policy> {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "x", "name": "p", "uid": "1", "managedFields": []},
        "spec": spec,
    });
    let (policy, unknown) = network_policy_from_json(&object);
    assert_eq!(policy_ref(&policy), PolicyRef::network_policy("x", "p"));
    lower_stored_network_policy(&policy, &unknown)
}

fn broken(policies: &[Policy]) -> Vec<Option<&str>> {
    policies.iter().map(|p| p.broken.as_deref()).collect()
}

#[test]
fn an_object_that_is_known_is_read_as_it_stands() {
    let spec = json!({
        "podSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"n": "m"}}}]},
            {"ports": [{"port": 80, "endPort": 90, "protocol": "TCP"}, {"port": "web", "protocol": "UDP"}]}, {}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": null}],
    });
    let object = json!({"metadata": {"namespace": "x", "name": "p"}, "spec": spec, "status": {"conditions": []}});

    let (policy, unknown) = network_policy_from_json(&object);

    assert_eq!(unknown, []);
    let decoded = serde_json::from_value(object).expect("the object fits its type");
    assert_eq!(policy, decoded);
}

#[rstest]
#[case::another_kind_of_peer(json!({"serviceAccountSelector": {}}), "spec.ingress[0].from[0].serviceAccountSelector: unknown field")]
// Without its new field it would allow more than was meant.
#[case::a_restriction(json!({"podSelector": {}, "serviceAccount": "a"}), "spec.ingress[0].from[0].serviceAccount: unknown field")]
#[case::a_restriction_of_a_selector(json!({"podSelector": {"matchNames": ["a"]}}), "spec.ingress[0].from[0].podSelector.matchNames: unknown field")]
#[case::a_restriction_of_a_requirement(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "ignoreCase": true}]}}), "spec.ingress[0].from[0].podSelector.matchExpressions[0].ignoreCase: unknown field")]
#[case::a_restriction_of_a_block(json!({"ipBlock": {"cidr": "10.0.0.0/8", "zone": "a"}}), "spec.ingress[0].from[0].ipBlock.zone: unknown field")]
#[case::another_type(json!({"ipBlock": {"cidr": ["10.0.0.0/8"]}}), "spec.ingress[0].from[0]: invalid type: sequence, expected a string")]
#[case::no_object(json!("everyone"), "spec.ingress[0].from[0]: invalid type: string \"everyone\", expected NetworkPolicyPeer")]
#[case::null(json!(null), "spec.ingress[0].from[0]: invalid type: null, expected NetworkPolicyPeer")]
#[case::nothing(json!({}), "spec.ingress[0].from[0]: Required value: must specify a peer")]
fn a_peer_with_something_unknown_matches_nobody(#[case] peer: Value, #[case] why: &str) {
    let policies = lowered(&json!({"ingress": [{"from": [peer, {"podSelector": {}}]}]}));

    let Peers::OneOf(peers) = &policies[0].rules[0].peers else {
        panic!("it has peers");
    };
    assert!(
        matches!(&peers[..], [Peer::Unreadable(found), Peer::Pods { .. }] if **found == *why),
        "{peers:?}"
    );
    assert_eq!(
        broken(&policies),
        [Some(format!("{why}; this peer matches nobody").as_str())]
    );
}

#[rstest]
#[case::a_restriction(json!({"port": 80, "sourcePort": 1024}), "spec.ingress[0].ports[0].sourcePort: unknown field")]
#[case::protocol(json!({"port": 80, "protocol": "QUIC"}), "spec.ingress[0].ports[0].protocol: Unsupported value: \"QUIC\": supported values: \"TCP\", \"UDP\", \"SCTP\"")]
#[case::a_port_of_another_type(json!({"port": {"name": "web"}}), "spec.ingress[0].ports[0]: invalid type: map, expected IntOrString")]
#[case::a_port_that_is_too_great(json!({"port": 4_294_967_376_u64}), "spec.ingress[0].ports[0]: invalid value: integer `4294967376`, expected a 32-bit integer")]
fn a_port_with_something_unknown_matches_nothing(#[case] port: Value, #[case] why: &str) {
    let policies = lowered(&json!({"ingress": [{"ports": [port, {"port": 1}]}]}));

    let known = PortMatch::Range(Protocol::Tcp, PortRange::single(1));
    assert_eq!(policies[0].rules[0].ports, Ports::OneOf(vec![known]));
    assert_eq!(
        broken(&policies),
        [Some(format!("{why}; this entry matches no port").as_str())]
    );
}

#[rstest]
#[case::a_restriction(json!({"tlsNames": ["a"]}), "spec.ingress[0].tlsNames: unknown field")]
#[case::an_action(json!({"action": "Deny", "from": [{"podSelector": {}}]}), "spec.ingress[0].action: unknown field")]
#[case::peers_of_another_type(json!({"from": {"podSelector": {}}}), "spec.ingress[0].from: expected a list")]
#[case::no_object(json!(["a"]), "spec.ingress[0]: expected an object")]
fn a_rule_with_something_unknown_allows_nothing(#[case] rule: Value, #[case] why: &str) {
    let policies = lowered(&json!({"ingress": [rule, {}], "policyTypes": ["Ingress"]}));

    let [closed, open] = &policies[0].rules[..] else {
        panic!("both rules keep their place");
    };
    assert!(
        matches!(&closed.peers, Peers::OneOf(peers) if matches!(peers[..], [Peer::Unreadable(_)])),
        "{closed:?}"
    );
    assert_eq!(open.peers, Peers::Any);
    assert_eq!(
        broken(&policies),
        [Some(format!("{why}; this peer matches nobody").as_str())]
    );
}

#[rstest]
#[case::a_list_of_another_type(json!({"ingress": {}, "egress": [{}]}), [1, 1], [true, false])]
#[case::egress_that_counts_for_the_types(json!({"egress": "all"}), [0, 1], [false, true])]
#[case::another_field(json!({"ingress": [{}, {}], "egress": [{}], "action": "Deny"}), [2, 1], [true, true])]
fn a_part_of_the_spec_that_is_unknown_closes_what_it_may_concern(
    #[case] spec: Value,
    #[case] rules: [usize; 2],
    #[case] closed: [bool; 2],
) {
    let policies = lowered(&spec);

    let found: Vec<_> = policies
        .iter()
        .map(|p| (p.direction, p.rules.len(), p.broken.is_some()))
        .collect();
    assert_eq!(
        found,
        [
            (Direction::Ingress, rules[0], closed[0]),
            (Direction::Egress, rules[1], closed[1]),
        ]
    );
    for policy in policies.iter().filter(|p| p.broken.is_some()) {
        assert!(policy.rules.iter().all(|rule| rule.peers != Peers::Any));
    }
}

#[rstest]
#[case::subject(json!({"podSelector": {"matchNames": ["a"]}, "ingress": [{}]}), 1, "spec.podSelector.matchNames: unknown field; all pods of the namespace are isolated, and nothing is allowed")]
#[case::subject_of_another_type(json!({"podSelector": "a", "ingress": [{}]}), 1, "spec.podSelector: invalid type: string \"a\", expected LabelSelector; all pods of the namespace are isolated, and nothing is allowed")]
#[case::types(json!({"policyTypes": "Ingress", "ingress": [{}]}), 2, "spec.policyTypes: invalid type: string \"Ingress\", expected a sequence; both directions are isolated, and nothing is allowed")]
#[case::type_of_a_newer_server(json!({"policyTypes": ["Ingress", "Forward"], "ingress": [{}]}), 2, "spec.policyTypes[1]: Unsupported value: \"Forward\": supported values: \"Ingress\", \"Egress\"; both directions are isolated, and nothing is allowed")]
fn whom_it_isolates_cannot_be_told(
    #[case] spec: Value,
    #[case] directions: usize,
    #[case] why: &str,
) {
    let policies = lowered(&spec);

    assert_eq!(broken(&policies), vec![Some(why); directions]);
    assert!(policies.iter().all(|policy| policy.rules.is_empty()));
}

#[test]
fn no_spec_at_all_isolates_for_ingress() {
    assert_eq!(broken(&lowered(&Value::Null)), [None]);
}

#[test]
fn a_spec_of_another_type_isolates_the_namespace_in_both_directions() {
    let policies = lowered(&json!([1]));

    let [ingress, egress] = &policies[..] else {
        panic!("two directions");
    };
    assert!(ingress.subject.pods.is_everything() && egress.subject.pods.is_everything());
    insta::assert_snapshot!(ingress.broken.as_deref().expect("a reason"), @r"
    spec: expected an object; all pods of the namespace are isolated, and nothing is allowed
    spec: expected an object; both directions are isolated, and nothing is allowed
    ");
}

#[test]
fn unknown_fields_beside_the_spec_close_it_too() {
    let object = json!({
        "metadata": {"namespace": "x", "name": "p"}, "spec": {"ingress": [{}]}, "enforcement": "off",
    });

    let (policy, unknown) = network_policy_from_json(&object);

    assert_eq!(unknown[0].to_string(), "enforcement: unknown field");
    let policies = lower_stored_network_policy(&policy, &unknown);
    assert_eq!(
        broken(&policies),
        [Some("enforcement: unknown field; this peer matches nobody")]
    );
}

#[test]
fn metadata_that_cannot_be_read_still_names_the_object() {
    let object = json!({"metadata": {"namespace": "x", "name": "p", "labels": ["a"]}, "spec": {}});

    let (policy, unknown) = network_policy_from_json(&object);

    assert_eq!(policy_ref(&policy), PolicyRef::network_policy("x", "p"));
    assert_eq!(unknown[0].to_string(), "metadata: cannot be read");
}
