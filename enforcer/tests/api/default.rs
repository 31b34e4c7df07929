//! What the API server fills in.

use enforcer::api::default_network_policy;
use rstest::rstest;

use super::policy;

#[rstest]
#[case::nothing("{}", &["Ingress"])] // semantics 8
#[case::null("", &["Ingress"])]
#[case::empty_list("{policyTypes: []}", &["Ingress"])] // semantics 11
#[case::ingress_rules("{ingress: [{}]}", &["Ingress"])]
#[case::egress_rules_alone("{egress: [{}]}", &["Ingress", "Egress"])] // semantics 9
#[case::empty_egress_list("{egress: []}", &["Ingress"])] // semantics 10
#[case::as_written("{policyTypes: [Egress]}", &["Egress"])] // semantics 13
#[case::not_what_the_rules_say("{policyTypes: [Ingress], egress: [{}]}", &["Ingress"])] // 14
fn policy_types(#[case] spec: &str, #[case] expected: &[&str]) {
    let mut policy = policy(spec);

    default_network_policy(&mut policy);

    let types = policy.spec.expect("a spec").policy_types.expect("types");
    assert_eq!(types, expected);
}

#[rstest]
#[case::empty_entry("{}", "TCP")] // semantics 89
#[case::number_alone("{port: 80}", "TCP")] // semantics 88
#[case::as_written("{protocol: UDP}", "UDP")]
#[case::as_written_even_if_wrong("{protocol: tcp}", "tcp")]
fn protocol_of_a_port(
    #[case] port: &str,
    #[case] expected: &str,
    #[values("ingress", "egress")] direction: &str,
) {
    let mut policy = policy(&format!("{{{direction}: [{{ports: [{port}]}}]}}"));

    default_network_policy(&mut policy);

    let spec = policy.spec.expect("a spec");
    let ingress = spec
        .ingress
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.ports);
    let egress = spec
        .egress
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.ports);
    let protocols: Vec<_> = ingress
        .chain(egress)
        .flatten()
        .map(|p| p.protocol)
        .collect();
    assert_eq!(protocols, [Some(expected.to_owned())]);
}
