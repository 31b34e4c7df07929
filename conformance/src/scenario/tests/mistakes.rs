//! How mistakes look: one snapshot for each, named after it.
//!
//! What YAML and manifests get wrong is tested where they are read; here it is only whether a
//! scenario points at the right place.

use rstest::{Context, rstest};

use super::mistakes;

/// A policy of namespace x with this `spec`.
fn policy(spec: &str) -> String {
    format!(
        "cluster: {{grid: {{}}, families: ipv4}}
policies:
  deny:
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {{namespace: x, name: deny}}
    spec: {spec}
steps:
- name: one
  apply: [deny]
  expect: {{default: deny, within: 1s}}
"
    )
}

/// A grid and one step with this body.
fn step(body: &str) -> String {
    let lines: String = body.lines().map(|line| format!("  {line}\n")).collect();
    format!("cluster: {{grid: {{}}}}\nsteps:\n- name: one\n{lines}")
}

fn check(name: &str, spec: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, mistakes(spec));
    });
}

#[rstest]
#[case::unknown_pod("default: allow\ndeny:\n- x/a -> y/bb:80\n")]
#[case::unknown_namespace("default: allow\ndeny: x/a -> yy/b:80\n")]
#[case::unknown_node("default: allow\nallow: node/n3 -> x/a\n")]
#[case::unknown_external("default: allow\nallow: x/a -> ext/internet\n")]
#[case::unknown_service("default: allow\nallow: x/a -> svc/x/web\n")]
#[case::unknown_label("default: allow\nallow: x{pod=q} -> x/a\n")]
#[case::no_pod_matches("default: allow\nallow: \"x/web-* -> x/a\"\n")]
#[case::bare_word("default: allow\nallow: internet -> x/a\n")]
#[case::service_as_source("default: allow\nallow: svc/x/web -> x/a\n")]
#[case::closed_port_denied("default: allow\ndeny: [x/a -> y/b:5433/tcp]\n")]
#[case::closed_port_allowed("default: allow\nallow: [x/a -> y/*:53/udp]\n")]
#[case::open_port_refused("default: allow\nrefused: x/a -> y/b:80\n")]
#[case::refused_without_port("default: allow\nrefused: x/a -> y/b\n")]
#[case::unknown_protocol("default: allow\ndeny: [\"x/a -> y/b:80/tpc\"]\n")]
#[case::no_arrow("default: allow\ndeny: [x/a y/b]\n")]
#[case::star_without_quotes("default: allow\ndeny:\n- * -> x/a\n")]
#[case::no_default("deny: [x/a -> x/b]\n")]
#[case::contradiction("default: allow\ndeny: [x/* -> x/a]\neither: [\"*/b -> x/a\"]\n")]
#[case::contradiction_of_equals(
    "default: allow\ndeny: [x/b -> x/a]\nmatrix: |\n  *   x/a\n  x/b .\n"
)]
#[case::self_denied("default: allow\ndeny: [x/a -> x/a]\n")]
#[case::own_node_denied("default: allow\ndeny: [node/n1 -> x/a]\n")]
#[case::filtered_away("default: allow\nports: [53/udp]\n")]
#[case::filtered_entry("default: allow\nfamily: ipv4\nports: [80/tcp]\nallow: [x/a -> x/b:icmp]\n")]
#[case::matrix_unknown_pod("matrix: |\n  *   x/a x/q\n  x/a .   .\n  x/b X   .\n")]
#[case::matrix_ragged("matrix: |\n  *   x/a x/b\n  x/a .   .\n  x/b X\n")]
#[case::matrix_mark("matrix: |\n  *   x/a\n  x/b x\n")]
#[case::matrix_without_corner("matrix: |\n      x/a\n  x/b X\n")]
#[case::reason_without_policy(
    "default: allow\nbecause: {flow: x/a -> x/b, allowedBy: [x/allow]}\n"
)]
#[case::reason_without_reason("default: allow\nbecause: {flow: x/a -> x/b}\n")]
#[case::never_unknown("never: {deny: [steady]}\n")]
#[case::never_of_nothing("never: {}\n")]
#[case::source_port_of_icmp("default: unprobed\nallow: x/a -> x/b:icmp\nsourcePort: 53\n")]
#[case::source_port_taken("default: allow\nsourcePort: 80\n")]
#[case::payload_of_icmp("default: unprobed\nallow: x/a -> x/b:icmp\npayload: 4000\n")]
#[case::payload_of_nothing("default: allow\npayload: 0\n")]
#[case::anything_is_right("default: unprobed\neither: x/a -> x/b\n")]
#[case::localhost_denied("default: allow\ndeny: x/a -> localhost\n")]
#[case::localhost_as_source("default: allow\nallow: localhost -> x/a\n")]
#[case::when_unknown("default: allow\nwhen: {established: cut}\n")]
#[case::waiting("default: allow\nwait: 5s\n")]
#[case::unknown_default("default: drop\n")]
#[case::duration("default: allow\nwithin: 5sec\n")]
fn expectations(#[context] case: Context, #[case] body: &str) {
    let body: String = body.lines().map(|line| format!("  {line}\n")).collect();
    check(name(&case), &step(&format!("expect:\n{body}")));
}

