//! Lines 1–25.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_001_no_policy(
    "
    x/a -> y/a:80         allowed
    x/a -> y/a:80/UDP     allowed
    x/a -> y/a:80/SCTP    allowed
    x/a -> y/a:icmp       allowed
    ext -> y/a:80         allowed
    x/a -> ext:80         allowed"
)]
#[case::line_001_open_for_the_other_direction(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    x/a -> y/a:80         allowed
    y/a -> x/a:80         denied"
)]
#[case::line_002_ingress_omitted(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress]}
    x/a -> y/a:80         denied
    y/b -> y/a:80         denied
    y/c -> y/a:80         denied
    ext -> y/a:80         denied
    node/n1 -> y/a:80     allowed
    y/a -> x/a:80         allowed"
)]
#[case::line_003_ingress_empty(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress], ingress: []}
    x/a -> y/a:80         denied"
)]
#[case::line_004_ingress_null(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress], ingress: null}
    x/a -> y/a:80         denied"
)]
#[case::line_005_one_empty_ingress_rule(
    "
    policy y/p: {podSelector: {}, ingress: [{}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:1/SCTP     allowed
    ext -> y/a:65535/UDP  allowed"
)]
#[case::line_006_one_empty_egress_rule(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
    y/a -> x/a:80         allowed
    y/a -> x/a:1/SCTP     allowed
    y/a -> ext:65535/UDP  allowed"
)]
#[case::line_007_egress_omitted(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    y/a -> x/a:80         denied
    y/a -> ext:80         denied
    y/a -> node/n1:80     allowed"
)]
#[case::line_007_egress_empty(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: []}
    y/a -> x/a:80         denied"
)]
#[case::line_008_types_omitted(
    "
    policy y/p: {podSelector: {}}
    x/a -> y/a:80         denied
    y/a -> x/a:80         allowed"
)]
#[case::line_009_types_omitted_with_egress_rules(
    "
    policy y/p: {podSelector: {}, egress: [{to: [{podSelector: {}}]}]}
    x/a -> y/a:80         denied
    y/b -> y/a:80         denied
    y/a -> x/a:80         denied"
)]
#[case::line_010_types_omitted_with_empty_egress(
    "
    policy y/p: {podSelector: {}, egress: []}
    x/a -> y/a:80         denied
    y/a -> x/a:80         allowed"
)]
#[case::line_011_types_empty(
    "
    policy y/p: {podSelector: {}, policyTypes: []}
    x/a -> y/a:80         denied
    y/a -> x/a:80         allowed"
)]
#[case::line_011_types_empty_with_egress_rules(
    "
    policy y/p: {podSelector: {}, policyTypes: [], egress: [{ports: [{port: 53}]}]}
    x/a -> y/a:80         denied
    y/a -> x/a:80         denied
    y/a -> x/a:53         allowed"
)]
#[case::line_012_egress_must_be_named(
    "
    policy y/p: {podSelector: {}}
    policy z/p: {podSelector: {}, policyTypes: [Egress]}
    y/a -> x/a:80         allowed
    z/a -> x/a:80         denied"
)]
#[case::line_013_egress_alone(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    x/a -> y/a:80         allowed"
)]
#[case::line_014_egress_rules_without_the_type(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 53}]}]}
    y/a -> x/a:80         allowed
    x/a -> y/a:80         denied"
)]
#[case::line_015_ingress_rules_without_the_type(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], ingress: [{ports: [{port: 53}]}]}
    x/a -> y/a:80         allowed
    y/a -> x/a:80         denied"
)]
#[case::line_016_both_types_and_no_rules(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    x/a -> y/a:80         denied
    y/a -> x/a:80         denied
    y/a -> y/b:80         denied"
)]
#[case::line_017_a_type_twice(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Ingress]}
    x/a -> y/a:80         denied
    y/a -> x/a:80         allowed"
)]
#[case::line_018_ingress_does_not_restrict_egress(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
    y/a -> x/a:80         allowed
    y/a -> ext:80         allowed"
)]
#[case::line_018_egress_does_not_restrict_ingress(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}
    x/a -> y/a:80         allowed
    ext -> y/a:80         allowed"
)]
#[case::line_019_both_sides(
    "
    policy x/out: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress]}
    policy y/in: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}
    x/b -> y/b:80         allowed
    x/a -> y/b:80         denied
    x/b -> y/a:80         denied
    x/a -> y/a:80         denied"
)]
#[case::line_020_replies_are_not_judged(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    policy x/p: {podSelector: {}, policyTypes: [Ingress]}
    x/a -> y/a:80         allowed"
)]
#[case::line_021_a_new_connection_back_is_judged(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    policy x/p: {podSelector: {}, policyTypes: [Ingress]}
    y/a -> x/a:80         denied"
)]
#[case::line_022_subjects_of_its_own_namespace_only(
    "
    policy x/p: {podSelector: {}}
    z/a -> x/a:80         denied
    z/a -> y/a:80         allowed"
)]
#[case::line_023_an_empty_namespace(
    "
    namespace w: {}
    policy w/p: {podSelector: {}}
    x/a -> y/a:80         allowed"
)]
#[case::line_023_a_pod_that_came_later(
    "
    namespace w: {}
    policy w/p: {podSelector: {}}
    pod w/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    x/a -> w/a:80         denied"
)]
#[case::line_024_a_selector_that_matches_nothing(
    "
    policy y/p: {podSelector: {matchLabels: {pod: none}}, policyTypes: [Ingress, Egress]}
    x/a -> y/a:80         allowed
    y/a -> x/a:80         allowed"
)]
fn isolation_and_types(#[case] case: &str) {
    check(case);
}
