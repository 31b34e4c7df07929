//! What happens in a story.

use std::{collections::BTreeMap, fs};

use super::{DENY, changes, expected, file, plays};
use crate::scenario::{Expected, Resolve, Template, UseExpectation, Wanted, load};

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
fn a_step_changes_things_in_one_order_whatever_the_order_of_its_keys() {
    let spec = "cluster: {grid: {}}
requires: [chosen-address, stored-objects, agents]
policies:
  refused: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: y, name: refused}, spec: {ingress: [{ports: [{port: 0}]}]}}
  old: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}}
  same: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}, spec: {ingress: [{}]}}
  other: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: other}}
steps:
- {name: first, apply: [old], expect: {default: allow, deny: [\"* -> x/*\"]}}
- name: an update
  replace: {old: same}
  expect: allow
- name: everything
  restoreApi: [n2]
  restartAgents: [n2]
  startAgents: [n1]
  createForeignTables: [\"*\"]
  damage: {n2: flush-rules}
  refuseTransactions: {n2: 2}
  cutApi: [n2]
  killAgents: [n1]
  deleteNamespaces: [z]
  terminatePods: [y/a]
  restartContainers: [y/b]
  startPods: [w/b]
  store: [refused]
  deletePods: [y/c]
  finishPods: [x/b]
  recreatePods: {x/a: {address: same, labels: {app: new}, node: n2}}
  replace: {same: other}
  unlabel: {x/c: [pod]}
  label: {namespace/x: {team: one}, node/n1: {zone: a}, \"y/*\": {app: y}}
  createPods: {w/a: {labels: {app: w}, listen: [80/tcp]}, w/b: {phase: Pending}}
  createNamespaces: {w: {labels: {team: two}}}
  expect: {default: allow, deny: [\"* -> x/*\"]}
";
    let play = &plays(spec)[0];
    assert_eq!(changes(play, 1), ["apply policy x/deny"]);
    assert_eq!(
        changes(play, 2),
        [
            "kill the agent of n1",
            "cut the agent of n2 off the API server",
            "refuse 2 transactions of the agent of n2",
            "create namespace w",
            "create pod w/a",
            "create pod w/b",
            "label namespace x",
            "label node n1",
            "label pod y/a",
            "label pod y/b",
            "label pod y/c",
            "label pod x/c",
            "store policy y/refused",
            "apply policy x/other",
            "delete policy x/deny",
            "re-create pod x/a",
            "start pod w/b",
            "restart the containers of y/b",
            "terminate pod y/a",
            "finish pod x/b as Succeeded",
            "delete pod y/c",
            "delete namespace z",
            "damage the table of n2: flush-rules",
            "create a foreign table on n1",
            "create a foreign table on n2",
            "start the agent of n1",
            "restart the agent of n2",
            "give the agent of n2 the API server back",
        ]
    );
    let world = &play.steps[2].world;
    let pods: Vec<String> = world.pods.keys().map(ToString::to_string).collect();
    assert_eq!(pods, ["w/a", "w/b", "x/a", "x/b", "x/c", "y/a", "y/b"]);
    let cells = play.steps[2].cells();
    assert!(
        cells.iter().all(|cell| !cell.to_string().contains("x/b")),
        "x/b has finished"
    );
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
    assert_eq!(
        play.steps[0].open[0].cells[0].to_string(),
        "y/a -> x/a:80/TCP over IPv4"
    );
    assert_eq!(play.steps[1].uses.len(), 2);
    assert_eq!(play.steps[1].close, ["upload"]);
}

#[test]
fn a_connection_that_is_denied_is_kept_and_used_later() {
    let spec = format!(
        "cluster: {{grid: {{}}, families: ipv4}}
{DENY}steps:
- name: deny
  apply: [deny]
  expect: {{default: allow, deny: [\"* -> x/*\"]}}
  open: {{late: {{flow: \"y/a -> x/a:80\", expect: deny}}}}
- {{name: allow, delete: [deny], expect: allow, use: [late]}}
"
    );
    let play = &plays(&spec)[0];
    let late = &play.steps[0].open[0];
    assert_eq!((late.cells.len(), late.expect), (1, UseExpectation::Deny));
    assert_eq!(play.steps[1].uses[0].expect, UseExpectation::Allow);
}

#[test]
fn background_traffic_runs_until_it_is_stopped() {
    let spec = format!(
        "cluster: {{grid: {{}}, families: ipv4}}
{DENY}steps:
- name: begin
  start: {{steady: \"x/* -> y/a\", probing: {{flow: \"z/a -> x/a:80/tcp\", every: 1ms}}}}
  apply: [deny]
  expect:
  - {{default: allow, deny: [\"* -> x/*\"], within: 1s}}
  - {{never: {{deny: steady}}}}
- name: nothing passes
  restartContainers: [x/b]
  expect: {{default: allow, deny: [\"* -> x/*\"], never: {{deny: [steady], allow: [probing]}}, for: 1s}}
  stop: [probing]
"
    );
    let play = &plays(&spec)[0];
    let started: Vec<_> = play.steps[0]
        .start
        .iter()
        .map(|it| (it.name.as_str(), it.cells.len(), it.every.as_millis()))
        .collect();
    assert_eq!(started, [("probing", 1, 1), ("steady", 3, 5)]);
    let alone = &play.steps[0].expectations[1];
    assert!(alone.cells.is_empty());
    let never: Vec<_> = play.steps[1].expectations[0]
        .never
        .iter()
        .map(|never| (never.traffic.as_str(), never.outcome))
        .collect();
    assert_eq!(
        never,
        [("probing", Expected::Allow), ("steady", Expected::Deny)]
    );
    assert_eq!(play.steps[1].stop, ["probing"]);
    assert!(
        play.control
            .iter()
            .any(|it| it.cell.to_string().starts_with("z/a -> x/a"))
    );
}

#[test]
fn one_entry_can_stand_for_many_policies() {
    let spec = "cluster: {grid: {}, families: ipv4}
policies:
  many:
    repeat: 3
    manifest:
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {namespace: x, name: \"many-${n}\"}
      spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: \"${n}\"}]}]}
steps:
- {name: all, refuse: [{policy: \"many[0]\", field: \"spec.ingress[0].ports[0].port\"}], apply: [\"many[1]\", \"many[2]\"], expect: {default: allow, deny: [\"* -> x/a\"]}}
- {name: one less, delete: [\"many[1]\"], expect: {default: allow, deny: [\"* -> x/a\"]}}
";
    let play = &plays(spec)[0];
    assert_eq!(
        changes(play, 0),
        ["apply policy x/many-1", "apply policy x/many-2"]
    );
    assert_eq!(changes(play, 1), ["delete policy x/many-1"]);
    let whole = spec.replace("port: \"${n}\"", "port: 8080").replace("refuse: [{policy: \"many[0]\", field: \"spec.ingress[0].ports[0].port\"}], apply: [\"many[1]\", \"many[2]\"]", "apply: [many]").replace("many[1]", "many");
    let play = &plays(&whole)[0];
    assert_eq!(changes(play, 0).len(), 3);
    assert_eq!(changes(play, 1).len(), 3);
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
    let addresses = Addresses(BTreeMap::from([
        ("x/b", "10.244.1.7"),
        ("other", "10.244.0.0/16"),
    ]));
    let filled = policy.resolve(&addresses).unwrap().spec.unwrap();
    let block = filled.ingress.unwrap()[0].from.clone().unwrap()[0]
        .ip_block
        .clone()
        .unwrap();
    assert_eq!(block.cidr, "10.244.0.0/16");
    assert_eq!(block.except.unwrap(), ["10.244.1.7/32"]);

    let nobody = policy
        .resolve(&Addresses(BTreeMap::new()))
        .unwrap_err()
        .to_string();
    assert!(
        nobody.contains("the address of x/b is not known now"),
        "{nobody}"
    );
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
requires: [services]
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
    assert!(
        expected(play, 0).contains(&"shop/nightly-1 -> svc/shop/web:80/TCP allowed".to_owned())
    );
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
        step.cells()
            .into_iter()
            .filter(|cell| failure.covers(step, cell))
            .count()
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
