//! Changes are timed, and nothing is dropped or leaked meanwhile.

use crate::{Test, portcullis::Portcullis};

pub(crate) const TESTS: &[Test] = &[
    ("latency is told to programs", json),
    ("latency is told to people", table),
    ("the world of latency is a scenario that passes", scenario),
];

pub(crate) const MISTAKES: &[Test] = &[("an interval that cannot be is explained", interval)];

fn json() {
    let ended = Portcullis::new(&["latency", "--rounds=1", "--json", "--family=ipv6"]).run();
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let transitions = report["transitions"].as_array().unwrap();
    for (change, is_allowed, is_denied) in [
        ("policy created", true, false),
        ("policy deleted", false, true),
        ("pod labelled", false, true),
        ("namespace labelled", false, true),
        ("pod created", true, true),
    ] {
        let transition = transitions.iter().find(|it| it["change"] == change);
        let transition = transition.unwrap_or_else(|| panic!("no {change} in {report:#}"));
        for (key, is_there) in [
            ("wronglyAllowedMs", is_allowed),
            ("wronglyDeniedMs", is_denied),
        ] {
            assert_eq!(transition[key]["p99"].is_number(), is_there, "{change}");
        }
    }
    for trouble in report["troubles"].as_array().unwrap() {
        for (key, is_none) in [
            ("toPass", false),
            ("toDeny", false),
            ("dropped", true),
            ("leaked", true),
        ] {
            assert_eq!(trouble[key] == 0, is_none, "{key} of {trouble:#}");
        }
    }
}

fn table() {
    let ended = Portcullis::new(&["latency", "--rounds=1", "--pods=500", "--fabric=routed"]).run();
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    for part in [
        "500 pods and 10 policies on the routed fabric, over IPv4; 1 round.",
        "policy created",
        "agents killed, then started (1x)",
    ] {
        assert!(ended.stdout.contains(part), "no {part} in {}", ended.stdout);
    }
}

fn scenario() {
    let ended = Portcullis::new(&["test", "conformance/src/latency/latency.yaml"]).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

fn interval() {
    let ended = Portcullis::new(&["latency", "--every=1us"]).run();
    assert_eq!(ended.code, 2);
    let says = "it is from 200us to 100ms";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}
