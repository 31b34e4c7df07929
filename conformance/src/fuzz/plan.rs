//! Oracle against Plan: no kernel, thousands of worlds a second.
//!
//! [`Judges`] holds one world as both judges want it; [`Judges::ask`] asks them, and the enforcer's
//! explanation, about one connection.

use std::{collections::BTreeMap, fmt};

use enforcer::{
    cluster::Cluster,
    compile::compile,
    explain::explain,
    options::Options,
    plan::{Packet, Plan, Verdict},
};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::{objects::policy_event, world::World};
use crate::{
    cell::{Cell, Endpoint, Outcome},
    judge::transport,
    oracle::{self, Connection},
};

/// What enforcers hear of a policy: itself, or, in tests that break something on purpose, something
/// else or nothing.
pub type Ear = fn(&NetworkPolicy) -> Option<NetworkPolicy>;

/// Nothing is broken.
pub fn honest(policy: &NetworkPolicy) -> Option<NetworkPolicy> {
    Some(policy.clone())
}

/// A world with all that judges it.
pub struct Judges<'a> {
    world: &'a World,
    objects: oracle::World,
    cluster: Cluster,
    plans: BTreeMap<String, Plan>,
}

/// What judges say who do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The connection.
    pub cell: Cell,
    /// Whether the oracle lets it pass.
    pub oracle: bool,
    /// Whether the plans of all nodes on the way do.
    pub plan: bool,
    /// Whether the explanation says that it passes.
    pub explained: bool,
    /// What the kernel did, where it was asked.
    pub kernel: Option<Outcome>,
    /// The oracle's sentences.
    pub reasons: Vec<String>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |allowed| if allowed { "allowed" } else { "denied" };
        write!(
            f,
            "{}: oracle {}, plan {}, explanation {}",
            self.cell,
            word(self.oracle),
            word(self.plan),
            word(self.explained)
        )?;
        match self.kernel {
            Some(outcome) => write!(f, ", kernel {outcome}"),
            None => Ok(()),
        }
    }
}

/// What oracle, plans and explanation say of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    judgement: oracle::Judgement,
    plan: bool,
    explained: bool,
}

impl Answers {
    /// Whether the connection passes: the oracle decides.
    pub fn allowed(&self) -> bool {
        self.judgement.allowed
    }

    /// What is to be told if they do not agree.
    pub fn disagreement(self, cell: &Cell) -> Option<Disagreement> {
        let agreed = self.judgement.allowed == self.plan && self.plan == self.explained;
        (!agreed).then(|| self.told(cell, None))
    }

    /// What is to be told.
    pub fn told(self, cell: &Cell, kernel: Option<Outcome>) -> Disagreement {
        Disagreement {
            cell: cell.clone(),
            oracle: self.judgement.allowed,
            plan: self.plan,
            explained: self.explained,
            kernel,
            reasons: self.judgement.reasons,
        }
    }
}

impl<'a> Judges<'a> {
    /// Compiles a world for every node.
    pub fn of(world: &'a World, options: Options, ear: Ear) -> Self {
        let mut cluster = Cluster::default();
        let heard = world.policies.iter().filter_map(ear);
        let policies = heard.map(|policy| policy_event(&policy));
        for event in world.events().into_iter().chain(policies) {
            cluster.handle(event);
        }
        let plan = |node: &String| (node.clone(), compile(&cluster, node, options));
        Self {
            plans: world.nodes.keys().map(plan).collect(),
            objects: world.objects(),
            world,
            cluster,
        }
    }

    /// What the oracle says of a connection; nothing where somebody has no address.
    pub fn oracle(&self, cell: &Cell) -> Option<oracle::Judgement> {
        Some(oracle::judge(&self.objects, &self.connection(cell)?))
    }

    /// What all three say of a connection; nothing where somebody has no address.
    pub fn ask(&self, cell: &Cell) -> Option<Answers> {
        let judgement = self.oracle(cell)?;
        let packet = self.packet(cell)?;
        Some(Answers {
            plan: self.plan(cell, &packet),
            explained: explain(&self.cluster, &packet).allowed(),
            judgement,
        })
    }

    /// The Plan of a node.
    pub fn plan_of(&self, node: &str) -> Option<&Plan> {
        self.plans.get(node)
    }

    fn connection(&self, cell: &Cell) -> Option<Connection> {
        let node = |end: &'_ Endpoint| self.world.node_of(end).map(str::to_owned);
        Some(Connection {
            source: self.world.address(&cell.source, cell.family)?,
            destination: self.world.address(&cell.destination, cell.family)?,
            source_node: node(&cell.source),
            destination_node: node(&cell.destination),
            protocol: cell.port.protocol,
            port: cell.port.number,
        })
    }

    fn packet(&self, cell: &Cell) -> Option<Packet> {
        let source = self.world.address(&cell.source, cell.family)?;
        Some(Packet {
            source,
            destination: self.world.address(&cell.destination, cell.family)?,
            transport: transport(cell.port, source.is_ipv6()),
        })
    }

    /// The plans of the nodes whose forward hook a packet passes: a pod's own node, except on the
    /// way between a node and its own pods.
    fn plan(&self, cell: &Cell, packet: &Packet) -> bool {
        let nodes = [&cell.source, &cell.destination].map(|end| self.world.node_of(end));
        let is_apart = |end| self.world.pod(end).is_some_and(|pod| !pod.host_network);
        let are_apart = [&cell.source, &cell.destination].map(is_apart);
        let stays = nodes[0].is_some() && nodes[0] == nodes[1];
        if stays && are_apart != [true, true] {
            return true;
        }
        let asked = nodes
            .iter()
            .zip(are_apart)
            .filter(|(_, is_apart)| *is_apart);
        let mut plans = asked.filter_map(|(node, _)| self.plans.get((*node)?));
        plans.all(|plan| plan.verdict(packet) == Verdict::Allowed)
    }
}
