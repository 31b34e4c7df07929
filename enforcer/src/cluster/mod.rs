//! The index: events in, look-ups out, no I/O.
//!
//! A resource has three events: apply (created or changed), delete, and reset (the complete list;
//! whatever is missing from it is gone). The order of events of different resources never matters.

mod object;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

pub use self::object::{
    ContainerPort, Labels, Namespace, Node, NotAPodRef, Phase, Pod, PodRef,
};
use crate::policy::{Policy, PolicyRef};

/// Something that happened to one object.
#[derive(Clone, Debug)]
pub enum Event {
    /// A pod was created or changed.
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
    pods: BTreeMap<PodRef, Pod>,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    nodes: BTreeMap<Arc<str>, Node>,
    policies: BTreeMap<PolicyRef, Vec<Policy>>,
    /// Who claims an address: finished, hostNetwork and address-less pods claim none.
    claims: BTreeMap<IpAddr, Vec<PodRef>>,
}

impl Cluster {
    /// Takes an event in. Says whether anything changed that a verdict could depend on.
    pub fn handle(&mut self, event: Event) -> bool {
        let _ = (event, &mut self.claims);
        todo!("the index")
    }

    /// All pods, in the order of their references.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// The pod of this name.
    pub fn pod(&self, reference: &PodRef) -> Option<&Pod> {
        self.pods.get(reference)
    }

    /// The namespace of this name.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// All policies, lowered, in the order of their references.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values().flatten()
    }

    /// The pod that owns `address`: of all that claim it the one that (runs, is newest, has the
    /// greatest uid). Finished and hostNetwork pods own none (semantics 39, 41, 158).
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        let _ = address;
        todo!("the index")
    }
}