#[rstest]
#[case::step_without_anything("")]
#[case::step_that_sleeps("sleep: 5s\nexpect: allow\n")]
#[case::agent_unknown("stopAgents: [n3]\nkillAgents: [node/n1]\n")]
#[case::agent_runs_already("startAgents: [n1]\nrestoreApi: [n2]\n")]
#[case::agent_does_not_run("stopAgents: [n1]\nkillAgents: [n1]\nrestartAgents: [n1]\n")]
#[case::no_transaction_refused("refuseTransactions: {n1: 0}\n")]
#[case::damage_unknown("damage: {n1: drop-table}\n")]
#[case::foreign_table_twice("createForeignTables: [n1, \"*\"]\n")]
#[case::terminated_twice("terminatePods: [x/a, x/a]\n")]
#[case::started_already("startPods: [x/a]\n")]
#[case::restart_of_nobody("restartContainers: [x/q]\n")]
#[case::traffic_unwatched("start: {steady: x/b -> x/a}\nexpect: allow\n")]
#[case::traffic_too_much(
    "start: {steady: {flow: \"* -> *\", every: 1ms}}\nlabel: {x/a: {a: b}}\nexpect: {never: {deny: [steady]}}\n"
)]
#[case::traffic_unknown("stop: [steady]\n")]
#[case::traffic_from_nobody(
    "start: {steady: x/b -> x/a}\ndeletePods: [x/b]\nexpect: {never: {deny: [steady]}}\n"
)]
#[case::traffic_to_an_address_that_goes(
    "start: {steady: x/b -> x/a}\nrecreatePods: [x/a]\nexpect: {never: {deny: [steady]}}\n"
)]
#[case::never_contradicted(
    "start: {steady: x/b -> x/a}\nlabel: {x/a: {a: b}}\nexpect: {default: allow, deny: [x/b -> x/a], never: {deny: [steady]}}\n"
)]
#[case::never_any_way(
    "start: {steady: x/b -> x/a}\nlabel: {x/a: {a: b}}\nexpect: {never: {deny: [steady], allow: [steady]}}\n"
)]
#[case::never_while_nothing_happens(
    "start: {steady: x/b -> x/a}\nexpect: {default: allow, never: {deny: [steady]}}\n"
)]
#[case::never_what_always_passes(
    "start: {steady: \"x/* -> x/a\"}\nlabel: {x/a: {a: b}}\nexpect: {never: {allow: [steady]}}\n"
)]
#[case::step_unknown_key("expects: allow\n")]
#[case::label_unknown("label: {x/q: {a: b}, namespace/q: {a: b}, node/n3: {a: b}}\n")]
#[case::label_without_change("label: {x/a: {pod: a}}\nunlabel: {x/b: [app]}\n")]
#[case::delete_unknown("delete: [deny]\ndeletePods: [x/q]\ndeleteNamespaces: [q]\n")]
#[case::apply_unknown("apply: [deny]\n")]
#[case::flow_not_open("use: [upload]\nclose: [upload]\n")]
#[case::flow_over_icmp("open: {ping: x/a -> x/b:icmp}\n")]
#[case::pod_there_already("createPods: {x/a: {}}\ncreateNamespaces: [x]\n")]
#[case::pod_without_namespace("createPods: {q/a: {}}\n")]
#[case::pod_on_unknown_node("createPods: {x/d: {node: n3}}\n")]
#[case::address_still_in_use("createPods: {x/d: {addressesOf: x/a}}\n")]
#[case::address_of_nobody("createPods: {x/d: {addressesOf: x/q}}\n")]
#[case::finished_twice("finishPods: [x/a, {pod: x/a, phase: Failed}]\n")]
#[case::finished_pod_probed("finishPods: [x/a]\nexpect: {default: allow, allow: [x/b -> x/a]}\n")]
#[case::file_missing("apply: [../nowhere.yaml]\n")]
#[case::inline_manifest(
    "apply: [{apiVersion: v1, kind: Service, metadata: {name: web, namespace: q}, spec: {prots: []}}]\n"
)]
#[case::refuse_without_object("refuse: [{field: spec}]\n")]
fn steps(#[context] case: Context, #[case] body: &str) {
    check(name(&case), &step(body));
}

