//! What the index keeps of a pod, a namespace and a node: only what a verdict can depend on.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use ipnet::IpNet;

use crate::policy::Protocol;

/// A pod's identity by name: `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's name.
    pub name: Arc<str>,
}

impl PodRef {
    /// A reference from its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The text is not of the form `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pod is written namespace/name, not `{0}`")]
pub struct NotAPodRef(pub String);

impl FromStr for PodRef {
    type Err = NotAPodRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self::new(namespace, name))
            }
            _ => Err(NotAPodRef(text.to_owned())),
        }
    }
}

/// Labels of a pod, namespace or node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<BTreeMap<Arc<str>, Arc<str>>>);

impl Labels {
    /// The value of `key`, if the label is present (an empty value is present: semantics 35).
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// All labels in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_ref(), v.as_ref()))
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self(Arc::new(
            iter.into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        ))
    }
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Accepted, containers not started yet.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well; the pod's address may belong to another pod (semantics 39).
    Succeeded,
    /// All containers ended, one of them badly; as [`Phase::Succeeded`].
    Failed,
    /// The node did not report.
    Unknown,
}

impl Phase {
    /// Succeeded or Failed: neither subject nor peer (semantics 39).
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// One entry of `spec.containers[].ports`; what named ports resolve to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// The port's name, if it has one.
    pub name: Option<Arc<str>>,
    /// TCP where the manifest is silent.
    pub protocol: Protocol,
    /// `containerPort`, 1–65535.
    pub port: u16,
}

/// A pod as far as policies care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub reference: PodRef,
    /// `metadata.uid`; tells a re-created pod from its predecessor.
    pub uid: Arc<str>,
    /// `metadata.creationTimestamp` in seconds since 1970, 0 where unknown; the newest pod wins an address.
    pub created: i64,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.nodeName`, once bound.
    pub node: Option<Arc<str>>,
    /// `status.podIPs` of both families; empty until the pod has any (semantics 40, 163).
    pub addresses: Vec<IpAddr>,
    /// `spec.hostNetwork`: neither subject nor pod peer (semantics 41, 63).
    pub host_network: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// Ports of all containers, restartable init containers included, in the order of the manifest.
    pub ports: Vec<ContainerPort>,
}

impl Pod {
    /// Whether its addresses can be its own: those of a finished pod may belong to another by now,
    /// those of a hostNetwork pod are its node's (semantics 39, 41, 173).
    pub fn can_own_addresses(&self) -> bool {
        !self.phase.is_finished() && !self.host_network
    }

    /// The number that this pod gives a port name in a protocol (semantics 91-94); the first
    /// container wins if several use the name.
    pub fn port_number(&self, protocol: Protocol, name: &str) -> Option<u16> {
        self.ports
            .iter()
            .find(|port| port.protocol == protocol && port.name.as_deref() == Some(name))
            .map(|port| port.port)
    }
}

/// The label by which a namespace can be selected by its name (semantics 56); the API server sets
/// it on every namespace.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A namespace as far as policies care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels, [`NAMESPACE_NAME_LABEL`] included.
    pub labels: Labels,
}

impl Namespace {
    /// A namespace of which nothing but the name is known.
    pub fn unlabelled(name: &str) -> Self {
        Self {
            name: name.into(),
            labels: Labels::from_iter([(NAMESPACE_NAME_LABEL, name)]),
        }
    }
}

/// A node as far as policies care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// `status.addresses` that are IP addresses.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
}
