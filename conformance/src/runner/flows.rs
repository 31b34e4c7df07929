//! Long-lived connections: opened in one step, used in later ones, and judged every time.

use std::{collections::BTreeMap, time::Duration};

use enforcer::options::Deny;

use super::{
    look::{Judges, PATIENCE, SILENCE, Seen, anything},
    player::Problem,
};
use crate::{
    backend::{Backend, BackendError, LongLived, Observation, ProbeSpec},
    cell::{Cell, Endpoint, Outcome, Protocol},
    judge::{Moment, routes},
    scenario::{Expected, ExpectedCell, NamedFlow, UseExpectation, UseFlow, World},
};

/// The first source port of connections that are tried until they come about. Fresh ports of probes
/// lie above, ports of servers below.
const FIRST_PORT: u16 = 20_000;

/// All that are open, by the names that the scenario gives them.
#[derive(Default)]
pub(super) struct Flows {
    open: BTreeMap<String, Vec<Flow>>,
    tried: u16,
}

struct Flow {
    cell: Cell,
    kind: Kind,
    /// The pods at its ends when it was opened, by their uids.
    ends: BTreeMap<Endpoint, Option<String>>,
}

enum Kind {
    /// It came about.
    Open(Box<dyn LongLived>),
    /// It was denied when it was opened, and is tried again from the same port: the same 5-tuple,
    /// for the kernel the same connection (semantics 211).
    Tried {
        source_port: u16,
        /// UDP that has got through once is an accepted connection; TCP connects anew every time.
        is_established: bool,
    },
}

/// What opening or using came to.
#[derive(Default)]
pub(super) struct Outcomes {
    /// What is not as the scenario says.
    pub(super) problems: Vec<Problem>,
    /// What the judges do not agree about.
    pub(super) contradictions: Vec<Seen>,
}

impl Flows {
    /// Opens connections, and keeps those that are denied for a later attempt if that is expected.
    pub(super) fn open(
        &mut self,
        backend: &mut dyn Backend,
        world: &World,
        named: &NamedFlow,
    ) -> Result<Outcomes, BackendError> {
        let mut outcomes = Outcomes::default();
        for cell in &named.cells {
            let ends = ends(backend, cell);
            let before = Moment::now(backend);
            let (kind, observation) = self.attempt(backend, cell, named.expect)?;
            let outcome = observation.outcome;
            let judges = Judges::since(before, world, backend);
            let seen = judges.seen(backend, expected(cell, named.expect), observation);
            if !is_right(named.expect, outcome, seen.deny) {
                let message = match named.expect {
                    UseExpectation::Deny => format!(
                        "flow {} must be denied when it is opened: {cell} is {outcome}",
                        named.name
                    ),
                    _ => format!("flow {} cannot be opened: {cell} is {outcome}", named.name),
                };
                let problem = Problem::new(message, &named.location);
                outcomes.problems.push(problem);
            }
            if !seen.judges_agree() {
                outcomes.contradictions.push(seen);
            }
            let flow = kind.map(|kind| Flow {
                cell: cell.clone(),
                kind,
                ends,
            });
            let flows = self.open.entry(named.name.clone()).or_default();
            flows.extend(flow);
        }
        Ok(outcomes)
    }

    /// Tries a connection, in such a way that it can be used later if it comes out as expected.
    fn attempt(
        &mut self,
        backend: &mut dyn Backend,
        cell: &Cell,
        expected: UseExpectation,
    ) -> Result<(Option<Kind>, Observation), BackendError> {
        if expected == UseExpectation::Allow {
            let opened = backend.open_flow(cell, PATIENCE);
            let outcome = opened.as_ref().err().copied();
            let seen = bare(outcome.unwrap_or(Outcome::Allowed));
            return Ok((opened.ok().map(Kind::Open), seen));
        }
        let source_port = self.port();
        let seen = try_from(backend, cell, source_port, SILENCE)?;
        let kind = Kind::Tried {
            source_port,
            is_established: seen.outcome == Outcome::Allowed,
        };
        Ok((Some(kind), seen))
    }

