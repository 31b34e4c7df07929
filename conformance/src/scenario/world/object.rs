//! The objects of a [`World`](super::World): Kubernetes objects, and what a simulator or a cluster
//! must know besides.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use k8s_openapi::{
    api::core::v1 as core,
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cell::{Port, Protocol};

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// Namespace and name of a pod, Service or policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectName {
    /// A name from its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The name an object has; `default` is the namespace of those that say none.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self::new(
            metadata.namespace.as_deref().unwrap_or("default"),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<ObjectName> for (String, String) {
    fn from(name: ObjectName) -> Self {
        (name.namespace, name.name)
    }
}

/// The text is not of the form `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form NAMESPACE/NAME")]
pub struct NotAnObjectName(pub String);

impl FromStr for ObjectName {
    type Err = NotAnObjectName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self::new(namespace, name))
            }
            _ => Err(NotAnObjectName(text.to_owned())),
        }
    }
}

/// Something that may have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// The name.
    pub name: Option<String>,
    /// What it names.
    pub value: T,
}

impl<T> Named<T> {
    pub(super) fn anonymous(value: T) -> Self {
        Self { name: None, value }
    }
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub enum Phase {
    /// Accepted, but without an address yet (semantics 40).
    Pending,
    /// It runs.
    #[default]
    Running,
    /// All its containers ended well; its address is free (semantics 39).
    Succeeded,
    /// All its containers ended, one of them badly; its address is free.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Where a pod's addresses come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AddressChoice {
    /// Fresh ones: never those of a pod that has just gone.
    #[default]
    Fresh,
    /// These.
    Chosen(Vec<IpAddr>),
    /// Those that this pod had, before it was deleted, finished or re-created.
    Of(ObjectName),
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Namespace and name.
    pub name: ObjectName,
    /// The object as a user would submit it, its node chosen; without status.
    pub object: core::Pod,
    /// The ports on which something listens.
    pub listen: Vec<Port>,
    /// Its phase.
    pub phase: Phase,
    /// Whether it has been told to end (`metadata.deletionTimestamp`), and still runs.
    pub terminating: bool,
    /// Where its addresses come from.
    pub address: AddressChoice,
    /// The name of the Deployment, StatefulSet, DaemonSet, Job or CronJob that made it.
    pub workload: Option<String>,
}

impl Pod {
    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        labels_of(&self.object.metadata)
    }

    /// The node it runs on.
    pub fn node(&self) -> &str {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.node_name.as_deref())
            .unwrap_or_default()
    }

    /// Whether it shares the network namespace of its node.
    pub fn is_host_network(&self) -> bool {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.host_network).unwrap_or(false)
    }

    /// Whether its phase is Running.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Its container ports, restartable init containers included.
    pub fn container_ports(&self) -> Vec<Named<Port>> {
        container_ports(&self.object)
            .filter_map(|port| {
                Some(Named {
                    name: port.name.clone(),
                    value: port_of(port.container_port, port.protocol.as_deref())?,
                })
            })
            .collect()
    }

    /// The ports of its node that lead to it, each with its own port. In the network namespace of
    /// its node it has none: there every port is one of the node's.
    pub fn host_ports(&self) -> Vec<(u16, Port)> {
        if self.is_host_network() {
            return Vec::new();
        }
        container_ports(&self.object)
            .filter_map(|port| {
                let host = port.host_port?.try_into().ok()?;
                let own = port_of(port.container_port, port.protocol.as_deref())?;
                Some((host, own))
            })
            .collect()
    }

    /// The ports on which something listens, with the names its containers give them.
    pub fn listening(&self) -> Vec<Named<Port>> {
        let declared = self.container_ports();
        let name = |port: &Port| declared.iter().find(|p| p.value == *port)?.name.clone();
        self.listen
            .iter()
            .map(|port| Named {
                name: name(port),
                value: *port,
            })
            .collect()
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// The object, `kubernetes.io/metadata.name` included.
    pub object: core::Namespace,
}

