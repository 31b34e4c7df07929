//! Three judges for every cell: the oracle, the compiled plans, and the kernel.
//!
//! The oracle reads the objects and the specification; the plans are what the enforcers made of the
//! same objects; the kernel has been asked with a real packet. A difference between any two is a bug
//! and is never folded into an ordinary failure.

mod route;

use enforcer::plan::{Packet, Transport, Verdict};

pub use self::route::{Hop, Route, routes};
use crate::{
    backend::{Backend, Observation},
    cell::{Cell, Outcome, Port, Protocol},
    oracle::{self, World},
};

/// One judge's answer for one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Whether the policies let the connection pass.
    pub allowed: bool,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

/// What the two judges without packets say about a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The route.
    pub route: Route,
    /// The oracle's answer.
    pub oracle: Opinion,
    /// The answer of the plans of all nodes on the way.
    pub plan: Opinion,
}

/// What the judges say about a cell, before anybody looks at the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// One entry per route.
    pub routes: Vec<Judged>,
}

impl Verdicts {
    /// Asks the oracle and the plans about a cell.
    pub fn of(backend: &dyn Backend, world: &World, cell: &Cell) -> Self {
        let routes = routes(backend, cell);
        Self {
            routes: routes
                .into_iter()
                .map(|route| Judged {
                    oracle: ask_oracle(world, &route),
                    plan: ask_plans(backend, &route),
                    route,
                })
                .collect(),
        }
    }

    /// Whether oracle and plans agree on every route, and what the kernel did is what they said.
    /// A cell without routes (a Service without endpoints) has nothing to disagree about.
    pub fn agree_with(&self, seen: &Observation) -> bool {
        let same = self
            .routes
            .iter()
            .all(|judged| judged.oracle.allowed == judged.plan.allowed);
        same && self.kernel_agrees(seen)
    }

    fn kernel_agrees(&self, seen: &Observation) -> bool {
        if self.routes.is_empty() {
            return true;
        }
        let mut candidates = self
            .routes
            .iter()
            .filter(|judged| seen.served_by.is_none() || judged.route.served_by == seen.served_by);
        match seen.outcome {
            Outcome::Allowed | Outcome::Refused => candidates.any(|judged| judged.oracle.allowed),
            Outcome::Denied => candidates.any(|judged| !judged.oracle.allowed),
            Outcome::Unreachable => true,
        }
    }
}

fn ask_oracle(world: &World, route: &Route) -> Opinion {
    let mut opinion = Opinion {
        allowed: true,
        reasons: Vec::new(),
    };
    for hop in &route.hops {
        let judgement = oracle::judge_on(
            world,
            &oracle::Connection {
                source: hop.source,
                destination: hop.destination,
                source_node: hop.source_node.clone(),
                destination_node: hop.destination_node.clone(),
                protocol: hop.port.protocol,
                port: hop.port.number,
            },
            &hop.node,
        );
        opinion.allowed &= judgement.allowed;
        opinion.reasons.extend(judgement.reasons);
    }
    opinion.reasons.dedup();
    opinion
}

fn ask_plans(backend: &dyn Backend, route: &Route) -> Opinion {
    let plans = backend.plans();
    let mut opinion = Opinion {
        allowed: true,
        reasons: Vec::new(),
    };
    for hop in &route.hops {
        let Some((node, plan)) = plans.iter().find(|(node, _)| *node == hop.node) else {
            continue;
        };
        let packet = Packet {
            source: hop.source,
            destination: hop.destination,
            transport: transport(hop.port, hop.source.is_ipv6()),
        };
        match plan.verdict(&packet) {
            Verdict::Allowed => opinion
                .reasons
                .push(format!("the plan of {node} lets it pass")),
            Verdict::Denied {
                direction,
                pod,
                isolated_by,
            } => {
                opinion.allowed = false;
                let by: Vec<_> = isolated_by.iter().map(ToString::to_string).collect();
                opinion.reasons.push(format!(
                    "the plan of {node} denies it: {pod} is isolated for {direction} by {}, and no rule of theirs allows it",
                    by.join(", ")
                ));
            }
            Verdict::Held { address, .. } => {
                opinion.allowed = false;
                opinion.reasons.push(format!(
                    "the plan of {node} denies it: {address} is of the node's pod range, and no pod that is programmed has it"
                ));
            }
        }
    }
    opinion
}

/// A cell's port as a packet shows it.
pub fn transport(port: Port, is_ipv6: bool) -> Transport {
    let number = port.number.unwrap_or(0);
    match port.protocol {
        Protocol::Tcp => Transport::Port(enforcer::policy::Protocol::Tcp, number),
        Protocol::Udp => Transport::Port(enforcer::policy::Protocol::Udp, number),
        Protocol::Sctp => Transport::Port(enforcer::policy::Protocol::Sctp, number),
        Protocol::Icmp if is_ipv6 => Transport::Other(58),
        Protocol::Icmp => Transport::Other(1),
    }
}
