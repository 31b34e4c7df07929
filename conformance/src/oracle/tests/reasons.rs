//! What a judgement says besides its verdict.

use super::world::judged;

fn told(case: &str, flow: &str) -> String {
    let judgement = judged(case, flow);
    let verdict = if judgement.allowed {
        "allowed"
    } else {
        "denied"
    };
    format!(
        "{verdict}\n{}\nlines {:?}",
        judgement.reasons.join("\n"),
        judgement.lines
    )
}

#[test]
fn a_denial_names_policies_rules_and_labels() {
    let case = "
        policy y/deny-all: {podSelector: {}}
        policy y/allow-x: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80}]}]}";
    insta::assert_snapshot!(told(case, "z/a -> y/a:81"), @r"
    denied
    z/a is not isolated for egress: no policy selects it
    y/a is isolated for ingress by y/deny-all, y/allow-x
    y/deny-all has no ingress rules
    y/allow-x ingress[0].from[0] does not match: namespace z has ns=z, the selector wants ns=x
    y/allow-x ingress[0].ports[0] does not match: the port is 81, the rule wants 80
    lines [1, 2, 8, 10, 11, 18, 19, 46, 85, 130]
    ");
}

#[test]
fn an_allowance_names_the_rule() {
    let case = "
        policy y/deny-all: {podSelector: {}}
        policy y/allow-x: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}, {namespaceSelector: {matchLabels: {ns: x}}}]}]}";
    insta::assert_snapshot!(told(case, "x/a -> y/a:80"), @r"
    allowed
    x/a is not isolated for egress: no policy selects it
    y/a is isolated for ingress by y/deny-all, y/allow-x
    y/deny-all has no ingress rules
    y/allow-x ingress[0].from[0] does not match: x/a is in namespace x, a peer without namespaceSelector means y
    y/allow-x ingress[0] allows it
    lines [1, 2, 8, 10, 11, 18, 19, 44, 46, 84, 114, 130]
    ");
}

#[test]
fn blocks_and_nodes_are_named() {
    let case = "
        policy y/blocks: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}, {ipBlock: {cidr: 192.168.0.0/24, except: [192.168.0.2/32]}}, {ipBlock: {cidr: nonsense}}, {ipBlock: {cidr: '::/0'}}]}]}";
    insta::assert_snapshot!(told(case, "node/n2 -> y/a:80"), @r"
    denied
    node n2 is not a pod: no policy restricts its egress
    y/a is isolated for ingress by y/blocks
    y/blocks ingress[0].from[0] does not match: node n2 is not a pod, only an ipBlock can match it
    y/blocks ingress[0].from[1] does not match: 192.168.0.2 is in 192.168.0.0/24 but also in its except 192.168.0.2/32
    y/blocks ingress[0].from[2] cannot be read and matches nothing: `nonsense` is not a CIDR
    y/blocks ingress[0].from[3] does not match: 192.168.0.2 is not of the family of ::/0
    lines [8, 10, 11, 18, 19, 41, 47, 63, 64, 66, 76, 80, 84, 114, 130, 166, 167, 171, 172, 196, 227, 239, 241]
    ");
}

#[test]
fn named_ports_are_resolved() {
    let case = "
        policy y/web: {podSelector: {}, ingress: [{ports: [{port: web}, {port: admin}, {port: 90, endPort: 99}, {protocol: UDP}]}]}";
    insta::assert_snapshot!(told(case, "x/a -> y/b:80"), @r"
    denied
    x/a is not isolated for egress: no policy selects it
    y/b is isolated for ingress by y/web
    y/web ingress[0].ports[0] does not match: web is 8080 on y/b
    y/web ingress[0].ports[1] does not match: y/b has no TCP port called admin
    y/web ingress[0].ports[2] does not match: the port is 80, the rule wants 90-99
    y/web ingress[0].ports[3] does not match: the connection is TCP, the rule wants UDP
    lines [1, 8, 10, 11, 18, 19, 43, 91, 92, 93, 94, 101, 105, 108, 110, 130]
    ");
}

#[test]
fn a_policy_that_cannot_be_read_is_named() {
    let case = "
        policy y/broken: {podSelector: {matchExpressions: [{key: pod, operator: Like}]}, policyTypes: [Ingress]}";
    insta::assert_snapshot!(told(case, "x/a -> y/b:80"), @r"
    denied
    x/a is not isolated for egress: no policy selects it
    y/b is isolated for ingress by y/broken
    y/broken cannot be read and allows nothing: no operator is called `Like`
    lines [1, 12, 18, 19, 130, 227, 243]
    ");
}

#[test]
fn what_no_policy_is_about_says_why() {
    insta::assert_snapshot!(told("", "x/a -> node/n1:80"), @r"
    allowed
    node n1 is x/a's own node: its egress is always allowed
    node n1 is not a pod: no policy restricts its ingress
    lines [18, 19, 41, 129, 165, 171, 172]
    ");
    insta::assert_snapshot!(told("", "y/a -> y/a:80"), @r"
    allowed
    y/a reaches itself: always allowed
    lines [176, 178]
    ");
}
