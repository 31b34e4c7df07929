//! Background traffic: new connections all the time, counted step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    look::{Judges, Manner, Seen, anything, look},
    player::{ExpectationSeen, Problem},
    whereabouts::Written,
};
use crate::{
    backend::{Backend, BackendError, Count, Tally, Traffic},
    cell::Cell,
    explanation,
    judge::Moment,
    scenario::{self, Never, Step},
};

/// All that is running, by the names that the scenario gives them.
#[derive(Default)]
pub(super) struct Background {
    running: BTreeMap<String, Running>,
}

struct Running {
    cells: Vec<Cell>,
    traffic: Box<dyn Traffic>,
}

/// What became of it in one step.
pub(super) struct Counted {
    tallies: BTreeMap<String, Vec<(Cell, Tally)>>,
}

/// What it came to at the end of a step.
pub(super) struct Rest {
    /// What became of it in the whole step.
    pub(super) counted: Counted,
    /// One more look at every connection, now that all is quiet.
    pub(super) look: ExpectationSeen,
    /// What the judges do not agree about.
    pub(super) contradictions: Vec<Seen>,
}

impl Background {
    /// Starts more.
    pub(super) fn start(
        &mut self,
        backend: &mut dyn Backend,
        wanted: &[scenario::Traffic],
    ) -> Result<(), BackendError> {
        for wanted in wanted {
            let traffic = backend.start_traffic(&wanted.cells, wanted.every)?;
            let cells = wanted.cells.clone();
            let running = Running { cells, traffic };
            self.running.insert(wanted.name.clone(), running);
        }
        Ok(())
    }

    /// Counts what has become of it since the last time, and asks the judges: what is done at the
    /// end of a step is what the rules of that moment say. Nothing if none is running.
    pub(super) fn count(
        &mut self,
        backend: &mut dyn Backend,
        step: &Step,
    ) -> Result<Option<Rest>, BackendError> {
        if self.running.is_empty() {
            return Ok(None);
        }
        let running = self.running.values();
        let cells: BTreeSet<&Cell> = running.flat_map(|running| &running.cells).collect();
        let cells: Vec<_> = cells.into_iter().cloned().map(anything).collect();
        let before = Moment::now(backend);
        let look = look(backend, Manner::plain(&step.world), &cells)?;
        let mut tallies = BTreeMap::new();
        for (name, running) in &mut self.running {
            let counted = running.cells.iter().cloned();
            let counted = counted.zip(running.traffic.take()?);
            tallies.insert(name.clone(), counted.collect());
        }
        let counted = Counted { tallies };
        let judges = Judges::since(before, &step.world, backend);
        let contradictions = counted.contradictions(backend, &judges, look.begun);
        Ok(Some(Rest {
            counted,
            look: ExpectationSeen::once(look),
            contradictions,
        }))
    }

    /// Stops what is named.
    pub(super) fn stop(&mut self, names: &[String]) {
        for name in names {
            self.running.remove(name);
        }
    }

    /// Stops everything.
    pub(super) fn clear(&mut self) {
        self.running.clear();
    }
}

impl Counted {
    /// Outcomes that the judges would not have, of connections that were begun since a moment.
    fn contradictions(
        &self,
        backend: &dyn Backend,
        judges: &Judges<'_>,
        since: Instant,
    ) -> Vec<Seen> {
        let tallies = self.tallies.values().flatten();
        let counts = tallies.flat_map(|(cell, tally)| tally.counts.iter().map(move |c| (cell, c)));
        counts
            .filter(|(_, count)| count.last >= since)
            .map(|(cell, count)| {
                let mut seen = count.example.clone();
                if count.first < since {
                    // The first of them met another world, in which others may have answered.
                    seen.served_by = None;
                }
                judges.seen(backend, anything(cell.clone()), seen)
            })
            .filter(|seen| !seen.judges_agree())
            .collect()
    }

    /// How many connections a `never` is about.
    pub(super) fn cells(&self, never: &Never) -> usize {
        self.tallies.get(&never.traffic).map_or(0, Vec::len)
    }

    /// What must not have happened, and has.
    pub(super) fn problems(
        &self,
        backend: &dyn Backend,
        step: &Step,
        never: &Never,
        changing: Instant,
    ) -> Vec<Problem> {
        let Some(tallies) = self.tallies.get(&never.traffic) else {
            let message = format!("background traffic {} is not running", never.traffic);
            return vec![Problem::new(message, &never.location)];
        };
        let deny = backend.options().deny;
        let mut problems = Vec::new();
        for (cell, tally) in tallies {
            if tally.connections() == 0 {
                let message = format!("{}: {cell} was not tried once", never.traffic);
                problems.push(Problem::new(message, &never.location));
            }
            let wrong = tally.counts.iter().filter(|count| {
                let outcome = count.example.outcome;
                never.outcome.accepts(outcome, deny)
            });
            for count in wrong {
                problems.push(Problem {
                    message: sentence(never, cell, tally, count, changing),
                    location: never.location.clone(),
                    details: why(backend, step, cell),
                });
            }
        }
        problems
    }
}

fn sentence(never: &Never, cell: &Cell, tally: &Tally, count: &Count, changing: Instant) -> String {
    let outcome = count.example.outcome;
    let when = match count.connections {
        1 => after(count.first, changing),
        _ => format!(
            "first {}, last {}",
            after(count.first, changing),
            after(count.last, changing)
        ),
    };
    format!(
        "{}: {cell} must never be {}, and {} of {} connections were {outcome}: {when}",
        never.traffic,
        never.outcome,
        count.connections,
        tally.connections(),
    )
}

/// A moment, told from when the changes of the step began.
fn after(moment: Instant, changing: Instant) -> String {
    let milliseconds = |later: Instant, earlier: Instant| {
        let between = later.saturating_duration_since(earlier);
        format!("{:.1} ms", between.as_secs_f64() * 1e3)
    };
    if moment < changing {
        format!("{} before the first change", milliseconds(changing, moment))
    } else {
        format!(
            "{} after the first change began",
            milliseconds(moment, changing)
        )
    }
}

/// What the policies of the step say about it in the end.
fn why(backend: &dyn Backend, step: &Step, cell: &Cell) -> Vec<String> {
    explanation::explain(backend, cell)
        .iter()
        .flat_map(|explanation| explanation::render(explanation, cell, &Written(step)))
        .collect()
}
