//! From the index to a Plan: pure, and the only place where policies become tables.
//!
//! For each isolated local pod the policies that select it are its profile; the profile's rules in
//! canonical form (`rules`) name its tables; the tables are filled with the addresses of the pods
//! that match (`member`) and the ranges of ipBlocks. What depends on policies only (port sets,
//! ranges) is named by its content; a peer table by its rules, so that the name stays while pods
//! come and go.
//!
//! Start at [`compile`]. What must never happen: a policy that opens more because something in it
//! is unknown. An unknown namespace, name of a port or pod matches nothing.

mod intern;
mod member;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;

use self::{
    intern::Interner,
    member::Members,
    rules::{Allowance, Rules, names_ports},
};
use crate::{
    cluster::{Cluster, ContainerPort, Pod},
    options::{Options, Unprogrammed},
    plan::{
        Allowed, Block, BlockTable, Grant, Id, PeerTable, Plan, PortSet, Profile, Subject,
        interval::{self, Interval},
    },
    policy::{Direction, NamespaceScope, Policy},
};

/// What `node` has to enforce.
pub fn compile(cluster: &Cluster, node: &str, options: Options) -> Plan {
    let mut compiler = Compiler {
        cluster,
        members: Members::new(cluster),
        profiles: Interner::default(),
        rules: Interner::default(),
        blocks: Interner::default(),
        ports: Interner::default(),
        port_uses: BTreeSet::new(),
        known: HashMap::new(),
    };
    let local: Vec<_> = cluster.addresses_on(node).collect();
    let mut plan = Plan {
        node: Some(node.into()),
        options,
        pod_ranges: pod_ranges(cluster, node, options),
        ingress: compiler.subjects(&local, Direction::Ingress),
        egress: compiler.subjects(&local, Direction::Egress),
        ..Plan::default()
    };
    plan.own = own_pairs(&plan);
    plan.programmed = programmed(cluster, &plan.pod_ranges);
    compiler.finish(plan)
}

struct Compiler<'a> {
    cluster: &'a Cluster,
    members: Members<'a>,
    profiles: Interner<Profile>,
    rules: Interner<Rules>,
    blocks: Interner<BlockTable>,
    ports: Interner<PortSet>,
    port_uses: BTreeSet<(Direction, Id)>,
    /// Profiles by what they are made of.
    known: HashMap<(Direction, Vec<usize>, Vec<ContainerPort>), Id>,
}

