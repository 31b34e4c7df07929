//! Background traffic: what must never come of it, and that it is judged.

use std::time::Duration;

use super::{fake, played, problems, scenario};
use crate::{cell::Outcome, report::Conclusion};

const NEVER: &str = "
  - name: one way is closed
    start: {steady: x/a -> x/b:80/tcp}
    apply: [deny-a]
    expect:
    - {default: allow, deny: [x/b -> x/a]}
    - never: {deny: [steady]}
";

fn since(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn what_must_never_happen_is_told_with_numbers_times_and_reasons() {
    let mut fake = fake();
    fake.traffic.lock().unwrap().extend([
        (Outcome::Allowed, 507, since(0)),
        (Outcome::Denied, 3, since(0)),
        (Outcome::Denied, 2, since(60_000)),
    ]);
    let report = played(&scenario(NEVER), &mut fake);
    let problem = &report.steps[0].problems[0];
    let message = &problem.message;
    assert!(
        message.starts_with(
            "steady: x/a -> x/b:80/TCP over IPv4 must never be denied, and 5 of 512 connections were denied: first "
        ),
        "{message}"
    );
    assert!(
        message.contains(" ms before the first change, last "),
        "{message}"
    );
    assert!(
        message.ends_with(" ms after the first change began"),
        "{message}"
    );
    assert_eq!(problem.at.as_deref(), Some("s.yaml:21:22"));
    let details = problem.details.join("\n");
    assert!(
        details.contains("ingress  x/b  no policy isolates it for ingress => allow"),
        "{details}"
    );
}

#[test]
fn what_has_not_happened_is_no_problem() {
    let mut fake = fake();
    let counts = [(Outcome::Allowed, 10, since(0))];
    fake.traffic.lock().unwrap().extend(counts);
    let report = played(&scenario(NEVER), &mut fake);
    assert_eq!(problems(&report), Vec::<String>::new());
    assert_eq!(report.conclusion, Conclusion::Passed);
}

#[test]
fn traffic_that_does_not_flow_shows_nothing() {
    let report = played(&scenario(NEVER), &mut fake());
    let problems = problems(&report);
    assert_eq!(
        problems,
        ["steady: x/a -> x/b:80/TCP over IPv4 was not tried once"]
    );
}

#[test]
fn what_traffic_does_at_the_end_of_a_step_is_judged() {
    let mut fake = fake();
    // Denied a minute after the start: no policy is to blame.
    let counts = [(Outcome::Denied, 10, since(60_000))];
    fake.traffic.lock().unwrap().extend(counts);
    let report = played(&scenario(NEVER), &mut fake);
    assert_eq!(report.conclusion, Conclusion::JudgesDisagree);
    let failure = &report.steps[0].failures[0];
    assert!(!failure.judges_agree);
    assert_eq!(failure.actual, Outcome::Denied);
    assert_eq!(failure.oracle.outcomes, [Outcome::Allowed]);
}

#[test]
fn the_connections_of_traffic_are_among_those_that_are_judged() {
    let mut fake = fake();
    let counts = [(Outcome::Allowed, 10, since(0))];
    fake.traffic.lock().unwrap().extend(counts);
    let report = played(&scenario(NEVER), &mut fake);
    // Eight of the matrix, one `never`, one more look at the traffic's connection.
    assert_eq!(report.steps[0].checks, 10);
}
