//! One look at all cells of an expectation: probe, ask the judges, compare.

use std::{
    cell::OnceCell,
    time::{Duration, Instant},
};

use enforcer::options::Deny;

use crate::{
    backend::{Backend, BackendError, Observation, ProbeSpec},
    cell::{Cell, Outcome},
    judge::{Moment, Verdicts},
    scenario::{Expected, ExpectedCell, Origin, World},
};

/// How long a probe may stay unanswered before it counts as denied. On the simulator an answer
/// takes microseconds.
pub const SILENCE: Duration = Duration::from_millis(250);

/// How long a probe that should have been answered is waited for at a second look: a busy machine
/// can be slow, and a slow answer is not a denial. Second looks are counted and reported.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// Who is there, and who listens where.
    pub world: &'a World,
    /// The port that every probe comes from, if that matters.
    pub source_port: Option<u16>,
    /// How many bytes every probe sends, if that matters.
    pub payload: Option<usize>,
}

impl<'a> Manner<'a> {
    /// From fresh ports, a few bytes.
    pub fn plain(world: &'a World) -> Self {
        Self {
            world,
            source_port: None,
            payload: None,
        }
    }

    fn probe(&self, cell: &Cell) -> ProbeSpec {
        ProbeSpec {
            cell: cell.clone(),
            source_port: self.source_port,
            is_again: false,
            payload: self.payload,
        }
    }
}

/// A cell after the look.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was expected, and by which line.
    pub expected: ExpectedCell,
    /// What the kernel did.
    pub observation: Observation,
    /// What oracle and plans say.
    pub verdicts: Verdicts,
    /// Whether oracle, plans and kernel agree.
    pub(super) agree: bool,
    /// How the enforcer denies.
    pub(super) deny: Deny,
}

impl Seen {
    /// The connection.
    pub fn cell(&self) -> &Cell {
        &self.expected.cell
    }

    /// Whether the kernel did what the scenario says.
    pub fn is_as_expected(&self) -> bool {
        let outcome = self.observation.outcome;
        self.expected.expected.accepts(outcome, self.deny)
    }

    /// Every outcome that the scenario accepts.
    pub fn accepted(&self) -> Vec<Outcome> {
        let all = [
            Outcome::Allowed,
            Outcome::Denied,
            Outcome::Refused,
            Outcome::Unreachable,
        ];
        let expected = self.expected.expected;
        all.into_iter()
            .filter(|outcome| expected.accepts(*outcome, self.deny))
            .collect()
    }

    /// Whether oracle, plans and kernel agree.
    pub fn judges_agree(&self) -> bool {
        self.agree
    }
}

/// All cells of an expectation after the look.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it began.
    pub begun: Instant,
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

    /// Whether the judges agree about it, too.
    pub fn is_good(&self) -> bool {
        self.is_as_expected() && self.cells.iter().all(Seen::judges_agree)
    }
}

/// A cell of which anything may come: only the judges are of interest.
pub fn anything(cell: Cell) -> ExpectedCell {
    ExpectedCell {
        cell,
        expected: Expected::Either,
        origin: Origin::Control,
        because: None,
        source_seen: None,
        served_by: None,
    }
}

/// Probes every cell with a real packet and asks the other two judges.
///
/// # Errors
/// If probes could not be sent.
pub fn look(
    backend: &mut dyn Backend,
    manner: Manner<'_>,
    expected: &[ExpectedCell],
) -> Result<Look, BackendError> {
    let begun = Instant::now();
    let before = Moment::now(backend);
    let probes: Vec<ProbeSpec> = expected.iter().map(|e| manner.probe(&e.cell)).collect();
    let mut observations = backend.probe(&probes, SILENCE)?;
    let slow = look_again(backend, manner, &before, expected, &mut observations)?;
    let judges = Judges::since(before, manner.world, backend);
    let cells = expected
        .iter()
        .zip(observations)
        .map(|(expected, observation)| judges.seen(backend, expected.clone(), observation))
        .collect();
    Ok(Look { begun, cells, slow })
}

/// Gives those that should have answered and did not the time a busy machine may need. Where rules
/// have changed meanwhile, the first answer stands: a denial that ends is no slow answer.
fn look_again(
    backend: &mut dyn Backend,
    manner: Manner<'_>,
    before: &Moment,
    expected: &[ExpectedCell],
    observations: &mut [Observation],
) -> Result<usize, BackendError> {
    let deny = backend.options().deny;
    let silent: Vec<usize> = (0..expected.len())
        .filter(|&index| {
            observations[index].outcome == Outcome::Denied
                && !expected[index].expected.accepts(Outcome::Denied, deny)
        })
        .collect();
    if silent.is_empty() || !before.is_same(&Moment::now(backend)) {
        return Ok(0);
    }
    let probe = |&index: &usize| manner.probe(&expected[index].cell);
    let probes: Vec<ProbeSpec> = silent.iter().map(probe).collect();
    let answers = backend.probe(&probes, PATIENCE)?;
    if !before.is_same(&Moment::now(backend)) {
        return Ok(0);
    }
    let mut slow = 0;
    for (index, answer) in silent.into_iter().zip(answers) {
        slow += usize::from(answer.outcome != Outcome::Denied);
        observations[index] = answer;
    }
    Ok(slow)
}

/// The judges without packets, over a span in which the kernel was asked. If rules changed in it,
/// the kernel may have answered by the old or by the new ones.
pub(super) struct Judges<'a> {
    world: &'a World,
    /// Only if it was another than at the end.
    before: Option<Moment>,
    after: Moment,
    /// Only if it was needed.
    settled: OnceCell<Moment>,
    deny: Deny,
}

impl<'a> Judges<'a> {
    /// From a moment until now.
    pub(super) fn since(before: Moment, world: &'a World, backend: &dyn Backend) -> Self {
        let after = Moment::now(backend);
        Self {
            world,
            before: (!before.is_same(&after)).then_some(before),
            after,
            settled: OnceCell::new(),
            deny: backend.options().deny,
        }
    }

    /// Holds what was seen against what they say.
    pub(super) fn seen(
        &self,
        backend: &dyn Backend,
        expected: ExpectedCell,
        observation: Observation,
    ) -> Seen {
        let agree = |verdicts: &Verdicts| verdicts.agree_with(&observation);
        let (verdicts, agree) = self.ask(backend, &expected.cell, agree);
        let mut seen = Seen {
            expected,
            observation,
            verdicts,
            agree,
            deny: self.deny,
        };
        // Where scenario and oracle say the same and packets do otherwise, the enforcer has failed.
        if backend.is_on_trial() {
            seen.agree |= seen.verdicts.explains_any(&seen.accepted());
        }
        seen
    }

    /// What they say about a cell, and whether they agree by some measure.
    pub(super) fn ask(
        &self,
        backend: &dyn Backend,
        cell: &Cell,
        agree: impl Fn(&Verdicts) -> bool,
    ) -> (Verdicts, bool) {
        let at = |moment| Verdicts::of(backend, self.world, moment, cell);
        let verdicts = at(&self.after);
        if agree(&verdicts) {
            return (verdicts, true);
        }
        let earlier = self.before.as_ref().map(at);
        if let Some(earlier) = earlier.filter(|earlier| agree(earlier)) {
            return (earlier, true);
        }
        // Oracle and plans may have been asked about two states of a node that is just being written.
        if !verdicts.is_consistent() {
            let verdicts = at(self.settled.get_or_init(|| Moment::settled(backend)));
            let agree = agree(&verdicts);
            return (verdicts, agree);
        }
        (verdicts, false)
    }
}
