//! `portcullis fuzz`, as far as it needs no namespaces.

use crate::{
    Test,
    portcullis::{Ended, Portcullis},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_seed_gives_the_same_cases", same_cases),
    ("a_case_can_be_had_again", one_case),
    ("a_time_needs_a_unit", no_unit),
];

fn fuzz(arguments: &[&str]) -> Ended {
    Portcullis::new(&[&["fuzz", "--mode", "plan"], arguments].concat()).run()
}

/// What it says, without how long it took.
fn untimed(ended: &Ended) -> String {
    let lines = ended.stderr.lines();
    let untimed = lines.map(|line| line.split(" in ").next().unwrap_or_default());
    untimed.collect::<Vec<_>>().join("\n")
}

fn same_cases() {
    let ended = fuzz(&["--seed", "7", "--cases", "40"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(untimed(&ended).starts_with("seed 7\nplan   40 cases, "));
    assert!(ended.stderr.ends_with(": 0 disagreements\n"));
    let again = fuzz(&["--seed", "7", "--cases", "40", "--jobs", "1"]);
    assert_eq!(untimed(&ended), untimed(&again));
    let other = fuzz(&["--seed", "8", "--cases", "40"]);
    assert_ne!(
        untimed(&ended).lines().last(),
        untimed(&other).lines().last()
    );
}

fn one_case() {
    let ended = fuzz(&["--seed", "7", "--case", "39"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("plan   1 cases, "),
        "{}",
        ended.stderr
    );
}

fn no_unit() {
    let ended = fuzz(&["--time", "3"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("--time"), "{}", ended.stderr);
}