    /// Uses connections.
    pub(super) fn exchange(
        &mut self,
        backend: &mut dyn Backend,
        world: &World,
        used: &UseFlow,
    ) -> Result<Outcomes, BackendError> {
        let mut outcomes = Outcomes::default();
        let Some(flows) = self.open.get_mut(&used.name) else {
            let message = format!("flow {} is not open", used.name);
            let problem = Problem::new(message, &used.location);
            outcomes.problems.push(problem);
            return Ok(outcomes);
        };
        // Silence is the wanted answer of a denial, so it is not waited for as long.
        let deadline = match used.expect {
            UseExpectation::Allow => PATIENCE,
            UseExpectation::Deny | UseExpectation::Either => SILENCE,
        };
        for flow in flows {
            let before = Moment::now(backend);
            let was_established = flow.is_established();
            let observation = flow.exchange(backend, deadline)?;
            let outcome = observation.outcome;
            let judges = Judges::since(before, world, backend);
            let expected = expected(&flow.cell, used.expect);
            let seen = if was_established {
                flow.judge(backend, &judges, expected, observation)
            } else {
                Some(judges.seen(backend, expected, observation))
            };
            outcomes
                .contradictions
                .extend(seen.filter(|seen| !seen.judges_agree()));
            // An accepted connection may be cut in any way.
            let deny = if was_established {
                Deny::Reject
            } else {
                backend.options().deny
            };
            if !is_right(used.expect, outcome, deny) {
                let wanted = match (used.expect, was_established) {
                    (UseExpectation::Allow, true) => "go on",
                    (UseExpectation::Allow, false) => "come about",
                    (_, true) => "be cut",
                    (_, false) => "stay denied",
                };
                let message = format!(
                    "flow {} ({}) must {wanted}, and is {outcome}",
                    used.name, flow.cell
                );
                let problem = Problem::new(message, &used.location);
                outcomes.problems.push(problem);
            }
        }
        Ok(outcomes)
    }

    /// Closes connections.
    pub(super) fn close(&mut self, name: &str) {
        self.open.remove(name);
    }

    /// Closes all of them.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    fn port(&mut self) -> u16 {
        self.tried += 1;
        FIRST_PORT + self.tried
    }
}

impl Flow {
    fn is_established(&self) -> bool {
        match self.kind {
            Kind::Open(_) => true,
            Kind::Tried { is_established, .. } => is_established && self.is_datagram(),
        }
    }

    fn is_datagram(&self) -> bool {
        self.cell.port.protocol == Protocol::Udp
    }

    fn exchange(
        &mut self,
        backend: &mut dyn Backend,
        deadline: Duration,
    ) -> Result<Observation, BackendError> {
        match &mut self.kind {
            Kind::Open(flow) => Ok(bare(flow.exchange(deadline))),
            Kind::Tried {
                source_port,
                is_established,
            } => {
                let seen = try_from(backend, &self.cell, *source_port, deadline)?;
                *is_established |= seen.outcome == Outcome::Allowed;
                Ok(seen)
            }
        }
    }

    /// What the judges say of an accepted connection. Nothing if one of its ends is another pod by
    /// now: whatever breaks it then is no policy.
    fn judge(
        &self,
        backend: &dyn Backend,
        judges: &Judges<'_>,
        expected: ExpectedCell,
        observation: Observation,
    ) -> Option<Seen> {
        if ends(backend, &self.cell) != self.ends {
            return None;
        }
        let options = backend.options();
        let (verdicts, agree) = judges.ask(backend, &self.cell, |verdicts| {
            verdicts.agree_with_accepted(observation.outcome, options.established)
        });
        Some(Seen {
            expected,
            observation,
            verdicts,
            // What becomes of it is held against the scenario alone where the enforcer is judged.
            agree: agree || backend.is_on_trial(),
            deny: options.deny,
        })
    }
}

/// An outcome of which no more is known.
fn bare(outcome: Outcome) -> Observation {
    Observation {
        outcome,
        source_seen: None,
        served_by: None,
        latency: Duration::ZERO,
    }
}

fn try_from(
    backend: &mut dyn Backend,
    cell: &Cell,
    source_port: u16,
    deadline: Duration,
) -> Result<Observation, BackendError> {
    let probe = ProbeSpec {
        source_port: Some(source_port),
        is_again: true,
        ..cell.clone().into()
    };
    let mut seen = backend.probe(&[probe], deadline)?;
    Ok(seen.remove(0))
}

fn ends(backend: &dyn Backend, cell: &Cell) -> BTreeMap<Endpoint, Option<String>> {
    let ends = routes(backend, cell).into_iter().map(|route| route.end);
    let uid = |endpoint: &Endpoint| match endpoint {
        Endpoint::Pod { namespace, name } => {
            backend.store().pod(namespace, name)?.metadata.uid.clone()
        }
        _ => None,
    };
    ends.chain([cell.source.clone()])
        .map(|endpoint| (endpoint.clone(), uid(&endpoint)))
        .collect()
}

fn is_right(expected: UseExpectation, outcome: Outcome, deny: Deny) -> bool {
    match expected {
        UseExpectation::Allow => outcome == Outcome::Allowed,
        UseExpectation::Deny => Expected::Deny.accepts(outcome, deny),
        UseExpectation::Either => true,
    }
}

fn expected(cell: &Cell, expected: UseExpectation) -> ExpectedCell {
    let expected = match expected {
        UseExpectation::Allow => Expected::Allow,
        UseExpectation::Deny => Expected::Deny,
        UseExpectation::Either => Expected::Either,
    };
    ExpectedCell {
        expected,
        ..anything(cell.clone())
    }
}