impl Namespace {
    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        labels_of(&self.object.metadata)
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The object; without status.
    pub object: core::Node,
    /// The ports on which a process in the node's own network namespace listens.
    pub listen: Vec<Port>,
    /// The MTU of the links to its pods, in bytes; the usual one if it is not said.
    pub pod_mtu: Option<u16>,
    /// Whether an agent runs on it from the beginning.
    pub agent: bool,
}

/// A machine outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// The ports it listens on.
    pub listen: Vec<Port>,
    /// The node it hangs on and that forwards for it, though it is no pod; else it is outside.
    pub behind: Option<String>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub name: ObjectName,
    /// The object as a user would submit it.
    pub object: core::Service,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name.
    pub name: Option<String>,
    /// The port clients dial.
    pub port: Port,
    /// What it means on a pod.
    pub target: IntOrString,
    /// The port every node has for it.
    pub node_port: Option<u16>,
}

impl Service {
    /// Its selector.
    pub fn selector(&self) -> &BTreeMap<String, String> {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.selector.as_ref())
            .unwrap_or(&NO_LABELS)
    }

    /// Whether a NodePort leads clients from outside only to pods of its own node.
    pub fn is_external_local(&self) -> bool {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local")
    }

    /// Whether its ClusterIP leads only to pods of the client's node.
    pub fn is_internal_local(&self) -> bool {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.internal_traffic_policy.as_deref()) == Some("Local")
    }

    /// Whether it has no ClusterIP.
    pub fn is_headless(&self) -> bool {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
    }

    /// Its ports.
    pub fn ports(&self) -> Vec<ServicePort> {
        let spec = self.object.spec.as_ref();
        let ports = spec
            .into_iter()
            .flat_map(|spec| spec.ports.iter().flatten());
        ports
            .filter_map(|port| {
                Some(ServicePort {
                    name: port.name.clone(),
                    port: port_of(port.port, port.protocol.as_deref())?,
                    target: port
                        .target_port
                        .clone()
                        .unwrap_or(IntOrString::Int(port.port)),
                    node_port: port.node_port.and_then(|number| number.try_into().ok()),
                })
            })
            .collect()
    }
}

impl ServicePort {
    /// The port this one means on a pod: a name can be another number on every pod
    /// (semantics 183).
    pub fn target_on(&self, pod: &Pod) -> Option<Port> {
        target_port(&pod.object, &self.target, self.port.protocol)
    }
}

/// The port that a Service's `targetPort` means on a pod: a name can be another number on every pod
/// (semantics 183).
pub fn target_port(pod: &core::Pod, target: &IntOrString, protocol: Protocol) -> Option<Port> {
    match target {
        IntOrString::Int(number) => Some(Port {
            number: Some((*number).try_into().ok()?),
            protocol,
        }),
        IntOrString::String(name) => container_ports(pod)
            .filter(|port| port.name.as_ref() == Some(name))
            .filter_map(|port| port_of(port.container_port, port.protocol.as_deref()))
            .find(|port| port.protocol == protocol),
    }
}

/// The ports of all containers that keep running: ordinary ones first, then init containers that
/// are restarted, as the control plane looks through them.
fn container_ports(pod: &core::Pod) -> impl Iterator<Item = &core::ContainerPort> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        let sidecars = spec
            .init_containers
            .iter()
            .flatten()
            .filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let containers = spec.containers.iter().chain(sidecars);
        containers.flat_map(|container| container.ports.iter().flatten())
    })
}

/// The labels of an object.
pub(crate) fn labels_of(metadata: &ObjectMeta) -> &BTreeMap<String, String> {
    metadata.labels.as_ref().unwrap_or(&NO_LABELS)
}

/// A port as the API writes it; nothing for what the API server would refuse.
fn port_of(number: i32, protocol: Option<&str>) -> Option<Port> {
    Some(Port {
        number: Some(number.try_into().ok()?),
        protocol: match protocol {
            None | Some("" | "TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            Some(_) => return None,
        },
    })
}
