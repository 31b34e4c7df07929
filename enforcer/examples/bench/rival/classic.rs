//! The classic shape, worked out from the index.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use enforcer::{
    cluster::{Cluster, Pod},
    policy::{
        Direction, NamespaceScope, Peer, Peers, Policy, PortMatch, PortRange, Ports, Protocol,
    },
};
use ipnet::IpNet;

/// Chains and sets of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classic {
    /// Sets of addresses, by number.
    pub(crate) sets: Vec<Set>,
    /// Policies of all of the cluster, whether or not they are about a pod of the node.
    pub(crate) policies: Vec<PolicyChain>,
    /// Isolated pods of the node.
    pub(crate) pods: Vec<PodChain>,
}

/// What a set holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// Addresses of pods.
    Addresses(Vec<IpAddr>),
    /// Ranges, and the holes in them.
    Ranges(Vec<IpNet>, Vec<IpNet>),
}

/// One direction of a policy.
#[derive(Clone, Debug)]
pub(crate) struct PolicyChain {
    pub(crate) direction: Direction,
    /// The set of the pods that it isolates.
    pub(crate) subjects: usize,
    pub(crate) rules: Vec<ClassicRule>,
}

/// One rule of the chain: a policy's rule with one kind of peers and one range of ports.
#[derive(Clone, Debug)]
pub(crate) struct ClassicRule {
    /// The set of the peers; everybody if there is none.
    pub(crate) peers: Option<usize>,
    /// All ports of all protocols if there are none.
    pub(crate) ports: Option<(Protocol, PortRange)>,
}

/// A pod in one direction.
#[derive(Clone, Debug)]
pub(crate) struct PodChain {
    pub(crate) address: IpAddr,
    pub(crate) direction: Direction,
    /// Numbers of the policies that select it.
    pub(crate) policies: Vec<usize>,
}

impl Classic {
    /// The chains and sets of a node.
    pub(crate) fn of(cluster: &Cluster, node: &str) -> Self {
        let mut shaping = Shaping::new(cluster);
        let mut classic = Self::default();
        let mut selecting: HashMap<(IpAddr, Direction), Vec<usize>> = HashMap::new();
        let local: Vec<IpAddr> = cluster.addresses_on(node).map(|(a, _)| a).collect();
        for policy in cluster.policies() {
            let subject = Peer::Pods {
                namespaces: policy.subject.namespaces.clone(),
                pods: policy.subject.pods.clone(),
            };
            let number = classic.policies.len();
            let subjects = shaping.pods(&subject);
            let Set::Addresses(addresses) = &shaping.sets[subjects] else {
                continue;
            };
            for address in &local {
                if addresses.binary_search(address).is_ok() {
                    let key = (*address, policy.direction);
                    selecting.entry(key).or_default().push(number);
                }
            }
            let rules = shaping.rules(policy);
            classic.policies.push(PolicyChain {
                direction: policy.direction,
                subjects,
                rules,
            });
        }
        for direction in [Direction::Egress, Direction::Ingress] {
            for address in &local {
                if let Some(policies) = selecting.remove(&(*address, direction)) {
                    classic.pods.push(PodChain {
                        address: *address,
                        direction,
                        policies,
                    });
                }
            }
        }
        classic.sets = shaping.sets;
        classic
    }
}

/// Shares equal sets, and what equal selectors match.
struct Shaping<'a> {
    by_namespace: BTreeMap<&'a str, Vec<(IpAddr, &'a Pod)>>,
    cluster: &'a Cluster,
    sets: Vec<Set>,
    known: BTreeMap<Set, usize>,
    matched: HashMap<Peer, usize>,
}

