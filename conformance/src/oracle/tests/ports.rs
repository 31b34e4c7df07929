//! Lines 84–108.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_084_omitted(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:1/UDP      allowed
    x/a -> y/a:65535/SCTP allowed"
)]
#[case::line_084_empty(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: []}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:1/UDP      allowed"
)]
#[case::line_084_null(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: null}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:1/UDP      allowed"
)]
#[case::line_085_a_number(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: TCP}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:81         denied
    x/a -> y/a:79         denied"
)]
#[case::line_086_several(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80}, {port: 90}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:90         allowed
    x/a -> y/a:85         denied"
)]
#[case::line_087_ports_and_peers("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:81         denied
    z/a -> y/a:80         denied")]
#[case::line_088_protocol_defaults_to_tcp(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:80/UDP     denied
    x/a -> y/a:80/SCTP    denied"
)]
#[case::line_089_an_empty_port(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:65535      allowed
    x/a -> y/a:80/UDP     denied
    x/a -> y/a:80/SCTP    denied"
)]
#[case::line_090_a_protocol_alone(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}
    x/a -> y/a:1/UDP      allowed
    x/a -> y/a:65535/UDP  allowed
    x/a -> y/a:80         denied"
)]
#[case::line_091_a_name_on_ingress(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:8080       denied"
)]
#[case::line_091_a_name_on_egress_is_the_destinations(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]}
    y/a -> x/b:8080       allowed
    y/a -> x/b:80         denied
    y/b -> x/a:80         allowed
    y/b -> x/a:8080       denied"
)]
#[case::line_091_ports_of_init_containers_that_go_on_running(
    "
    pod y/d: {spec: {containers: [], initContainers: [{name: once, ports: [{name: setup, containerPort: 91}]}, {name: on, restartPolicy: Always, ports: [{name: proxy, containerPort: 92}]}]}, status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: setup}, {port: proxy}]}]}
    x/a -> y/d:92         allowed
    x/a -> y/d:91         denied"
)]
#[case::line_092_each_pod_its_own_number(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:8080       denied
    x/a -> y/b:8080       allowed
    x/a -> y/b:80         denied"
)]
#[case::line_092_the_first_container_names_it(
    "
    pod y/d: {spec: {containers: [{name: one, ports: [{name: web, containerPort: 91}]}, {name: two, ports: [{name: web, containerPort: 92}]}]}, status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web}]}]}
    x/a -> y/d:91         allowed
    x/a -> y/d:92         denied"
)]
#[case::line_093_the_names_protocol(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: query, protocol: TCP}]}]}
    policy z/p: {podSelector: {}, ingress: [{ports: [{port: query, protocol: UDP}]}]}
    x/a -> y/a:53         denied
    x/a -> y/a:53/UDP     denied
    x/a -> z/a:53/UDP     allowed
    x/a -> z/a:53         denied"
)]
#[case::line_094_an_unknown_name("
    pod y/d: {spec: {containers: [{name: one, ports: [{name: admin, containerPort: 99}]}]}, status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: admin}]}]}
    x/a -> y/a:99         denied
    x/a -> y/a:80         denied
    x/a -> y/d:99         allowed")]
#[case::line_094_a_pod_without_ports(
    "
    pod y/d: {spec: {containers: [{name: one}]}, status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web}]}]}
    x/a -> y/d:80         denied"
)]
#[case::line_095_nobody_listens_but_it_is_allowed(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 12345}]}]}
    x/a -> y/a:12345      allowed"
)]
#[case::line_096_a_name_and_a_block("
    policy y/p: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: web}]}]}
    ext -> y/a:80         allowed
    ext -> y/b:8080       allowed
    ext -> y/b:80         denied
    x/a -> y/a:80         denied")]
#[case::line_097_a_name_outside(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]}
    y/a -> ext:80         denied
    y/a -> node/n2:80     denied
    y/a -> x/a:80         allowed"
)]
#[case::line_097_a_name_and_a_block_for_egress(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: web}]}]}
    y/a -> ext:80         denied
    y/a -> x/a:80         denied"
)]
#[case::line_097_unless_a_selector_means_the_pod(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: web}, {port: 90}]}]}
    y/a -> x/a:80         allowed
    y/a -> z/a:80         denied
    y/a -> z/a:90         allowed"
)]
#[case::line_098_names_and_numbers(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web}, {port: 99}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:99         allowed
    x/a -> y/b:8080       allowed
    x/a -> y/b:80         denied"
)]
#[case::line_099_more_than_fifteen("
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 1}, {port: 3}, {port: 5}, {port: 7}, {port: 9}, {port: 11}, {port: 13}, {port: 15}, {port: 17}, {port: 19}, {port: 21}, {port: 23}, {port: 25}, {port: 27}, {port: 29}, {port: 31}, {port: 33}]}]}
    x/a -> y/a:1          allowed
    x/a -> y/a:31         allowed
    x/a -> y/a:33         allowed
    x/a -> y/a:32         denied")]
#[case::line_100_another_number_for_the_name("
    pod y/a: {spec: {containers: [{name: one, ports: [{name: web, containerPort: 8000}]}]}, status: {podIPs: [{ip: 10.0.2.1}]}}
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: web}]}]}
    x/a -> y/a:8000       allowed
    x/a -> y/a:80         denied")]
#[case::line_101_end_port(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}]}]}
    x/a -> y/a:79         denied
    x/a -> y/a:80         allowed
    x/a -> y/a:85         allowed
    x/a -> y/a:90         allowed
    x/a -> y/a:91         denied"
)]
#[case::line_102_end_port_equal(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 80}]}]}
    x/a -> y/a:79         denied
    x/a -> y/a:80         allowed
    x/a -> y/a:81         denied"
)]
#[case::line_103_all_numbers(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 1, endPort: 65535}]}]}
    x/a -> y/a:1          allowed
    x/a -> y/a:65535      allowed
    x/a -> y/a:80/UDP     denied"
)]
#[case::line_104_overlapping_ranges("
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}, {port: 85, endPort: 95}]}]}
    policy y/q: {podSelector: {}, ingress: [{ports: [{port: 70, endPort: 82}]}]}
    x/a -> y/a:70         allowed
    x/a -> y/a:88         allowed
    x/a -> y/a:95         allowed
    x/a -> y/a:96         denied")]
#[case::line_105_a_range_is_of_its_protocol(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90, protocol: UDP}]}]}
    x/a -> y/a:85/UDP     allowed
    x/a -> y/a:85         denied
    x/a -> y/a:85/SCTP    denied"
)]
#[case::line_106_ports_are_the_pods(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
    x/a -> y/b:8080       denied
    x/a -> y/b:80         allowed"
)]
#[case::line_108_one_number_two_protocols("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80, protocol: TCP}]}, {from: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: 80, protocol: UDP}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:80/UDP     denied
    z/a -> y/a:80/UDP     allowed
    z/a -> y/a:80         denied")]
fn ports(#[case] case: &str) {
    check(case);
}