#[rstest]
#[case::policy_refused("{ingress: [{ports: [{port: 0}]}]}")]
#[case::policy_unknown_field("{podselector: {}}")]
#[case::template_unknown("{ingress: [{from: [{ipBlock: {cidr: \"${ipp:x/a}/32\"}}]}]}")]
#[case::template_unknown_pod("{ingress: [{from: [{ipBlock: {cidr: \"${ip:x/d}/32\"}}]}]}")]
#[case::template_incomplete("{ingress: [{from: [{ipBlock: {cidr: \"${cidr:n1}\"}}]}]}")]
#[case::template_other_family("{ingress: [{from: [{ipBlock: {cidr: \"${podCIDR6}\"}}]}]}")]
#[case::template_refused(
    "{ingress: [{from: [{ipBlock: {cidr: \"${cidr:node/n1}\", except: [\"${cidr:node/n2}\"]}}]}]}"
)]
fn policies(#[context] case: Context, #[case] spec: &str) {
    check(name(&case), &policy(spec));
}

#[rstest]
#[case::cannot_fail(
    "cluster: {grid: {}}
policies:
  open: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: open}, spec: {ingress: [{}]}}
steps:
- name: one
  apply: [open]
  expect: allow
"
)]
#[case::family_not_said(
    "cluster: {grid: {}}
policies:
  a: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: a}, spec: {ingress: [{from: [{ipBlock: {cidr: \"${ip:x/a}/32\"}}]}]}}
steps:
- name: one
  apply: [a]
  expect: {default: allow, deny: [\"* -> x/*\"]}
"
)]
#[case::unused_policy(
    "cluster: {grid: {}}
policies:
  open: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: open}}
steps:
- name: one
  expect: allow
"
)]
#[case::policy_of_another_kind(
    "cluster: {grid: {}}
policies:
  web: {apiVersion: v1, kind: Service, metadata: {namespace: x, name: web}}
steps:
- name: one
  apply: [web]
"
)]
#[case::policy_in_unknown_namespace(
    "cluster: {grid: {}}
policies:
  deny: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: xx, name: deny}, spec: {}}
steps:
- name: one
  apply: [deny]
  expect: deny
