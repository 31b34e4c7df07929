//! What comes of good scenarios.

use std::{collections::BTreeMap, fs};

use super::{file, plays};
use crate::{
    cell::{Family, Outcome},
    scenario::{
        ExpectedCell, Fabric, Families, Options, Origin, Resolve, Scenario, Template, Wanted, load,
        load_text,
    },
};

/// A policy that isolates all pods of namespace x.
const DENY: &str = "policies:
  deny: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}}
";

/// What a step expects over IPv4, one line per connection.
fn expected(play: &Scenario, step: usize) -> Vec<String> {
    let cells = play.steps[step].expectations.iter().flat_map(|e| &e.cells);
    lines(cells.filter(|cell| cell.cell.family == Family::Ipv4))
}

fn lines<'a>(cells: impl Iterator<Item = &'a ExpectedCell>) -> Vec<String> {
    let line = |it: &ExpectedCell| {
        let cell = &it.cell;
        format!("{} -> {}:{} {}", cell.source, cell.destination, cell.port, it.expected)
    };
    cells.map(line).collect()
}

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
fn of_two_entries_the_narrower_one_holds_wherever_it_stands() {
    assert_eq!(
        expected_of("", "default: allow\ndeny: [\"* -> x/*\"]\nallow: [x/b -> x/a]"),
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
    let expect = "default: unprobed\nrefused: x/a -> x/b:81\nallow: [x/a -> x/b:icmp, x/a -> x/b:80]";
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
    let cluster = "  nodes: [{name: n1, listen: [22/tcp]}]\n  external: {internet: {listen: [443/tcp]}}";
    let expect = "default: unprobed\nallow:\n- x/a -> node/n1\n- ext/internet -> x/a\n- x/* -> ext/*";
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
        expected_of("", "default: unprobed\ndeny: [\"node/* -> x/*\", \"* -> x/a\"]"),
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
    x/outside: {selector: {pod: a}, ports: [{port: 80, nodePort: 30080}], type: NodePort}";

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
fn a_file_is_played_once_for_every_combination() {
    let spec = "cluster: {grid: {listen: [\"${port}/${protocol}\"]}}
forEach: {protocol: [tcp, udp], port: [80, 81], family: [ipv6], fabric: [routed]}
steps:
- {name: \"on ${port}\", expect: allow}
";
    let plays = plays(spec);
    let names: Vec<&str> = plays.iter().map(|play| play.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "s[tcp,80,ipv6,routed]",
            "s[tcp,81,ipv6,routed]",
            "s[udp,80,ipv6,routed]",
            "s[udp,81,ipv6,routed]",
        ]
    );
    let last = &plays[3];
    assert_eq!(last.steps[0].name, "on 81");
    assert_eq!((last.families, last.fabric), (Families::Ipv6, Some(Fabric::Routed)));
    let cell = last.steps[0].cells().first().map(ToString::to_string);
    assert_eq!(cell.as_deref(), Some("x/a -> x/a:81/UDP over IPv6"));
}

#[test]
fn a_family_of_a_dual_stack_cluster_is_the_only_one_that_is_probed() {
    let spec = "cluster: {grid: {}, families: dual}\nforEach: {family: [ipv6]}\nsteps:\n- {name: one, expect: allow}\n";
    let play = &plays(spec)[0];
    assert_eq!((play.families, play.family), (Families::Dual, Some(Family::Ipv6)));
    assert!(play.steps[0].cells().iter().all(|cell| cell.family == Family::Ipv6));
}

#[test]
fn the_command_line_chooses_families_where_the_file_is_silent() {
    let options = Options {
        families: Some(Families::Ipv6),
    };
    let load = |spec: &str| load_text("s.yaml", &file(spec), &options).unwrap()[0].families;
    let steps = "steps:\n- {name: one, expect: allow}\n";
    assert_eq!(load(&format!("cluster: {{grid: {{}}}}\n{steps}")), Families::Ipv6);
    assert_eq!(load(&format!("cluster: {{grid: {{}}, families: ipv4}}\n{steps}")), Families::Ipv4);
}

#[test]
fn every_order_of_policies_is_played() {
    let spec = format!(
        "cluster: {{grid: {{}}}}
permute: policies
{DENY}  open: {{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{namespace: x, name: open}}, spec: {{ingress: [{{}}]}}}}
steps:
- {{name: one, apply: [deny, open], expect: allow}}
- {{name: two, delete: [open], expect: {{default: allow, deny: [\"* -> x/*\"]}}}}
"
    );
    let orders: Vec<(String, Vec<String>)> = plays(&spec)
        .iter()
        .map(|play| (play.name.clone(), changes(play, 0)))
        .collect();
    assert_eq!(
        orders,
        [
            (
                "s[order=1]".to_owned(),
                vec!["apply policy x/deny".to_owned(), "apply policy x/open".to_owned()]
            ),
            (
                "s[order=2]".to_owned(),
                vec!["apply policy x/open".to_owned(), "apply policy x/deny".to_owned()]
            ),
        ]
    );
}

fn changes(play: &Scenario, step: usize) -> Vec<String> {
    play.steps[step].changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_step_changes_things_in_one_order_whatever_the_order_of_its_keys() {
    let spec = "cluster: {grid: {}}
policies:
  old: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}}
  same: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}, spec: {ingress: [{}]}}
  other: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: other}}
steps:
- {name: first, apply: [old], expect: {default: allow, deny: [\"* -> x/*\"]}}
- name: an update
  replace: {old: same}
  expect: allow
- name: everything
  deleteNamespaces: [z]
  deletePods: [y/c]
  finishPods: [x/b]
  recreatePods: {x/a: {address: same, labels: {app: new}, node: n2}}
  replace: {same: other}
  unlabel: {x/c: [pod]}
  label: {namespace/x: {team: one}, node/n1: {zone: a}, \"y/*\": {app: y}}
  createPods: {w/a: {labels: {app: w}, listen: [80/tcp]}}
  createNamespaces: {w: {labels: {team: two}}}
  expect: {default: allow, deny: [\"* -> x/*\"]}
";
    let play = &plays(spec)[0];
    assert_eq!(changes(play, 1), ["apply policy x/deny"]);
    assert_eq!(
        changes(play, 2),
        [
            "create namespace w",
            "create pod w/a",
            "label namespace x",
            "label node n1",
            "label pod y/a",
            "label pod y/b",
            "label pod y/c",
            "label pod x/c",
            "apply policy x/other",
            "delete policy x/deny",
            "re-create pod x/a",
            "finish pod x/b as Succeeded",
            "delete pod y/c",
            "delete namespace z",
        ]
    );
    let world = &play.steps[2].world;
    let pods: Vec<String> = world.pods.keys().map(ToString::to_string).collect();
    assert_eq!(pods, ["w/a", "x/a", "x/b", "x/c", "y/a", "y/b"]);
    let cells = play.steps[2].cells();
    assert!(cells.iter().all(|cell| !cell.to_string().contains("x/b")), "x/b has finished");
}

#[test]
fn long_lived_connections_have_names() {
    let spec = format!(
        "cluster: {{grid: {{}}, families: ipv4}}
{DENY}steps:
- {{name: open, expect: allow, open: {{upload: \"y/a -> x/a:80\"}}}}
- name: deny
  apply: [deny]
  expect: {{default: allow, deny: [\"* -> x/*\"]}}
  use: [{{flow: upload, when: {{established: keep}}}}, {{flow: upload, expect: deny, when: {{established: revoke}}}}]
  close: [upload]
"
    );
    let play = &plays(&spec)[0];
    assert_eq!(play.steps[0].open[0].cells[0].to_string(), "y/a -> x/a:80/TCP over IPv4");
    assert_eq!(play.steps[1].uses.len(), 2);
    assert_eq!(play.steps[1].close, ["upload"]);
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
        ["always s.yaml:12:16", "s.yaml:14:9", "s.yaml:15:9", "always s.yaml:12:16"]
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

struct Addresses(BTreeMap<&'static str, &'static str>);

impl Resolve for Addresses {
    fn resolve(&self, template: &Template) -> Option<String> {
        let found = match &template.wanted {
            Wanted::Pod { namespace, name } => self.0.get(format!("{namespace}/{name}").as_str()),
            _ => self.0.get("other"),
        };
        found.map(|text| (*text).to_owned())
    }
}

#[test]
fn templates_are_filled_when_a_policy_is_applied() {
    let spec = "cluster: {grid: {}, families: ipv4}
policies:
  hole:
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {namespace: x, name: hole}
    spec:
      podSelector: {matchLabels: {pod: a}}
      ingress: [{from: [{ipBlock: {cidr: \"${podCIDR}\", except: [\"${ip:x/b}/${hostBits}\"]}}]}]
steps:
- {name: one, apply: [hole], expect: {default: allow, deny: [x/b -> x/a]}}
";
    let play = &plays(spec)[0];
    let policy = &play.steps[0].policies[0];
    let addresses = Addresses(BTreeMap::from([("x/b", "10.244.1.7"), ("other", "10.244.0.0/16")]));
    let filled = policy.resolve(&addresses).unwrap().spec.unwrap();
    let block = filled.ingress.unwrap()[0].from.clone().unwrap()[0].ip_block.clone().unwrap();
    assert_eq!(block.cidr, "10.244.0.0/16");
    assert_eq!(block.except.unwrap(), ["10.244.1.7/32"]);

    let nobody = policy.resolve(&Addresses(BTreeMap::new())).unwrap_err().to_string();
    assert!(nobody.contains("the address of x/b is not known now"), "{nobody}");
}

#[test]
fn people_test_the_files_they_ship() {
    let folder = tempfile::tempdir().unwrap();
    let deploy = "apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: web}}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}, data: {a: b}}
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop}
  spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, ports: [{containerPort: 5432}]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: \"0 3 * * *\"
  jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}, spec: {restartPolicy: Never, containers: [{name: job}]}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]
";
    let story = "cluster: {families: ipv4, manifests: [deploy/]}
steps:
- name: only web reaches the database
  expect: {default: allow, deny: [shop/* -> shop/db], allow: [shop/web -> shop/db, shop/nightly -> svc/shop/web]}
- name: everybody does
  delete: [shop/db]
  expect: allow
";
    fs::create_dir(folder.path().join("deploy")).unwrap();
    fs::write(folder.path().join("deploy/all.yaml"), deploy).unwrap();
    let path = folder.path().join("story.yaml");
    fs::write(&path, file(story)).unwrap();
    let play = &load(&path).unwrap_or_else(|errors| panic!("{errors}"))[0];
    let pods: Vec<String> = play
        .world
        .pods
        .values()
        .map(|pod| format!("{} on {}", pod.name, pod.node()))
        .collect();
    assert_eq!(
        pods,
        [
            "shop/agent-n1 on n1",
            "shop/agent-n2 on n2",
            "shop/db-0 on n1",
            "shop/nightly-1 on n2",
            "shop/web-1 on n1",
            "shop/web-2 on n2",
        ]
    );
    assert_eq!(play.initial_policies.len(), 1);
    let denied: Vec<String> = expected(play, 0)
        .into_iter()
        .filter(|line| line.ends_with("denied"))
        .collect();
    assert_eq!(
        denied,
        [
            "shop/agent-n1 -> shop/db-0:5432/TCP denied",
            "shop/agent-n2 -> shop/db-0:5432/TCP denied",
            "shop/nightly-1 -> shop/db-0:5432/TCP denied",
        ]
    );
    assert!(expected(play, 0).contains(&"shop/nightly-1 -> svc/shop/web:80/TCP allowed".to_owned()));
}

#[test]
fn known_failures_are_about_connections_of_a_step() {
    let spec = "cluster: {grid: {}, families: ipv4}
expectFailure: [{backend: kind, step: one, flow: \"* -> x/a:80\", reason: its plugin is slow}]
steps:
- {name: one, expect: allow}
- {name: two, label: {x/a: {app: web}}, expect: allow}
";
    let play = &plays(spec)[0];
    let failure = &play.expect_failure[0];
    let known = |step: usize| {
        let step = &play.steps[step];
        step.cells().into_iter().filter(|cell| failure.covers(step, cell)).count()
    };
    assert_eq!((known(0), known(1)), (9, 0));
}

#[test]
fn objects_can_be_refused_and_admitted_without_being_applied() {
    let spec = "cluster: {grid: {}}
policies:
  bad: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: bad}, spec: {ingress: [{ports: [{port: 0}]}]}}
steps:
- name: one
  refuse:
  - {policy: bad, field: \"spec.ingress[0].ports[0].port\", message: must be between}
  - manifest: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: _}}
    field: metadata.name
  accept:
  - {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: odd}, spec: {ingress: [{ports: [{}]}]}}
";
    let play = &plays(spec)[0];
    let fields: Vec<Option<String>> = play.steps[0]
        .admissions
        .iter()
        .map(|admission| admission.refused.as_ref().map(|r| r.field.to_string()))
        .collect();
    assert_eq!(
        fields,
        [
            Some("spec.ingress[0].ports[0].port".to_owned()),
            Some("metadata.name".to_owned()),
            None
        ]
    );
}

#[test]
fn the_library_loads() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut names = Vec::new();
    for topic in fs::read_dir(&root).unwrap() {
        let topic = topic.unwrap().path();
        if !topic.is_dir() {
            continue;
        }
        for file in fs::read_dir(topic).unwrap() {
            let file = file.unwrap().path();
            if crate::scenario::is_yaml(&file) {
                let plays = load(&file).unwrap_or_else(|errors| panic!("{errors}"));
                names.extend(plays.into_iter().map(|play| play.name));
            }
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two scenarios have one name");
    assert!(count >= 3);
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
