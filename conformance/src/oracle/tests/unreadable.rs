//! Line 227: what cannot be read closes its own pods in its own direction, and nothing else.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_227_a_cidr(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: nonsense}}]}]}
    x/a -> y/a:80         denied
    y/a -> x/a:80         allowed
    y/a -> z/a:80         allowed"
)]
#[case::line_227_an_except_closes_its_block("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [nonsense]}}, {ipBlock: {cidr: 10.0.1.2/32}}]}]}
    x/a -> y/a:80         denied
    x/b -> y/a:80         allowed")]
#[case::line_237_a_peer_without_a_field(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_238_a_block_beside_selectors("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}, podSelector: {}}]}]}
    x/a -> y/a:80         denied
    y/b -> y/a:80         denied")]
#[case::line_243_a_peer_selector("
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: []}]}}, {podSelector: {matchLabels: {pod: c}}}]}]}
    y/b -> y/a:80         denied
    y/c -> y/a:80         allowed")]
#[case::line_243_a_namespace_selector("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: Like, values: [x]}]}}]}]}
    x/a -> y/a:80         denied")]
#[case::line_243_exists_with_values("
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: Exists, values: [b]}]}}]}]}
    y/b -> y/a:80         denied")]
#[case::line_243_a_subject_selector_closes_the_namespace("
    policy y/p: {podSelector: {matchLabels: {pod: a}, matchExpressions: [{key: pod, operator: In}]}, ingress: [{}]}
    x/a -> y/a:80         denied
    x/a -> y/b:80         denied
    y/a -> x/a:80         allowed
    x/a -> z/a:80         allowed")]
#[case::line_227_others_still_allow(
    "
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: Like}]}, ingress: [{}]}
    policy y/q: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied"
)]
#[case::line_242_a_type_closes_both_directions(
    "
    policy y/p: {podSelector: {matchLabels: {pod: a}}, policyTypes: [ingress], ingress: [{}]}
    x/a -> y/a:80         denied
    y/a -> x/a:80         denied
    x/a -> y/b:80         allowed"
)]
#[case::line_230_a_protocol(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: tcp}, {port: 81}]}]}
    x/a -> y/a:80         denied
    x/a -> y/a:81         allowed"
)]
#[case::line_231_a_port(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 0}, {port: -1}, {port: 65536}]}]}
    x/a -> y/a:80         denied
    x/a -> y/a:0          denied"
)]
#[case::line_233_an_end_port_below_its_port(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 70}]}]}
    x/a -> y/a:75         denied
    x/a -> y/a:80         denied"
)]
#[case::line_234_an_end_port_beside_a_name(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web, endPort: 90}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_235_an_end_port_without_a_port(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{endPort: 90}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_236_an_end_port_out_of_range(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 70000}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_227_an_unknown_namespace_matches_no_selector(
    "
    pod w/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
    w/a -> y/a:80         denied"
)]
fn unreadable(#[case] case: &str) {
    check(case);
}