"
)]
#[case::two_steps_of_one_name(
    "cluster: {grid: {}}\nsteps:\n- {name: one, expect: allow}\n- {name: one, expect: allow}\n"
)]
#[case::no_steps("cluster: {grid: {}}\nsteps: []\n")]
#[case::listen_protocol(
    "cluster: {grid: {listen: [80/tpc]}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::listen_unknown_key(
    "cluster: {grid: {listen: [{port: 80, proto: TCP}]}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::listen_no_list("cluster: {grid: {listen: 80/tcp}}\nsteps:\n- {name: one, expect: allow}\n")]
#[case::listen_twice(
    "cluster: {grid: {listen: [80/tcp, 80]}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::pod_name(
    "cluster: {pods: {web: {}, default/Web: {}}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::reserved_namespace(
    "cluster: {grid: {namespaces: [node]}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::placed_twice(
    "cluster: {grid: {}, place: {\"*/a\": n1, x/a: n2}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::node_port(
    "cluster: {grid: {}, services: {x/web: {selector: {pod: a}, ports: [80], type: NodePort}}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::parameter_unused(
    "cluster: {grid: {}}\nforEach: {port: [80, 81]}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::parameter_value(
    "cluster: {grid: {}}\nforEach: {family: [ipv5]}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::parameter_unknown(
    "cluster: {grid: {}}\nforEach: {port: [80]}\nsteps:\n- {name: \"${prot} ${port}\", expect: allow}\n"
)]
#[case::parameter_in_a_flow(
    "cluster: {grid: {}}\nforEach: {pod: [a, d]}\nsteps:\n- {name: one, expect: {default: allow, allow: [\"x/${pod} -> y/a\"]}}\n"
)]
#[case::address_in_a_flow(
    "cluster: {grid: {}}\nsteps:\n- {name: one, expect: {default: allow, allow: [\"x/a -> ${ip:x/b}\"]}}\n"
)]
#[case::permute_nothing(
    "cluster: {grid: {}}\npermute: policies\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::requires_too_little(
    "cluster: {grid: {}, external: [internet], services: {x/web: {selector: {pod: a}, ports: [80]}}}\nrequires: [external]\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::requires_too_much(
    "cluster: {grid: {}}\nrequires: [multi-node, sctp, agents, multi-node]\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::service_with_the_client_behind_it(
    "cluster: {grid: {}, services: {x/web: {selector: {ns: x}, ports: [80]}}}\nrequires: [services]\nsteps:\n- {name: one, label: {\"x/*\": {ns: x}}, expect: {default: allow, deny: \"x/a -> svc/x/web\"}}\n"
)]
#[case::host_port_twice(
    "cluster: {grid: {}, pods: {x/d: {node: n1, listen: [{port: 80, hostPort: 8080}]}, x/e: {node: n1, listen: [{port: 80, hostPort: 8080}]}}}\nrequires: [host-port]\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::host_port_in_a_step(
    "cluster: {grid: {}, pods: {x/d: {node: n1, listen: [{port: 80, hostPort: 8080}]}}}\nrequires: [host-port]\nsteps:\n- {name: one, createPods: {x/e: {node: n1, listen: [{port: 81, hostPort: 8080}]}}}\n- {name: two, expect: allow}\n"
)]
#[case::host_port_where_there_is_none(
    "cluster: {nodes: [{name: n1, listen: [{port: 22, hostPort: 22}]}], grid: {}, pods: {x/d: {hostNetwork: true, listen: [{port: 80, hostPort: 8080}, {protocol: icmp, hostPort: 8}]}}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::odd_machines(
    "cluster: {grid: {}, nodes: [{name: n1, podMtu: 576}], external: {vm: {behind: n2}}}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::payload_too_large(
    "cluster: {grid: {listen: [80/udp]}}\nsteps:\n- {name: one, expect: {default: allow, payload: 65508}}\n"
)]
#[case::closed_port_by_default(
    "cluster: {grid: {}, families: ipv4}\nprobe: [\"x/a -> y/*:81/tcp\"]\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::option_unknown(
    "cluster: {grid: {}}\nforEach: {established: [keep, cut]}\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::when_never(
    "cluster: {grid: {}}\nforEach: {deny: [drop]}\nsteps:\n- {name: one, expect: [allow, {default: unprobed, allow: x/a -> x/b, when: {deny: reject}}]}\n"
)]
#[case::damage_of_nothing(
    "cluster: {grid: {}, nodes: [n1, {name: n2, agent: false}]}\nrequires: [agents]\nsteps:\n- {name: one, damage: {n2: flush-rules}}\n- {name: two, killAgents: [n1], damage: {n1: delete-table}}\n- {name: three, damage: {n1: delete-table}}\n"
)]
#[case::traffic_twice(
    "cluster: {grid: {}}\nsteps:\n- {name: one, start: {steady: x/a -> x/b}}\n- {name: two, start: {steady: x/a -> x/c}, label: {x/a: {a: b}}, expect: {never: {deny: [steady]}}}\n"
)]
#[case::repeated_without_number(
    "cluster: {grid: {}}
