//! `--backend api` where there is no API server, or no agent.

use std::fs;

use crate::{Test, portcullis::Portcullis};

/// Nothing is started for these.
pub(crate) const MISTAKES: &[Test] = &[(
    "what only the simulator can do is not taken for an API server",
    not_for_servers,
)];

/// These enter the sandbox first.
pub(crate) const TESTS: &[Test] = &[
    ("an API server that does not answer is named", no_server),
    ("a context that does not exist is named", no_context),
    ("a kubeconfig that does not exist is named", no_kubeconfig),
    ("an agent that is not there is named", no_agent),
];

/// Nobody listens on the first port.
const CONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: none}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
"#;

/// What is said to someone who plays against that server, with an agent that is a file at least.
fn said(more: &[&str], code: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, CONFIG).unwrap();
    let path = path.to_str().unwrap();
    let mut arguments = vec!["test", "--backend", "api", "--kubeconfig", path];
    if !more.contains(&"--agent") {
        arguments.extend(["--agent", path]);
    }
    arguments.extend(more);
    let ended = Portcullis::new(&arguments).run();
    assert_eq!(ended.code, code, "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert!(!ended.stderr.contains("Starting"), "{}", ended.stderr);
    ended.stderr
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
}

fn not_for_servers() {
    assert_says(&said(&["--keep"], 2), &["--keep", "--backend sim"]);
    assert_says(&said(&["--jobs", "2"], 2), &["--jobs", "--kubeconfig"]);
}

fn no_server() {
    let said = said(&[], 3);
    assert_says(
        &said,
        &["reach the API server at http://127.0.0.1:1", "refused"],
    );
}

fn no_context() {
    assert_says(&said(&["--context", "there"], 2), &["kubeconfig", "there"]);
}

fn no_kubeconfig() {
    let ended = Portcullis::new(&[
        "test",
        "--backend",
        "api",
        "--kubeconfig",
        "/no/such/file",
        "--agent",
        "/etc/hostname",
    ])
    .run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert_says(&ended.stderr, &["/no/such/file"]);
}

fn no_agent() {
    let said = said(&["--agent", "/no/such/agent"], 3);
    assert_says(
        &said,
        &["portcullis-agent", "/no/such/agent", "cargo build"],
    );
}
