//! The rules of a profile in canonical form.
//!
//! Only allows exist and they add up, so policies, rules and lists of peers can be taken apart: for
//! each distinct peer, the union of the ports of all rules that name it. Profiles that say the same
//! in other words come out equal and share their tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    cluster::Pod,
    plan::Allowed,
    policy::{
        Action, Direction, NamespaceScope, Peer, Peers, Policy, PortMatch, PortRange, Ports,
        Protocol, Selector,
    },
};

/// A name for a port in one protocol.
pub(super) type PortName = (Protocol, Arc<str>);

/// What a rule allows with its peers: numbers, and names that the destination pod resolves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Allowance {
    pub(super) fixed: Allowed,
    /// Only for egress; for ingress the subject resolves them at once (semantics 91).
    pub(super) named: BTreeSet<PortName>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            fixed: Allowed::NOTHING,
            named: BTreeSet::new(),
        }
    }
}

impl Allowance {
    fn add(&mut self, other: &Self) {
        self.fixed = Allowed::union([&self.fixed, &other.fixed]);
        self.named.extend(other.named.iter().cloned());
        if self.fixed == Allowed::Everything {
            self.named.clear();
        }
    }

    fn is_nothing(&self) -> bool {
        self.fixed.is_nothing() && self.named.is_empty()
    }

    /// What it allows towards `destination`. A name the pod does not have, or has in another
    /// protocol, is nothing (semantics 93, 94).
    pub(super) fn towards(&self, destination: &Pod) -> Allowed {
        if self.named.is_empty() {
            return self.fixed.clone();
        }
        let numbers = self.named.iter().filter_map(|(protocol, name)| {
            let number = destination.port_number(*protocol, name)?;
            Some((*protocol, PortRange::single(number)))
        });
        Allowed::union([&self.fixed, &Allowed::Ports(numbers.collect())])
    }
}

/// Pods as a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PodPeer {
    /// All pods there are.
    Every,
    /// Pods that match in namespaces that match.
    Matching(NamespaceScope, Selector),
}

/// A range as a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockPeer {
    pub(super) cidr: IpNet,
    /// Of this range alone (semantics 66, 70).
    pub(super) except: BTreeSet<IpNet>,
}

/// All rules of a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rules {
    pub(super) direction: Direction,
    /// With everyone, in and out of the cluster (semantics 43).
    pub(super) anyone: Allowed,
    pub(super) pods: BTreeMap<PodPeer, Allowance>,
    pub(super) blocks: BTreeMap<BlockPeer, Allowed>,
}

impl Rules {
    /// The rules of `policies`, all of one direction, for one of their subjects.
    pub(super) fn new<'a>(
        direction: Direction,
        policies: impl IntoIterator<Item = &'a Policy>,
        subject: &Pod,
    ) -> Self {
        let mut anyone = Allowance::default();
        let mut pods: BTreeMap<PodPeer, Allowance> = BTreeMap::new();
        let mut blocks: BTreeMap<BlockPeer, Allowed> = BTreeMap::new();
        for rule in policies.into_iter().flat_map(|policy| &policy.rules) {
            match rule.action {
                Action::Allow => {}
            }
            let mut allowance = allowance(&rule.ports);
            if direction == Direction::Ingress {
                allowance = Allowance {
                    fixed: allowance.towards(subject),
                    named: BTreeSet::new(),
                };
            }
            let peers = match &rule.peers {
                Peers::Any => {
                    anyone.add(&allowance);
                    continue;
                }
                Peers::OneOf(peers) => peers,
            };
            for peer in peers {
                match peer {
                    Peer::Pods {
                        namespaces,
                        pods: labels,
                    } => pods
                        .entry(PodPeer::Matching(namespaces.clone(), labels.clone()))
                        .or_default()
                        .add(&allowance),
                    // A range has no pod that could resolve a name (semantics 97).
                    Peer::Block { cidr, except } => {
                        let block = BlockPeer {
                            cidr: *cidr,
                            except: except.iter().copied().collect(),
                        };
                        let allowed = blocks.entry(block).or_insert(Allowed::NOTHING);
                        *allowed = Allowed::union([&*allowed, &allowance.fixed]);
                    }
                    Peer::Unreadable(_) => {}
                }
            }
        }
        if !anyone.named.is_empty() {
            let named = Allowance {
                fixed: Allowed::NOTHING,
                named: anyone.named,
            };
            pods.entry(PodPeer::Every).or_default().add(&named);
        }
        pods.retain(|_, allowance| !allowance.is_nothing());
        blocks.retain(|_, allowed| !allowed.is_nothing());
        if anyone.fixed == Allowed::Everything {
            pods.clear();
            blocks.clear();
        }
        Self {
            direction,
            anyone: anyone.fixed,
            pods,
            blocks,
        }
    }
}

fn allowance(ports: &Ports) -> Allowance {
    let entries = match ports {
        Ports::All => {
            return Allowance {
                fixed: Allowed::Everything,
                named: BTreeSet::new(),
            };
        }
        Ports::OneOf(entries) => entries,
    };
    let mut ranges = Vec::new();
    let mut named = BTreeSet::new();
    for entry in entries {
        match entry {
            PortMatch::Range(protocol, range) => ranges.push((*protocol, *range)),
            PortMatch::Named(protocol, name) => {
                named.insert((*protocol, name.clone()));
            }
        }
    }
    Allowance {
        fixed: Allowed::Ports(ranges.into_iter().collect()),
        named,
    }
}

/// Whether a rule of `policy` names a port, so that its meaning depends on a pod.
pub(super) fn names_ports(policy: &Policy) -> bool {
    policy.rules.iter().any(|rule| match &rule.ports {
        Ports::All => false,
        Ports::OneOf(entries) => entries
            .iter()
            .any(|entry| matches!(entry, PortMatch::Named(..))),
    })
}
