//! Connections between endpoints, made by the simulator.

use std::time::{Duration, Instant};

use netsim::probe::Probe;

use super::{Sim, translate};
use crate::{
    backend::{BackendError, LongLived, Observation, ProbeSpec, Tally, Traffic},
    cell::{Cell, Endpoint, Outcome},
    process,
};

/// How long a busy machine may take to begin with background traffic.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(20);

impl Sim {
    pub(super) fn probe_all(
        &mut self,
        probes: &[ProbeSpec],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        let mut strangers = Vec::new();
        let mut all = Vec::with_capacity(probes.len());
        for spec in probes {
            let probe = Probe {
                source_port: spec.source_port,
                payload: spec.payload.unwrap_or_default(),
                ..self.netsim_probe(&spec.cell)?
            };
            if probe.source_port.is_some() && !spec.is_again {
                strangers.push(probe.clone());
            }
            all.push(probe);
        }
        self.net.forget_connections(&strangers)?;
        let answers = self.net.probe(&all, deadline)?;
        Ok(answers.into_iter().map(translate::observation).collect())
    }

    pub(super) fn open(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        let probe = self.netsim_probe(cell).map_err(|_| Outcome::Unreachable)?;
        translate::flow(self.net.open_flow(&probe, deadline))
    }

    /// As [`Backend::start_traffic`](crate::backend::Backend::start_traffic). A connection without an
    /// answer after `patience` is denied, and only for so long [`Traffic::take`] has to wait.
    ///
    /// # Errors
    /// If not even the first could be tried.
    pub fn start(
        &mut self,
        cells: &[Cell],
        every: Duration,
        patience: Duration,
    ) -> Result<Box<dyn Traffic>, BackendError> {
        let probes = cells
            .iter()
            .map(|cell| self.netsim_probe(cell))
            .collect::<Result<Vec<_>, _>>()?;
        let traffic = self.net.start_traffic(probes, every, patience)?;
        let mut traffic = SimTraffic {
            tallies: vec![Tally::default(); cells.len()],
            traffic,
        };
        traffic.begin()?;
        Ok(Box::new(traffic))
    }

    fn netsim_probe(&self, cell: &Cell) -> Result<Probe, BackendError> {
        let missing = |what: &Endpoint| BackendError::Missing(format!("{what} of {cell}"));
        let from = self.place(&cell.source);
        let to = self.address_of(&cell.destination, cell.family);
        Ok(Probe::new(
            from.ok_or_else(|| missing(&cell.source))?,
            to.ok_or_else(|| missing(&cell.destination))?,
            cell.port.number.unwrap_or(0),
            translate::to_netsim(cell.port.protocol),
        ))
    }
}

/// Background traffic of the simulator.
struct SimTraffic {
    traffic: netsim::traffic::Traffic,
    /// What is counted and nobody has taken yet.
    tallies: Vec<Tally>,
}

impl SimTraffic {
    /// Returns when every cell has been tried: what changes from now on meets traffic.
    fn begin(&mut self) -> Result<(), BackendError> {
        let begun = Instant::now();
        while self.tallies.iter().any(|tally| tally.connections() == 0) {
            if begun.elapsed() > FIRST_ATTEMPTS {
                let what = "background traffic: nothing has begun".to_owned();
                return Err(BackendError::Unsupported(what));
            }
            process::short_pause();
            self.count()?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), BackendError> {
        for (tally, new) in self.tallies.iter_mut().zip(self.traffic.take()?) {
            for (_, count) in new.counts {
                tally.add(translate::count(count));
            }
            tally.undecided += new.undecided;
        }
        Ok(())
    }
}

impl Traffic for SimTraffic {
    fn take(&mut self) -> Result<Vec<Tally>, BackendError> {
        self.count()?;
        let empty = vec![Tally::default(); self.tallies.len()];
        Ok(std::mem::replace(&mut self.tallies, empty))
    }
}