policies:
  many: {repeat: 3, manifest: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: many}}}
steps:
- {name: one, apply: [many], expect: {default: allow, deny: [\"* -> x/*\"]}}
"
)]
#[case::repeated_otherwise(
    "cluster: {grid: {}}
policies:
  once: {repeat: 1, manifest: {}}
  none: {repeat: 3}
  more: {repeat: 3, manifest: {}, count: 3}
steps:
- {name: one, apply: [once, none, more], expect: {default: allow, deny: [\"* -> x/*\"]}}
"
)]
#[case::repeated_where_one_is_needed(
    "cluster: {grid: {}}
policies:
  many: {repeat: 3, manifest: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: \"many-${n}\"}}}
steps:
- {name: one, accept: [many], apply: [\"many[3]\"], expect: {default: allow, deny: [\"* -> x/*\"]}}
"
)]
#[case::stored_though_admitted(
    "cluster: {grid: {}}
requires: [stored-objects]
policies:
  deny: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}}
steps:
- {name: one, store: [deny], expect: {default: allow, deny: [\"* -> x/*\"]}}
"
)]
#[case::applied_twice(
    "cluster: {grid: {}}
policies:
  deny: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}}
steps:
- {name: one, apply: [deny], expect: {default: allow, deny: [\"* -> x/*\"]}}
- {name: two, apply: [deny], expect: {default: allow, deny: [\"* -> x/*\"]}}
"
)]
#[case::former_address_of_nobody(
    "cluster: {grid: {}, families: ipv4}
policies:
  a: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: a}, spec: {ingress: [{from: [{ipBlock: {cidr: \"${formerip:x/a}/32\"}}]}]}}
steps:
- {name: one, apply: [a], expect: {default: allow, deny: [\"* -> x/*\"]}}
"
)]
#[case::probe_nothing(
    "cluster: {grid: {}}\nprobe: [ext/internet]\nsteps:\n- {name: one, expect: allow}\n"
)]
#[case::expected_failure_nowhere(
    "cluster: {grid: {}}\nexpectFailure: [{backend: kind, flow: x/a -> x/b:81/tcp, reason: why}]\nsteps:\n- {name: one, expect: allow}\n"
)]
fn files(#[context] case: Context, #[case] spec: &str) {
    check(name(&case), spec);
}

#[test]
fn several_documents() {
    let text = format!(
        "{}---\n{}",
        super::file("steps: []\n"),
        super::file("steps: []\n")
    );
    let errors = crate::scenario::load_text("s.yaml", &text, &crate::scenario::Options::default());
    let errors = errors.unwrap_err().to_string();
    assert!(
        errors.starts_with("error[scenario/file]: `s.yaml` has 2 documents"),
        "{errors}"
    );
}

/// The name of a case.
fn name(case: &Context) -> &str {
    case.description.unwrap_or("unnamed")
}
