//! The index: events in, look-ups out, no I/O.
//!
//! A resource has three events: apply (created or changed), delete, and reset (the complete list;
//! whatever is missing from it is gone). The order of events of different resources never matters:
//! the same final objects give an equal [`Cluster`], whatever happened before.
//!
//! `object` says what is kept of an object, `claims` who owns an address, `touched` what events were
//! about. What must never happen: an address that two pods own, or one owned by a finished or hostNetwork pod.

mod by_name;
mod claims;
mod object;
mod touched;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

pub use self::object::{
    ContainerPort, Labels, NAMESPACE_NAME_LABEL, Namespace, Node, NotAPodRef, Phase, Pod, PodRef,
};
pub(crate) use self::touched::Touched;
use self::{by_name::ByName, claims::Claims};
use crate::policy::{NamespaceScope, Policy, PolicyKind, PolicyRef};

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
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pods: BTreeSet<ByName>,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    nodes: BTreeMap<Arc<str>, Node>,
    policies: BTreeMap<PolicyRef, Arc<[Policy]>>,
    /// Policies whose subjects may lie in other namespaces than they themselves.
    wide: BTreeSet<PolicyRef>,
    /// Who claims an address: finished, hostNetwork and address-less pods claim none.
    claims: Claims,
    /// The bound pods of each node; no entry is empty.
    by_node: BTreeMap<Arc<str>, BTreeSet<ByName>>,
}

/// The rest of the fields follows from these.
impl PartialEq for Cluster {
    fn eq(&self, other: &Self) -> bool {
        self.pods().eq(other.pods())
            && self.namespaces == other.namespaces
            && self.nodes == other.nodes
            && self.policies == other.policies
    }
}

impl Eq for Cluster {}

impl Cluster {
    /// Takes an event in. Says whether anything changed that a verdict could depend on.
    pub fn handle(&mut self, event: Event) -> bool {
        self.handle_noting(event, &mut Touched::everything())
    }

    /// The same, and notes what the event was about if it changed something.
    pub(crate) fn handle_noting(&mut self, event: Event, touched: &mut Touched) -> bool {
        match event {
            Event::ApplyPod(pod) => self.apply_pod(pod, touched),
            Event::DeletePod(reference) => self.delete_pod(&reference, touched),
            Event::ResetPods(pods) => self.reset_pods(pods, touched),
            Event::ApplyNamespace(namespace) => {
                let name = Arc::clone(&namespace.name);
                let note = |name: &_| touched.namespace(name);
                apply(&mut self.namespaces, name, namespace, note)
            }
            Event::DeleteNamespace(name) => {
                touched.namespace(&name);
                self.namespaces.remove(&name).is_some()
            }
            Event::ResetNamespaces(namespaces) => {
                let namespaces = namespaces.into_iter().map(|n| (Arc::clone(&n.name), n));
                reset(&mut self.namespaces, namespaces, |name| {
                    touched.namespace(name);
                })
            }
            Event::ApplyNode(node) => {
                let name = Arc::clone(&node.name);
                apply(&mut self.nodes, name, node, |name| touched.node(name))
            }
            Event::DeleteNode(name) => {
                touched.node(&name);
                self.nodes.remove(&name).is_some()
            }
            Event::ResetNodes(nodes) => {
                let nodes = nodes.into_iter().map(|n| (Arc::clone(&n.name), n));
                reset(&mut self.nodes, nodes, |name| touched.node(name))
            }
            Event::ApplyPolicy(reference, policies) => {
                self.apply_policy(reference, policies.into(), touched)
            }
            Event::DeletePolicy(reference) => self.delete_policy(&reference, touched),
            Event::ResetPolicies(policies) => self.reset_policies(policies, touched),
        }
    }

    fn apply_policy(
        &mut self,
        reference: PolicyRef,
        policies: Arc<[Policy]>,
        touched: &mut Touched,
    ) -> bool {
        let before = self.policies.get(&reference);
        if before == Some(&policies) {
            return false;
        }
        if let Some(before) = before {
            touched.policy(before);
        }
        touched.policy(&policies);
        let is_about_its_own = |policy: &Policy| match &policy.subject.namespaces {
            NamespaceScope::Named(name) => *name == reference.namespace,
            NamespaceScope::Matching(_) => false,
        };
        if policies.iter().all(is_about_its_own) {
            self.wide.remove(&reference);
        } else {
            self.wide.insert(reference.clone());
        }
        self.policies.insert(reference, policies);
        true
    }

    fn delete_policy(&mut self, reference: &PolicyRef, touched: &mut Touched) -> bool {
        let Some(policies) = self.policies.remove(reference) else {
            return false;
        };
        touched.policy(&policies);
        self.wide.remove(reference);
        true
    }

