//! Between the words of scenarios and the words of the simulator.

use std::time::Duration;

use netsim::{
    flow::{Flow, FlowError},
    probe::{Answer, Outcome as Seen},
    topology::{Fabric, Families, Listen, Protocol as Spoken},
};

use crate::{
    backend::{Count, LongLived, Observation},
    cell::{Outcome, Port, Protocol},
    scenario,
};

pub(super) fn to_netsim(protocol: Protocol) -> Spoken {
    match protocol {
        Protocol::Tcp => Spoken::Tcp,
        Protocol::Udp => Spoken::Udp,
        Protocol::Sctp => Spoken::Sctp,
        Protocol::Icmp => Spoken::Icmp,
    }
}

pub(super) fn listen(ports: &[Port]) -> Vec<Listen> {
    let listen = |port: &Port| {
        Some(Listen {
            port: port.number?,
            protocol: to_netsim(port.protocol),
        })
    };
    ports.iter().filter_map(listen).collect()
}

fn outcome(seen: Seen) -> Outcome {
    match seen {
        Seen::Allowed => Outcome::Allowed,
        Seen::Denied => Outcome::Denied,
        Seen::Refused => Outcome::Refused,
        Seen::Unreachable => Outcome::Unreachable,
    }
}

pub(super) fn observation(answer: Answer) -> Observation {
    Observation {
        outcome: outcome(answer.outcome),
        source_seen: answer.source_seen.map(|address| address.ip()),
        served_by: answer.served_by,
        latency: answer.latency,
    }
}

pub(super) fn count(count: netsim::traffic::Count) -> Count {
    Count {
        connections: count.attempts,
        first: count.first,
        last: count.last,
        example: observation(count.example),
    }
}

pub(super) fn flow(
    opened: Result<Flow, netsim::cluster::Error>,
) -> Result<Box<dyn LongLived>, Outcome> {
    match opened {
        Ok(flow) => Ok(Box::new(SimFlow(flow))),
        Err(netsim::cluster::Error::Flow(FlowError::NotAllowed(answer))) => {
            Err(outcome(answer.outcome))
        }
        Err(_) => Err(Outcome::Unreachable),
    }
}

/// A long-lived connection of the simulator.
struct SimFlow(Flow);

impl LongLived for SimFlow {
    fn exchange(&mut self, deadline: Duration) -> Outcome {
        self.0.exchange(deadline).map_or(Outcome::Refused, outcome)
    }
}

/// The families of a scenario as the simulator calls them.
pub fn sim_families(families: scenario::Families) -> Families {
    match families {
        scenario::Families::Ipv4 => Families::Ipv4,
        scenario::Families::Ipv6 => Families::Ipv6,
        scenario::Families::Dual => Families::Dual,
    }
}

/// The fabric of a scenario as the simulator calls it.
pub fn sim_fabric(fabric: scenario::Fabric) -> Fabric {
    match fabric {
        scenario::Fabric::Bridge => Fabric::Bridge,
        scenario::Fabric::Routed => Fabric::Routed,
    }
}
