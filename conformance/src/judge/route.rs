//! The ways a connection can take through the cluster: who sees which packet.
//!
//! Policies are judged in the forward hook of a node, after DNAT and before SNAT. A connection to a
//! Service can end at any of its endpoints, so a cell has one route per endpoint.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};

use crate::{
    backend::Backend,
    cell::{Cell, Endpoint, Family, Port, Protocol},
    endpoints::{addresses, endpoints_of, target_port},
    scenario::ObjectName,
    store::Store,
};

/// One way from the source to whoever answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Who answers at its end, as a probe reports it; nothing if nobody can.
    pub served_by: Option<String>,
    /// Every node whose forward hook the packet passes, in order. A route without hops stays on
    /// one machine, or leaves the cluster's nodes aside.
    pub hops: Vec<Hop>,
}

/// One pass through a node's forward hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node.
    pub node: String,
    /// Source address as the hook sees it.
    pub source: IpAddr,
    /// The node that the source address belongs to, by its pod or by its own address; nothing for
    /// machines outside.
    pub source_node: Option<String>,
    /// Destination address as the hook sees it.
    pub destination: IpAddr,
    /// Likewise for the destination.
    pub destination_node: Option<String>,
    /// Destination port as the hook sees it.
    pub port: Port,
}

impl Hop {
    /// Whether the node judges anything here: it only ever judges its own pods.
    pub fn is_judged(&self) -> bool {
        let node = Some(&self.node);
        self.source_node.as_ref() == node || self.destination_node.as_ref() == node
    }
}

/// A machine on the way.
#[derive(Clone, Debug)]
struct Station {
    name: String,
    address: IpAddr,
    node: Option<String>,
    /// A pod with an address of its own, so that its node forwards for it.
    is_pod: bool,
}

/// All routes of a cell; none if the cell names something without an address.
pub fn routes(backend: &dyn Backend, cell: &Cell) -> Vec<Route> {
    let Some(source) = station(backend, &cell.source, cell.family) else {
        return Vec::new();
    };
    let store = backend.store();
    match &cell.destination {
        Endpoint::Service { namespace, name } => {
            let service = store.service(namespace, name);
            let Some((service, port)) = service.and_then(|s| Some((s, port_of(s, cell.port)?)))
            else {
                return Vec::new();
            };
            ends(store, service, port, cell.family)
                .map(|(end, port)| direct(&source, &end, port))
                .collect()
        }
        Endpoint::Node(node) => match node_port(store, cell.port) {
            Some((service, port)) => through_node_port(backend, &source, node, service, port, cell),
            None => straight(backend, &source, cell),
        },
        Endpoint::Pod { .. } | Endpoint::External(_) => straight(backend, &source, cell),
        Endpoint::Localhost => vec![Route {
            served_by: Some(source.name),
            hops: Vec::new(),
        }],
    }
}

fn straight(backend: &dyn Backend, source: &Station, cell: &Cell) -> Vec<Route> {
    station(backend, &cell.destination, cell.family)
        .map(|end| direct(source, &end, cell.port))
        .into_iter()
        .collect()
}

/// Source and destination with no address rewritten on the way but by the source's own node.
fn direct(source: &Station, end: &Station, port: Port) -> Route {
    let on_one_node = source.node.is_some() && source.node == end.node;
    let mut hops = Vec::new();
    // A node's own processes and addresses are reached without its forward hook.
    if source.is_pod && (end.is_pod || !on_one_node) {
        hops.extend(hop(source.node.as_ref(), source, end, port));
    }
    if end.is_pod && !on_one_node {
        hops.extend(hop(end.node.as_ref(), source, end, port));
    }
    Route {
        served_by: Some(end.name.clone()),
        hops,
    }
}

fn hop(node: Option<&String>, source: &Station, end: &Station, port: Port) -> Option<Hop> {
    Some(Hop {
        node: node?.clone(),
        source: source.address,
        source_node: source.node.clone(),
        destination: end.address,
        destination_node: end.node.clone(),
        port,
    })
}

