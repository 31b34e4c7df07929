//! Lines 43–63.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_043_from_omitted(
    "
    policy y/p: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
    x/a -> y/a:80         allowed
    ext -> y/a:80         allowed
    node/n2 -> y/a:80     allowed"
)]
#[case::line_043_from_null(
    "
    policy y/p: {podSelector: {}, ingress: [{from: null}]}
    x/a -> y/a:80         allowed
    ext -> y/a:80         allowed"
)]
#[case::line_043_from_empty(
    "
    policy y/p: {podSelector: {}, ingress: [{from: []}]}
    x/a -> y/a:80         allowed
    ext -> y/a:80         allowed"
)]
#[case::line_043_to_empty(
    "
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: []}]}
    y/a -> x/a:80         allowed
    y/a -> ext:80         allowed"
)]
#[case::line_044_pod_selector_alone(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}
    y/b -> y/a:80         allowed
    y/c -> y/a:80         denied
    x/b -> y/a:80         denied"
)]
#[case::line_045_empty_pod_selector_alone(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}
    y/b -> y/a:80         allowed
    y/c -> y/a:80         allowed
    x/a -> y/a:80         denied
    ext -> y/a:80         denied"
)]
#[case::line_046_namespace_selector_alone(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed
    x/b -> y/a:80         allowed
    z/a -> y/a:80         denied
    y/b -> y/a:80         denied"
)]
#[case::line_047_empty_namespace_selector(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
    x/a -> y/a:80         allowed
    y/b -> y/a:80         allowed
    z/c -> y/a:80         allowed
    ext -> y/a:80         denied
    node/n2 -> y/a:80     denied"
)]
#[case::line_048_both_selectors_in_one_item("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: b}}}]}]}
    x/b -> y/a:80         allowed
    x/a -> y/a:80         denied
    z/b -> y/a:80         denied
    y/b -> y/a:80         denied")]
#[case::line_049_both_selectors_empty(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {}}]}]}
    x/a -> y/a:80         allowed
    z/b -> y/a:80         allowed
    y/b -> y/a:80         allowed
    ext -> y/a:80         denied"
)]
#[case::line_050_any_namespace("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: b}}}]}]}
    x/b -> y/a:80         allowed
    y/b -> y/a:80         allowed
    z/b -> y/a:80         allowed
    x/a -> y/a:80         denied")]
#[case::line_051_any_pod("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: {}}]}]}
    x/a -> y/a:80         allowed
    x/c -> y/a:80         allowed
    z/a -> y/a:80         denied")]
#[case::line_052_two_items("
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}, {namespaceSelector: {matchLabels: {ns: x}}}]}]}
    y/b -> y/a:80         allowed
    x/a -> y/a:80         allowed
    x/b -> y/a:80         allowed
    y/c -> y/a:80         denied
    z/b -> y/a:80         denied")]
#[case::line_053_no_pod_selector_is_all_pods("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: null}]}]}
    x/a -> y/a:80         allowed
    x/b -> y/a:80         allowed
    z/a -> y/a:80         denied")]
#[case::line_053_no_namespace_selector_is_the_own_namespace(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: null, podSelector: {}}]}]}
    y/b -> y/a:80         allowed
    x/b -> y/a:80         denied"
)]
#[case::line_054_pod_labels_are_no_namespace_labels(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {pod: a}}}]}]}
    x/a -> y/a:80         denied"
)]
#[case::line_054_namespace_labels_are_no_pod_labels(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {ns: y}}}]}]}
    y/b -> y/a:80         denied"
)]
#[case::line_055_namespaces_in("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: In, values: [x, z]}]}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         allowed
    y/b -> y/a:80         denied")]
#[case::line_055_namespaces_not_in("
    namespace w: {}
    pod w/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]}]}
    x/a -> y/a:80         denied
    z/a -> y/a:80         allowed
    w/a -> y/a:80         allowed")]
#[case::line_055_namespaces_exists("
    namespace w: {}
    pod w/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: Exists}]}}]}]}
    x/a -> y/a:80         allowed
    w/a -> y/a:80         denied")]
#[case::line_055_namespaces_does_not_exist("
    namespace w: {}
    pod w/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: DoesNotExist}]}}]}]}
    x/a -> y/a:80         denied
    w/a -> y/a:80         allowed")]
#[case::line_056_by_name("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: x}}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied")]
#[case::line_056_all_but_a_name_for_egress("
    policy y/p: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [x]}]}}]}]}
    y/a -> x/a:80         denied
    y/a -> z/a:80         allowed")]
#[case::line_056_the_name_cannot_be_claimed("
    namespace w: {metadata: {labels: {kubernetes.io/metadata.name: x}}}
    pod w/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: x}}}]}]}
    w/a -> y/a:80         denied")]
#[case::line_057_nobody_is_not_everybody(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: none}}}]}]}
    x/a -> y/a:80         denied
    y/b -> y/a:80         denied
    ext -> y/a:80         denied"
)]
#[case::line_057_until_a_pod_matches(
    "
    pod y/new: {metadata: {labels: {pod: none}}, status: {podIPs: [{ip: 10.0.2.9}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: none}}}]}]}
    y/new -> y/a:80       allowed"
)]
#[case::line_058_the_own_namespace_too(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]}
    y/b -> y/a:80         allowed
    x/a -> y/a:80         denied"
)]
#[case::line_059_several_pod_selectors("
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}, {podSelector: {matchLabels: {pod: c}}}]}]}
    y/b -> y/a:80         allowed
    y/c -> y/a:80         allowed
    y/a -> y/b:80         denied")]
#[case::line_060_the_exact_product("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}, podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}}]}]}
    y/b -> y/a:80         allowed
    z/c -> y/a:80         allowed
    z/a -> y/a:80         denied
    x/b -> y/a:80         denied")]
#[case::line_061_rules_do_not_mix("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80}]}, {from: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: 81}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:81         denied
    z/a -> y/a:81         allowed
    z/a -> y/a:80         denied")]
#[case::line_062_all_addresses_of_a_pod(
    "
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:80 over IPv6 allowed
    z/a -> y/a:80 over IPv6 denied"
)]
#[case::line_063_a_host_network_pod_is_no_pod_peer("
    pod x/host: {metadata: {labels: {pod: host}}, spec: {hostNetwork: true, nodeName: n2, containers: []}, status: {podIPs: [{ip: 192.168.0.2}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}, {podSelector: {matchLabels: {pod: host}}}]}]}
    x/host -> y/a:80      denied")]
fn peers(#[case] case: &str) {
    check(case);
}
