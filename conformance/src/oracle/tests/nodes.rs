//! Lines 158 and 164–175.

use rstest::rstest;

use super::check;

const HOST: &str = "
    pod x/host: {metadata: {labels: {pod: host}}, spec: {hostNetwork: true, nodeName: n2, containers: []}, status: {phase: Running, podIPs: [{ip: 192.168.0.2}]}}
";

#[rstest]
#[case::line_158_the_running_pod_has_the_address("
    pod x/old: {metadata: {labels: {pod: old}, uid: b}, status: {phase: Unknown, podIPs: [{ip: 10.0.1.9}]}}
    pod z/new: {metadata: {labels: {pod: new}, uid: a}, status: {phase: Running, podIPs: [{ip: 10.0.1.9}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}
    10.0.1.9 -> y/a:80    allowed")]
#[case::line_158_of_running_pods_the_newest("
    pod x/old: {metadata: {uid: b, creationTimestamp: '2026-01-01T00:00:00Z'}, status: {phase: Running, podIPs: [{ip: 10.0.1.9}]}}
    pod z/new: {metadata: {uid: a, creationTimestamp: '2026-01-02T00:00:00Z'}, status: {phase: Running, podIPs: [{ip: 10.0.1.9}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    10.0.1.9 -> y/a:80    denied")]
#[case::line_158_of_equally_new_pods_the_greatest_uid(
    "
    pod x/one: {metadata: {uid: b}, status: {phase: Running, podIPs: [{ip: 10.0.1.9}]}}
    pod z/two: {metadata: {uid: a}, status: {phase: Running, podIPs: [{ip: 10.0.1.9}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    10.0.1.9 -> y/a:80    allowed"
)]
#[case::line_164_from_the_own_node(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    node/n1 -> y/a:80     allowed
    node/n1 -> y/a:icmp   allowed
    node/n1 -> y/a:80 over IPv6 allowed
    node/n2 -> y/b:80     allowed"
)]
#[case::line_165_to_the_own_node(
    "
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    y/a -> node/n1:53/UDP allowed
    y/a -> node/n1:53/UDP over IPv6 allowed"
)]
#[case::line_166_from_another_node(
    "
    policy y/p: {podSelector: {}}
    node/n2 -> y/a:80     denied
    x/host -> y/a:80      denied
    x/host -> y/b:80      allowed"
)]
#[case::line_167_nodes_are_in_no_namespace(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
    node/n2 -> y/a:80     denied
    x/host -> y/a:80      denied"
)]
#[case::line_168_an_empty_rule_lets_nodes_in(
    "
    policy y/p: {podSelector: {}, ingress: [{}]}
    node/n2 -> y/a:80     allowed
    x/host -> y/a:80      allowed"
)]
#[case::line_169_a_block_lets_a_node_in(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.0.2/32}}]}]}
    node/n2 -> y/a:80     allowed
    x/host -> y/a:80      allowed"
)]
#[case::line_170_to_another_node("
    policy y/p: {podSelector: {}, policyTypes: [Egress]}
    policy z/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.168.0.0/24}}]}]}
    y/a -> node/n2:80     denied
    y/a -> x/host:80      denied
    z/a -> node/n2:80     allowed")]
#[case::line_171_a_host_network_pod_is_not_restricted(
    "
    policy x/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    x/host -> y/a:80      allowed
    x/host -> ext:80      allowed
    y/a -> x/host:80      allowed
    ext -> x/host:80      allowed"
)]
#[case::line_172_a_nodes_own_traffic(
    "
    policy x/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    node/n1 -> ext:22     allowed
    ext -> node/n1:22     allowed
    node/n1 -> node/n2:10250 allowed"
)]
#[case::line_173_the_nodes_address_is_never_enforced(
    "
    policy x/p: {podSelector: {matchLabels: {pod: host}}, policyTypes: [Ingress, Egress]}
    ext -> node/n2:22     allowed
    node/n2 -> y/a:80     allowed
    y/a -> node/n2:80     allowed"
)]
#[case::line_174_traffic_of_others(
    "
    policy x/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    172.17.0.2 -> ext:80  allowed
    ext -> 172.17.0.2:80  allowed"
)]
#[case::line_175_a_host_port_after_dnat("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80}]}]}
    x/a -> y/b:80         allowed
    z/a -> y/b:80         denied")]
fn nodes(#[case] case: &str) {
    check(&format!("{HOST}{case}"));
}
