//! What is decoded of an object. The rest of its JSON is read over and never kept.
//!
//! Decoding is lenient: a field that is missing or null is as good as empty, and what cannot be read
//! of a pod, namespace or node is left out as [`crate::api`] does. One odd object must not keep a
//! whole list from being read.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::core::v1 as core,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Complaint, Complaints, intern::Interner};
use crate::{
    api::{
        lower_stored_network_policy, namespace, network_policy_from_json, node, pod, policy_ref,
    },
    cluster::{Event, Namespace, Node, Pod, PodRef},
    policy::{Policy, PolicyRef},
};

/// How objects of one kind become events.
pub(super) trait Kind: Send + 'static {
    /// An object as it is decoded.
    type Object: DeserializeOwned + Clone + Send + HasVersion;
    /// What is kept of it.
    type Kept: Send;

    /// What is kept of an object.
    fn keep(&mut self, object: Self::Object) -> Self::Kept;
    /// It was created or changed.
    fn apply(&mut self, kept: Self::Kept) -> Event;
    /// It is gone.
    fn delete(&mut self, kept: Self::Kept) -> Event;
    /// These are all.
    fn reset(&mut self, all: Vec<Self::Kept>) -> Event;
}

/// Objects that say from when they are.
pub(super) trait HasVersion {
    /// `metadata.resourceVersion`.
    fn version(&self) -> &str;
}

/// `metadata` as far as anything depends on it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            creation_timestamp: metadata
                .creation_timestamp
                .and_then(|time| time.parse().ok())
                .map(Time),
            labels: metadata.labels,
            ..Self::default()
        }
    }
}

macro_rules! has_version {
    ($($object:ty),*) => {
        $(impl HasVersion for $object {
            fn version(&self) -> &str {
                self.metadata.resource_version.as_deref().unwrap_or_default()
            }
        })*
    };
}

has_version!(PodObject, NamespaceObject, NodeObject);

/// A pod.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodObject {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    restart_policy: Option<String>,
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: i32,
    protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: Option<String>,
}

impl From<PodObject> for core::Pod {
    fn from(object: PodObject) -> Self {
        let containers = |containers: Option<Vec<Container>>| {
            containers.map(|all| all.into_iter().map(Into::into).collect::<Vec<_>>())
        };
        Self {
            metadata: object.metadata.into(),
            spec: object.spec.map(|spec| core::PodSpec {
                node_name: spec.node_name,
                host_network: spec.host_network,
                containers: containers(spec.containers).unwrap_or_default(),
                init_containers: containers(spec.init_containers),
                ..core::PodSpec::default()
            }),
            status: object.status.map(|status| core::PodStatus {
                phase: status.phase,
                pod_ip: status.pod_ip,
                pod_ips: status.pod_ips.map(|all| {
                    all.into_iter()
                        .map(|ip| core::PodIP {
                            ip: ip.ip.unwrap_or_default(),
                        })
                        .collect()
                }),
                ..core::PodStatus::default()
            }),
        }
    }
}

impl From<Container> for core::Container {
    fn from(container: Container) -> Self {
        let port = |port: ContainerPort| core::ContainerPort {
            name: port.name,
            container_port: port.container_port,
            protocol: port.protocol,
            ..core::ContainerPort::default()
        };
        Self {
            restart_policy: container.restart_policy,
            ports: container
                .ports
                .map(|ports| ports.into_iter().map(port).collect()),
            ..Self::default()
        }
    }
}

/// Pods share what is equal in them.
#[derive(Default)]
pub(super) struct Pods {
    interner: Interner,
}

impl Kind for Pods {
    type Object = PodObject;
    type Kept = Pod;

    fn keep(&mut self, object: PodObject) -> Pod {
        self.interner.pod(pod(&object.into()))
    }

    fn apply(&mut self, pod: Pod) -> Event {
        Event::ApplyPod(pod)
    }

    fn delete(&mut self, pod: Pod) -> Event {
        let reference: PodRef = pod.reference;
        Event::DeletePod(reference)
    }

