//! The objects of a simulated cluster, as its API server holds them.
//!
//! It defaults and refuses like the API server, hands out uids, and adds what controllers add
//! (namespace labels, pod status). It knows nothing of packets.

use std::{collections::BTreeMap, net::IpAddr};

use enforcer::api::{FieldError, admit_network_policy};
use k8s_openapi::api::{
    core::v1::{
        Namespace, Node, NodeAddress, NodeSpec, NodeStatus, Pod, PodIP, PodStatus, Service,
    },
    networking::v1::NetworkPolicy,
};

use crate::oracle::World;

/// The label by which a namespace can be selected by its name (semantics 56).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Namespace and name of an object.
pub type Key = (String, String);

/// All objects of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Store {
    namespaces: BTreeMap<String, Namespace>,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<Key, Pod>,
    services: BTreeMap<Key, Service>,
    /// As written, and as the API server stores them.
    policies: BTreeMap<Key, (NetworkPolicy, NetworkPolicy)>,
    last_uid: u64,
}

impl Store {
    /// Creates or changes a namespace, and returns it as stored.
    pub fn apply_namespace(&mut self, mut namespace: Namespace) -> &Namespace {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        namespace
            .metadata
            .labels
            .get_or_insert_default()
            .insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        self.namespaces.insert(name.clone(), namespace);
        &self.namespaces[&name]
    }

    /// Deletes a namespace with everything in it. Returns the keys of what went with it.
    pub fn delete_namespace(&mut self, name: &str) -> Emptied {
        self.namespaces.remove(name);
        let inside = |key: &&Key| key.0 == name;
        let emptied = Emptied {
            pods: self.pods.keys().filter(inside).cloned().collect(),
            policies: self.policies.keys().filter(inside).cloned().collect(),
            services: self.services.keys().filter(inside).cloned().collect(),
        };
        self.pods.retain(|key, _| key.0 != name);
        self.policies.retain(|key, _| key.0 != name);
        self.services.retain(|key, _| key.0 != name);
        emptied
    }

    /// Adds a node with its addresses and pod ranges.
    pub fn apply_node(&mut self, mut node: Node, addresses: &[IpAddr], pod_cidrs: Vec<String>) -> &Node {
        let name = node.metadata.name.clone().unwrap_or_default();
        node.spec = Some(NodeSpec {
            pod_cidr: pod_cidrs.first().cloned(),
            pod_cidrs: Some(pod_cidrs),
            ..NodeSpec::default()
        });
        let addresses = addresses.iter().map(|address| NodeAddress {
            address: address.to_string(),
            type_: "InternalIP".to_owned(),
        });
        node.status = Some(NodeStatus {
            addresses: Some(addresses.collect()),
            ..NodeStatus::default()
        });
        self.nodes.insert(name.clone(), node);
        &self.nodes[&name]
    }

    /// Creates a pod that its node has started with these addresses: gives it a uid and a status.
    /// An existing pod of the same name is replaced.
    pub fn create_pod(&mut self, mut pod: Pod, addresses: &[IpAddr], phase: &str) -> &Pod {
        self.last_uid += 1;
        pod.metadata.uid = Some(format!("00000000-0000-0000-0000-{:012}", self.last_uid));
        let status = pod.status.get_or_insert_with(PodStatus::default);
        status.phase = Some(phase.to_owned());
        status.pod_ip = addresses.first().map(ToString::to_string);
        status.pod_ips = (!addresses.is_empty()).then(|| {
            let ip = |address: &IpAddr| PodIP { ip: address.to_string() };
            addresses.iter().map(ip).collect()
        });
        let key = key_of(&pod.metadata);
        self.pods.insert(key.clone(), pod);
        &self.pods[&key]
    }

    /// Changes a pod in place.
    pub fn change_pod(&mut self, key: &Key, change: impl FnOnce(&mut Pod)) -> Option<&Pod> {
        let pod = self.pods.get_mut(key)?;
        change(pod);
        Some(pod)
    }

    /// Deletes a pod.
    pub fn delete_pod(&mut self, key: &Key) -> Option<Pod> {
        self.pods.remove(key)
    }

    /// Creates or changes a Service.
    pub fn apply_service(&mut self, service: Service) {
        self.services.insert(key_of(&service.metadata), service);
    }

    /// Deletes a Service.
    pub fn delete_service(&mut self, key: &Key) -> Option<Service> {
        self.services.remove(key)
    }

    /// Creates or changes a policy, and returns it as stored: defaulted.
    ///
    /// # Errors
    /// What the API server would answer, if it would refuse the object.
    pub fn apply_policy(&mut self, policy: NetworkPolicy) -> Result<&NetworkPolicy, Vec<FieldError>> {
        let stored = admit_network_policy(policy.clone())?;
        let key = key_of(&stored.metadata);
        self.policies.insert(key.clone(), (policy, stored));
        Ok(&self.policies[&key].1)
    }

    /// Deletes a policy.
    pub fn delete_policy(&mut self, key: &Key) -> bool {
        self.policies.remove(key).is_some()
    }

    /// The pod of this namespace and name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.pods.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The namespace of this name.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The Service of this namespace and name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All Services.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// All namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// All policies as stored.
    pub fn policies(&self) -> impl Iterator<Item = &NetworkPolicy> {
        self.policies.values().map(|(_, stored)| stored)
    }

    /// What the oracle judges by: the objects as written, not as our own code defaulted them.
    pub fn world(&self) -> World {
        World {
            namespaces: self.namespaces.values().cloned().collect(),
            pods: self.pods.values().cloned().collect(),
            nodes: self.nodes.values().cloned().collect(),
            policies: self.policies.values().map(|(written, _)| written.clone()).collect(),
        }
    }
}

/// What a deleted namespace took with it.
#[derive(Clone, Debug, Default)]
pub struct Emptied {
    /// Its pods.
    pub pods: Vec<Key>,
    /// Its policies.
    pub policies: Vec<Key>,
    /// Its Services.
    pub services: Vec<Key>,
}

/// Namespace and name of an object; `default` where the namespace is missing.
pub fn key_of(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Key {
    (
        metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        metadata.name.clone().unwrap_or_default(),
    )
}
