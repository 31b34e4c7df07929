//! Checks what a scenario says about the reasons of a verdict: which policies decide, whose address
//! the server saw, who answered.

use std::collections::BTreeSet;

use enforcer::explain::{Explanation, RuleRef, Side};

use super::{
    look::{Look, Seen},
    player::Problem,
};
use crate::{
    backend::Backend,
    explanation,
    scenario::{Because, ObjectName, RuleName, World},
};

/// Everything a look contradicts, apart from outcomes.
pub(super) fn problems(backend: &dyn Backend, world: &World, look: &Look) -> Vec<Problem> {
    look.cells
        .iter()
        .flat_map(|seen| {
            let mut problems = Vec::new();
            problems.extend(decided_otherwise(backend, seen));
            problems.extend(seen_otherwise(backend, world, seen));
            problems.extend(served_otherwise(world, seen));
            problems
        })
        .collect()
}

fn decided_otherwise(backend: &dyn Backend, seen: &Seen) -> Vec<Problem> {
    let Some(because) = &seen.expected.because else {
        return Vec::new();
    };
    let explanations = explanation::explain(backend, seen.cell());
    let contradictions = explanations
        .iter()
        .map(|explanation| contradictions(because, explanation))
        .min_by_key(Vec::len)
        .unwrap_or_else(|| vec!["no node judges it".to_owned()]);
    contradictions
        .into_iter()
        .map(|message| Problem::new(format!("{}: {message}", seen.cell()), &because.location))
        .collect()
}

/// What a scenario's reasons and an explanation do not share.
fn contradictions(because: &Because, explanation: &Explanation) -> Vec<String> {
    let mut messages = Vec::new();
    let deciding = deciding_side(explanation);
    if let Some(wanted) = &because.isolated_by {
        let actual: BTreeSet<ObjectName> = deciding
            .isolated_by
            .iter()
            .map(|policy| ObjectName::new(&policy.namespace, &policy.name))
            .collect();
        if *wanted != actual {
            messages.push(format!(
                "it is isolated by {}, not by {}",
                list(&actual),
                list(wanted)
            ));
        }
    }
    for rule in &because.allowed_by {
        let sides = [&explanation.egress, &explanation.ingress];
        let mut allowing = sides.into_iter().flat_map(|side| &side.allowed_by);
        if !allowing.any(|actual| is_meant(rule, actual)) {
            messages.push(format!("it is not allowed by {rule}"));
        }
    }
    if let Some(wanted) = &because.nearest {
        let actual = deciding.nearest.as_ref().map(|miss| &miss.rule);
        if !actual.is_some_and(|actual| is_meant(wanted, actual)) {
            let actual = actual.map_or_else(|| "no rule".to_owned(), ToString::to_string);
            messages.push(format!("the nearest rule is {actual}, not {wanted}"));
        }
    }
    messages
}

/// The side that denies, else ingress.
fn deciding_side(explanation: &Explanation) -> &Side {
    if explanation.egress.allowed {
        &explanation.ingress
    } else {
        &explanation.egress
    }
}

/// Whether a scenario's name of a rule means this rule; naming a policy or a rule means all in it.
fn is_meant(name: &RuleName, rule: &RuleRef) -> bool {
    let policy = ObjectName::new(&rule.policy.namespace, &rule.policy.name);
    let path = explanation::path_of(rule);
    name.policy == policy
        && name
            .path
            .as_ref()
            .is_none_or(|wanted| path.segments().starts_with(wanted.segments()))
}

fn seen_otherwise(backend: &dyn Backend, world: &World, seen: &Seen) -> Option<Problem> {
    let selector = seen.expected.source_seen.as_ref()?;
    let address = seen.observation.source_seen?;
    let endpoints = world.select(selector);
    let is_meant = endpoints
        .iter()
        .any(|endpoint| backend.address(endpoint, seen.cell().family) == Some(address));
    if is_meant {
        return None;
    }
    let message = format!(
        "{}: the server saw {address} as its source, which is not {selector}",
        seen.cell()
    );
    Some(Problem::new(message, seen.expected.origin.location()?))
}

fn served_otherwise(world: &World, seen: &Seen) -> Option<Problem> {
    let selectors = seen.expected.served_by.as_ref()?;
    let server = seen.observation.served_by.as_deref()?;
    let mut meant = selectors.iter().flat_map(|selector| world.select(selector));
    if meant.any(|endpoint| endpoint.to_string() == server) {
        return None;
    }
    let message = format!("{}: {server} answered", seen.cell());
    Some(Problem::new(message, seen.expected.origin.location()?))
}

fn list(policies: &BTreeSet<ObjectName>) -> String {
    if policies.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<_> = policies.iter().map(ToString::to_string).collect();
    names.join(", ")
}
