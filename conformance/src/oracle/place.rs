//! Who has an address.

use std::{fmt, net::IpAddr};

use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{World, block};

/// One end of a connection.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// A pod with an address of its own.
    Pod(&'a Pod),
    /// A process or a hostNetwork pod on this node (63, 171).
    Node(&'a str),
    /// A machine outside the cluster.
    Outside(IpAddr),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(pod) => write!(f, "{}/{}", namespace_of(pod), name_of(pod)),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Outside(address) => write!(f, "{address}"),
        }
    }
}

/// Who has this address: the pod that owns it (62); else the node that lists it, or that is known
/// to send or receive here, unless the address is one that nodes give to pods; else somebody outside,
/// as is a pod that nobody has heard of yet.
pub(super) fn place_of<'a>(world: &'a World, address: IpAddr, node: Option<&'a str>) -> Place<'a> {
    let owner = owner(&world.pods, address).map(Place::Pod);
    let lists_it = world.nodes.iter().find(|n| node_has(n, address));
    let node = match lists_it {
        Some(lister) => lister.metadata.name.as_deref(),
        None => node.filter(|_| !world.nodes.iter().any(|n| gives_out(n, address))),
    };
    owner
        .or(node.map(Place::Node))
        .unwrap_or(Place::Outside(address))
}

/// Whether a node gives this address to its pods: it is in one of `spec.podCIDRs`, or in
/// `spec.podCIDR` where a server fills in only that.
pub(super) fn gives_out(node: &Node, address: IpAddr) -> bool {
    let Some(spec) = &node.spec else {
        return false;
    };
    let first = spec.pod_cidr.iter();
    let ranges = first.chain(spec.pod_cidrs.iter().flatten());
    ranges.into_iter().any(|range| block::is_in(range, address))
}

/// The pod that owns an address. Finished pods (39) and hostNetwork pods (41, 63, 173) own none;
/// of several claims a running pod's wins, then the newest, then the greatest uid (158, 159).
pub(super) fn owner(pods: &[Pod], address: IpAddr) -> Option<&Pod> {
    let claims = |pod: &&Pod| {
        !is_finished(pod) && !is_host_network(pod) && addresses_of(pod).any(|own| own == address)
    };
    pods.iter().filter(claims).max_by_key(|pod| precedence(pod))
}

fn precedence(pod: &Pod) -> (bool, Option<&Time>, Option<&str>) {
    let is_running = phase_of(pod) == Some("Running");
    let created = pod.metadata.creation_timestamp.as_ref();
    (is_running, created, pod.metadata.uid.as_deref())
}

/// All addresses of a pod, of both families: `status.podIPs`, and `status.podIP` for pods of
/// servers that fill in only that (62, 194). None until they are given out (40, 163).
fn addresses_of(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.iter();
    let first = status.clone().filter_map(|status| status.pod_ip.as_ref());
    let all = status.flat_map(|status| status.pod_ips.iter().flatten());
    let texts = first.chain(all.map(|ip| &ip.ip));
    texts.filter_map(|text| text.parse().ok())
}

/// Succeeded and Failed pods are neither subject nor peer (39). Terminating ones are, until their
/// address is gone (42).
fn is_finished(pod: &Pod) -> bool {
    matches!(phase_of(pod), Some("Succeeded" | "Failed"))
}

/// A hostNetwork pod is its node: no subject (41), no pod peer (63).
fn is_host_network(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.host_network).unwrap_or(false)
}

fn phase_of(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn node_has(node: &Node, address: IpAddr) -> bool {
    let status = node.status.iter();
    status
        .flat_map(|status| status.addresses.iter().flatten())
        .any(|listed| listed.address.parse() == Ok(address))
}

/// The namespace a pod lies in.
pub(super) fn namespace_of(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// A pod's name.
pub(super) fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The node a pod runs on, once it is bound to one.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
