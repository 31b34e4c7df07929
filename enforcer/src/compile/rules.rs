//! The rules of a profile in canonical form.
//!
//! Only allows exist and they add up, so policies, rules and lists of peers can be taken apart: for
//! each distinct peer, the union of the ports of all rules that name it. Profiles that say the same
//! in other words come out equal and share their tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    cluster::{Labels, Pod},
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

impl Allowance {
    fn is_nothing(&self) -> bool {
        self.fixed.is_nothing() && self.named.is_empty()
    }

    /// What it allows towards a destination that has these numbers for names. A name the pod does
    /// not have, or has in another protocol, is nothing (semantics 93, 94).
    pub(super) fn towards(&self, number: impl Fn(Protocol, &str) -> Option<u16>) -> Allowed {
        if self.named.is_empty() {
            return self.fixed.clone();
        }
        let numbers = self.named.iter().filter_map(|(protocol, name)| {
            let number = number(*protocol, name)?;
            Some((*protocol, PortRange::single(number)))
        });
        Allowed::union([&self.fixed, &Allowed::Ports(numbers.collect())])
    }
}

/// What several rules allow together.
#[derive(Default)]
struct Sum {
    everything: bool,
    ranges: Vec<(Protocol, PortRange)>,
    named: BTreeSet<PortName>,
}

impl Sum {
    /// Names are resolved at once where `subject` does it (semantics 91).
    fn add(&mut self, ports: &Ports, subject: Option<&Pod>) {
        let entries = match ports {
            Ports::All => {
                self.everything = true;
                return;
            }
            Ports::OneOf(entries) => entries,
        };
        for entry in entries {
            match (entry, subject) {
                (PortMatch::Range(protocol, range), _) => self.ranges.push((*protocol, *range)),
                (PortMatch::Named(protocol, name), None) => {
                    self.named.insert((*protocol, Arc::clone(name)));
                }
                (PortMatch::Named(protocol, name), Some(subject)) => {
                    let number = subject.port_number(*protocol, name);
                    let range = number.map(|number| (*protocol, PortRange::single(number)));
                    self.ranges.extend(range);
                }
            }
        }
    }

    fn finish(self) -> Allowance {
        if self.everything {
            return Allowance {
                fixed: Allowed::Everything,
                named: BTreeSet::new(),
            };
        }
        Allowance {
            fixed: Allowed::Ports(self.ranges.into_iter().collect()),
            named: self.named,
        }
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

impl PodPeer {
    /// Whether it matches pods with these labels in this namespace. A namespace whose object is not
    /// known has no labels that could be selected.
    pub(super) fn matches(
        &self,
        namespace: &str,
        namespace_labels: Option<&Labels>,
        labels: &Labels,
    ) -> bool {
        let (namespaces, pods) = match self {
            Self::Every => return true,
            Self::Matching(namespaces, pods) => (namespaces, pods),
        };
        let is_in_scope = match namespaces {
            NamespaceScope::Named(name) => name.as_ref() == namespace,
            NamespaceScope::Matching(selector) => {
                namespace_labels.is_some_and(|labels| selector.matches(labels))
            }
        };
        is_in_scope && pods.matches(labels)
    }
}

/// A range as a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockPeer {
    pub(super) cidr: IpNet,
    /// Of this range alone (semantics 66, 70).
    pub(super) except: BTreeSet<IpNet>,
}

impl BlockPeer {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|hole| hole.contains(&address))
    }
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
        let resolves = (direction == Direction::Ingress).then_some(subject);
        let mut anyone = Sum::default();
        let mut pods: BTreeMap<(&NamespaceScope, &Selector), Sum> = BTreeMap::new();
        let mut blocks: BTreeMap<BlockPeer, Sum> = BTreeMap::new();
        for rule in policies.into_iter().flat_map(|policy| &policy.rules) {
            match rule.action {
                Action::Allow => {}
            }
            let peers = match &rule.peers {
                Peers::Any => {
                    anyone.add(&rule.ports, resolves);
                    continue;
                }
                Peers::OneOf(peers) => peers,
            };
            for peer in peers {
                let sum = match peer {
                    Peer::Pods {
                        namespaces,
                        pods: labels,
                    } => pods.entry((namespaces, labels)).or_default(),
                    Peer::Block { cidr, except } => {
                        let block = BlockPeer {
                            cidr: *cidr,
                            except: except.iter().copied().collect(),
                        };
                        blocks.entry(block).or_default()
                    }
                    Peer::Unreadable(_) => continue,
                };
                sum.add(&rule.ports, resolves);
            }
        }
        let anyone = anyone.finish();
        let mut pods: BTreeMap<_, _> = pods
            .into_iter()
            .map(|((namespaces, labels), sum)| {
                let peer = PodPeer::Matching(namespaces.clone(), labels.clone());
                (peer, sum.finish())
            })
            .collect();
        if !anyone.named.is_empty() {
            let named = Allowance {
                fixed: Allowed::NOTHING,
                named: anyone.named,
            };
            pods.insert(PodPeer::Every, named);
        }
        pods.retain(|_, allowance| !allowance.is_nothing());
        // A range has no pod that could resolve a name (semantics 97).
        let blocks = blocks
            .into_iter()
            .map(|(block, sum)| (block, sum.finish().fixed));
        let mut blocks: BTreeMap<_, _> = blocks.collect();
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

/// Whether a rule of `policy` names a port, so that its meaning depends on a pod.
pub(super) fn names_ports(policy: &Policy) -> bool {
    policy.rules.iter().any(|rule| match &rule.ports {
        Ports::All => false,
        Ports::OneOf(entries) => entries
            .iter()
            .any(|entry| matches!(entry, PortMatch::Named(..))),
    })
}
