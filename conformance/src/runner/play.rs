//! One scenario from building its cluster to its report.

use std::time::Instant;

use super::{
    Options,
    failure::failure,
    look::{Look, Seen},
    player::{Player, StepSeen},
    whereabouts::{Nowhere, Written},
};
use crate::{
    backend::{Backend, BackendError},
    report::{CellReport, Conclusion, Problem, ScenarioReport, StepReport},
    scenario::{BackendName, Scenario, Step},
};

/// When the control is made.
const BEFORE: &str = "before the first policy";
/// When the final control is made.
const AFTER: &str = "after the last policy was deleted";

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
        all_cells: options.all_cells,
        report,
        known_failures: vec![0; scenario.expect_failure.len()],
        known_as: backend.known_as(),
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
    all_cells: bool,
    report: &'a mut ScenarioReport,
    /// For each known failure, how often one of its connections failed as known.
    known_failures: Vec<usize>,
    /// Whose known failures count.
    known_as: BackendName,
}

impl Play<'_> {
    fn run(&mut self, backend: &mut dyn Backend) -> Result<Conclusion, BackendError> {
        let mut player = Player::start(self.scenario, backend)?;
        let control = player.control()?;
        if let Some(end) = self.judge_control(player.backend(), BEFORE, &control) {
            return Ok(end);
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
        if let Some(end) = self.judge_control(player.backend(), AFTER, &control) {
            return Ok(end);
        }
        self.report_known_failures_that_passed();
        Ok(self.conclusion())
    }

    /// What a control says, if that ends the scenario. A connection that is missing makes it
    /// inconclusive: the machine may be to blame. It is a disagreement if oracle and plan differ, or
    /// if the kernel did what the scenario says and they do not.
    fn judge_control(
        &mut self,
        backend: &dyn Backend,
        when: &str,
        control: &Look,
    ) -> Option<Conclusion> {
        let disagreeing: Vec<&Seen> = control
            .cells
            .iter()
            .filter(|seen| {
                !seen.judges_agree() && (seen.is_as_expected() || !seen.verdicts.is_consistent())
            })
            .collect();
        if !disagreeing.is_empty() {
            let failures = disagreeing.into_iter();
            self.report.steps.push(StepReport {
                name: format!("control {when}"),
                line: self.scenario.location.line(),
                checks: control.cells.len(),
                failures: failures
                    .map(|seen| failure(backend, &Nowhere, seen))
                    .collect(),
                ..StepReport::default()
            });
            return Some(Conclusion::JudgesDisagree);
        }
        (!control.is_as_expected()).then(|| inconclusive(when, control))
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
        let looks = seen.looks.iter().map(|expectation| &expectation.look);
        let cells = looks.clone().flat_map(|look| &look.cells);
        let mut report = StepReport {
            name: step.name.clone(),
            line: step.location.line(),
            checks: seen.other_checks + cells.clone().count(),
            slow: looks.map(|look| look.slow).sum(),
            converged: seen.looks.iter().filter_map(|it| it.converged).max(),
            ..StepReport::default()
        };
        for cell in cells {
            report.outcomes.add(cell.observation.outcome);
            if self.all_cells {
                report.cells.push(judged(cell));
            }
            if self.is_bad(step, cell) {
                report.failures.push(failure(backend, &Written(step), cell));
            }
        }
        let contradictions = seen.contradictions.iter();
        report
            .failures
            .extend(contradictions.map(|seen| failure(backend, &Written(step), seen)));
        report.problems = seen
            .problems
            .iter()
            .map(|problem| Problem {
                message: problem.message.clone(),
                at: Some(problem.location.to_string()),
                details: problem.details.clone(),
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
        let known =
            self.scenario.expect_failure.iter().position(|known| {
                known.backend == self.known_as && known.covers(step, seen.cell())
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
            if let (0, true, Some(step)) = (*count, known.backend == self.known_as, step) {
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

/// A connection in short.
fn judged(seen: &Seen) -> CellReport {
    let routes = || seen.verdicts.routes.iter();
    CellReport {
        cell: seen.cell().clone(),
        expected: seen.accepted(),
        actual: seen.observation.outcome,
        oracle_allows: routes().map(|judged| judged.oracle.allowed).collect(),
        plan_allows: routes()
            .filter_map(|judged| Some(judged.plan.as_ref()?.allowed))
            .collect(),
        judges_agree: seen.judges_agree(),
    }
}