    fn reset(&mut self, all: Vec<Pod>) -> Event {
        Event::ResetPods(all)
    }
}

/// A namespace.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NamespaceObject {
    #[serde(default)]
    metadata: Metadata,
}

/// All namespaces.
pub(super) struct Namespaces;

impl Kind for Namespaces {
    type Object = NamespaceObject;
    type Kept = Namespace;

    fn keep(&mut self, object: NamespaceObject) -> Namespace {
        namespace(&core::Namespace {
            metadata: object.metadata.into(),
            ..core::Namespace::default()
        })
    }

    fn apply(&mut self, namespace: Namespace) -> Event {
        Event::ApplyNamespace(namespace)
    }

    fn delete(&mut self, namespace: Namespace) -> Event {
        Event::DeleteNamespace(namespace.name)
    }

    fn reset(&mut self, all: Vec<Namespace>) -> Event {
        Event::ResetNamespaces(all)
    }
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeObject {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<NodeSpec>,
    status: Option<NodeStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    address: String,
}

/// The node itself.
pub(super) struct Nodes;

impl Kind for Nodes {
    type Object = NodeObject;
    type Kept = Node;

    fn keep(&mut self, object: NodeObject) -> Node {
        node(&core::Node {
            metadata: object.metadata.into(),
            spec: object.spec.map(|spec| core::NodeSpec {
                pod_cidr: spec.pod_cidr,
                pod_cidrs: spec.pod_cidrs,
                ..core::NodeSpec::default()
            }),
            status: object.status.map(|status| core::NodeStatus {
                addresses: status.addresses.map(|all| {
                    all.into_iter()
                        .map(|address| core::NodeAddress {
                            address: address.address,
                            type_: String::new(),
                        })
                        .collect()
                }),
                ..core::NodeStatus::default()
            }),
        })
    }

    fn apply(&mut self, node: Node) -> Event {
        Event::ApplyNode(node)
    }

    fn delete(&mut self, node: Node) -> Event {
        let name: Arc<str> = node.name;
        Event::DeleteNode(name)
    }

    fn reset(&mut self, all: Vec<Node>) -> Event {
        Event::ResetNodes(all)
    }
}

/// A policy, whole: what this version does not know in it must not be lost (semantics 248).
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct PolicyObject(Value);

impl HasVersion for PolicyObject {
    fn version(&self) -> &str {
        self.0["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
    }
}

/// All policies.
pub(super) struct Policies {
    complaints: Complaints,
}

impl Policies {
    pub(super) fn new(complaints: Complaints) -> Self {
        Self { complaints }
    }
}

/// A policy, and what is wrong with it.
pub(super) struct Read {
    reference: PolicyRef,
    lowered: Vec<Policy>,
    complaint: Option<Complaint>,
}

impl Kind for Policies {
    type Object = PolicyObject;
    type Kept = Read;

    fn keep(&mut self, object: PolicyObject) -> Read {
        let (policy, unknown) = network_policy_from_json(&object.0);
        let lowered = lower_stored_network_policy(&policy, &unknown);
        let uid = object.0["metadata"]["uid"].as_str().unwrap_or_default();
        Read {
            reference: policy_ref(&policy),
            complaint: Complaint::about(uid, unknown.is_empty(), &lowered),
            lowered,
        }
    }

    fn apply(&mut self, read: Read) -> Event {
        self.complaints.note(&read.reference, read.complaint);
        Event::ApplyPolicy(read.reference, read.lowered)
    }

    fn delete(&mut self, read: Read) -> Event {
        self.complaints.note(&read.reference, None);
        Event::DeletePolicy(read.reference)
    }

    fn reset(&mut self, all: Vec<Read>) -> Event {
        let mut complaints = BTreeMap::new();
        let mut policies = Vec::with_capacity(all.len());
        for read in all {
            if let Some(complaint) = read.complaint {
                complaints.insert(read.reference.clone(), complaint);
            }
            policies.push((read.reference, read.lowered));
        }
        self.complaints.reset(complaints);
        Event::ResetPolicies(policies)
    }
}
