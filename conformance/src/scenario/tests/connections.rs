//! Which connections an expectation is about, and what comes of each.

use super::{DENY, expected, lines, plays};
use crate::{cell::Outcome, scenario::Origin};

/// What one step expects in a cluster of x/a, x/b and y/a, all of which listen on 80/tcp.
fn expected_of(cluster: &str, expect: &str) -> Vec<String> {
    let expect: String = expect.lines().map(|line| format!("    {line}\n")).collect();
    let spec = format!(
        "cluster:
  families: ipv4
  grid: {{namespaces: [x], pods: [a, b]}}
{cluster}
{DENY}steps:
- {{name: first, apply: [deny], expect: {{default: deny, within: 1s}}}}
- name: then
  delete: [deny]
  expect:
{expect}"
    );
    expected(&plays(&spec)[0], 1)
}

#[test]
fn the_default_is_about_every_pair_on_every_port_over_every_family() {
    let spec = "cluster: {grid: {namespaces: [x], pods: [a, b], listen: [80/tcp, 80/udp]}}
steps:
- {name: one, expect: allow}
";
    let play = &plays(spec)[0];
    assert_eq!(play.steps[0].cells().len(), 2 * 2 * 2 * 2);
    assert_eq!(
        expected(play, 0)[..4],
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/a:80/UDP allowed",
            "x/a -> x/b:80/TCP allowed",
            "x/a -> x/b:80/UDP allowed",
        ]
    );
}

#[test]
fn the_default_never_denies_a_pod_itself() {
    assert_eq!(
        expected_of("", "default: deny"),
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/b:80/TCP denied",
            "x/b -> x/a:80/TCP denied",
            "x/b -> x/b:80/TCP allowed",
        ]
    );
}

#[test]
fn a_pod_itself_does_not_make_an_entry_wider_than_a_denial() {
    assert_eq!(
        expected_of("", "default: allow\ndeny: \"* -> *\"\nallow: \"* -> x/a\""),
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/b:80/TCP denied",
            "x/b -> x/a:80/TCP allowed",
            "x/b -> x/b:80/TCP allowed",
        ]
    );
}

#[test]
fn of_two_entries_the_narrower_one_holds_wherever_it_stands() {
    assert_eq!(
        expected_of(
            "",
            "default: allow\ndeny: [\"* -> x/*\"]\nallow: [x/b -> x/a]"
        ),
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/b:80/TCP denied",
            "x/b -> x/a:80/TCP allowed",
            "x/b -> x/b:80/TCP allowed",
        ]
    );
}

#[test]
fn a_matrix_says_what_is_probed() {
    let matrix = "matrix: |\n  *   x/a x/b\n  x/a -   X\n  x/b ?   .\ndeny: []";
    assert_eq!(
        expected_of("", matrix),
        [
            "x/a -> x/b:80/TCP denied",
            "x/b -> x/a:80/TCP either",
            "x/b -> x/b:80/TCP allowed",
        ]
    );
}

#[test]
fn a_mark_takes_a_connection_out_of_the_default() {
    let matrix = "default: allow\nmatrix: |\n  80/tcp x/a\n  x/b    -";
    assert_eq!(
        expected_of("", matrix),
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/b:80/TCP allowed",
            "x/b -> x/b:80/TCP allowed",
        ]
    );
}

#[test]
fn only_what_is_listed_is_probed_where_the_default_says_so() {
    let expect =
        "default: unprobed\nrefused: x/a -> x/b:81\nallow: [x/a -> x/b:icmp, x/a -> x/b:80]";
    assert_eq!(
        expected_of("", expect),
        [
            "x/a -> x/b:ICMP allowed",
            "x/a -> x/b:80/TCP allowed",
            "x/a -> x/b:81/TCP refused",
        ]
    );
}

#[test]
fn nodes_and_the_outside_are_probed_where_they_are_named() {
    let cluster = "  nodes: [{name: n1, listen: [22/tcp]}]\n  external: {internet: {listen: [443/tcp]}}\nrequires: [external]";
    let expect =
        "default: unprobed\nallow:\n- x/a -> node/n1\n- ext/internet -> x/a\n- x/* -> ext/*";
    assert_eq!(
        expected_of(cluster, expect),
        [
            "x/a -> node/n1:22/TCP allowed",
            "x/a -> ext/internet:443/TCP allowed",
            "x/b -> ext/internet:443/TCP allowed",
            "ext/internet -> x/a:80/TCP allowed",
        ]
    );
}

#[test]
fn a_denying_pattern_leaves_out_what_no_policy_may_stop() {
    // x/a runs on n1, x/b on n2.
    assert_eq!(
        expected_of(
            "",
            "default: unprobed\ndeny: [\"node/* -> x/*\", \"* -> x/a\"]"
        ),
        [
            "x/b -> x/a:80/TCP denied",
            "node/n1 -> x/b:80/TCP denied",
            "node/n2 -> x/a:80/TCP denied",
        ]
    );
}

