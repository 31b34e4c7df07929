//! The isolated local pods, and what each is judged by.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    net::IpAddr,
    ptr,
    sync::Arc,
};

use super::{
    Compiler,
    block::block_table,
    intern::name,
    rules::{Rules, names_ports},
    selects,
};
use crate::{
    cluster::{Cluster, ContainerPort, Labels, Pod, Touched},
    plan::{Id, Plan, Profile, Subject},
    policy::{Direction, Policy},
};

/// What pods have in common that are judged by the same: namespace, labels, ports.
type Kind<'a> = (&'a str, &'a Labels, &'a [ContainerPort]);

/// What was found out during an update.
#[derive(Default)]
struct Known<'a> {
    /// The profiles of pods, in the order of [`Direction::ALL`].
    pods: HashMap<Kind<'a>, [Option<Id>; 2]>,
    /// Profiles by the policies that select them, and by their ports where that matters.
    profiles: HashMap<(Direction, Vec<*const Policy>, &'a [ContainerPort]), Id>,
}

impl Compiler {
    /// Looks again at the local addresses that may be judged by something else. Gives the tables
    /// that came.
    pub(super) fn update_subjects(&mut self, cluster: &Cluster, touched: &Touched) -> Vec<Id> {
        let mut known = Known::default();
        let mut new_tables = Vec::new();
        let mut changed = false;
        for address in self.touched_locals(cluster, touched) {
            let owner = cluster.owner(address);
            let pod = owner.filter(|pod| pod.node.as_ref() == Some(&self.node));
            let profiles = pod.map_or([None; 2], |pod| {
                self.judge(cluster, pod, &mut known, &mut new_tables)
            });
            for (direction, profile) in Direction::ALL.into_iter().zip(profiles) {
                let subject = pod.zip(profile).map(|(pod, profile)| Subject {
                    pod: pod.reference.clone(),
                    profile,
                });
                let subjects = match direction {
                    Direction::Ingress => &mut self.plan.ingress,
                    Direction::Egress => &mut self.plan.egress,
                };
                changed |= subject.as_ref() != subjects.get(&address);
                match subject {
                    Some(subject) => subjects.insert(address, subject),
                    None => subjects.remove(&address),
                };
            }
        }
        if changed {
            self.plan.own = own_pairs(&self.plan);
            self.forget_unused();
            new_tables.retain(|id| self.tables.contains_key(id));
        }
        new_tables
    }

    fn touched_locals(&self, cluster: &Cluster, touched: &Touched) -> BTreeSet<IpAddr> {
        if touched.everything {
            return cluster
                .addresses_on(&self.node)
                .map(|(address, _)| address)
                .collect();
        }
        let mut locals = touched.addresses.clone();
        if touched.policies.is_empty() && touched.namespaces.is_empty() {
            return locals;
        }
        let policies: Vec<_> = touched.policies.iter().flat_map(|all| all.iter()).collect();
        for (address, pod) in cluster.addresses_on(&self.node) {
            if touched.namespaces.contains(&pod.reference.namespace)
                || policies.iter().any(|policy| selects(policy, pod, cluster))
            {
                locals.insert(address);
            }
        }
        locals
    }

