//! Whether a file could fail at all.
//!
//! A scenario that applies policies, but whose every connection would come out the same without
//! any, passes on a cluster that enforces nothing. Such a file proves nothing.

use enforcer::{diagnostic::Diagnostic, options::Deny};

use crate::scenario::model::{
    Change, Expected, OptionsOverlay, Scenario, Step, UseExpectation, When,
};

/// The problem, if no play of the file could fail where nothing is enforced. Files that apply no
/// policy are controls and show what they say.
pub(super) fn check(plays: &[Scenario]) -> Option<Diagnostic> {
    let applies = plays.iter().any(|play| {
        !play.initial_policies.is_empty()
            || play.steps.iter().any(|step| {
                step.changes
                    .iter()
                    .any(|change| matches!(change, Change::ApplyPolicy(_) | Change::StorePolicy(_)))
            })
    });
    let is_decisive = plays
        .iter()
        .any(|play| play.steps.iter().any(|step| could_fail(step, play.options)));
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
fn could_fail(step: &Step, options: OptionsOverlay) -> bool {
    let can_hold = |when: Option<When>| when.is_none_or(|when| when.can_hold(options));
    let blocks = || {
        step.expectations
            .iter()
            .filter(|block| can_hold(block.when))
    };
    let wrong_cell = blocks().flat_map(|block| &block.cells).any(|cell| {
        cell.because.is_some()
            || (cell.expected != Expected::Either
                && step
                    .world
                    .without_policies(&cell.cell)
                    .is_some_and(|outcome| !cell.expected.accepts(outcome, Deny::Drop)))
    });
    // Traffic is begun where it passes without policies.
    let mut never = blocks().flat_map(|block| &block.never);
    let mut uses = step.uses.iter().filter(|used| can_hold(used.when));
    wrong_cell
        || never.any(|never| never.outcome == Expected::Allow)
        || step.admissions.iter().any(|a| a.refused.is_some())
        || step
            .open
            .iter()
            .any(|flow| flow.expect == UseExpectation::Deny)
        || uses.any(|used| used.expect == UseExpectation::Deny)
}
