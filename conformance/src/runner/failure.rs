//! A connection that belongs into a report: what was seen, what each judge says, and why.

use crate::{
    backend::Backend,
    cell::Outcome,
    explanation::{self, Whereabouts},
    judge::{Judged, Opinion as Judge},
    report::{CellFailure, Opinion},
};

use super::look::Seen;

/// Everything there is to say about a connection; `whereabouts` knows where policies are written.
pub(crate) fn failure(
    backend: &dyn Backend,
    whereabouts: &dyn Whereabouts,
    seen: &Seen,
) -> CellFailure {
    let routes = &seen.verdicts.routes;
    let explanations = explanation::explain(backend, seen.cell());
    CellFailure {
        cell: seen.cell().clone(),
        expected: seen.accepted(),
        actual: seen.observation.outcome,
        expected_at: seen.expected.origin.location().map(ToString::to_string),
        served_by: seen.observation.served_by.clone(),
        source_seen: seen
            .observation
            .source_seen
            .map(|address| address.to_string()),
        oracle: opinion(routes, |judged| Some(&judged.oracle)),
        plan: opinion(routes, |judged| judged.plan.as_ref()),
        judges_agree: seen.judges_agree(),
        explanation: explanations
            .iter()
            .flat_map(|explanation| explanation::render(explanation, seen.cell(), whereabouts))
            .collect(),
    }
}

fn opinion(routes: &[Judged], of: impl Fn(&Judged) -> Option<&Judge>) -> Opinion {
    let mut opinion = Opinion::default();
    for judge in routes.iter().filter_map(of) {
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