    /// What a local pod is judged by in each direction; nothing where it is not isolated.
    fn judge<'a>(
        &mut self,
        cluster: &'a Cluster,
        pod: &'a Pod,
        known: &mut Known<'a>,
        new_tables: &mut Vec<Id>,
    ) -> [Option<Id>; 2] {
        let namespace = pod.reference.namespace.as_ref();
        let key = (namespace, &pod.labels, pod.ports.as_slice());
        if let Some(profiles) = known.pods.get(&key) {
            return *profiles;
        }
        let selecting: Vec<_> = cluster
            .policies_about(namespace)
            .filter(|policy| selects(policy, pod, cluster))
            .collect();
        let profiles = Direction::ALL.map(|direction| {
            let is_about = |policy: &&Policy| policy.direction == direction;
            let selecting: Vec<_> = selecting.iter().copied().filter(is_about).collect();
            if selecting.is_empty() {
                return None;
            }
            let resolves_names = direction == Direction::Ingress
                && selecting.iter().any(|policy| names_ports(policy));
            let ports = if resolves_names {
                pod.ports.as_slice()
            } else {
                &[]
            };
            let policies = selecting.iter().map(|policy| ptr::from_ref(*policy));
            let profile = known
                .profiles
                .entry((direction, policies.collect(), ports))
                .or_insert_with(|| self.profile(direction, &selecting, pod, new_tables));
            Some(*profile)
        });
        known.pods.insert(key, profiles);
        profiles
    }

    fn profile(
        &mut self,
        direction: Direction,
        selecting: &[&Policy],
        pod: &Pod,
        new_tables: &mut Vec<Id>,
    ) -> Id {
        let rules = Rules::new(direction, selecting.iter().copied(), pod);
        let mut policies: Vec<_> = selecting
            .iter()
            .map(|policy| policy.origin.clone())
            .collect();
        policies.sort();
        policies.dedup();
        let table = block_table(&rules, |allowed| self.grant(direction, allowed));
        let blocks = table.map(|table| {
            let id = name(&table, |id| self.plan.blocks.get(id).map(AsRef::as_ref));
            let is_known = self.plan.blocks.contains_key(&id);
            if is_known {
                for block in &table.blocks {
                    self.take_back(direction, Some(block.grant));
                }
            } else {
                self.plan.blocks.insert(id, Arc::new(table));
            }
            id
        });
        let otherwise = self.grant(direction, rules.anyone.clone());
        let peers = (!rules.pods.is_empty()).then(|| self.table(rules, new_tables));
        let profile = Profile {
            direction,
            policies,
            peers,
            blocks,
            otherwise,
        };
        let id = name(&profile, |id| self.plan.profiles.get(id).map(AsRef::as_ref));
        let is_known = self.plan.profiles.contains_key(&id);
        if is_known {
            self.take_back(direction, otherwise);
        } else {
            self.plan.profiles.insert(id, Arc::new(profile));
        }
        id
    }

    /// Lets go of profiles by which nobody is judged any more, and of what only they refer to.
    fn forget_unused(&mut self) {
        let subjects = self.plan.ingress.values().chain(self.plan.egress.values());
        let used: BTreeSet<_> = subjects.map(|subject| subject.profile).collect();
        let is_used = |id: &Id| used.contains(id);
        for profile in take_unused(&mut self.plan.profiles, is_used) {
            self.take_back(profile.direction, profile.otherwise);
        }
        let profiles = self.plan.profiles.values();
        let used: BTreeSet<_> = profiles.filter_map(|profile| profile.blocks).collect();
        for table in take_unused(&mut self.plan.blocks, |id| used.contains(id)) {
            for block in &table.blocks {
                self.take_back(table.direction, Some(block.grant));
            }
        }
        let profiles = self.plan.profiles.values();
        let used: BTreeSet<_> = profiles.filter_map(|profile| profile.peers).collect();
        let unused: Vec<_> = self
            .tables
            .keys()
            .filter(|id| !used.contains(id))
            .copied()
            .collect();
        for id in unused {
            self.forget_table(id);
        }
    }
}

/// Takes the entries out whose names nothing uses.
fn take_unused<T>(named: &mut BTreeMap<Id, Arc<T>>, is_used: impl Fn(&Id) -> bool) -> Vec<Arc<T>> {
    if named.keys().all(&is_used) {
        return Vec::new();
    }
    let (used, unused) = mem::take(named)
        .into_iter()
        .partition(|(id, _): &(Id, _)| is_used(id));
    *named = used;
    let unused: BTreeMap<_, _> = unused;
    unused.into_values().collect()
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
