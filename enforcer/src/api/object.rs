//! Pods, namespaces and nodes as the index keeps them.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::core::v1 as core;

use super::{
    address::{Range, parse_address},
    lower::{SCTP, TCP, UDP},
};
use crate::{
    cluster::{ContainerPort, Labels, NAMESPACE_NAME_LABEL, Namespace, Node, Phase, Pod, PodRef},
    policy::Protocol,
};

/// A pod as far as policies care. What cannot be read of it is left out: an address that is none,
/// a port out of range.
pub fn pod(pod: &core::Pod) -> Pod {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    Pod {
        reference: PodRef::new(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        ),
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
        created: metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        labels: labels(metadata.labels.as_ref()),
        node: spec
            .and_then(|spec| spec.node_name.as_deref())
            .filter(|name| !name.is_empty())
            .map(Into::into),
        addresses: status.map(pod_addresses).unwrap_or_default(),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
        phase: phase(status.and_then(|status| status.phase.as_deref())),
        ports: spec.map(container_ports).unwrap_or_default(),
    }
}

/// A namespace as far as policies care. The label by which it is selected by name is the server's
/// to set: it is added, and overrides what is there.
pub fn namespace(namespace: &core::Namespace) -> Namespace {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let given = namespace.metadata.labels.iter().flatten();
    let labels = given
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain([(NAMESPACE_NAME_LABEL, name)])
        .collect();
    Namespace {
        name: name.into(),
        labels,
    }
}

/// A node as far as policies care.
pub fn node(node: &core::Node) -> Node {
    let spec = node.spec.as_ref();
    let addresses = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten())
        .filter_map(|address| parse_address(&address.address));
    let pod_cidrs = match spec.and_then(|spec| spec.pod_cidrs.as_deref()) {
        Some(ranges) if !ranges.is_empty() => ranges.to_vec(),
        _ => spec
            .and_then(|spec| spec.pod_cidr.clone())
            .into_iter()
            .collect(),
    };
    Node {
        name: node.metadata.name.as_deref().unwrap_or_default().into(),
        labels: labels(node.metadata.labels.as_ref()),
        addresses: unique(addresses),
        pod_cidrs: unique(
            pod_cidrs
                .iter()
                .filter_map(|text| Range::parse(text))
                .map(Range::network),
        ),
    }
}

fn labels(labels: Option<&BTreeMap<String, String>>) -> Labels {
    labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// All addresses of a pod (semantics 194). `podIP` repeats the first of `podIPs`; only very old
/// servers set it alone.
fn pod_addresses(status: &core::PodStatus) -> Vec<IpAddr> {
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let addresses: Vec<IpAddr> = unique(all.filter_map(parse_address));
    if addresses.is_empty() {
        status
            .pod_ip
            .as_deref()
            .and_then(parse_address)
            .into_iter()
            .collect()
    } else {
        addresses
    }
}

fn phase(phase: Option<&str>) -> Phase {
    match phase {
        None | Some("" | "Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some(_) => Phase::Unknown,
    }
}

/// The ports of all containers that keep running: init containers with `restartPolicy: Always`
/// are sidecars and count, others have ended before the pod serves.
fn container_ports(spec: &core::PodSpec) -> Vec<ContainerPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    // Where two give a port the same name, the ordinary container's counts, as for Services.
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            Some(ContainerPort {
                name: port
                    .name
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .map(Into::into),
                protocol: match port.protocol.as_deref() {
                    None | Some("" | TCP) => Protocol::Tcp,
                    Some(UDP) => Protocol::Udp,
                    Some(SCTP) => Protocol::Sctp,
                    Some(_) => return None,
                },
                port: u16::try_from(port.container_port)
                    .ok()
                    .filter(|port| *port > 0)?,
            })
        })
        .collect()
}

/// Without repetitions, in the order of first appearance.
fn unique<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}
