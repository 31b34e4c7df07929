//! Lines 120–129.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_120_nothing_leaves(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    y/a -> x/a:80         denied
    y/a -> y/b:80         denied
    y/a -> ext:80         denied
    x/a -> y/a:80         allowed"
)]
#[case::line_121_to_the_own_namespace("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]}
    y/a -> y/b:80         allowed
    y/a -> y/c:80         denied
    y/a -> x/b:80         denied")]
#[case::line_122_to_another_namespace("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: b}}}]}]}
    y/a -> x/b:80         allowed
    y/a -> x/a:80         denied
    y/a -> y/b:80         denied")]
#[case::line_123_to_a_named_port("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: query, protocol: UDP}]}]}
    y/a -> x/a:53/UDP     allowed
    y/a -> x/a:53         denied
    y/a -> x/a:80         denied")]
#[case::line_124_to_one_address("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.1.1/32}}]}]}
    y/a -> x/a:80         allowed
    y/a -> x/b:80         denied")]
#[case::line_124_to_a_range_but_one("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/4, except: [10.0.1.1/32]}}]}]}
    y/a -> x/a:80         denied
    y/a -> x/b:80         allowed")]
#[case::line_125_the_clients_denial_stands(
    "
    policy x/out: {podSelector: {}, policyTypes: [Egress]}
    policy y/in: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_126_outside("
    policy x/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
    policy z/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.7/32}}]}]}
    x/a -> ext:80         denied
    y/a -> ext:80         allowed
    z/a -> ext:80         allowed")]
#[case::line_127_nodes_and_metadata(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    y/a -> node/n2:6443   denied
    y/a -> 169.254.169.254:80 denied"
)]
#[case::line_128_one_allows_all(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53}]}]}
    policy y/q: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
    y/a -> x/a:80         allowed
    y/a -> ext:80         allowed"
)]
#[case::line_129_to_the_own_node(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    y/a -> node/n1:80     allowed
    y/b -> node/n2:80     allowed
    y/a -> node/n2:80     denied"
)]
fn egress(#[case] case: &str) {
    check(case);
}
