//! Connections between endpoints, made by the simulator.

use std::time::Duration;

use netsim::probe::Probe;

use super::{Sim, translate};
use crate::{
    backend::{BackendError, LongLived, Observation},
    cell::{Cell, Endpoint, Outcome},
};

impl Sim {
    pub(super) fn probe_all(
        &mut self,
        cells: &[Cell],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        let probes = cells
            .iter()
            .map(|cell| self.netsim_probe(cell))
            .collect::<Result<Vec<_>, _>>()?;
        let answers = self.net.probe(&probes, deadline)?;
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
