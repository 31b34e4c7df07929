//! Who the selectors match.
//!
//! Pods with the same labels in the same namespace are one class; every distinct peer is evaluated
//! once per class, whatever the number of pods, policies and rules.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    rc::Rc,
};

use super::rules::PodPeer;
use crate::{
    cluster::{Cluster, Labels, Pod},
    policy::NamespaceScope,
};

/// Pods that no selector tells apart.
pub(super) struct Class<'a> {
    namespace: &'a str,
    /// None while the namespace is not known: it then matches no namespace selector.
    namespace_labels: Option<&'a Labels>,
    labels: &'a Labels,
    /// Every address of every pod of the class.
    pub(super) members: Vec<(IpAddr, &'a Pod)>,
}

impl Class<'_> {
    fn matches(&self, peer: &PodPeer) -> bool {
        let (namespaces, pods) = match peer {
            PodPeer::Every => return true,
            PodPeer::Matching(namespaces, pods) => (namespaces, pods),
        };
        let is_in_scope = match namespaces {
            NamespaceScope::Named(name) => name.as_ref() == self.namespace,
            NamespaceScope::Matching(selector) => self
                .namespace_labels
                .is_some_and(|labels| selector.matches(labels)),
        };
        is_in_scope && pods.matches(self.labels)
    }
}

/// All pods that can be a peer, by class. Finished, hostNetwork and address-less pods cannot
/// (semantics 39, 40, 63).
pub(super) struct Members<'a> {
    pub(super) classes: Vec<Class<'a>>,
    matching: HashMap<PodPeer, Rc<[usize]>>,
}

impl<'a> Members<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        let mut classes: BTreeMap<(&str, &Labels), Class<'_>> = BTreeMap::new();
        for (address, pod) in cluster.addresses() {
            let namespace = pod.reference.namespace.as_ref();
            classes
                .entry((namespace, &pod.labels))
                .or_insert_with(|| Class {
                    namespace,
                    namespace_labels: cluster.namespace(namespace).map(|found| &found.labels),
                    labels: &pod.labels,
                    members: Vec::new(),
                })
                .members
                .push((address, pod));
        }
        Self {
            classes: classes.into_values().collect(),
            matching: HashMap::new(),
        }
    }

    /// The classes that `peer` matches, by their index.
    pub(super) fn matching(&mut self, peer: &PodPeer) -> Rc<[usize]> {
        if let Some(known) = self.matching.get(peer) {
            return Rc::clone(known);
        }
        let found: Rc<[usize]> = self
            .classes
            .iter()
            .enumerate()
            .filter(|(_, class)| class.matches(peer))
            .map(|(index, _)| index)
            .collect();
        self.matching.insert(peer.clone(), Rc::clone(&found));
        found
    }
}
