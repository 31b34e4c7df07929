//! Between the words of scenarios and the words of the simulator.

use std::time::Duration;

use netsim::{
    flow::{Flow, FlowError},
    probe::{Answer, Outcome as Seen},
    topology::{ExternalSpec, Fabric, Families, HostPort, Listen, NodeSpec, Protocol as Spoken},
};

use crate::{
    backend::{Count, LongLived, Observation},
    cell::{Outcome, Port, Protocol},
    scenario,
};

pub(crate) fn to_netsim(protocol: Protocol) -> Spoken {
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

/// The ports of its node that lead to a pod.
pub(super) fn host_ports(pod: &scenario::Pod) -> Vec<HostPort> {
    let host_port = |(host, own): (u16, Port)| {
        Some(HostPort {
            port: host,
            protocol: to_netsim(own.protocol),
            pod_port: own.number?,
        })
    };
    pod.host_ports().into_iter().filter_map(host_port).collect()
}

/// The nodes of a world, to be made.
pub(super) fn nodes(world: &scenario::World) -> Vec<NodeSpec> {
    let nodes = world.nodes.iter();
    nodes
        .map(|(name, node)| NodeSpec {
            name: name.clone(),
            pod_mtu: node.pod_mtu.map(Into::into),
        })
        .collect()
}

/// The machines of a world that are neither nodes nor pods, to be made.
pub(super) fn externals(world: &scenario::World) -> Vec<ExternalSpec> {
    let externals = world.externals.iter();
    externals
        .map(|(name, external)| ExternalSpec {
            name: name.clone(),
            behind: external.behind.clone(),
        })
        .collect()
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
