//! Lines 64–83.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_064_sources(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied
    ext -> y/a:80         denied"
)]
#[case::line_064_destinations("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}
    y/a -> ext:80         allowed
    y/a -> x/a:80         denied")]
#[case::line_065_one_pod(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}]}
    x/a -> y/a:80         allowed
    x/b -> y/a:80         denied"
)]
#[case::line_065_one_pod_by_ipv6(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 'fd00::1:1/128'}}]}]}
    x/a -> y/a:80 over IPv6 allowed
    x/b -> y/a:80 over IPv6 denied
    x/a -> y/a:80         denied"
)]
#[case::line_066_except("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.1/32]}}]}]}
    x/a -> y/a:80         denied
    x/b -> y/a:80         allowed")]
#[case::line_067_an_except_is_no_denial_of_a_peer("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}, {namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed")]
#[case::line_067_an_except_is_no_denial_of_a_rule("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}]}, {from: [{ipBlock: {cidr: 10.0.1.1/32}}]}]}
    x/a -> y/a:80         allowed
    x/b -> y/a:80         denied")]
#[case::line_067_an_except_is_no_denial_of_a_policy("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}]}]}
    policy y/q: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         allowed")]
#[case::line_068_the_other_order("
    policy y/q: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         allowed")]
#[case::line_069_several_excepts("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.1/32, 10.0.3.0/24]}}]}]}
    x/a -> y/a:80         denied
    x/b -> y/a:80         allowed
    z/a -> y/a:80         denied
    y/b -> y/a:80         allowed")]
#[case::line_070_excepts_stay_apart("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}, {ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.2/32]}}]}]}
    x/a -> y/a:80         allowed
    x/b -> y/a:80         denied
    z/a -> y/a:80         allowed")]
#[case::line_071_excepts_cover_the_block("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.0/25, 10.0.1.128/25]}}]}]}
    x/a -> y/a:80         denied
    z/a -> y/a:80         denied")]
#[case::line_072_nested_blocks("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16}}, {ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: 10.0.1.1/32}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         allowed
    ext -> y/a:80         denied")]
#[case::line_072_across_policies(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}
    policy y/q: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/23}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied"
)]
#[case::line_073_one_of_two_overlapping_is_gone(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied"
)]
#[case::line_074_duplicates("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: 10.0.1.0/24}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied")]
#[case::line_075_adjacent("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/25}}, {ipBlock: {cidr: 10.0.1.128/25}}]}]}
    x/a -> y/a:80         allowed
    10.0.1.127 -> y/a:80  allowed
    10.0.1.128 -> y/a:80  allowed
    10.0.2.0 -> y/a:80    denied")]
#[case::line_076_all_of_ipv4(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}
    x/a -> y/a:80         allowed
    ext -> y/a:80         allowed
    node/n2 -> y/a:80     allowed
    x/a -> y/a:80 over IPv6 denied"
)]
#[case::line_076_all_of_ipv6(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]}
    x/a -> y/a:80 over IPv6 allowed
    ext -> y/a:80 over IPv6 allowed
    x/a -> y/a:80         denied"
)]
#[case::line_077_the_outside_only("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.168.0.0/16]}}]}]}
    y/a -> ext:80         allowed
    y/a -> x/a:80         denied
    y/a -> node/n2:80     denied")]
#[case::line_078_host_bits(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.77/24}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied"
)]
#[case::line_078_leading_zeros("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 010.000.001.0/24, except: [10.0.01.02/32]}}]}]}
    x/a -> y/a:80         allowed
    x/b -> y/a:80         denied
    z/a -> y/a:80         denied")]
#[case::line_079_ipv4_mapped(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::ffff:10.0.1.0/120'}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied
    x/a -> y/a:80 over IPv6 denied"
)]
#[case::line_080_a_nodes_address("
    pod x/host: {spec: {hostNetwork: true, nodeName: n2, containers: []}, status: {podIPs: [{ip: 192.168.0.2}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.0.2/32}}]}]}
    node/n2 -> y/a:80     allowed
    x/host -> y/a:80      allowed
    node/n1 -> y/b:80     denied")]
#[case::line_081_the_rewritten_source_counts(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}
    node/n2 -> y/a:80     denied
    ext -> y/a:80         allowed"
)]
#[case::line_082_after_dnat_a_cluster_address_matches_nothing("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.1/32}}]}]}
    y/a -> x/a:80         denied")]
#[case::line_083_a_new_address(
    "
    pod x/a: {metadata: {labels: {pod: a}}, status: {phase: Running, podIPs: [{ip: 10.0.1.9}]}}
    pod z/new: {status: {phase: Running, podIPs: [{ip: 10.0.1.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}]}
    x/a -> y/a:80         denied
    z/new -> y/a:80       allowed"
)]
fn blocks(#[case] case: &str) {
    check(case);
}