impl Compiler<'_> {
    /// The isolated pods among the local ones.
    fn subjects(
        &mut self,
        local: &[(IpAddr, &Pod)],
        direction: Direction,
    ) -> BTreeMap<IpAddr, Subject> {
        let policies: Vec<_> = self
            .cluster
            .policies()
            .filter(|policy| policy.direction == direction)
            .collect();
        let by_namespace = by_namespace(&policies);
        let mut subjects = BTreeMap::new();
        for (address, pod) in local {
            let candidates = by_namespace
                .get(&Some(pod.reference.namespace.as_ref()))
                .into_iter()
                .chain(by_namespace.get(&None))
                .flatten();
            let mut selecting: Vec<_> = candidates
                .copied()
                .filter(|&index| selects(policies[index], pod, self.cluster))
                .collect();
            if selecting.is_empty() {
                continue;
            }
            selecting.sort_unstable();
            let profile = self.profile(direction, &policies, selecting, pod);
            let subject = Subject {
                pod: pod.reference.clone(),
                profile,
            };
            subjects.insert(*address, subject);
        }
        subjects
    }

    fn profile(
        &mut self,
        direction: Direction,
        policies: &[&Policy],
        selecting: Vec<usize>,
        pod: &Pod,
    ) -> Id {
        let depends_on_ports = direction == Direction::Ingress
            && selecting.iter().any(|&index| names_ports(policies[index]));
        let ports = if depends_on_ports {
            pod.ports.clone()
        } else {
            Vec::new()
        };
        let key = (direction, selecting, ports);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let selecting = || key.1.iter().map(|&index| policies[index]);
        let rules = Rules::new(direction, selecting(), pod);
        let mut origins: Vec<_> = selecting().map(|policy| policy.origin.clone()).collect();
        origins.sort();
        origins.dedup();
        let otherwise = self.grant(direction, &rules.anyone);
        let blocks = block_table(&rules, |allowed| self.grant(direction, allowed));
        let profile = Profile {
            direction,
            policies: origins,
            blocks: blocks.map(|table| self.blocks.intern(table)),
            otherwise,
            peers: (!rules.pods.is_empty()).then(|| self.rules.intern(rules)),
        };
        let id = self.profiles.intern(profile);
        self.known.insert(key, id);
        id
    }

    /// The look-up's answer for what is allowed; none if that is nothing.
    fn grant(&mut self, direction: Direction, allowed: &Allowed) -> Option<Grant> {
        match allowed {
            Allowed::Everything => Some(Grant::Everything),
            Allowed::Ports(ports) if ports.is_empty() => None,
            Allowed::Ports(ports) => {
                let id = self.ports.intern(ports.clone());
                self.port_uses.insert((direction, id));
                Some(Grant::Ports(id))
            }
        }
    }

    fn finish(mut self, plan: Plan) -> Plan {
        let rules = std::mem::take(&mut self.rules).into_inner();
        let peers = rules
            .into_iter()
            .map(|(id, rules)| (id, self.peer_table(&rules)))
            .collect();
        Plan {
            profiles: self.profiles.into_inner(),
            peers,
            blocks: self.blocks.into_inner(),
            ports: self.ports.into_inner(),
            port_uses: self.port_uses,
            ..plan
        }
    }

    /// Every address that a selector matches, with everything that any rule allows for it.
    fn peer_table(&mut self, rules: &Rules) -> PeerTable {
        let mut by_class: BTreeMap<usize, Vec<&Allowance>> = BTreeMap::new();
        for (peer, allowance) in &rules.pods {
            for &class in self.members.matching(peer).iter() {
                by_class.entry(class).or_default().push(allowance);
            }
        }
        let blocks = flat_blocks(rules);
        let mut members = BTreeMap::new();
        for (class, allowances) in by_class {
            let mut last: Option<(Allowed, Option<Grant>)> = None;
            for index in 0..self.members.classes[class].members.len() {
                let (address, pod) = self.members.classes[class].members[index];
                let allowed = allowances.iter().map(|allowance| allowance.towards(pod));
                let in_block = blocks.get(address);
                let allowed: Vec<_> = allowed.collect();
                let allowed = Allowed::union(allowed.iter().chain(in_block).chain([&rules.anyone]));
                let grant = match &last {
                    Some((same, grant)) if *same == allowed => *grant,
                    _ => {
                        let grant = self.grant(rules.direction, &allowed);
                        last = Some((allowed, grant));
                        grant
                    }
                };
                if let Some(grant) = grant {
                    members.insert(address, grant);
                }
            }
        }
        PeerTable {
            direction: rules.direction,
            members,
        }
    }
}

/// The indices of policies by the namespace their subjects are in; none for those that are about
/// several.
fn by_namespace<'a>(policies: &[&'a Policy]) -> HashMap<Option<&'a str>, Vec<usize>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (index, policy) in policies.iter().enumerate() {
        let namespace = match &policy.subject.namespaces {
            NamespaceScope::Named(name) => Some(name.as_ref()),
            NamespaceScope::Matching(_) => None,
        };
        found.entry(namespace).or_default().push(index);
    }
    found
}

/// Whether `policy` is about `pod`.
pub(crate) fn selects(policy: &Policy, pod: &Pod, cluster: &Cluster) -> bool {
    let namespace = pod.reference.namespace.as_ref();
    let is_in_scope = match &policy.subject.namespaces {
        NamespaceScope::Named(name) => name.as_ref() == namespace,
        NamespaceScope::Matching(selector) => cluster
            .namespace(namespace)
            .is_some_and(|namespace| selector.matches(&namespace.labels)),
    };
    is_in_scope && policy.subject.pods.matches(&pod.labels)
}

