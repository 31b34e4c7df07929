//! Oracle against Plan: no kernel, thousands of worlds a second.
//!
//! [`Judges`] holds one world as both judges want it; [`Judges::ask`] asks them, and the enforcer's
//! explanation, about one connection.

use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr};

use enforcer::{
    cluster::Cluster,
    compile::compile,
    explain::explain,
    options::{Options, Unprogrammed},
    plan::{Packet, Plan, Verdict},
};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::{objects::policy_event, world::World};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
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
pub struct Judges {
    objects: oracle::World,
    cluster: Cluster,
    plans: BTreeMap<String, Plan>,
    options: Options,
    /// Everybody that can send or answer.
    ends: BTreeMap<Endpoint, End>,
}

/// One end of a connection.
#[derive(Clone)]
struct End {
    /// One per family at most.
    addresses: Vec<IpAddr>,
    node: Option<String>,
    /// Whether it is a pod with addresses of its own.
    is_apart: bool,
}

impl End {
    fn address(&self, family: Family) -> Option<IpAddr> {
        let is_meant = |address: &&IpAddr| address.is_ipv4() == (family == Family::Ipv4);
        self.addresses.iter().find(is_meant).copied()
    }
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

impl Judges {
    /// Compiles a world for every node.
    pub fn of(world: &World, options: Options, ear: Ear) -> Self {
        let mut cluster = Cluster::default();
        let heard = world.policies.iter().filter_map(ear);
        let policies = heard.map(|policy| policy_event(&policy));
        for event in world.events().into_iter().chain(policies) {
            cluster.handle(event);
        }
        let plan = |node: &String| (node.clone(), compile(&cluster, node, options));
        let end = |endpoint: Endpoint| {
            let families = world.families.iter();
            let end = End {
                addresses: families
                    .filter_map(|family| world.address(&endpoint, *family))
                    .collect(),
                node: world.node_of(&endpoint).map(str::to_owned),
                is_apart: world.pod(&endpoint).is_some_and(|pod| !pod.host_network),
            };
            (endpoint, end)
        };
        Self {
            plans: world.nodes.keys().map(plan).collect(),
            objects: world.objects(),
            options,
            ends: world.endpoints().into_iter().map(end).collect(),
            cluster,
        }
    }

    /// What the oracle says of a connection; nothing where somebody has no address.
    pub fn oracle(&self, cell: &Cell) -> Option<oracle::Judgement> {
        let (source, destination) = (self.end(&cell.source)?, self.end(&cell.destination)?);
        self.judge(&source, &destination, cell)
    }

    /// What all three say of a connection; nothing where somebody has no address.
    pub fn ask(&self, cell: &Cell) -> Option<Answers> {
        let (source, destination) = (self.end(&cell.source)?, self.end(&cell.destination)?);
        let judgement = self.judge(&source, &destination, cell)?;
        let address = source.address(cell.family)?;
        let packet = Packet {
            source: address,
            destination: destination.address(cell.family)?,
            transport: transport(cell.port, address.is_ipv6()),
        };
        let verdicts = passed(&source, &destination)
            .filter_map(|node| Some(self.plans.get(node)?.verdict(&packet)));
        let verdicts: Vec<Verdict> = verdicts.collect();
        // Policies are explained, and what is held is no matter of policies.
        let is_held = |verdict: &Verdict| matches!(verdict, Verdict::Held { .. });
        let explained = explain(&self.cluster, &packet).allowed();
        Some(Answers {
            plan: verdicts.iter().all(|verdict| *verdict == Verdict::Allowed),
            explained: explained && !verdicts.iter().any(is_held),
            judgement,
        })
    }

    /// The oracle's answer: what policies say, and what the nodes on the way hold back.
    fn judge(&self, source: &End, destination: &End, cell: &Cell) -> Option<oracle::Judgement> {
        let connection = Connection {
            source: source.address(cell.family)?,
            destination: destination.address(cell.family)?,
            source_node: source.node.clone(),
            destination_node: destination.node.clone(),
            protocol: cell.port.protocol,
            port: cell.port.number,
        };
        let mut judgement = oracle::judge(&self.objects, &connection);
        if self.options.unprogrammed == Unprogrammed::Hold {
            for node in passed(source, destination) {
                let held = oracle::judge_hold(&self.objects, &connection, node);
                judgement.allowed &= held.allowed;
                judgement.reasons.extend(held.reasons);
            }
        }
        Some(judgement)
    }

    fn end<'a>(&'a self, endpoint: &Endpoint) -> Option<Cow<'a, End>> {
        if let Some(known) = self.ends.get(endpoint) {
            return Some(Cow::Borrowed(known));
        }
        // An address that nobody has.
        let Endpoint::External(name) = endpoint else {
            return None;
        };
        Some(Cow::Owned(End {
            addresses: vec![name.parse().ok()?],
            node: None,
            is_apart: false,
        }))
    }
}

/// The nodes whose forward hook a connection passes: those of the pods, except on the way between a
/// node and its own pods.
fn passed<'a>(source: &'a End, destination: &'a End) -> impl Iterator<Item = &'a str> {
    let on_one_node = source.node.is_some() && source.node == destination.node;
    let is_seen = !on_one_node || (source.is_apart && destination.is_apart);
    // On one node it is seen once.
    let second = (!on_one_node).then_some(destination);
    let ends = [Some(source), second].into_iter().flatten();
    ends.filter(move |end| is_seen && end.is_apart)
        .filter_map(|end| end.node.as_deref())
}