impl<'a> Shaping<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let mut by_namespace: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (address, pod) in cluster.addresses().filter(|(a, _)| a.is_ipv4()) {
            let namespace = pod.reference.namespace.as_ref();
            by_namespace
                .entry(namespace)
                .or_default()
                .push((address, pod));
        }
        Self {
            by_namespace,
            cluster,
            sets: Vec::new(),
            known: BTreeMap::new(),
            matched: HashMap::new(),
        }
    }

    /// The set of the pods that a peer matches.
    fn pods(&mut self, peer: &Peer) -> usize {
        if let Some(&set) = self.matched.get(peer) {
            return set;
        }
        let Peer::Pods { namespaces, pods } = peer else {
            return self.set(Set::Addresses(Vec::new()));
        };
        let mut addresses = Vec::new();
        for (namespace, members) in &self.by_namespace {
            let is_in_scope = match namespaces {
                NamespaceScope::Named(name) => name.as_ref() == *namespace,
                NamespaceScope::Matching(selector) => {
                    selector.matches(&self.cluster.namespace_labels(namespace))
                }
            };
            if is_in_scope {
                let matching = members.iter().filter(|(_, pod)| pods.matches(&pod.labels));
                addresses.extend(matching.map(|(address, _)| *address));
            }
        }
        addresses.sort();
        let set = self.set(Set::Addresses(addresses));
        self.matched.insert(peer.clone(), set);
        set
    }

    fn set(&mut self, set: Set) -> usize {
        if let Some(&known) = self.known.get(&set) {
            return known;
        }
        let number = self.sets.len();
        self.sets.push(set.clone());
        self.known.insert(set, number);
        number
    }

    fn rules(&mut self, policy: &Policy) -> Vec<ClassicRule> {
        let mut rules = Vec::new();
        for rule in &policy.rules {
            let peers = self.peers(&rule.peers);
            let ports: Vec<_> = match &rule.ports {
                Ports::All => vec![None],
                Ports::OneOf(matches) => matches.iter().filter_map(range).map(Some).collect(),
            };
            for peers in peers {
                rules.extend(ports.iter().map(|&ports| ClassicRule { peers, ports }));
            }
        }
        rules
    }

    /// One set for all pods and one for all ranges of a rule, as kube-router has them.
    fn peers(&mut self, peers: &Peers) -> Vec<Option<usize>> {
        let Peers::OneOf(peers) = peers else {
            return vec![None];
        };
        let (mut addresses, mut ranges, mut holes) = (Vec::new(), Vec::new(), Vec::new());
        for peer in peers {
            match peer {
                Peer::Pods { .. } => {
                    let set = self.pods(peer);
                    if let Set::Addresses(found) = &self.sets[set] {
                        addresses.extend(found.iter().copied());
                    }
                }
                Peer::Block { cidr, except } if cidr.addr().is_ipv4() => {
                    ranges.push(*cidr);
                    holes.extend(except.iter().copied());
                }
                Peer::Block { .. } | Peer::Unreadable(_) => {}
            }
        }
        let mut sets = Vec::new();
        if !addresses.is_empty() {
            addresses.sort();
            addresses.dedup();
            sets.push(Some(self.set(Set::Addresses(addresses))));
        }
        if !ranges.is_empty() {
            ranges.sort();
            ranges.dedup();
            sets.push(Some(self.set(Set::Ranges(ranges, holes))));
        }
        sets
    }
}

/// Named ports are not in these benchmarks.
fn range(port: &PortMatch) -> Option<(Protocol, PortRange)> {
    match port {
        PortMatch::Range(protocol, range) => Some((*protocol, *range)),
        PortMatch::Named(..) => None,
    }
}

/// A pod that two policies isolate, for the tests of both forms.
#[cfg(test)]
pub(super) fn sample() -> Classic {
    use crate::object::{Told as _, block, from, namespace, pod, pods, policy, port, ports};

    let address = |last| crate::object::address(10, last);
    let web = policy(
        "shop",
        "web",
        &[("app", "web")],
        vec![from(
            vec![
                pods(&[("app", "client")]),
                block("172.20.0.0/16", &["172.20.1.0/24"]),
            ],
            vec![port("TCP", 80)],
        )],
        Vec::new(),
    );
    let all = policy(
        "shop",
        "all",
        &[],
        vec![from(
            vec![pods(&[("app", "client")])],
            vec![ports("UDP", 5_000, 6_000)],
        )],
        Vec::new(),
    );
    let mut cluster = Cluster::default();
    for event in [
        namespace("shop", &[]).told(),
        pod("shop", "web", "n1", address(1), &[("app", "web")]).told(),
        pod("shop", "client", "n2", address(2), &[("app", "client")]).told(),
        web.told(),
        all.told(),
    ] {
        cluster.handle(event);
    }
    Classic::of(&cluster, "n1")
}
