//! Connections that are begun again and again, and how they must come out.

use std::time::{Duration, Instant};

use super::{PATIENCE, report::Steady};
use crate::{
    backend::{BackendError, Tally, Traffic, sim::Sim},
    cell::{Cell, Outcome},
};

/// How a connection must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It passes.
    Allowed,
    /// It does not, in whatever way.
    Denied,
}

/// Streams of connections. They go on until this is dropped.
pub(super) struct Streams {
    traffic: Box<dyn Traffic>,
    wanted: Vec<Wanted>,
}

impl Streams {
    /// Starts streams of a new connection every so often.
    pub(super) fn start(
        sim: &mut Sim,
        streams: Vec<(Cell, Wanted)>,
        every: Duration,
    ) -> Result<Self, BackendError> {
        let (cells, wanted): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
        let traffic = sim.start(&cells, every, PATIENCE)?;
        Ok(Self { traffic, wanted })
    }

    /// What became of the connections that were begun since the last time, stream by stream.
    pub(super) fn tallies(&mut self) -> Result<Vec<Tally>, BackendError> {
        self.traffic.take()
    }

    /// The connections that were begun since the last time, counted by what was wanted.
    pub(super) fn take(&mut self) -> Result<Steady, BackendError> {
        let mut steady = Steady::default();
        for (wanted, tally) in self.wanted.iter().zip(self.traffic.take()?) {
            let connections = tally.connections();
            let wrong = wrong(&tally, *wanted);
            match wanted {
                Wanted::Allowed => {
                    steady.to_pass += connections;
                    steady.dropped += wrong;
                }
                Wanted::Denied => {
                    steady.to_deny += connections;
                    steady.leaked += wrong;
                }
            }
        }
        Ok(steady)
    }
}

/// How many came out as they must not.
pub(super) fn wrong(tally: &Tally, wanted: Wanted) -> usize {
    let wrong = tally
        .counts
        .iter()
        .filter(|count| is_wrong(count.example.outcome, wanted));
    wrong.map(|count| count.connections).sum()
}

/// When the last was begun that came out as it must not.
pub(super) fn last_wrong(tally: &Tally, wanted: Wanted) -> Option<Instant> {
    let wrong = tally
        .counts
        .iter()
        .filter(|count| is_wrong(count.example.outcome, wanted));
    wrong.map(|count| count.last).max()
}

fn is_wrong(outcome: Outcome, wanted: Wanted) -> bool {
    (outcome == Outcome::Allowed) != (wanted == Wanted::Allowed)
}
