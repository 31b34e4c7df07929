//! The objects of a simulated cluster, as its API server holds them.
//!
//! It defaults and refuses like the API server, hands out uids and ClusterIPs, and adds what
//! controllers add (namespace labels, pod status). It knows nothing of packets.

use std::{collections::BTreeMap, net::IpAddr};

use enforcer::api::{
    FieldError, admit_network_policy, admit_network_policy_update, default_network_policy,
};
use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{
        Namespace, Node, NodeAddress, NodeSpec, NodeStatus, Pod, PodIP, PodStatus, Service,
    },
    networking::v1::NetworkPolicy,
};
use netsim::topology::Families;

use crate::{oracle, scenario::ObjectName};

/// The label by which a namespace can be selected by its name (semantics 56).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What a headless Service has in place of a ClusterIP.
const HEADLESS: &str = "None";

/// The first port that a NodePort Service gets where it does not choose: the API server's default
/// range starts here.
const FIRST_NODE_PORT: i32 = 30_000;

/// All objects of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Store {
    namespaces: BTreeMap<String, Namespace>,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<ObjectName, Pod>,
    services: BTreeMap<ObjectName, Service>,
    policies: BTreeMap<ObjectName, StoredPolicy>,
    service_cidrs: Vec<IpNet>,
    last_uid: u64,
    last_service: usize,
}

/// A policy as written, for the oracle, and as the API server stores it, for the enforcers.
#[derive(Clone, Debug)]
struct StoredPolicy {
    written: NetworkPolicy,
    stored: NetworkPolicy,
}

/// What a deleted namespace took with it.
#[derive(Clone, Debug, Default)]
pub struct Emptied {
    /// Its pods.
    pub pods: Vec<ObjectName>,
    /// Its policies.
    pub policies: Vec<ObjectName>,
}

impl Store {
    /// An empty cluster whose Services get their addresses from these ranges.
    pub fn new(service_cidrs: Vec<IpNet>) -> Self {
        Self {
            service_cidrs,
            ..Self::default()
        }
    }

    /// Creates or changes a namespace.
    pub fn apply_namespace(&mut self, mut namespace: Namespace) {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let labels = namespace.metadata.labels.get_or_insert_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        self.namespaces.insert(name, namespace);
    }

    /// Deletes a namespace with everything in it, and says what that was.
    pub fn delete_namespace(&mut self, namespace: &str) -> Emptied {
        self.namespaces.remove(namespace);
        let inside = |name: &&ObjectName| name.namespace == namespace;
        let emptied = Emptied {
            pods: self.pods.keys().filter(inside).cloned().collect(),
            policies: self.policies.keys().filter(inside).cloned().collect(),
        };
        self.pods.retain(|name, _| name.namespace != namespace);
        self.policies.retain(|name, _| name.namespace != namespace);
        self.services.retain(|name, _| name.namespace != namespace);
        emptied
    }

    /// Creates or changes a node: its addresses and pod ranges are what its kubelet reports.
    pub fn apply_node(
        &mut self,
        mut node: Node,
        addresses: &[IpAddr],
        pod_cidrs: Vec<String>,
    ) -> &Node {
        let name = node.metadata.name.clone().unwrap_or_default();
        node.spec = Some(NodeSpec {
            pod_cidr: pod_cidrs.first().cloned(),
            pod_cidrs: Some(pod_cidrs),
            ..NodeSpec::default()
        });
        let internal = |address: &IpAddr| NodeAddress {
            address: address.to_string(),
            type_: "InternalIP".to_owned(),
        };
        node.status = Some(NodeStatus {
            addresses: Some(addresses.iter().map(internal).collect()),
            ..NodeStatus::default()
        });
        self.nodes.entry(name).insert_entry(node).into_mut()
    }

    /// Creates a pod that its node has given these addresses. A pod of the same name is replaced. One
    /// that some server has stored has its uid already.
    pub fn create_pod(&mut self, mut pod: Pod, addresses: &[IpAddr], phase: &str) {
        self.last_uid += 1;
        let fresh = || format!("00000000-0000-0000-0000-{:012}", self.last_uid);
        pod.metadata.uid.get_or_insert_with(fresh);
        let status = pod.status.get_or_insert_default();
        status.phase = Some(phase.to_owned());
        give_addresses(status, addresses);
        self.pods.insert(ObjectName::of(&pod.metadata), pod);
    }

    /// Changes a pod in place; says whether there is one.
    pub fn change_pod(&mut self, name: &ObjectName, change: impl FnOnce(&mut Pod)) -> bool {
        self.pods.get_mut(name).map(change).is_some()
    }

