//! Lines 193–198.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_193_ipv6_is_as_ipv4("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: web}]}]}
    x/a -> y/a:80 over IPv6   allowed
    x/a -> y/b:8080 over IPv6 allowed
    x/a -> y/b:80 over IPv6   denied
    z/a -> y/a:80 over IPv6   denied
    node/n1 -> y/a:81 over IPv6 allowed
    node/n2 -> y/a:80 over IPv6 denied")]
#[case::line_194_both_addresses_of_a_pod("
    policy y/p: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}
    y/b -> y/a:80         allowed
    y/b -> y/a:80 over IPv6 allowed
    y/c -> y/a:80         denied
    y/c -> y/a:80 over IPv6 denied")]
#[case::line_195_isolation_covers_both(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:80 over IPv6 denied
    z/a -> y/a:80 over IPv6 denied"
)]
#[case::line_196_a_block_is_of_one_family(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}
    policy z/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:80 over IPv6 denied
    x/a -> z/a:80         denied
    x/a -> z/a:80 over IPv6 allowed"
)]
fn dual_stack(#[case] case: &str) {
    check(case);
}
