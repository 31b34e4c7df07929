//! Kubernetes objects in one line each, and the events they become.

use std::net::{IpAddr, Ipv4Addr};

use enforcer::{
    api,
    cluster::{Event, PodRef},
};
use k8s_openapi::{
    api::{
        core::v1::{
            Namespace, Node, NodeAddress, NodeSpec, NodeStatus, Pod, PodIP, PodSpec, PodStatus,
        },
        networking::v1::{
            IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule,
            NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

/// Labels of an object, or what a selector wants.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

fn named(namespace: Option<&str>, name: &str, labels: Labels<'_>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(owned(labels)),
        uid: Some(format!("uid-{}-{name}", namespace.unwrap_or_default())),
        ..ObjectMeta::default()
    }
}

fn owned(labels: Labels<'_>) -> std::collections::BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// With the label that the API server gives it.
pub(crate) fn namespace(name: &str, labels: Labels<'_>) -> Namespace {
    let mut metadata = named(None, name, labels);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    Namespace {
        metadata,
        ..Namespace::default()
    }
}

/// A running pod.
pub(crate) fn pod(
    namespace: &str,
    name: &str,
    node: &str,
    address: IpAddr,
    labels: Labels<'_>,
) -> Pod {
    Pod {
        metadata: named(Some(namespace), name, labels),
        spec: Some(PodSpec {
            node_name: Some(node.to_owned()),
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            pod_ip: Some(address.to_string()),
            pod_ips: Some(vec![PodIP {
                ip: address.to_string(),
            }]),
            ..PodStatus::default()
        }),
    }
}

/// A node with an address and the range of its pods.
pub(crate) fn node(name: &str, address: IpAddr, range: &str) -> Node {
    Node {
        metadata: named(None, name, &[]),
        spec: Some(NodeSpec {
            pod_cidrs: Some(vec![range.to_owned()]),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            addresses: Some(vec![NodeAddress {
                address: address.to_string(),
                type_: "InternalIP".to_owned(),
            }]),
            ..NodeStatus::default()
        }),
    }
}

/// A policy for the pods with these labels; its types follow from its rules.
pub(crate) fn policy(
    namespace: &str,
    name: &str,
    pods: Labels<'_>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    let mut types = vec!["Ingress".to_owned()];
    if !egress.is_empty() {
        types.push("Egress".to_owned());
    }
    NetworkPolicy {
        metadata: named(Some(namespace), name, &[]),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(pods)),
            policy_types: Some(types),
            ingress: Some(ingress),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    }
}

pub(crate) fn selector(labels: Labels<'_>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(owned(labels)),
        ..LabelSelector::default()
    }
}

pub(crate) fn from(
    peers: Vec<NetworkPolicyPeer>,
    ports: Vec<NetworkPolicyPort>,
) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(peers),
        ports: Some(ports),
    }
}

pub(crate) fn to(
    peers: Vec<NetworkPolicyPeer>,
    ports: Vec<NetworkPolicyPort>,
) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(peers),
        ports: Some(ports),
    }
}

/// Pods of the policy's own namespace.
pub(crate) fn pods(labels: Labels<'_>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selector(labels)),
        ..NetworkPolicyPeer::default()
    }
}

/// Pods of the namespaces with these labels.
pub(crate) fn pods_where(namespaces: Labels<'_>, labels: Labels<'_>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(selector(namespaces)),
        pod_selector: Some(selector(labels)),
        ..NetworkPolicyPeer::default()
    }
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then(|| except.iter().map(ToString::to_string).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

/// One port.
pub(crate) fn port(protocol: &str, port: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port.into())),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

/// Ports from the first to the last.
pub(crate) fn ports(protocol: &str, first: u16, last: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        end_port: Some(last.into()),
        ..port(protocol, first)
    }
}

/// An address by its number in a range of 2^24.
pub(crate) fn address(range: u8, number: usize) -> IpAddr {
    let [_, a, b, c] = u32::try_from(number)
        .expect("no range has room for more")
        .to_be_bytes();
    Ipv4Addr::new(range, a, b, c).into()
}

/// Objects as the enforcer is told of them.
pub(crate) trait Told {
    /// The event of the object's coming or changing.
    fn told(&self) -> Event;
}

impl Told for Namespace {
    fn told(&self) -> Event {
        Event::ApplyNamespace(api::namespace(self))
    }
}

impl Told for Node {
    fn told(&self) -> Event {
        Event::ApplyNode(api::node(self))
    }
}

impl Told for Pod {
    fn told(&self) -> Event {
        Event::ApplyPod(api::pod(self))
    }
}

impl Told for NetworkPolicy {
    fn told(&self) -> Event {
        Event::ApplyPolicy(api::policy_ref(self), api::lower_network_policy(self))
    }
}

/// The event of a pod's going.
pub(crate) fn gone(pod: &Pod) -> Event {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    Event::DeletePod(PodRef::new(
        &part(&pod.metadata.namespace),
        &part(&pod.metadata.name),
    ))
}

/// The event of a policy's going.
pub(crate) fn policy_gone(policy: &NetworkPolicy) -> Event {
    Event::DeletePolicy(api::policy_ref(policy))
}
