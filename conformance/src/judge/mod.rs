//! Three judges for every cell: the oracle, the compiled plans, and the kernel.
//!
//! The oracle reads the objects and the specification; the plans are what the enforcers made of the
//! same objects; the kernel has been asked with a real packet. A difference between any two is a bug
//! and is never folded into an ordinary failure.
//!
//! - `route`: which nodes see a connection's packets, and how they look there;
//! - `moment`: what each node's agent knew and what its kernel held at one moment;
//! - [`Verdicts`]: what follows, and whether the kernel did just that.
//!
//! Each side of a connection is judged by what the agent of *its* node knew: an agent that is
//! stopped or cut off goes on enforcing the past.

mod moment;
mod route;
#[cfg(test)]
mod tests;

use enforcer::{
    options::{Deny, Established, Unprogrammed},
    plan::{Packet, Transport, Verdict},
};

pub use self::{
    moment::Moment,
    route::{Hop, Route, routes},
};
use crate::{
    backend::{Backend, Observation},
    cell::{Cell, Outcome, Port, Protocol},
    oracle, scenario,
};

/// One judge's answer for one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Whether the policies let the connection pass.
    pub allowed: bool,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

impl Opinion {
    fn begin() -> Self {
        Self {
            allowed: true,
            reasons: Vec::new(),
        }
    }
}

/// What the two judges without packets say about a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The route.
    pub route: Route,
    /// Whether somebody is known to listen at its end.
    pub listens: bool,
    /// The oracle's answer.
    pub oracle: Opinion,
    /// The answer of the plans of all nodes on the way; nothing where enforcers do not tell them.
    pub plan: Option<Opinion>,
}

/// What the judges say about a cell, before anybody looks at the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// One entry per route.
    pub routes: Vec<Judged>,
    deny: Deny,
}

impl Verdicts {
    /// Asks the oracle and the plans of a moment about a cell. `world` says who listens where.
    pub fn of(
        backend: &dyn Backend,
        world: &scenario::World,
        moment: &Moment,
        cell: &Cell,
    ) -> Self {
        let options = backend.options();
        let judged = |route: Route| Judged {
            listens: world.listens(&route.end, route.port),
            oracle: ask_oracle(moment, options.unprogrammed, &route),
            plan: backend.tells_plans().then(|| ask_plans(moment, &route)),
            route,
        };
        Self {
            routes: routes(backend, cell).into_iter().map(judged).collect(),
            deny: options.deny,
        }
    }

    /// Whether oracle and plans agree on every route, and what the kernel did is what they said.
    /// A cell without routes (a Service without endpoints) has nothing to disagree about.
    pub fn agree_with(&self, seen: &Observation) -> bool {
        self.is_consistent() && self.kernel_agrees(seen)
    }

    /// The same for one more exchange over a connection that was accepted earlier: it may go on
    /// although new ones are denied, unless the enforcer revokes what is allowed no more (semantics
    /// 208). What breaks it other than by silence is none of the judges' business here.
    pub fn agree_with_accepted(&self, outcome: Outcome, established: Established) -> bool {
        let oracle = |allowed: bool| {
            let mut routes = self.routes.iter();
            self.routes.is_empty() || routes.any(|judged| judged.oracle.allowed == allowed)
        };
        self.is_consistent()
            && match outcome {
                Outcome::Allowed => established == Established::Keep || oracle(true),
                Outcome::Denied => oracle(false),
                Outcome::Refused | Outcome::Unreachable => true,
            }
    }

    /// Whether oracle and plans say the same of every route.
    pub fn is_consistent(&self) -> bool {
        let mut routes = self.routes.iter();
        routes.all(|judged| {
            let plan = judged.plan.as_ref();
            plan.is_none_or(|plan| plan.allowed == judged.oracle.allowed)
        })
    }

