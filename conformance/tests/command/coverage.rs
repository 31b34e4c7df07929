//! Which lines of the semantics list the scenarios show.

use std::fs;

use crate::{Test, portcullis::Portcullis};

pub(crate) const TESTS: &[Test] = &[
    ("every line has a scenario or a reason", whole_library),
    ("coverage of a part is told to programs", part),
    ("a line that there is not is shown", no_such_line),
];

fn whole_library() {
    let ended = Portcullis::new(&["coverage"]).run();
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended
            .stdout
            .contains("\n   67   An except denies nothing\n        ipblock-except-is-not-deny\n"),
        "{}",
        ended.stdout
    );
    assert!(
        ended
            .stdout
            .contains("\n  118 - A kernel without SCTP\n        no scenario: "),
        "{}",
        ended.stdout
    );
    let last = ended.stdout.lines().last().unwrap();
    assert!(last.starts_with("248 lines: "), "{last}");
    assert!(last.ends_with(" with a reason, 0 with neither"), "{last}");
}

fn part() {
    let ended = Portcullis::new(&["coverage", "scenarios/ports", "--json"]).run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let coverage: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let lines = coverage["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 248);
    assert_eq!(lines[106]["number"], 107);
    assert_eq!(lines[106]["state"], "covered");
    assert_eq!(lines[106]["scenarios"][0], "source-port-never-counts");
    assert_eq!(lines[66]["state"], "uncovered");
    assert_eq!(lines[117]["state"], "excused");
}

fn no_such_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.yaml");
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: Scenario\nmetadata: {name: one, covers: [1, 249]}\n\
                spec: {cluster: {grid: {}}, steps: [{name: all, expect: allow}]}\n";
    fs::write(&file, text).unwrap();
    let ended = Portcullis::new(&["coverage", file.to_str().unwrap()]).run();
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    for part in ["the semantics list has no line 249", "one.yaml:3:35"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}