    fn reset_policies(
        &mut self,
        policies: Vec<(PolicyRef, Vec<Policy>)>,
        touched: &mut Touched,
    ) -> bool {
        let mut gone: BTreeSet<PolicyRef> = self.policies.keys().cloned().collect();
        let mut changed = false;
        for (reference, policies) in policies {
            gone.remove(&reference);
            changed |= self.apply_policy(reference, policies.into(), touched);
        }
        for reference in gone {
            changed |= self.delete_policy(&reference, touched);
        }
        changed
    }

    fn apply_pod(&mut self, pod: Pod, touched: &mut Touched) -> bool {
        match self.pods.get(&pod.reference) {
            Some(old) if *old.0 == pod => return false,
            Some(_) => {
                self.delete_pod(&pod.reference, touched);
            }
            None => {}
        }
        touched.pod(&pod);
        let pod = Arc::new(pod);
        self.claims.insert(&pod);
        if let Some(node) = &pod.node {
            self.by_node
                .entry(Arc::clone(node))
                .or_default()
                .insert(ByName(Arc::clone(&pod)));
        }
        self.pods.insert(ByName(pod));
        true
    }

    fn delete_pod(&mut self, reference: &PodRef, touched: &mut Touched) -> bool {
        let Some(ByName(pod)) = self.pods.take(reference) else {
            return false;
        };
        touched.pod(&pod);
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

    fn reset_pods(&mut self, pods: Vec<Pod>, touched: &mut Touched) -> bool {
        let mut gone: BTreeSet<PodRef> = self.pods().map(|pod| pod.reference.clone()).collect();
        let mut changed = false;
        for pod in pods {
            gone.remove(&pod.reference);
            changed |= self.apply_pod(pod, touched);
        }
        for reference in gone {
            changed |= self.delete_pod(&reference, touched);
        }
        changed
    }

    /// All pods, in the order of their references.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().map(ByName::pod)
    }

    /// The pod of this name.
    pub fn pod(&self, reference: &PodRef) -> Option<&Pod> {
        self.pods.get(reference).map(ByName::pod)
    }

    /// The pods of a namespace, in the order of their names.
    pub fn pods_in(&self, namespace: &str) -> impl Iterator<Item = &Pod> {
        self.pods
            .range(PodRef::new(namespace, "")..)
            .map(ByName::pod)
            .take_while(move |pod| *pod.reference.namespace == *namespace)
    }

    /// The pods bound to a node, hostNetwork and finished ones included, in the order of their
    /// references.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.by_node
            .get(node)
            .into_iter()
            .flatten()
            .map(ByName::pod)
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
        self.policies.values().flat_map(|policies| policies.iter())
    }

    /// All policies that can be about pods of a namespace; of a policy object all it was lowered to.
    pub fn policies_about(&self, namespace: &str) -> impl Iterator<Item = &Policy> {
        let of_namespace = PolicyKind::ALL.into_iter().flat_map(move |kind| {
            let first = PolicyRef {
                kind,
                namespace: namespace.into(),
                name: "".into(),
            };
            self.policies
                .range(first..)
                .take_while(move |(reference, _)| {
                    reference.kind == kind && *reference.namespace == *namespace
                })
        });
        let wide = self.wide.iter().filter_map(move |reference| {
            let entry = self.policies.get_key_value(reference)?;
            (*reference.namespace != *namespace).then_some(entry)
        });
        of_namespace
            .chain(wide)
            .flat_map(|(_, policies)| policies.iter())
    }

    /// What the policy object of this name was lowered to; empty if there is none.
    pub fn policy(&self, reference: &PolicyRef) -> &[Policy] {
        self.policies
            .get(reference)
            .map_or(&[], |policies| policies)
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

    /// Every owned address in a range, in their order.
    pub fn addresses_in(&self, range: &IpNet) -> impl Iterator<Item = IpAddr> {
        self.claims.owned_in(range)
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

/// Sets one entry. Says whether that changed anything, and notes it.
fn apply<V: PartialEq>(
    map: &mut BTreeMap<Arc<str>, V>,
    name: Arc<str>,
    value: V,
    note: impl FnOnce(&Arc<str>),
) -> bool {
    if map.get(&name) == Some(&value) {
        return false;
    }
    note(&name);
    map.insert(name, value);
    true
}

/// Makes the entries those of the list. Says whether that changed anything, and notes what.
fn reset<V: PartialEq>(
    map: &mut BTreeMap<Arc<str>, V>,
    entries: impl IntoIterator<Item = (Arc<str>, V)>,
    mut note: impl FnMut(&Arc<str>),
) -> bool {
    let entries: BTreeMap<_, V> = entries.into_iter().collect();
    let is_new = |(name, value): &(&Arc<str>, &V)| map.get(*name) != Some(*value);
    let new = entries.iter().filter(is_new).map(|(name, _)| name);
    let gone = map.keys().filter(|name| !entries.contains_key(*name));
    let changed: Vec<_> = new.chain(gone).collect();
    for name in &changed {
        note(name);
    }
    let is_changed = !changed.is_empty();
    *map = entries;
    is_changed
}
