//! One scenario from building its cluster to its report.

use std::time::Instant;

use enforcer::options::Deny;

use super::{
    Options,
    look::{Look, Seen},
    player::{Player, StepSeen},
    whereabouts::Written,
};
use crate::{
    backend::{Backend, BackendError},
    cell::Outcome,
    explanation,
    judge::{Judged, Opinion as Judge},
    report::{CellFailure, Conclusion, Opinion, Problem, ScenarioReport, StepReport},
    scenario::{BackendName, Expected, Scenario, Step},
};

/// Connections named in the reason of an inconclusive scenario.
const NAMED_CELLS: usize = 3;

/// Plays a scenario on a back end made for it, and fills in its report.
pub(super) fn play(
    scenario: &Scenario,
    options: Options,
    backend: &mut dyn Backend,
    report: &mut ScenarioReport,
) {
    let mut play = Play {
        scenario,
        stop_at_failure: options.stop_at_failure,
        report,
        known_failures: vec![0; scenario.expect_failure.len()],
    };
    let conclusion = play
        .run(backend)
        .unwrap_or_else(|error| error_conclusion(&error));
    report.conclusion = conclusion;
}

pub(super) fn error_conclusion(error: &BackendError) -> Conclusion {
    Conclusion::Error {
        reason: format!("failed to {}", chain(error)),
    }
}

/// An error with its causes, once each.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

struct Play<'a> {
    scenario: &'a Scenario,
    stop_at_failure: bool,
    report: &'a mut ScenarioReport,
    /// For each known failure, how often one of its connections failed as known.
    known_failures: Vec<usize>,
}

impl Play<'_> {
    fn run(&mut self, backend: &mut dyn Backend) -> Result<Conclusion, BackendError> {
        let mut player = Player::start(self.scenario, backend)?;
        let control = player.control()?;
        if !control.is_as_expected() {
            return Ok(inconclusive("before the first policy", &control));
        }
        player.apply_initial_policies()?;
        for step in &self.scenario.steps {
            let begun = Instant::now();
            let seen = player.step(step)?;
            let mut step_report = self.step_report(player.backend(), step, &seen);
            step_report.duration = begun.elapsed();
            let is_over = self.stop_at_failure && !step_report.is_good();
            self.report.steps.push(step_report);
            if is_over {
                return Ok(self.conclusion());
            }
        }
        let control = player.final_control()?;
        if !control.is_as_expected() {
            return Ok(inconclusive("after the last policy was deleted", &control));
        }
        self.report_known_failures_that_passed();
        Ok(self.conclusion())
    }

    fn conclusion(&self) -> Conclusion {
        let failures = self.report.steps.iter().flat_map(|step| &step.failures);
        if failures.clone().any(|failure| !failure.judges_agree) {
            Conclusion::JudgesDisagree
        } else if self.report.steps.iter().all(StepReport::is_good) {
            Conclusion::Passed
        } else {
            Conclusion::Failed
        }
    }

    fn step_report(&mut self, backend: &dyn Backend, step: &Step, seen: &StepSeen) -> StepReport {
        let mut report = StepReport {
            name: step.name.clone(),
            line: step.location.line(),
            checks: seen.other_checks,
            ..StepReport::default()
        };
        for expectation in &seen.looks {
            report.checks += expectation.look.cells.len();
            for cell in &expectation.look.cells {
                if self.is_bad(step, cell) {
                    report.failures.push(failure(backend, step, cell));
                }
            }
        }
        report.problems = seen
            .problems
            .iter()
            .map(|problem| Problem {
                message: problem.message.clone(),
                at: Some(problem.location.to_string()),
                details: Vec::new(),
            })
            .collect();
        report
    }

    /// Whether a cell belongs into the report; a failure that is known does not.
    fn is_bad(&mut self, step: &Step, seen: &Seen) -> bool {
        if !seen.judges_agree() {
            return true;
        }
        if seen.is_as_expected() {
            return false;
        }
        let known = self.scenario.expect_failure.iter().position(|known| {
            known.backend == BackendName::Simulator && known.covers(step, seen.cell())
        });
        if let Some(index) = known {
            self.known_failures[index] += 1;
        }
        known.is_none()
    }

    /// A failure that is known and does not happen any more is a failure: the entry must go.
    fn report_known_failures_that_passed(&mut self) {
        let counts = self.known_failures.iter();
        for (known, count) in self.scenario.expect_failure.iter().zip(counts) {
            let step = self.report.steps.last_mut();
            if let (0, BackendName::Simulator, Some(step)) = (*count, known.backend, step) {
                step.problems.push(Problem {
                    message: format!(
                        "this is expected to fail ({}) and passes: delete the entry",
                        known.reason
                    ),
                    at: Some(known.location.to_string()),
                    details: Vec::new(),
                });
            }
        }
    }
}

fn inconclusive(when: &str, look: &Look) -> Conclusion {
    let failed: Vec<String> = look
        .cells
        .iter()
        .filter(|seen| !seen.is_as_expected())
        .map(|seen| {
            format!(
                "{} is {}, not {}",
                seen.cell(),
                seen.observation.outcome,
                seen.expected.expected
            )
        })
        .collect();
    let mut named = failed[..failed.len().min(NAMED_CELLS)].join("; ");
    if failed.len() > NAMED_CELLS {
        named = format!("{named}; and {} more", failed.len() - NAMED_CELLS);
    }
    Conclusion::Inconclusive {
        reason: format!("{when}: {named}"),
    }
}

fn failure(backend: &dyn Backend, step: &Step, seen: &Seen) -> CellFailure {
    let routes = &seen.verdicts.routes;
    let whereabouts = Written(step);
    let explanations = explanation::explain(backend, seen.cell());
    CellFailure {
        cell: seen.cell().clone(),
        expected: outcomes(seen.expected.expected),
        actual: seen.observation.outcome,
        expected_at: seen.expected.origin.location().map(ToString::to_string),
        served_by: seen.observation.served_by.clone(),
        source_seen: seen
            .observation
            .source_seen
            .map(|address| address.to_string()),
        oracle: opinion(routes, |judged| &judged.oracle),
        plan: opinion(routes, |judged| &judged.plan),
        judges_agree: seen.judges_agree(),
        explanation: explanations
            .iter()
            .flat_map(|explanation| explanation::render(explanation, seen.cell(), &whereabouts))
            .collect(),
    }
}

fn outcomes(expected: Expected) -> Vec<Outcome> {
    let all = [
        Outcome::Allowed,
        Outcome::Denied,
        Outcome::Refused,
        Outcome::Unreachable,
    ];
    all.into_iter()
        .filter(|o| expected.accepts(*o, Deny::Drop))
        .collect()
}

fn opinion(routes: &[Judged], of: impl Fn(&Judged) -> &Judge) -> Opinion {
    let mut opinion = Opinion::default();
    for judge in routes.iter().map(of) {
        let outcome = if judge.allowed {
            Outcome::Allowed
        } else {
            Outcome::Denied
        };
        if !opinion.outcomes.contains(&outcome) {
            opinion.outcomes.push(outcome);
        }
        opinion.reasons.extend(judge.reasons.iter().cloned());
    }
    opinion
}
