//! One look at all cells of an expectation: probe, ask the judges, compare.

use std::time::Duration;

use enforcer::options::Deny;

use crate::{
    backend::{Backend, BackendError, Observation},
    cell::{Cell, Outcome},
    judge::Verdicts,
    scenario::ExpectedCell,
};

/// How long a probe may stay unanswered before it counts as denied. On the simulator an answer
/// takes microseconds.
pub const SILENCE: Duration = Duration::from_millis(250);

/// How long a probe that should have been answered is waited for at a second look: a busy machine
/// can be slow, and a slow answer is not a denial. Second looks are counted and reported.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A cell after the look.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was expected, and by which line.
    pub expected: ExpectedCell,
    /// What the kernel did.
    pub observation: Observation,
    /// What oracle and plans say.
    pub verdicts: Verdicts,
}

impl Seen {
    /// The connection.
    pub fn cell(&self) -> &Cell {
        &self.expected.cell
    }

    /// Whether the kernel did what the scenario says.
    pub fn is_as_expected(&self) -> bool {
        let outcome = self.observation.outcome;
        self.expected.expected.accepts(outcome, Deny::Drop)
    }

    /// Whether oracle, plans and kernel agree.
    pub fn judges_agree(&self) -> bool {
        self.verdicts.agree_with(&self.observation)
    }
}

/// All cells of an expectation after the look.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// In the order of the expectation.
    pub cells: Vec<Seen>,
    /// Probes that were answered only at the second look.
    pub slow: usize,
}

impl Look {
    /// Whether every cell is as expected.
    pub fn is_as_expected(&self) -> bool {
        self.cells.iter().all(Seen::is_as_expected)
    }
}

/// Probes every cell with a real packet and asks the other two judges.
///
/// # Errors
/// If probes could not be sent.
pub fn look(backend: &mut dyn Backend, expected: &[ExpectedCell]) -> Result<Look, BackendError> {
    let cells: Vec<Cell> = expected.iter().map(|e| e.cell.clone()).collect();
    let mut observations = backend.probe(&cells, SILENCE)?;
    let slow = look_again(backend, expected, &mut observations)?;
    let world = backend.store().world();
    let backend: &dyn Backend = backend;
    let cells = expected
        .iter()
        .zip(observations)
        .map(|(expected, observation)| Seen {
            verdicts: Verdicts::of(backend, &world, &expected.cell),
            expected: expected.clone(),
            observation,
        })
        .collect();
    Ok(Look { cells, slow })
}

/// Gives those that should have answered and did not the time a busy machine may need.
fn look_again(
    backend: &mut dyn Backend,
    expected: &[ExpectedCell],
    observations: &mut [Observation],
) -> Result<usize, BackendError> {
    let silent: Vec<usize> = (0..expected.len())
        .filter(|&index| {
            observations[index].outcome == Outcome::Denied
                && !expected[index]
                    .expected
                    .accepts(Outcome::Denied, Deny::Drop)
        })
        .collect();
    if silent.is_empty() {
        return Ok(0);
    }
    let cells: Vec<Cell> = silent.iter().map(|&i| expected[i].cell.clone()).collect();
    let answers = backend.probe(&cells, PATIENCE)?;
    let mut slow = 0;
    for (index, answer) in silent.into_iter().zip(answers) {
        slow += usize::from(answer.outcome != Outcome::Denied);
        observations[index] = answer;
    }
    Ok(slow)
}
