//! Long-lived connections: opened, denied and tried again, cut, judged.

use enforcer::options::{Established, Options};
use rstest::rstest;

use super::{Fake, fake, played, problems, scenario};
use crate::{cell::Outcome, report::Conclusion};

const LATE: &str = "
  - name: it is denied
    apply: [deny]
    expect: deny
    open: {late: {flow: x/a -> x/b:80/udp, expect: deny}}
    use: [{flow: late, expect: deny}]
  - name: it comes about
    delete: [deny]
    expect: allow
    use: [{flow: late, expect: allow}]
";

#[test]
fn a_denied_flow_is_tried_again_from_the_same_port() {
    let mut fake = fake();
    let report = played(&scenario(LATE), &mut fake);
    assert_eq!(problems(&report), Vec::<String>::new());
    let flow = "x/a -> x/b:80/UDP over IPv4 from 20001";
    let tried = fake.log.iter().filter(|line| *line == flow);
    assert_eq!(tried.count(), 3);
}

#[test]
fn a_flow_that_must_be_denied_and_is_not_is_a_problem() {
    let steps = "
  - name: nobody denies it
    apply: [deny]
    expect: deny
    open: {late: {flow: x/a -> x/b:80/tcp, expect: deny}}
    use: [{flow: late, expect: deny}]
";
    let mut fake = fake();
    fake.deviation = Box::new(|probe| probe.source_port.map(|_| Outcome::Allowed));
    let report = played(&scenario(steps), &mut fake);
    assert_eq!(
        problems(&report),
        [
            "flow late must be denied when it is opened: x/a -> x/b:80/TCP over IPv4 is allowed",
            "flow late (x/a -> x/b:80/TCP over IPv4) must stay denied, and is allowed",
        ]
    );
    // The judges say that it is denied, so this is more than a failure.
    assert_eq!(report.conclusion, Conclusion::JudgesDisagree);
    assert_eq!(report.steps[0].failures.len(), 2);
}

/// A flow is opened before the policy comes, and used after it.
const CUT: &str = "
  - name: it is open
    expect: allow
    open: {upload: x/a -> x/b:80/tcp}
  - name: a policy comes
    apply: [deny]
    expect: deny
    use: [{flow: upload, expect: either}]
";

#[rstest]
#[case::kept(Established::Keep, Outcome::Allowed, Conclusion::Passed)]
#[case::revoked(Established::Revoke, Outcome::Denied, Conclusion::Passed)]
#[case::reset(Established::Revoke, Outcome::Refused, Conclusion::Passed)]
#[case::not_revoked(Established::Revoke, Outcome::Allowed, Conclusion::JudgesDisagree)]
fn what_becomes_of_an_accepted_flow_is_judged(
    #[case] established: Established,
    #[case] outcome: Outcome,
    #[case] conclusion: Conclusion,
) {
    let mut fake = Fake::new(Options {
        established,
        ..Options::default()
    });
    *fake.exchange.lock().unwrap() = outcome;
    let report = played(&scenario(CUT), &mut fake);
    assert_eq!(report.conclusion, conclusion);
}

#[test]
fn an_accepted_flow_that_falls_silent_though_allowed_is_a_disagreement() {
    let steps = "
  - name: it is open
    apply: [deny-a]
    expect: {default: allow, deny: [x/b -> x/a]}
    open: {upload: x/a -> x/b:80/tcp}
    use: [{flow: upload, expect: either}]
";
    let mut fake = fake();
    *fake.exchange.lock().unwrap() = Outcome::Denied;
    let report = played(&scenario(steps), &mut fake);
    assert_eq!(report.conclusion, Conclusion::JudgesDisagree);
}
