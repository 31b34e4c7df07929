//! Nothing is probed without being judged, and every side by what its agent knew.

use enforcer::options::{Deny, Options};
use rstest::rstest;

use super::{Fake, fake, played, problems, scenario};
use crate::{
    backend::ProbeSpec,
    cell::{Endpoint, Outcome, Protocol},
    report::Conclusion,
};

const DENIED: &str = "
  - name: all is closed
    apply: [deny]
    expect: deny
";

/// To x/b.
fn is_to_b(probe: &ProbeSpec) -> bool {
    matches!(&probe.cell.destination, Endpoint::Pod { name, .. } if name == "b")
}

/// From a pod to itself.
fn is_own(probe: &ProbeSpec) -> bool {
    probe.cell.source == probe.cell.destination
}

#[test]
fn a_kernel_that_does_otherwise_is_a_disagreement() {
    let mut fake = fake();
    fake.always(Outcome::Allowed);
    let report = played(&scenario(DENIED), &mut fake);
    assert_eq!(report.conclusion, Conclusion::JudgesDisagree);
    let failure = &report.steps[0].failures[0];
    assert_eq!(failure.oracle.outcomes, [Outcome::Denied]);
    assert_eq!(failure.plan.outcomes, [Outcome::Denied]);
    assert!(!failure.oracle.reasons.is_empty() && !failure.plan.reasons.is_empty());
}

#[test]
fn a_connection_that_is_missing_before_any_policy_is_inconclusive() {
    let mut fake = fake();
    fake.deviation = Box::new(|probe| is_to_b(probe).then_some(Outcome::Denied));
    let report = played(&scenario(DENIED), &mut fake);
    let Conclusion::Inconclusive { reason } = report.conclusion else {
        panic!("{:?}", report.conclusion)
    };
    assert!(
        reason.starts_with("before the first policy: x/a -> x/b:80/TCP over IPv4 is denied"),
        "{reason}"
    );
}

#[test]
fn a_side_is_judged_by_what_its_agent_knew() {
    let steps = "
  - name: the agent sleeps
    stopAgents: [n1]
    apply: [deny]
    expect: allow
  - name: it wakes up
    startAgents: [n1]
    expect: deny
";
    let report = played(&scenario(steps), &mut fake());
    assert_eq!(report.conclusion, Conclusion::Passed);
}

#[test]
fn an_agent_that_was_left_asleep_is_woken_for_the_final_control() {
    let steps = "
  - name: all is closed
    apply: [deny]
    expect: deny
  - name: the agent dies
    killAgents: [n1]
    expect: deny
";
    let mut fake = fake();
    played(&scenario(steps), &mut fake);
    let after = fake.log.iter().skip_while(|line| !line.starts_with("kill"));
    let after: Vec<_> = after.collect();
    assert_eq!(
        after,
        [
            "kill the agent of n1",
            "start the agent of n1",
            "delete policy x/deny"
        ]
    );
}

#[test]
fn what_the_back_end_complains_of_is_a_problem_of_the_step() {
    let mut fake = fake();
    fake.complaints = vec!["the foreign table of n1 was changed".to_owned()];
    let report = played(&scenario(DENIED), &mut fake);
    assert_eq!(problems(&report), ["the foreign table of n1 was changed"]);
    assert_eq!(report.conclusion, Conclusion::Failed);
}

/// What agents have seen and what they have written is read one after the other.
#[rstest]
#[case::a_plan_that_is_just_being_written(3, Conclusion::Passed)]
#[case::a_plan_that_never_comes(usize::MAX, Conclusion::JudgesDisagree)]
fn a_difference_counts_once_it_lasts(#[case] lag: usize, #[case] conclusion: Conclusion) {
    let mut fake = fake();
    fake.lag.set(lag);
    assert_eq!(played(&scenario(DENIED), &mut fake).conclusion, conclusion);
}

#[rstest]
#[case::reset(Outcome::Refused, Conclusion::Passed)]
#[case::silence(Outcome::Denied, Conclusion::Passed)]
#[case::allowed(Outcome::Allowed, Conclusion::JudgesDisagree)]
fn a_rejected_connection_counts_as_denied(
    #[case] outcome: Outcome,
    #[case] conclusion: Conclusion,
) {
    let steps = "
  - name: all is closed
    apply: [deny]
    expect: deny
";
    let mut fake = Fake::new(Options {
        deny: Deny::Reject,
        ..Options::default()
    });
    let mut probes = 0;
    fake.deviation = Box::new(move |probe| {
        probes += 1;
        let is_meant = is_to_b(probe) && probe.cell.port.protocol == Protocol::Tcp;
        // Eight are the control, eight the step, and then comes the final control.
        ((9..=16).contains(&probes) && is_meant && !is_own(probe)).then_some(outcome)
    });
    let report = played(&scenario(steps), &mut fake);
    assert_eq!(report.conclusion, conclusion);
}

#[test]
fn steps_are_counted() {
    let report = played(&scenario(DENIED), &mut fake());
    let step = &report.steps[0];
    assert_eq!(step.checks, 8);
    assert_eq!((step.outcomes.denied, step.outcomes.allowed), (4, 4));
    assert!(step.cells.is_empty(), "nobody has asked for them");
}
