//! What the control plane does for Services: from selectors to endpoints.
//!
//! A Service's endpoints are the running pods that its selector matches, each with the port that
//! its `targetPort` means for *that* pod (a name may be another number on every pod, semantics 183).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Pod, Service, ServicePort as ServicePortSpec, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use netsim::{
    service::{Endpoint, Service as Programmed, ServicePort},
    topology::Protocol,
};

use crate::{
    scenario::{self, ObjectName},
    store::Store,
};

/// All Services that have something to program, with their endpoints as of now.
pub fn resolve(store: &Store) -> Vec<Programmed> {
    store
        .services()
        .map(|service| programmed(store, service))
        .collect()
}

fn programmed(store: &Store, service: &Service) -> Programmed {
    let name = ObjectName::of(&service.metadata);
    let spec = service.spec.clone().unwrap_or_default();
    let pods: Vec<&Pod> = endpoints_of(store, service).collect();
    let is_node_port = spec.type_.as_deref() == Some("NodePort");
    let port = |port: &ServicePortSpec| ServicePort {
        port: as_port(port.port),
        protocol: protocol(port.protocol.as_deref()),
        node_port: port.node_port.filter(|_| is_node_port).map(as_port),
        endpoints: pods.iter().flat_map(|pod| endpoints(pod, port)).collect(),
    };
    Programmed {
        name: name.to_string(),
        cluster_ips: cluster_ips(service).collect(),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        affinity: affinity(&spec),
        ports: spec.ports.iter().flatten().map(port).collect(),
    }
}

/// For how long a client is sent to the same endpoint; nothing if it need not be.
fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    /// The API server's default.
    const THREE_HOURS: u64 = 3 * 60 * 60;
    let config = spec.session_affinity_config.as_ref();
    let client = config.and_then(|config| config.client_ip.as_ref());
    let seconds = client.and_then(|client| client.timeout_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    (spec.session_affinity.as_deref() == Some("ClientIP"))
        .then(|| Duration::from_secs(seconds.unwrap_or(THREE_HOURS)))
}

/// The running pods that a Service selects. Those that are to end serve only while there are no
/// others.
pub fn endpoints_of<'a>(store: &'a Store, service: &Service) -> impl Iterator<Item = &'a Pod> {
    let namespace = ObjectName::of(&service.metadata).namespace;
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.clone())
        .unwrap_or_default();
    let running = store.pods().filter(move |pod| {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let is_running = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
        is_running
            && pod.metadata.namespace.as_deref() == Some(&namespace)
            && !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    });
    let is_ending = |pod: &&Pod| pod.metadata.deletion_timestamp.is_some();
    let (ending, ready): (Vec<_>, Vec<_>) = running.partition(is_ending);
    if ready.is_empty() { ending } else { ready }.into_iter()
}

fn endpoints(pod: &Pod, port: &ServicePortSpec) -> Vec<Endpoint> {
    let Some(number) = target_port(pod, port) else {
        return Vec::new();
    };
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    addresses(pod)
        .map(|ip| Endpoint {
            address: SocketAddr::new(ip, number),
            node: node.clone().unwrap_or_default(),
        })
        .collect()
}

/// The number that a Service's `targetPort` means on this pod.
pub fn target_port(pod: &Pod, port: &ServicePortSpec) -> Option<u16> {
    let own = IntOrString::Int(port.port);
    let target = port.target_port.as_ref().unwrap_or(&own);
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    scenario::target_port(pod, target, protocol.parse().ok()?)?.number
}

fn protocol(text: Option<&str>) -> Protocol {
    match text {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

/// Port numbers in objects are `i32`; the scenario's checker has refused those out of range.
fn as_port(number: i32) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

/// The addresses a pod has now.
pub fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let ips = pod.status.iter().flat_map(|s| s.pod_ips.iter().flatten());
    ips.filter_map(|ip| ip.ip.parse().ok())
}

/// The ClusterIPs of a Service; none for a headless one, which has `None` in their place.
pub fn cluster_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let spec = service.spec.iter();
    let ips = spec.flat_map(|spec| spec.cluster_ips.iter().flatten());
    ips.filter_map(|ip| ip.parse().ok())
}
