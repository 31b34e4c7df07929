//! Whether a file could fail at all.
//!
//! A scenario that applies policies, but whose every connection would come out the same without
//! any, passes on a cluster that enforces nothing. Such a file proves nothing.

use enforcer::{diagnostic::Diagnostic, options::Deny};

use crate::scenario::model::{Change, Expected, Scenario, Step, UseExpectation};

/// The problem, if no play of the file could fail where nothing is enforced. Files that apply no
/// policy are controls and show what they say.
pub(super) fn check(plays: &[Scenario]) -> Option<Diagnostic> {
    let applies = plays.iter().any(|play| {
        !play.initial_policies.is_empty()
            || play.steps.iter().any(|step| {
                step.changes
                    .iter()
                    .any(|change| matches!(change, Change::ApplyPolicy(_)))
            })
    });
    let is_decisive = plays.iter().flat_map(|play| &play.steps).any(could_fail);
    if !applies || is_decisive {
        return None;
    }
    let first = plays.iter().flat_map(|play| &play.steps);
    let location = first
        .flat_map(|step| &step.expectations)
        .map(|expectation| expectation.location.clone())
        .next()
        .or_else(|| plays.first().map(|play| play.location.clone()))?;
    Some(
        Diagnostic::new(
            "scenario/cannot-fail",
            "this scenario passes even where no policy is enforced",
        )
        .at(
            location,
            "here and in every other step, all comes out as it would without policies",
        )
        .help("add a step, or a connection, in which a policy denies something"),
    )
}

/// Whether a step would go wrong if no policy were enforced.
fn could_fail(step: &Step) -> bool {
    let wrong_cell = step.expectations.iter().flat_map(|e| &e.cells).any(|cell| {
        cell.because.is_some()
            || (cell.expected != Expected::Either
                && step
                    .world
                    .without_policies(&cell.cell)
                    .is_some_and(|outcome| !cell.expected.accepts(outcome, Deny::Drop)))
    });
    wrong_cell
        || step.admissions.iter().any(|a| a.refused.is_some())
        || step.uses.iter().any(|u| u.expect == UseExpectation::Deny)
}
