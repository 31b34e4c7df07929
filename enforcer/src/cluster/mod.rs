//! The index: events in, look-ups out, no I/O.
//!
//! A resource has three events: apply (created or changed), delete, and reset (the complete list;
//! whatever is missing from it is gone). The order of events of different resources never matters:
//! the same final objects give an equal [`Cluster`], whatever happened before.
//!
//! `object` says what is kept of an object, `claims` who owns an address. What must never
//! happen: an address that two pods own, or one owned by a finished or hostNetwork pod.

mod claims;
mod object;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use self::claims::Claims;
pub use self::object::{
    ContainerPort, Labels, NAMESPACE_NAME_LABEL, Namespace, Node, NotAPodRef, Phase, Pod, PodRef,
};
use crate::policy::{Policy, PolicyRef};

/// Something that happened to one object.
#[derive(Clone, Debug)]
pub enum Event {
    /// A pod was created or changed, or replaced by another of its name (semantics 159).
    ApplyPod(Pod),
    /// A pod is gone.
    DeletePod(PodRef),
    /// These are all pods.
    ResetPods(Vec<Pod>),
    /// A namespace was created or changed.
    ApplyNamespace(Namespace),
    /// A namespace is gone; its pods and policies have events of their own.
    DeleteNamespace(Arc<str>),
    /// These are all namespaces.
    ResetNamespaces(Vec<Namespace>),
    /// A node was created or changed.
    ApplyNode(Node),
    /// A node is gone.
    DeleteNode(Arc<str>),
    /// These are all nodes.
    ResetNodes(Vec<Node>),
    /// A policy was created or changed: what it lowers to, one entry per direction.
    ApplyPolicy(PolicyRef, Vec<Policy>),
    /// A policy is gone.
    DeletePolicy(PolicyRef),
    /// These are all policies.
    ResetPolicies(Vec<(PolicyRef, Vec<Policy>)>),
}

/// All objects that verdicts can depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    pods: BTreeMap<PodRef, Arc<Pod>>,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    nodes: BTreeMap<Arc<str>, Node>,
    policies: BTreeMap<PolicyRef, Vec<Policy>>,
    /// Who claims an address: finished, hostNetwork and address-less pods claim none.
    claims: Claims,
    /// The bound pods of each node; no entry is empty.
    by_node: BTreeMap<Arc<str>, BTreeMap<PodRef, Arc<Pod>>>,
}

impl Cluster {
    /// Takes an event in. Says whether anything changed that a verdict could depend on.
    pub fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::ApplyPod(pod) => self.apply_pod(pod),
            Event::DeletePod(reference) => self.delete_pod(&reference),
            Event::ResetPods(pods) => self.reset_pods(pods),
            Event::ApplyNamespace(namespace) => {
                apply(&mut self.namespaces, Arc::clone(&namespace.name), namespace)
            }
            Event::DeleteNamespace(name) => self.namespaces.remove(&name).is_some(),
            Event::ResetNamespaces(namespaces) => reset(
                &mut self.namespaces,
                namespaces.into_iter().map(|n| (Arc::clone(&n.name), n)),
            ),
            Event::ApplyNode(node) => apply(&mut self.nodes, Arc::clone(&node.name), node),
            Event::DeleteNode(name) => self.nodes.remove(&name).is_some(),
            Event::ResetNodes(nodes) => reset(
                &mut self.nodes,
                nodes.into_iter().map(|n| (Arc::clone(&n.name), n)),
            ),
            Event::ApplyPolicy(reference, policies) => {
                apply(&mut self.policies, reference, policies)
            }
            Event::DeletePolicy(reference) => self.policies.remove(&reference).is_some(),
            Event::ResetPolicies(policies) => reset(&mut self.policies, policies),
        }
    }

    fn apply_pod(&mut self, pod: Pod) -> bool {
        if self
            .pods
            .get(&pod.reference)
            .is_some_and(|old| **old == pod)
        {
            return false;
        }
        self.delete_pod(&pod.reference);
        let pod = Arc::new(pod);
        self.claims.insert(&pod);
        if let Some(node) = &pod.node {
            self.by_node
                .entry(Arc::clone(node))
                .or_default()
                .insert(pod.reference.clone(), Arc::clone(&pod));
        }
        self.pods.insert(pod.reference.clone(), pod);
        true
    }

    fn delete_pod(&mut self, reference: &PodRef) -> bool {
        let Some(pod) = self.pods.remove(reference) else {
            return false;
        };
        self.claims.remove(&pod);
        if let Some(node) = &pod.node
            && let Some(pods) = self.by_node.get_mut(node)
        {
            pods.remove(reference);
            if pods.is_empty() {
                self.by_node.remove(node);
            }
        }
        true
    }

    fn reset_pods(&mut self, pods: Vec<Pod>) -> bool {
        let mut gone: BTreeSet<PodRef> = self.pods.keys().cloned().collect();
        let mut changed = false;
        for pod in pods {
            gone.remove(&pod.reference);
            changed |= self.apply_pod(pod);
        }
        for reference in gone {
            changed |= self.delete_pod(&reference);
        }
        changed
    }

    /// All pods, in the order of their references.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().map(AsRef::as_ref)
    }

    /// The pod of this name.
    pub fn pod(&self, reference: &PodRef) -> Option<&Pod> {
        self.pods.get(reference).map(AsRef::as_ref)
    }

    /// The pods bound to a node, hostNetwork and finished ones included, in the order of their
    /// references.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.by_node
            .get(node)
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(AsRef::as_ref)
    }

    /// All namespaces whose objects have arrived, in the order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// The namespace of this name.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The labels of a namespace. Before its object has arrived only [`NAMESPACE_NAME_LABEL`] is
    /// known, which every namespace has.
    pub fn namespace_labels(&self, name: &str) -> Labels {
        self.namespaces.get(name).map_or_else(
            || Namespace::unlabelled(name).labels,
            |namespace| namespace.labels.clone(),
        )
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// All policies, lowered, in the order of their references.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values().flatten()
    }

    /// What the policy object of this name was lowered to; empty if there is none.
    pub fn policy(&self, reference: &PolicyRef) -> &[Policy] {
        self.policies.get(reference).map_or(&[], Vec::as_slice)
    }

    /// The pod that owns `address`: of all that claim it the one that (runs, is newest, has the
    /// greatest uid). Finished and hostNetwork pods own none (semantics 39, 41, 158).
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        self.claims.owner(address)
    }

    /// Every owned address with its owner, in the order of the addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &Pod)> {
        self.claims.owners()
    }

    /// The addresses that `pod` owns, in the order of its object. Empty for pods that can be
    /// neither subject nor peer.
    pub fn addresses_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = IpAddr> + 'a {
        pod.addresses.iter().copied().filter(|address| {
            self.owner(*address)
                .is_some_and(|owner| owner.reference == pod.reference)
        })
    }

    /// Every address owned by a pod of `node`, with that pod: the addresses for which the node
    /// enforces policies. In the order of the pods' references.
    pub fn addresses_on(&self, node: &str) -> impl Iterator<Item = (IpAddr, &Pod)> {
        self.pods_on(node)
            .flat_map(|pod| self.addresses_of(pod).map(move |address| (address, pod)))
    }
}

/// Sets one entry. Says whether that changed anything.
fn apply<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

/// Makes the entries those of the list. Says whether that changed anything.
fn reset<K: Ord, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    entries: impl IntoIterator<Item = (K, V)>,
) -> bool {
    let entries: BTreeMap<K, V> = entries.into_iter().collect();
    if *map == entries {
        return false;
    }
    *map = entries;
    true
}
