//! Lines 217 and 218: pods that a node has not heard of.

use rstest::rstest;

use super::world::{connection, world};
use crate::oracle::{judge_hold, judge_on};

/// n1 gives out 10.0.1.0/24 and fd00::1:0/112; x/a and x/c are there, x/b is on n2.
const RANGES: [&str; 1] = [
    "node n1: {spec: {podCIDR: 10.0.1.0/24, podCIDRs: [10.0.1.0/24, 'fd00::1:0/112']}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}",
];

#[rstest]
#[case::known_pods_of_the_node("x/a -> x/c:80", "n1", true)]
#[case::somebody_new_there("ext -> 10.0.1.77:80", "n1", false)]
#[case::somebody_new_from_there("10.0.1.77 -> ext:80", "n1", false)]
#[case::the_other_family("ext -> fd00::1:77:80 over IPv6", "n1", false)]
#[case::a_pod_of_another_node_in_the_range("x/b -> ext:80", "n1", true)]
#[case::another_node_lets_it_pass("10.0.1.77 -> ext:80", "n2", true)]
#[case::outside_of_the_range("10.0.9.77 -> ext:80", "n1", true)]
#[case::a_node_without_ranges("ext -> 10.0.1.77:80", "n2", true)]
fn a_node_holds_addresses_that_nobody_is_known_to_have(
    #[case] flow: &str,
    #[case] node: &str,
    #[case] passes: bool,
) {
    let world = world(&RANGES);
    let judgement = judge_hold(&world, &connection(&world, flow), node);
    assert_eq!(judgement.allowed, passes, "{judgement:#?}");
    if !passes {
        assert_eq!(judgement.lines, [217, 218]);
        assert!(
            judgement.reasons[0]
                .ends_with("is in the pod range of n1, which knows no pod that has it")
        );
    }
}

/// A pod that a node has not heard of is no pod to it, and is not the node itself either, though it
/// runs there.
#[test]
fn an_unknown_pod_is_somebody_outside() {
    let mut objects = RANGES.to_vec();
    objects.push("policy x/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}");
    objects.push(
        "policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.77/32}}]}]}",
    );
    let world = world(&objects);
    let from_n1 = |flow| {
        let mut connection = connection(&world, flow);
        connection.source_node = Some("n1".to_owned());
        judge_on(&world, &connection, "n1").allowed
    };
    assert!(!from_n1("10.0.1.77 -> x/a:80"));
    assert!(from_n1("10.0.1.77 -> y/a:80"));
}
