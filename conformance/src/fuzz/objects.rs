//! A random world as Kubernetes objects, and as the events that an enforcer hears.

use enforcer::{
    api,
    cluster::{Event, PodRef},
    policy::PolicyRef,
};
use k8s_openapi::{
    api::{core::v1 as core, networking::v1::NetworkPolicy},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

use super::world::{Life, Pod, World};
use crate::{
    oracle,
    scenario::{
        Named, ObjectName,
        world::{DeclaredPort, PodParts, namespace_object, node_object, pod_object},
    },
};

impl World {
    /// The objects as the oracle reads them.
    pub fn objects(&self) -> oracle::World {
        oracle::World {
            namespaces: self
                .namespaces
                .keys()
                .map(|n| self.namespace_object(n))
                .collect(),
            pods: self.pods.keys().map(|name| self.pod_object(name)).collect(),
            nodes: self
                .nodes
                .keys()
                .map(|name| self.node_object(name))
                .collect(),
            policies: self.policies.clone(),
        }
    }

    /// A namespace as the API server holds it; it must exist.
    pub fn namespace_object(&self, name: &str) -> core::Namespace {
        namespace_object(name, self.namespaces[name].clone())
    }

    /// A node as its kubelet reports it; it must exist.
    pub fn node_object(&self, name: &str) -> core::Node {
        let mut node = node_object(name, self.nodes[name].clone());
        let cidrs = self.node_pod_cidrs(name);
        node.spec = Some(core::NodeSpec {
            pod_cidr: cidrs.first().cloned(),
            pod_cidrs: Some(cidrs),
            ..core::NodeSpec::default()
        });
        let addresses = self.node_addresses(name).into_iter();
        let internal = |address: std::net::IpAddr| core::NodeAddress {
            address: address.to_string(),
            type_: "InternalIP".to_owned(),
        };
        node.status = Some(core::NodeStatus {
            addresses: Some(addresses.map(internal).collect()),
            ..core::NodeStatus::default()
        });
        node
    }

    /// A pod with its status; it must exist.
    pub fn pod_object(&self, name: &str) -> core::Pod {
        let pod = &self.pods[name];
        let mut object = pod_object(parts(name, pod));
        object.metadata.uid = Some(format!("00000000-0000-0000-0000-{:012}", pod.born));
        let created = pod.created.and_then(|s| Timestamp::from_second(s).ok());
        object.metadata.creation_timestamp = created.map(Time);
        if pod.life == Life::Terminating {
            object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        }
        let ips: Vec<String> = self
            .pod_addresses(pod)
            .iter()
            .map(ToString::to_string)
            .collect();
        let phase = match pod.life {
            Life::Pending => "Pending",
            Life::Running | Life::Terminating => "Running",
            Life::Succeeded => "Succeeded",
            Life::Failed => "Failed",
        };
        object.status = Some(core::PodStatus {
            phase: Some(phase.to_owned()),
            pod_ip: ips.first().cloned(),
            pod_ips: (!ips.is_empty())
                .then(|| ips.into_iter().map(|ip| core::PodIP { ip }).collect()),
            ..core::PodStatus::default()
        });
        object
    }

    /// What an enforcer hears of everything in it but the policies.
    pub fn events(&self) -> Vec<Event> {
        let nodes = self.nodes.keys().map(|name| self.node_event(name));
        let namespaces = self
            .namespaces
            .keys()
            .map(|name| self.namespace_event(name));
        let pods = self.pods.keys().map(|name| self.pod_event(name));
        nodes.chain(namespaces).chain(pods).collect()
    }

    pub(super) fn node_event(&self, name: &str) -> Event {
        Event::ApplyNode(api::node(&self.node_object(name)))
    }

    pub(super) fn namespace_event(&self, name: &str) -> Event {
        Event::ApplyNamespace(api::namespace(&self.namespace_object(name)))
    }

    pub(super) fn pod_event(&self, name: &str) -> Event {
        Event::ApplyPod(api::pod(&self.pod_object(name)))
    }
}

/// What an enforcer hears of a policy.
pub(super) fn policy_event(policy: &NetworkPolicy) -> Event {
    Event::ApplyPolicy(api::policy_ref(policy), api::lower_network_policy(policy))
}

/// What an enforcer hears when a policy goes.
pub(super) fn no_policy_event(name: &ObjectName) -> Event {
    Event::DeletePolicy(PolicyRef::network_policy(&name.namespace, &name.name))
}

/// What an enforcer hears when a pod goes.
pub(super) fn no_pod_event(name: &str) -> Event {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    Event::DeletePod(PodRef::new(namespace, name))
}

fn parts(name: &str, pod: &Pod) -> PodParts {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    let containers = pod.containers.iter().enumerate().map(|(index, ports)| {
        let named = ports.iter().map(|declared| DeclaredPort {
            port: Named {
                name: declared.name.clone(),
                value: declared.port(),
            },
            host: None,
        });
        (format!("c{index}"), named.collect())
    });
    PodParts {
        name: ObjectName::new(namespace, name),
        labels: pod.labels.clone(),
        node: pod.node.clone(),
        host_network: pod.host_network,
        service_account: None,
        containers: containers.collect(),
    }
}