/// Ranges of both families with what is allowed for them.
struct FlatBlocks([Vec<(Interval, Allowed)>; 2]);

impl FlatBlocks {
    fn get(&self, address: IpAddr) -> Option<&Allowed> {
        let point = interval::number(address);
        let flat = &self.0[usize::from(address.is_ipv6())];
        let after = flat.partition_point(|(interval, _)| interval.first <= point);
        let (interval, allowed) = &flat[after.checked_sub(1)?];
        interval.contains(point).then_some(allowed)
    }
}

/// The ipBlocks of `rules` without overlaps (semantics 66–75): what any of them allows.
fn flat_blocks(rules: &Rules) -> FlatBlocks {
    FlatBlocks([false, true].map(|ipv6| {
        let mut parts = Vec::new();
        for (block, allowed) in &rules.blocks {
            if block.cidr.addr().is_ipv6() != ipv6 {
                continue;
            }
            let holes = block
                .except
                .iter()
                .filter(|hole| hole.addr().is_ipv6() == ipv6)
                .map(Interval::of);
            for left in interval::subtract(Interval::of(&block.cidr), holes) {
                parts.push((left, allowed));
            }
        }
        interval::flatten(&parts, |allowed| Allowed::union(allowed.copied()))
    }))
}

/// The table of the ipBlocks, with what is allowed for everyone in each entry.
fn block_table(
    rules: &Rules,
    mut grant: impl FnMut(&Allowed) -> Option<Grant>,
) -> Option<BlockTable> {
    let FlatBlocks([ipv4, ipv6]) = flat_blocks(rules);
    let mut blocks = Vec::new();
    for (is_ipv6, flat) in [(false, ipv4), (true, ipv6)] {
        for (interval, allowed) in flat {
            let allowed = Allowed::union([&allowed, &rules.anyone]);
            if let Some(grant) = grant(&allowed) {
                blocks.push(Block {
                    first: interval::address(interval.first, is_ipv6),
                    last: interval::address(interval.last, is_ipv6),
                    grant,
                });
            }
        }
    }
    (!blocks.is_empty()).then_some(BlockTable {
        direction: rules.direction,
        blocks,
    })
}

/// The ranges of which only programmed pods may use addresses. Without a node object, or one
/// without ranges, nothing is known to wait for a pod, so nothing is held.
fn pod_ranges(cluster: &Cluster, node: &str, options: Options) -> BTreeSet<IpNet> {
    match options.unprogrammed {
        Unprogrammed::Open => BTreeSet::new(),
        Unprogrammed::Hold => cluster
            .node(node)
            .map(|node| IpNet::aggregate(&node.pod_cidrs).into_iter().collect())
            .unwrap_or_default(),
    }
}

/// Addresses in the ranges that pods are known to have. Pods of other nodes count: network plug-ins
/// with an address management of their own pay no heed to the ranges of nodes, and what another
/// node has programmed waits for nothing.
fn programmed(cluster: &Cluster, ranges: &BTreeSet<IpNet>) -> BTreeSet<IpAddr> {
    if ranges.is_empty() {
        return BTreeSet::new();
    }
    let owned = cluster.addresses().map(|(address, _)| address);
    owned
        .filter(|address| ranges.iter().any(|range| range.contains(address)))
        .collect()
}

/// Every pair of addresses of one isolated pod.
fn own_pairs(plan: &Plan) -> BTreeSet<(IpAddr, IpAddr)> {
    let mut addresses: BTreeMap<_, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, subject) in plan.ingress.iter().chain(&plan.egress) {
        addresses.entry(&subject.pod).or_default().insert(*address);
    }
    let mut pairs = BTreeSet::new();
    for own in addresses.values() {
        for source in own {
            for destination in own {
                if source.is_ipv4() == destination.is_ipv4() {
                    pairs.insert((*source, *destination));
                }
            }
        }
    }
    pairs
}
