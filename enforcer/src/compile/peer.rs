//! What rules say about the other side: peers, and which of them match a pod.
//!
//! Only peers in tables of the node are known here. They are indexed by a label that they ask for,
//! so that a pod is held only against those that can match it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    net::IpAddr,
    sync::Arc,
};

use super::{
    intern::name,
    rules::{BlockPeer, PodPeer, PortName},
};
use crate::{
    cluster::{Cluster, Labels, Pod},
    plan::Id,
    policy::{NamespaceScope, Requirement, Selector},
};

/// More peers than this are looked up by labels, fewer are tried one by one.
const MANY: usize = 32;

/// One of the things that `from` or `to` can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    Pods(PodPeer),
    Block(BlockPeer),
}

/// A peer that tables name.
struct Named {
    peer: Arc<Peer>,
    /// Never empty.
    tables: BTreeSet<Id>,
}

/// All peers in tables of the node.
#[derive(Default)]
pub(super) struct Peers {
    by_id: BTreeMap<Id, Named>,
    /// Of pods, by the namespace that they name.
    by_namespace: HashMap<Arc<str>, ByLabel>,
    /// Of pods, without a name of a namespace.
    anywhere: ByLabel,
    blocks: BTreeSet<Id>,
    /// Names of ports that egress rules are about, and in how many tables.
    names: BTreeMap<PortName, usize>,
    /// What came or went since [`Peers::take_changes`].
    changes: Changes,
}

/// What came or went: addresses that it matches may be in other classes now.
#[derive(Default)]
pub(super) struct Changes {
    peers: Vec<Arc<Peer>>,
    /// Whether names of ports did.
    names: bool,
}

impl Peers {
    /// A table names a peer.
    pub(super) fn add(&mut self, peer: Peer, table: Id) -> Id {
        let id = name(&peer, |id| {
            self.by_id.get(id).map(|named| named.peer.as_ref())
        });
        let named = self.by_id.entry(id).or_insert_with(|| {
            let peer = Arc::new(peer);
            self.changes.peers.push(Arc::clone(&peer));
            match peer.as_ref() {
                Peer::Pods(pods) => {
                    let (space, selector) = place(pods);
                    let index = match space {
                        Some(namespace) => {
                            self.by_namespace.entry(Arc::clone(namespace)).or_default()
                        }
                        None => &mut self.anywhere,
                    };
                    index.add(id, selector);
                }
                Peer::Block(_) => {
                    self.blocks.insert(id);
                }
            }
            Named {
                peer,
                tables: BTreeSet::new(),
            }
        });
        named.tables.insert(table);
        id
    }

    /// A table that named a peer is gone.
    pub(super) fn remove(&mut self, id: Id, table: Id) {
        let Some(named) = self.by_id.get_mut(&id) else {
            return;
        };
        named.tables.remove(&table);
        if !named.tables.is_empty() {
            return;
        }
        match named.peer.as_ref() {
            Peer::Pods(pods) => {
                let (space, selector) = place(pods);
                match space {
                    Some(namespace) => {
                        if let Some(index) = self.by_namespace.get_mut(namespace) {
                            index.remove(id, selector);
                            if index.is_empty() {
                                self.by_namespace.remove(namespace);
                            }
                        }
                    }
                    None => self.anywhere.remove(id, selector),
                }
            }
            Peer::Block(_) => {
                self.blocks.remove(&id);
            }
        }
        let named = self.by_id.remove(&id);
        self.changes.peers.extend(named.map(|named| named.peer));
    }

    /// A table is about a name of a port.
    pub(super) fn add_name(&mut self, name: &PortName) {
        let count = self.names.entry(name.clone()).or_default();
        *count += 1;
        self.changes.names |= *count == 1;
    }

    /// A table that was about a name of a port is gone.
    pub(super) fn remove_name(&mut self, name: &PortName) {
        if let Some(count) = self.names.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(name);
                self.changes.names = true;
            }
        }
    }

    /// What came or went since this was asked last.
    pub(super) fn take_changes(&mut self) -> Changes {
        mem::take(&mut self.changes)
    }

    /// Whether a peer could match pods of a namespace.
    pub(super) fn may_match(&self, namespace: &str) -> bool {
        !self.anywhere.is_empty() || self.by_namespace.contains_key(namespace)
    }

    /// The tables that name a peer.
    pub(super) fn tables(&self, id: Id) -> impl Iterator<Item = Id> {
        self.by_id
            .get(&id)
            .into_iter()
            .flat_map(|named| named.tables.iter().copied())
    }

    /// The peers that match pods with these labels in this namespace, in order. Without its object
    /// no namespace is selected by its labels.
    pub(super) fn of_pods(
        &self,
        namespace: &str,
        namespace_labels: Option<&Labels>,
        labels: &Labels,
    ) -> Vec<Id> {
        let here = self.by_namespace.get(namespace);
        let spaces = here.into_iter().chain([&self.anywhere]);
        let mut matching: Vec<_> = spaces
            .flat_map(|space| space.candidates(labels))
            .filter(|id| match self.by_id[id].peer.as_ref() {
                Peer::Pods(peer) => peer.matches(namespace, namespace_labels, labels),
                Peer::Block(_) => false,
            })
            .collect();
        matching.sort_unstable();
        matching
    }

    /// The ranges that an address is in, in order.
    pub(super) fn of_address(&self, address: IpAddr) -> impl Iterator<Item = Id> {
        self.blocks
            .iter()
            .copied()
            .filter(move |id| match self.by_id[id].peer.as_ref() {
                Peer::Block(block) => block.contains(address),
                Peer::Pods(_) => false,
            })
    }

    /// What a pod makes of the names of ports that matter.
    pub(super) fn ports(&self, pod: &Pod) -> Vec<(PortName, u16)> {
        let number = |name: &PortName| Some((name.clone(), pod.port_number(name.0, &name.1)?));
        self.names.keys().filter_map(number).collect()
    }
}