#[test]
fn probe_widens_the_default() {
    let spec = format!(
        "cluster:
  families: ipv4
  grid: {{namespaces: [x], pods: [a]}}
  external: [internet]
  services: {{x/web: {{selector: {{pod: a}}, ports: [{{port: 8080, targetPort: 80}}]}}}}
requires: [external, services]
probe: [ext/internet, svc/x/web, \"x/a -> x/a:icmp\"]
{DENY}steps:
- {{name: one, apply: [deny], expect: deny}}
"
    );
    assert_eq!(
        expected(&plays(&spec)[0], 0),
        [
            "x/a -> x/a:ICMP allowed",
            "x/a -> x/a:80/TCP allowed",
            "x/a -> svc/x/web:8080/TCP allowed",
            "ext/internet -> x/a:80/TCP denied",
        ]
    );
}

const SERVICES: &str = "  services:
    x/web: {selector: {pod: a}, ports: [{port: 8080, targetPort: 80}]}
    x/headless: {selector: {pod: a}, ports: [80], headless: true}
    x/nobody: {selector: {pod: q}, ports: [80]}
    x/outside: {selector: {pod: a}, ports: [{port: 80, nodePort: 30080}], type: NodePort}
requires: [services, node-port]";

#[test]
fn services_are_dialled_on_their_own_ports() {
    let expect = "default: unprobed
allow: [x/b -> svc/x/web, x/b -> svc/x/headless, \"x/b -> node/n2:30080\"]
refused: [x/b -> svc/x/nobody, x/b -> node/n2:30081]";
    assert_eq!(
        expected_of(SERVICES, expect),
        [
            "x/b -> x/a:80/TCP allowed",
            "x/b -> node/n2:30080/TCP allowed",
            "x/b -> node/n2:30081/TCP refused",
            "x/b -> svc/x/nobody:80/TCP refused",
            "x/b -> svc/x/web:8080/TCP allowed",
        ]
    );
}

#[test]
fn localhost_is_the_source_itself() {
    let cluster = "  nodes: [{name: n1, listen: [22/tcp]}]";
    let expect = "default: unprobed\nallow: [\"* -> localhost\", \"node/n1 -> localhost:22/tcp\"]\nrefused: x/a -> localhost:81/tcp";
    assert_eq!(
        expected_of(cluster, expect),
        [
            "x/a -> localhost:80/TCP allowed",
            "x/a -> localhost:81/TCP refused",
            "x/b -> localhost:80/TCP allowed",
            "node/n1 -> localhost:22/TCP allowed",
        ]
    );
}

#[test]
fn localhost_can_be_probed_of_every_pod() {
    let spec = format!(
        "cluster: {{families: ipv4, grid: {{namespaces: [x], pods: [a, b]}}}}
probe: [localhost]
{DENY}steps:
- {{name: one, apply: [deny], expect: deny}}
"
    );
    let to_themselves = expected(&plays(&spec)[0], 0)
        .into_iter()
        .filter(|line| line.contains("localhost"))
        .collect::<Vec<_>>();
    assert_eq!(
        to_themselves,
        [
            "x/a -> localhost:80/TCP allowed",
            "x/b -> localhost:80/TCP allowed",
        ]
    );
}

#[test]
fn a_host_port_is_a_port_of_the_pods_node() {
    let cluster = "  nodes: [n1, n2]
  pods: {x/front: {node: n2, listen: [{port: 80, hostPort: 8080}]}}
requires: [host-port]";
    let expect =
        "default: unprobed\nallow: x/a -> node/*:8080/tcp\nrefused: x/a -> node/n1:8080/tcp";
    assert_eq!(
        expected_of(cluster, expect),
        [
            "x/a -> node/n1:8080/TCP refused",
            "x/a -> node/n2:8080/TCP allowed",
        ]
    );
}

#[test]
fn what_has_been_refused_can_be_denied() {
    let spec = format!(
        "cluster: {{families: ipv4, grid: {{namespaces: [x], pods: [a, b]}}}}
{DENY}steps:
- {{name: nobody listens, expect: {{default: allow, refused: x/a -> x/b:81/tcp}}}}
- name: and nobody gets there
  apply: [deny]
  expect: {{default: deny, deny: x/a -> x/b:81/tcp}}
"
    );
    let play = &plays(&spec)[0];
    let control = lines(play.control.iter());
    assert!(control.contains(&"x/a -> x/b:81/TCP refused".to_owned()));
    assert!(expected(play, 1).contains(&"x/a -> x/b:81/TCP denied".to_owned()));
}

const LOCAL: &str = "  nodes: [n1, n2]
  place: {x/a: n1, x/b: n2}
  services:
    x/near: {selector: {pod: a}, ports: [80], internalTrafficPolicy: Local}
    x/sticky: {selector: {pod: a}, ports: [80], sessionAffinity: ClientIP}
requires: [services]";

#[test]
fn a_traffic_policy_can_leave_nobody_to_a_client() {
    let expect = "default: unprobed
allow: [x/b -> svc/x/sticky]
deny: [x/b -> svc/x/near]
either: [x/a -> svc/x/near]";
    assert_eq!(
        expected_of(LOCAL, expect),
        [
            "x/a -> svc/x/near:80/TCP either",
            "x/b -> svc/x/near:80/TCP denied",
            "x/b -> svc/x/sticky:80/TCP allowed",
        ]
    );
}

#[test]
fn pods_that_are_to_end_serve_only_while_there_are_no_others() {
    let spec = "cluster:
  families: ipv4
  grid: {namespaces: [x], pods: [a, b]}
  services: {x/all: {selector: {tier: web}, ports: [80]}}
requires: [services]
steps:
- {name: label, label: {\"x/*\": {tier: web}}, expect: allow}
- {name: one, terminatePods: [x/a], expect: {default: allow, servedBy: {flow: x/b -> svc/x/all, by: x/b}, allow: x/b -> svc/x/all}}
- {name: all, terminatePods: [x/b], expect: {default: allow, allow: x/b -> svc/x/all}}
";
    let play = &plays(spec)[0];
    let serving = |step: usize| {
        let world = &play.steps[step].world;
        let service = &world.services[&"x/all".parse().unwrap()];
        let pods = world.selected_by(service);
        pods.iter().map(|p| p.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(serving(0), ["x/a", "x/b"]);
    assert_eq!(serving(1), ["x/b"]);
    assert_eq!(serving(2), ["x/a", "x/b"]);
}

#[test]
fn probes_can_come_from_one_port_and_carry_more() {
    let spec = format!(
        "cluster: {{families: ipv4, grid: {{namespaces: [x], pods: [a, b], listen: [80/udp]}}}}
{DENY}steps:
- name: one
  apply: [deny]
  expect:
  - {{default: deny, sourcePort: 53}}
  - {{default: unprobed, deny: x/a -> x/b, payload: 4000}}
"
    );
    let blocks = &plays(&spec)[0].steps[0].expectations;
    let how: Vec<_> = blocks.iter().map(|b| (b.source_port, b.payload)).collect();
    assert_eq!(how, [(Some(53), None), (None, Some(4000))]);
}

#[test]
fn an_outcome_without_policies_depends_on_who_listens() {
    let play = &plays("cluster: {grid: {}}\nsteps:\n- {name: one, expect: allow}\n")[0];
    let mut cell = (*play.steps[0].cells().first().unwrap()).clone();
    assert_eq!(play.world.without_policies(&cell), Some(Outcome::Allowed));
    cell.port.number = Some(81);
    assert_eq!(play.world.without_policies(&cell), Some(Outcome::Refused));
    cell.destination = "x/nobody".parse().unwrap();
    assert_eq!(play.world.without_policies(&cell), None);
}

#[test]
fn every_expectation_knows_its_line() {
    let spec = format!(
        "cluster: {{families: ipv4, grid: {{namespaces: [x], pods: [a, b]}}}}
{DENY}steps:
- name: one
  apply: [deny]
  expect:
    default: allow
    deny:
    - x/a -> x/b
    - x/b -> x/a
"
    );
    let play = &plays(&spec)[0];
    let cells = &play.steps[0].expectations[0].cells;
    let places: Vec<String> = cells.iter().map(|cell| place(&cell.origin)).collect();
    assert_eq!(
        places,
        [
            "always s.yaml:12:16",
            "s.yaml:14:9",
            "s.yaml:15:9",
            "always s.yaml:12:16"
        ]
    );
    assert_eq!(play.steps[0].location.to_string(), "s.yaml:9:11");
    let policy = &play.steps[0].policies[0];
    assert_eq!(policy.location().to_string(), "s.yaml:7:5");
}

fn place(origin: &Origin) -> String {
    match origin {
        Origin::Entry(location) => location.to_string(),
        Origin::Default(location) => format!("default {location}"),
        Origin::Always(location) => format!("always {location}"),
        Origin::Control => "control".to_owned(),
    }
}

#[test]
fn the_control_covers_what_is_there_before_the_first_and_after_the_last_step() {
    let spec = format!(
        "cluster: {{families: ipv4, grid: {{namespaces: [x], pods: [a, b]}}}}
{DENY}steps:
- {{name: deny, apply: [deny], expect: {{default: deny, either: [\"x/a -> x/b:81/tcp\"]}}}}
- {{name: more, createPods: {{x/c: {{listen: [80/tcp]}}}}, deletePods: [x/b], expect: deny}}
"
    );
    let play = &plays(&spec)[0];
    assert_eq!(
        lines(play.control.iter()),
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/b:80/TCP allowed",
            "x/a -> x/b:81/TCP refused",
            "x/b -> x/a:80/TCP allowed",
            "x/b -> x/b:80/TCP allowed",
        ]
    );
    assert_eq!(
        lines(play.final_control.iter()),
        [
            "x/a -> x/a:80/TCP allowed",
            "x/a -> x/c:80/TCP allowed",
            "x/c -> x/a:80/TCP allowed",
            "x/c -> x/c:80/TCP allowed",
        ]
    );
}
