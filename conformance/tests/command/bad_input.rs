//! Mistakes of the user: exit code 2, file, line, column and the fix.

use std::fs;

use crate::{Test, portcullis::Portcullis};

pub(crate) const TESTS: &[Test] = &[
    ("a misspelt key is shown with the right one", misspelt_key),
    (
        "a pod that does not exist is shown with the nearest",
        unknown_pod,
    ),
    ("a port nobody listens on cannot be denied", port_nobody_has),
    ("expectations that cannot fail are refused", cannot_fail),
    (
        "a policy the API server refuses is shown where it is wrong",
        refused_policy,
    ),
    ("yaml that is not yaml is shown where it breaks", not_yaml),
    ("a path that does not exist is named", no_such_path),
    (
        "a filter that matches nothing has a code of its own",
        nothing_selected,
    ),
    ("an unknown report format is explained", unknown_report),
    ("a cluster that is not up is explained", nothing_is_up),
];

/// A scenario that is right but for what a test changes in it.
const RIGHT: &str = "\
apiVersion: portcullis.dev/v1alpha1
kind: Scenario
metadata:
  name: one-mistake
spec:
  cluster:
    grid: {namespaces: [x], pods: [a, b], listen: [80/tcp]}
  policies:
    deny:
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {namespace: x, name: deny}
      spec:
        podSelector: {matchLabels: {pod: a}}
        policyTypes: [Ingress]
  steps:
  - name: denied
    apply: [deny]
    expect:
      default: allow
      deny: [x/b -> x/a]
";

/// Plays the scenario with one text in place of another, and returns what is said about it.
fn mistake(wrong: (&str, &str)) -> String {
    assert!(RIGHT.contains(wrong.0), "the scenario has no `{}`", wrong.0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one-mistake.yaml");
    fs::write(&file, RIGHT.replace(wrong.0, wrong.1)).unwrap();
    let ended = Portcullis::new(&["test", file.to_str().unwrap()]).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    ended.stderr
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
}

fn misspelt_key() {
    let said = mistake(("    grid:", "    gird:"));
    assert_says(&said, &["one-mistake.yaml:7:5", "`gird`", "`grid`", "^^^^"]);
}

fn unknown_pod() {
    let said = mistake(("x/b -> x/a", "x/bb -> x/a"));
    assert_says(&said, &["one-mistake.yaml:21:14", "x/bb", "x/b"]);
}

fn port_nobody_has() {
    let said = mistake(("x/b -> x/a", "\"x/b -> x/a:81\""));
    assert_says(&said, &["one-mistake.yaml:21:", "81"]);
}

fn cannot_fail() {
    let said = mistake(("      deny: [x/b -> x/a]\n", ""));
    assert_says(&said, &["scenario/cannot-fail"]);
}

fn refused_policy() {
    let said = mistake(("policyTypes: [Ingress]", "policyTypes: [Inbound]"));
    assert_says(
        &said,
        &["one-mistake.yaml:15:", "spec.policyTypes", "Inbound"],
    );
}

fn not_yaml() {
    let said = mistake(("  steps:", "  steps: ["));
    assert_says(&said, &["yaml/syntax", "one-mistake.yaml:"]);
}

fn no_such_path() {
    let ended = Portcullis::new(&["test", "no/such/folder"]).run();
    assert_eq!(ended.code, 2);
    assert_says(&ended.stderr, &["no/such/folder"]);
}

fn nothing_selected() {
    let ended = Portcullis::new(&["test", "-k", "nobody-is-called-this"]).run();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert_says(&ended.stderr, &["nobody-is-called-this"]);
}

fn unknown_report() {
    let ended = Portcullis::new(&["test", "--report", "xml=x"]).run();
    assert_eq!(ended.code, 2);
    assert_says(&ended.stderr, &["junit=FILE", "json=FILE"]);
}

fn nothing_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let ended = Portcullis::new(&["sim", "dump", "-n", "nobody"])
        .with_runtime_folder(folder.path())
        .run();
    assert_eq!(ended.code, 2);
    assert_says(&ended.stderr, &["nobody", "portcullis sim up"]);
}