impl Changes {
    /// Whether the classes of addresses in a range, or of all, can be different for another reason
    /// than that selectors matched or match them.
    pub(super) fn may_move(&self, address: IpAddr) -> bool {
        self.names
            || self.peers.iter().any(|peer| match peer.as_ref() {
                Peer::Block(block) => block.contains(address),
                Peer::Pods(_) => false,
            })
    }

    /// Whether [`Changes::may_move`] is true of any.
    pub(super) fn may_move_any(&self) -> bool {
        let is_block = |peer: &Arc<Peer>| matches!(peer.as_ref(), Peer::Block(_));
        self.names || self.peers.iter().any(is_block)
    }

    /// Whether it is easier to look at all pods than at those of [`Changes::pods`].
    pub(super) fn are_many(&self) -> bool {
        self.peers.len() > MANY
    }

    /// The pods that selectors which came or went match now.
    pub(super) fn pods<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Pod> {
        self.peers
            .iter()
            .flat_map(|peer| -> Box<dyn Iterator<Item = &Pod>> {
                match peer.as_ref() {
                    Peer::Block(_) => Box::new(std::iter::empty()),
                    Peer::Pods(PodPeer::Every) => Box::new(cluster.pods()),
                    Peer::Pods(PodPeer::Matching(NamespaceScope::Named(namespace), labels)) => {
                        let pods = cluster.pods_in(namespace);
                        Box::new(pods.filter(|pod| labels.matches(&pod.labels)))
                    }
                    Peer::Pods(PodPeer::Matching(NamespaceScope::Matching(namespaces), labels)) => {
                        let namespaces = cluster
                            .namespaces()
                            .filter(|namespace| namespaces.matches(&namespace.labels));
                        let pods =
                            namespaces.flat_map(|namespace| cluster.pods_in(&namespace.name));
                        Box::new(pods.filter(|pod| labels.matches(&pod.labels)))
                    }
                }
            })
    }
}

/// The namespace that a peer names, if it does, and its selector of pods.
fn place(peer: &PodPeer) -> (Option<&Arc<str>>, &Selector) {
    match peer {
        PodPeer::Every => (None, const { &Selector::EVERYTHING }),
        PodPeer::Matching(NamespaceScope::Named(namespace), labels) => (Some(namespace), labels),
        PodPeer::Matching(NamespaceScope::Matching(_), labels) => (None, labels),
    }
}

/// Selectors by a label that they ask for.
#[derive(Default)]
struct ByLabel {
    by_label: HashMap<Arc<str>, HashMap<Arc<str>, BTreeSet<Id>>>,
    /// Those that ask for no label of a certain value.
    rest: BTreeSet<Id>,
}

impl ByLabel {
    fn add(&mut self, id: Id, selector: &Selector) {
        match asked_for(selector) {
            Some((key, values)) => {
                let by_value = self.by_label.entry(Arc::clone(key)).or_default();
                for value in values {
                    by_value.entry(Arc::clone(value)).or_default().insert(id);
                }
            }
            None => {
                self.rest.insert(id);
            }
        }
    }

    fn remove(&mut self, id: Id, selector: &Selector) {
        self.rest.remove(&id);
        let Some((key, values)) = asked_for(selector) else {
            return;
        };
        let Some(by_value) = self.by_label.get_mut(key) else {
            return;
        };
        for value in values {
            if let Some(ids) = by_value.get_mut(value) {
                ids.remove(&id);
                if ids.is_empty() {
                    by_value.remove(value);
                }
            }
        }
        if by_value.is_empty() {
            self.by_label.remove(key);
        }
    }

    fn is_empty(&self) -> bool {
        self.by_label.is_empty() && self.rest.is_empty()
    }

    /// All that can match these labels, each once.
    fn candidates(&self, labels: &Labels) -> impl Iterator<Item = Id> {
        labels
            .iter()
            .filter_map(|(key, value)| self.by_label.get(key)?.get(value))
            .chain([&self.rest])
            .flatten()
            .copied()
    }
}

/// The first requirement that a label has one of some values: every selector is found by one.
fn asked_for(selector: &Selector) -> Option<(&Arc<str>, &[Arc<str>])> {
    selector
        .requirements()
        .iter()
        .find_map(|requirement| match requirement {
            Requirement::In(key, values) => Some((key, values.as_slice())),
            Requirement::NotIn(..) | Requirement::Exists(_) | Requirement::DoesNotExist(_) => None,
        })
}
