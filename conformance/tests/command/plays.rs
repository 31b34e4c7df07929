//! Scenarios that pass and fail, and what is written about them.

use std::fs;

use crate::{
    Test,
    portcullis::{Ended, Portcullis},
};

pub(crate) const TESTS: &[Test] = &[
    ("the demo ends with agreement", demo),
    ("the demo's files can be tested", demo_files),
    (
        "a wrong expectation fails with what isolates the pod",
        wrong_expectation,
    ),
    ("reports are written for machines", reports),
    ("evidence is a folder that says how to repeat it", evidence),
    (
        "what must never happen in a transition is told with when and why",
        never,
    ),
    ("the enforcer's choices can be made for a run", choices),
    (
        "an unexpectedly passing known failure fails",
        known_failure_passes,
    ),
];

fn demo() {
    let ended = Portcullis::new(&["demo"]).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("agree on 486 of 486"),
        "{}",
        ended.stdout
    );
    assert!(
        ended
            .stdout
            .contains("it wants namespaces with ns=x, and z has ns=z")
    );
}

fn demo_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(Portcullis::new(&["demo", "--write", path]).run().code, 0);
    assert_eq!(Portcullis::new(&["test", path]).run().code, 0);
}

/// Plays the demo's scenario with one text in place of another.
fn demo_with(wrong: (&str, &str), more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(Portcullis::new(&["demo", "--write", path]).run().code, 0);
    let file = folder.path().join("demo.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(wrong.0), "the demo has no `{}`", wrong.0);
    fs::write(&file, text.replace(wrong.0, wrong.1)).unwrap();
    Portcullis::new(&[&["test", file.to_str().unwrap()], more].concat()).run()
}

/// An expectation that the policies do not meet.
const WRONG: (&str, &str) = (
    "      allow: [\"x/* -> y/*:80/tcp\"]",
    "      allow: [\"x/* -> y/*:80/tcp\", \"z/c -> y/a:80/tcp\"]",
);

fn wrong_expectation() {
    let ended = demo_with(WRONG, &[]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for part in [
        "z/c -> y/a:80/TCP over IPv4",
        "ALLOWED",
        "DENIED",
        "y/allow-x-to-y-80 ingress[0].from[0]",
        "demo.yaml:31:13",
        "it wants namespaces with ns=x, and z has ns=z",
    ] {
        assert!(
            ended.stderr.contains(part),
            "`{part}` is missing in\n{}",
            ended.stderr
        );
    }
}

fn reports() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let json = folder.path().join("report.json");
    let ended = demo_with(
        WRONG,
        &[
            "--report",
            &format!("junit={}", junit.display()),
            "--report",
            &format!("json={}", json.display()),
        ],
    );
    assert_eq!(ended.code, 1);
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<failure"), "{junit}");
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let failures = &json["scenarios"][0]["steps"][2]["failures"];
    assert_eq!(failures.as_array().unwrap().len(), 1, "{json:#}");
}

fn evidence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(Portcullis::new(&["demo", "--write", path]).run().code, 0);
    let scenarios = folder.path().join("demo.yaml");
    let out = folder.path().join("out");
    let words = [
        "conformance",
        "run",
        scenarios.to_str().unwrap(),
        "--report",
        out.to_str().unwrap(),
        "--project",
        "our CNI",
    ];
    let ended = Portcullis::new(&words).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let page = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(page.contains("conformance of our CNI"), "{page}");
    assert!(page.contains("\nportcullis conformance run "), "{page}");
    let record = fs::read_to_string(out.join("conformance-report.yaml")).unwrap();
    assert!(record.contains("result: success"), "{record}");
}

fn known_failure_passes() {
    let ended = demo_with(
        (
            "  steps:\n",
            "  expectFailure:\n  - {backend: simulator, flow: \"x/a -> x/b:80/tcp\", reason: it was so once}\n  steps:\n",
        ),
        &[],
    );
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("it was so once"), "{}", ended.stderr);
}

fn never() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command/transition.yaml");
    let ended = Portcullis::new(&["test", "-q", file]).run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let told = &ended.stderr;
    let said = |what: &str| assert!(told.contains(what), "no `{what}` in\n{told}");
    said("probing: x/b -> x/a:80/TCP over IPv4 must never be allowed, and ");
    said(" ms after the first change began");
    said("ingress  x/a  isolated by");
    said("x/nobody ");
}

/// What is denied is refused, and every denial is still told from an answer of nobody.
fn choices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(Portcullis::new(&["demo", "--write", path]).run().code, 0);
    let report = folder.path().join("report.json");
    let json = format!("json={}", report.display());
    let arguments = [
        "test",
        "-q",
        "--deny",
        "reject",
        "--all-cells",
        "--report",
        &json,
        path,
    ];
    let ended = Portcullis::new(&arguments).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("PASS"), "{}", ended.stderr);
    let report = fs::read_to_string(report).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["exitCode"], 0);
    let scenario = &report["scenarios"][0];
    assert_eq!(scenario["options"]["deny"], "reject");
    let step = &scenario["steps"][1];
    assert_eq!(step["outcomes"]["denied"], 0);
    assert_ne!(step["outcomes"]["refused"], 0);
    let cells = step["cells"].as_array().unwrap();
    assert!(cells.iter().all(|cell| cell["judgesAgree"] == true));
}
