//! Lines 130–138.

use rstest::rstest;

use super::{
    check,
    world::{judged, world},
};

#[rstest]
#[case::line_130_union_per_direction("
    policy y/in: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    policy y/in-too: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}
    policy y/out: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         allowed
    y/a -> x/a:80         allowed
    y/a -> z/a:80         denied")]
#[case::line_131_deny_all_and_a_specific_allow("
    policy y/deny: {podSelector: {}}
    policy y/allow: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied
    x/a -> y/b:80         denied")]
#[case::line_132_deny_all_and_allow_all(
    "
    policy y/deny: {podSelector: {}}
    policy y/allow: {podSelector: {}, ingress: [{}]}
    x/a -> y/a:80         allowed"
)]
#[case::line_132_allow_all_and_deny_all(
    "
    policy y/allow: {podSelector: {}, ingress: [{}]}
    policy y/deny: {podSelector: {}}
    x/a -> y/a:80         allowed"
)]
#[case::line_133_different_ports("
    policy y/p: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80}]}]}
    policy y/q: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 81}]}]}
    x/a -> y/a:80         allowed
    x/a -> y/a:81         allowed
    x/a -> y/a:82         denied")]
#[case::line_134_overlapping_subjects("
    policy y/p: {podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}
    policy y/q: {podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}
    x/a -> y/a:80         allowed
    z/a -> y/a:80         denied
    x/a -> y/b:80         allowed
    z/a -> y/b:80         allowed
    x/a -> y/c:80         denied
    z/a -> y/c:80         allowed")]
#[case::line_135_one_name_in_two_namespaces(
    "
    policy x/p: {podSelector: {}}
    policy y/p: {podSelector: {}, ingress: [{}]}
    z/a -> x/a:80         denied
    z/a -> y/a:80         allowed"
)]
#[case::line_136_names_that_look_alike(
    "
    namespace x-y: {}
    pod x-y/a: {status: {podIPs: [{ip: 10.0.4.1}]}}
    policy x-y/z: {podSelector: {}}
    policy x/y-z: {podSelector: {}, ingress: [{}]}
    z/a -> x-y/a:80       denied
    z/a -> x/a:80         allowed"
)]
fn union(#[case] case: &str) {
    check(case);
}

#[rstest]
#[case("x/a -> y/a:80")]
#[case("x/a -> y/b:80")]
#[case("z/c -> y/a:80")]
#[case("y/a -> x/a:80")]
fn line_137_the_order_of_creation_does_not_matter(#[case] flow: &str) {
    let policies = [
        "policy y/deny: {podSelector: {}, policyTypes: [Ingress, Egress]}",
        "policy y/in: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}",
        "policy y/out: {podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{}]}",
    ];
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let verdicts = orders.map(|order| {
        let case = order.map(|index| policies[index]).join("\n");
        judged(&case, flow).allowed
    });
    assert!(
        verdicts.iter().all(|verdict| *verdict == verdicts[0]),
        "{verdicts:?}"
    );
}

#[test]
fn line_138_many_policies_are_judged_exactly() {
    let policies: Vec<_> = (1..=300)
        .map(|n| {
            let ports = format!("[{{port: {}}}]", n * 2);
            format!("policy y/p{n}: {{podSelector: {{}}, ingress: [{{ports: {ports}}}]}}")
        })
        .collect();
    let lines: Vec<_> = policies.iter().map(String::as_str).collect();
    assert_eq!(world(&lines).policies.len(), 300);
    for port in [1, 2, 299, 300, 599, 600, 601] {
        let allowed = judged(&policies.join("\n"), &format!("x/a -> y/a:{port}")).allowed;
        assert_eq!(allowed, port % 2 == 0, "{port}");
    }
}
