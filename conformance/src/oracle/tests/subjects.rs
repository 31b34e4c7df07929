//! Lines 26–42.

use rstest::rstest;

use super::check;

#[rstest]
#[case::line_026_empty(
    "
    policy y/p: {podSelector: {}}
    x/a -> y/a:80         denied
    x/a -> y/b:80         denied
    x/a -> y/c:80         denied"
)]
#[case::line_027_omitted(
    "
    policy y/p: {policyTypes: [Ingress]}
    x/a -> y/a:80         denied
    x/a -> y/b:80         denied"
)]
#[case::line_027_null(
    "
    policy y/p: {podSelector: null}
    x/a -> y/a:80         denied
    x/a -> y/b:80         denied"
)]
#[case::line_028_one_label(
    "
    policy y/p: {podSelector: {matchLabels: {pod: a}}}
    x/a -> y/a:80         denied
    x/a -> y/b:80         allowed"
)]
#[case::line_029_several_labels(
    "
    pod y/d: {metadata: {labels: {pod: d, app: web}}, status: {podIPs: [{ip: 10.0.2.4}]}}
    pod y/e: {metadata: {labels: {pod: d, app: db}}, status: {podIPs: [{ip: 10.0.2.5}]}}
    pod y/f: {metadata: {labels: {app: web}}, status: {podIPs: [{ip: 10.0.2.6}]}}
    policy y/p: {podSelector: {matchLabels: {pod: d, app: web}}}
    x/a -> y/d:80         denied
    x/a -> y/e:80         allowed
    x/a -> y/f:80         allowed"
)]
#[case::line_030_in(
    "
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}}
    x/a -> y/a:80         denied
    x/a -> y/b:80         denied
    x/a -> y/c:80         allowed"
)]
#[case::line_031_not_in(
    "
    pod y/d: {status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a, b]}]}}
    x/a -> y/a:80         allowed
    x/a -> y/c:80         denied
    x/a -> y/d:80         denied"
)]
#[case::line_032_exists(
    "
    pod y/d: {status: {podIPs: [{ip: 10.0.2.4}]}}
    pod y/e: {metadata: {labels: {pod: ''}}, status: {podIPs: [{ip: 10.0.2.5}]}}
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: Exists}]}}
    x/a -> y/a:80         denied
    x/a -> y/d:80         allowed
    x/a -> y/e:80         denied"
)]
#[case::line_033_does_not_exist(
    "
    pod y/d: {status: {podIPs: [{ip: 10.0.2.4}]}}
    pod y/e: {metadata: {labels: {pod: ''}}, status: {podIPs: [{ip: 10.0.2.5}]}}
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: DoesNotExist}]}}
    x/a -> y/a:80         allowed
    x/a -> y/d:80         denied
    x/a -> y/e:80         allowed"
)]
#[case::line_034_labels_and_expressions("
    pod y/d: {metadata: {labels: {pod: d, app: web}}, status: {podIPs: [{ip: 10.0.2.4}]}}
    pod y/e: {metadata: {labels: {pod: d}}, status: {podIPs: [{ip: 10.0.2.5}]}}
    policy y/p: {podSelector: {matchLabels: {pod: d}, matchExpressions: [{key: app, operator: Exists}]}}
    x/a -> y/d:80         denied
    x/a -> y/e:80         allowed
    x/a -> y/a:80         allowed")]
#[case::line_034_several_expressions_on_one_key("
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}, {key: pod, operator: NotIn, values: [b]}]}}
    x/a -> y/a:80         denied
    x/a -> y/b:80         allowed
    x/a -> y/c:80         allowed")]
#[case::line_035_empty_is_not_absent(
    "
    pod y/d: {metadata: {labels: {app: ''}}, status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {matchExpressions: [{key: app, operator: In, values: ['']}]}}
    x/a -> y/d:80         denied
    x/a -> y/a:80         allowed"
)]
#[case::line_035_empty_in_match_labels(
    "
    pod y/d: {metadata: {labels: {app: ''}}, status: {podIPs: [{ip: 10.0.2.4}]}}
    policy y/p: {podSelector: {matchLabels: {app: ''}}}
    x/a -> y/d:80         denied
    x/a -> y/a:80         allowed"
)]
#[case::line_036_odd_keys_and_values("
    pod y/d: {metadata: {labels: {app.kubernetes.io/name: a.b_c-d}}, status: {podIPs: [{ip: 10.0.2.4}]}}
    pod y/e: {metadata: {labels: {name: a.b_c-d}}, status: {podIPs: [{ip: 10.0.2.5}]}}
    pod y/f: {metadata: {labels: {app.kubernetes.io/name: aXb_c-d}}, status: {podIPs: [{ip: 10.0.2.6}]}}
    policy y/p: {podSelector: {matchLabels: {app.kubernetes.io/name: a.b_c-d}}}
    x/a -> y/d:80         denied
    x/a -> y/e:80         allowed
    x/a -> y/f:80         allowed")]
#[case::line_037_case_matters(
    "
    pod y/d: {metadata: {labels: {pod: A}}, status: {podIPs: [{ip: 10.0.2.4}]}}
    pod y/e: {metadata: {labels: {Pod: a}}, status: {podIPs: [{ip: 10.0.2.5}]}}
    policy y/p: {podSelector: {matchLabels: {pod: a}}}
    x/a -> y/a:80         denied
    x/a -> y/d:80         allowed
    x/a -> y/e:80         allowed"
)]
#[case::line_038_pods_that_came_later(
    "
    policy y/p: {podSelector: {matchLabels: {pod: a}}}
    pod y/new: {metadata: {labels: {pod: a}}, status: {podIPs: [{ip: 10.0.2.9}]}}
    x/a -> y/new:80       denied"
)]
#[case::line_039_a_finished_pod_is_no_subject(
    "
    pod y/done: {status: {phase: Succeeded, podIPs: [{ip: 10.0.2.9}]}}
    policy y/p: {podSelector: {}}
    x/a -> 10.0.2.9:80    allowed"
)]
#[case::line_039_a_finished_pod_is_no_peer(
    "
    pod x/done: {metadata: {labels: {pod: done}}, status: {phase: Failed, podIPs: [{ip: 10.0.1.9}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
    x/done -> y/a:80      denied
    x/a -> y/a:80         allowed"
)]
#[case::line_039_the_address_is_the_next_pods(
    "
    pod x/done: {metadata: {labels: {pod: a}}, status: {phase: Succeeded, podIPs: [{ip: 10.0.3.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    z/a -> y/a:80         denied"
)]
#[case::line_040_a_pod_without_an_address(
    "
    pod y/new: {metadata: {labels: {pod: a}}, status: {phase: Pending}}
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: a}}}]}]}
    y/a -> y/b:80         allowed
    x/a -> y/b:80         denied"
)]
#[case::line_041_a_host_network_pod_is_no_subject("
    pod y/host: {spec: {hostNetwork: true, nodeName: n1, containers: []}, status: {podIPs: [{ip: 192.168.0.1}]}}
    policy y/p: {podSelector: {}, policyTypes: [Ingress, Egress]}
    x/b -> node/n1:80     allowed
    node/n1 -> x/b:80     allowed")]
#[case::line_042_a_terminating_pod_counts("
    pod y/a: {metadata: {labels: {pod: a}, deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {phase: Running, podIPs: [{ip: 10.0.2.1}]}}
    policy y/p: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: a}}}]}]}
    x/a -> y/a:80         denied
    y/a -> y/b:80         allowed")]
fn subjects(#[case] case: &str) {
    check(case);
}
