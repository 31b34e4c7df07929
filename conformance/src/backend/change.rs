//! What a step can do to the objects of a cluster.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, Service},
    networking::v1::NetworkPolicy,
};

use crate::{cell::Port, store::Key};

/// Labels to set (`Some`) and to remove (`None`).
pub type LabelChange = BTreeMap<String, Option<String>>;

/// One change of one kind of object.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new node; all nodes exist before the first pod.
    CreateNode(Node),
    /// A namespace is created, or its labels are replaced.
    ApplyNamespace(Namespace),
    /// A namespace goes, with everything in it.
    DeleteNamespace(String),
    /// Labels of a namespace change.
    LabelNamespace(String, LabelChange),
    /// Labels of a node change.
    LabelNode(String, LabelChange),
    /// Pods are created and started.
    CreatePods(Vec<NewPod>),
    /// A pod is deleted and its address becomes free.
    DeletePod(Key),
    /// A pod's containers all end; its network namespace goes, the object stays.
    FinishPod {
        /// Which pod.
        pod: Key,
        /// Whether they ended well: Succeeded, else Failed.
        succeeded: bool,
    },
    /// Labels of a pod change.
    LabelPod(Key, LabelChange),
    /// A policy is created or replaced.
    ApplyPolicy(Box<NetworkPolicy>),
    /// A policy is deleted.
    DeletePolicy(Key),
    /// A Service is created or replaced.
    ApplyService(Box<Service>),
    /// A Service is deleted.
    DeleteService(Key),
}

/// A pod to be created.
#[derive(Clone, Debug)]
pub struct NewPod {
    /// The object as a user would submit it, with its node chosen.
    pub pod: Pod,
    /// Ports on which something listens.
    pub listen: Vec<Port>,
    /// Where its addresses come from.
    pub address: NewAddress,
    /// Its phase once created: Running unless the scenario says otherwise.
    pub phase: String,
}

/// Where a new pod's addresses come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NewAddress {
    /// Fresh ones: never those of a pod that has just gone.
    #[default]
    Fresh,
    /// These, for example those of a pod that has gone.
    Chosen(Vec<IpAddr>),
    /// None: the pod is pending (semantics 40).
    None,
}
