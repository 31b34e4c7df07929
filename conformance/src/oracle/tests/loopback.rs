//! Lines 176–179.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_176_the_own_address(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    y/a -> y/a:80         allowed
    y/a -> y/a:icmp       allowed
    y/a -> y/a:80 over IPv6 allowed
    y/a -> y/b:80         denied"
)]
#[case::line_177_loopback(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    y/a -> 127.0.0.1:80   allowed
    y/a -> [::1]:80 over IPv6 allowed"
)]
#[case::line_178_through_its_own_service_after_dnat(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    y/a -> y/a:80         allowed"
)]
#[case::line_179_others_stay_denied(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    y/b -> y/a:80         denied
    x/a -> y/a:80         denied"
)]
fn loopback(#[case] case: &str) {
    check(case);
}