    /// Deletes a pod; says whether there was one.
    pub fn delete_pod(&mut self, name: &ObjectName) -> bool {
        self.pods.remove(name).is_some()
    }

    /// Creates or changes a Service: gives it ClusterIPs and node ports where it has none.
    pub fn apply_service(&mut self, mut service: Service, families: Families) {
        let name = ObjectName::of(&service.metadata);
        let before = self.services.get(&name).and_then(|s| s.spec.clone());
        let spec = service.spec.get_or_insert_default();
        let is_external_name = spec.type_.as_deref() == Some("ExternalName");
        let is_headless = spec.cluster_ip.as_deref() == Some(HEADLESS);
        if !is_external_name && !is_headless && spec.cluster_ips.is_none() {
            let kept = before.and_then(|spec| spec.cluster_ips);
            let ips = kept.unwrap_or_else(|| self.fresh_cluster_ips(families));
            spec.cluster_ip = ips.first().cloned();
            spec.cluster_ips = Some(ips);
        }
        if spec.type_.as_deref() == Some("NodePort") {
            let ports = spec.ports.iter_mut().flatten();
            for port in ports.filter(|port| port.node_port.is_none()) {
                self.last_service += 1;
                let offset = i32::try_from(self.last_service).unwrap_or_default();
                port.node_port = Some(FIRST_NODE_PORT + offset);
            }
        }
        self.services.insert(name, service);
    }

    fn fresh_cluster_ips(&mut self, families: Families) -> Vec<String> {
        self.last_service += 1;
        let ranges = self.service_cidrs.iter();
        let wanted = ranges.filter(|range| families.contains(&range.addr()));
        wanted
            .filter_map(|range| range.hosts().nth(self.last_service))
            .map(|ip| ip.to_string())
            .collect()
    }

    /// Deletes a Service.
    pub fn delete_service(&mut self, name: &ObjectName) {
        self.services.remove(name);
    }

    /// What would be stored if the policy were created, or changed if it exists already; nothing is
    /// done.
    ///
    /// # Errors
    /// As [`apply_policy`](Self::apply_policy).
    pub fn admit_policy(&self, written: NetworkPolicy) -> Result<NetworkPolicy, Vec<FieldError>> {
        match self.policies.get(&ObjectName::of(&written.metadata)) {
            None => admit_network_policy(written),
            Some(old) => admit_network_policy_update(&old.stored, written),
        }
    }

    /// Creates or changes a policy, and returns it as stored: defaulted.
    ///
    /// # Errors
    /// What the API server would answer, if it would refuse the object.
    pub fn apply_policy(
        &mut self,
        written: NetworkPolicy,
    ) -> Result<&NetworkPolicy, Vec<FieldError>> {
        let stored = self.admit_policy(written.clone())?;
        let entry = self.policies.entry(ObjectName::of(&stored.metadata));
        Ok(&entry
            .insert_entry(StoredPolicy { written, stored })
            .into_mut()
            .stored)
    }

    /// Writes a policy that the API server might refuse, and returns it as stored: defaulted.
    pub fn store_policy(&mut self, written: NetworkPolicy) -> &NetworkPolicy {
        let mut stored = written.clone();
        default_network_policy(&mut stored);
        let entry = self.policies.entry(ObjectName::of(&stored.metadata));
        let policy = StoredPolicy { written, stored };
        &entry.insert_entry(policy).into_mut().stored
    }

    /// Deletes a policy; says whether there was one.
    pub fn delete_policy(&mut self, name: &ObjectName) -> bool {
        self.policies.remove(name).is_some()
    }

    /// The pod of this namespace and name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.pods.get(&ObjectName::new(namespace, name))
    }

    /// The Service of this namespace and name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&ObjectName::new(namespace, name))
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// All Services.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// What the oracle judges by: the objects as written, not as our own code defaulted them.
    pub fn world(&self) -> oracle::World {
        let policies = self.policies.values();
        oracle::World {
            namespaces: self.namespaces.values().cloned().collect(),
            pods: self.pods.values().cloned().collect(),
            nodes: self.nodes.values().cloned().collect(),
            policies: policies.map(|policy| policy.written.clone()).collect(),
        }
    }
}

/// Writes the addresses that a node has given a pod into its status.
pub fn give_addresses(status: &mut PodStatus, addresses: &[IpAddr]) {
    let ips = addresses.iter().map(|address| PodIP {
        ip: address.to_string(),
    });
    status.pod_ip = addresses.first().map(ToString::to_string);
    status.pod_ips = (!addresses.is_empty()).then(|| ips.collect());
}