/// A NodePort: the node that is dialled rewrites the destination, and for an endpoint elsewhere
/// also the source to an address of its own (semantics 187), unless the Service keeps traffic local.
fn through_node_port(
    backend: &dyn Backend,
    source: &Station,
    node: &str,
    service: &Service,
    port: &ServicePort,
    cell: &Cell,
) -> Vec<Route> {
    let Some(dialled) = station(backend, &cell.destination, cell.family) else {
        return Vec::new();
    };
    let is_local_only = service
        .spec
        .as_ref()
        .and_then(|spec| spec.external_traffic_policy.as_deref())
        == Some("Local");
    let ends = ends(backend.store(), service, port, cell.family)
        .filter(|(end, _)| !is_local_only || end.node.as_deref() == Some(node));
    ends.map(|(end, port)| {
        let starts_here = source.node.as_deref() == Some(node);
        let ends_here = end.node.as_deref() == Some(node);
        let mut hops = Vec::new();
        if source.is_pod && !starts_here {
            hops.extend(hop(source.node.as_ref(), source, &dialled, cell.port));
        }
        if end.is_pod && (!starts_here || source.is_pod) {
            hops.extend(hop(dialled.node.as_ref(), source, &end, port));
        }
        if end.is_pod && !ends_here {
            hops.extend(hop(end.node.as_ref(), &dialled, &end, port));
        }
        Route {
            served_by: Some(end.name),
            hops,
        }
    })
    .collect()
}

fn station(backend: &dyn Backend, endpoint: &Endpoint, family: Family) -> Option<Station> {
    let address = backend.address(endpoint, family)?;
    let (node, is_pod) = match endpoint {
        Endpoint::Pod { namespace, name } => {
            let pod = backend.store().pod(namespace, name)?;
            (node_of(pod), !is_host_network(pod))
        }
        Endpoint::Node(name) => (Some(name.clone()), false),
        Endpoint::External(_) | Endpoint::Service { .. } | Endpoint::Localhost => (None, false),
    };
    Some(Station {
        name: endpoint.to_string(),
        address,
        node,
        is_pod,
    })
}

/// A Service's endpoints of one family with their ports.
fn ends<'a>(
    store: &'a Store,
    service: &'a Service,
    port: &'a ServicePort,
    family: Family,
) -> impl Iterator<Item = (Station, Port)> + use<'a> {
    endpoints_of(store, service).filter_map(move |pod| {
        let is_wanted = |ip: &IpAddr| ip.is_ipv6() == (family == Family::Ipv6);
        let address = addresses(pod).find(is_wanted)?;
        let name = ObjectName::of(&pod.metadata);
        let end = Station {
            name: name.to_string(),
            address,
            node: node_of(pod),
            is_pod: !is_host_network(pod),
        };
        let number = target_port(pod, port)?;
        let port = Port {
            number: Some(number),
            protocol: protocol_of(port),
        };
        Some((end, port))
    })
}

fn port_of(service: &Service, dialled: Port) -> Option<&ServicePort> {
    let mut ports = service.spec.as_ref()?.ports.iter().flatten();
    ports.find(|port| is_dialled(port, Some(port.port), dialled))
}

fn node_port(store: &Store, dialled: Port) -> Option<(&Service, &ServicePort)> {
    store.services().find_map(|service| {
        let spec = service.spec.as_ref()?;
        let mut ports = spec.ports.iter().flatten();
        let port = ports.find(|port| is_dialled(port, port.node_port, dialled))?;
        (spec.type_.as_deref() == Some("NodePort")).then_some((service, port))
    })
}

fn is_dialled(port: &ServicePort, number: Option<i32>, dialled: Port) -> bool {
    number.is_some()
        && number == dialled.number.map(i32::from)
        && protocol_of(port) == dialled.protocol
}

fn protocol_of(port: &ServicePort) -> Protocol {
    match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

fn is_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
}
