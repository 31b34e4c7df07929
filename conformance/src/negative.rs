//! The negative control: a scenario as it must come out where nobody enforces policies.
//!
//! A suite that passes there too proves nothing. So every denial must *not* hold: what policies deny
//! is expected to be what it would be without them, and a denial that holds all the same is a failure.
//! What is unchanged stays what it was: the objects, what the API server refuses, and every
//! connection that policies have nothing to do with.

use crate::{
    cell::Outcome,
    scenario::{Expected, ExpectedCell, Feature, Scenario, UseExpectation, World},
};

/// Why a scenario cannot show that denials do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pointless {
    /// Everything in it is allowed anyway.
    #[error("it denies nothing")]
    NoDenial,
    /// It is about agents, and there are none.
    #[error("it is about agents")]
    Agents,
}

/// The scenario without an enforcer: no agent runs on the nodes of its world, and no policy denies.
///
/// # Errors
/// If that would show nothing.
pub fn unenforced(scenario: &Scenario) -> Result<Scenario, Pointless> {
    if scenario.requires.contains(&Feature::Agents) {
        return Err(Pointless::Agents);
    }
    let mut denials = 0;
    let mut without = scenario.clone();
    without.expect_failure.clear();
    silence(&mut without.world);
    for step in &mut without.steps {
        silence(&mut step.world);
        for expectation in &mut step.expectations {
            expectation.never.clear();
            for cell in &mut expectation.cells {
                denials += usize::from(lift(&step.world, cell));
            }
        }
        // What becomes of connections that outlive a policy depends on more than that policy.
        for flow in &mut step.open {
            lift_use(&mut flow.expect);
        }
        for used in &mut step.uses {
            lift_use(&mut used.expect);
        }
    }
    match denials {
        0 => Err(Pointless::NoDenial),
        _ => Ok(without),
    }
}

fn silence(world: &mut World) {
    for node in world.nodes.values_mut() {
        node.agent = false;
    }
}

/// Whether something was denied that is not without policies.
fn lift(world: &World, cell: &mut ExpectedCell) -> bool {
    cell.because = None;
    // A denial decides which pods of a Service answer.
    cell.served_by = None;
    if cell.expected != Expected::Deny {
        return false;
    }
    cell.expected = match world.without_policies(&cell.cell) {
        Some(Outcome::Allowed) => Expected::Allow,
        Some(Outcome::Refused) => Expected::Refused,
        Some(Outcome::Denied | Outcome::Unreachable) => return false,
        None => Expected::Either,
    };
    cell.expected != Expected::Either
}

fn lift_use(expected: &mut UseExpectation) {
    if *expected == UseExpectation::Deny {
        *expected = UseExpectation::Either;
    }
}