    /// Whether one of these outcomes is what the oracle says.
    pub(crate) fn explains_any(&self, outcomes: &[Outcome]) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|judged| {
            let mut outcomes = outcomes.iter();
            outcomes.any(|outcome| judged.explains(*outcome, self.deny))
        })
    }

    fn kernel_agrees(&self, seen: &Observation) -> bool {
        if self.routes.is_empty() {
            return true;
        }
        let mut candidates = self.routes.iter().filter(|judged| {
            let served_by = seen.served_by.as_ref();
            served_by.is_none_or(|place| judged.route.may_be_answered_by(place))
        });
        candidates.any(|judged| judged.explains(seen.outcome, self.deny))
    }
}

impl Judged {
    /// Whether the verdict on this route can come out like this.
    ///
    /// An enforcer that drops is silent and nobody else is, so any answer means that it let the
    /// connection pass. One that rejects answers TCP with a reset and all else with an ICMP error
    /// (semantics 25), which the kernel limits in number: silence is a denial there, too. Its reset
    /// looks like that of a machine on which nobody listens. Where somebody is known to listen it is
    /// a denial; elsewhere it can be either and contradicts neither.
    fn explains(&self, outcome: Outcome, deny: Deny) -> bool {
        let allowed = self.oracle.allowed;
        let rejection = match self.route.port.protocol {
            Protocol::Tcp => Outcome::Refused,
            Protocol::Udp | Protocol::Sctp | Protocol::Icmp => Outcome::Unreachable,
        };
        if deny == Deny::Reject && outcome == rejection {
            return !allowed || !self.listens;
        }
        match outcome {
            Outcome::Allowed | Outcome::Refused => allowed,
            Outcome::Denied => !allowed,
            Outcome::Unreachable => true,
        }
    }
}

fn ask_oracle(moment: &Moment, unprogrammed: Unprogrammed, route: &Route) -> Opinion {
    let mut opinion = Opinion::begin();
    for hop in &route.hops {
        let Some(known) = moment.of(&hop.node) else {
            continue;
        };
        let Some(seen) = &known.seen else {
            let reason = format!("no agent has ever run on {}: it enforces nothing", hop.node);
            opinion.reasons.push(reason);
            continue;
        };
        let connection = oracle::Connection {
            source: hop.source,
            destination: hop.destination,
            source_node: hop.source_node.clone(),
            destination_node: hop.destination_node.clone(),
            protocol: hop.port.protocol,
            port: hop.port.number,
        };
        let hold = (unprogrammed == Unprogrammed::Hold)
            .then(|| oracle::judge_hold(seen, &connection, &hop.node));
        let judgement = oracle::judge_on(seen, &connection, &hop.node);
        for judgement in hold.into_iter().chain([judgement]) {
            opinion.allowed &= judgement.allowed;
            opinion.reasons.extend(judgement.reasons);
        }
    }
    opinion.reasons.dedup();
    opinion
}

fn ask_plans(moment: &Moment, route: &Route) -> Opinion {
    let mut opinion = Opinion::begin();
    for hop in &route.hops {
        let Some(known) = moment.of(&hop.node) else {
            continue;
        };
        let node = &hop.node;
        let packet = Packet {
            source: hop.source,
            destination: hop.destination,
            transport: transport(hop.port, hop.source.is_ipv6()),
        };
        let reason = match known.plan.verdict(&packet) {
            Verdict::Allowed => format!("the plan of {node} lets it pass"),
            Verdict::Denied {
                direction,
                pod,
                isolated_by,
            } => {
                opinion.allowed = false;
                let by: Vec<_> = isolated_by.iter().map(ToString::to_string).collect();
                format!(
                    "the plan of {node} denies it: {pod} is isolated for {direction} by {}, and no rule of theirs allows it",
                    by.join(", ")
                )
            }
            Verdict::Held { address, .. } => {
                opinion.allowed = false;
                format!(
                    "the plan of {node} holds it: {address} is of the node's pod range, and no pod that is programmed has it"
                )
            }
        };
        opinion.reasons.push(reason);
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
