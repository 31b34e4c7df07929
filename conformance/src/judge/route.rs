//! The ways a connection can take through the cluster: who sees which packet.
//!
//! Policies are judged in the forward hook of a node, after DNAT and before SNAT. A connection to a
//! Service can end at any of its endpoints, so a cell has one route per endpoint.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};

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
    /// Who is at its end.
    pub end: Endpoint,
    /// The node whose network the end has no network apart from: whoever listens there may answer.
    pub host: Option<String>,
    /// The port that is asked there.
    pub port: Port,
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

impl Route {
    /// Whether an answer from this place is one from the end. A hostNetwork pod has its node's ports.
    pub fn may_be_answered_by(&self, place: &str) -> bool {
        let node = place.strip_prefix("node/");
        place == self.end.to_string() || (node.is_some() && node == self.host.as_deref())
    }
}

/// A machine on the way.
#[derive(Clone, Debug)]
struct Station {
    endpoint: Endpoint,
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
            let is_local_only = policy_of(service, |spec| spec.internal_traffic_policy.as_deref());
            ends(store, service, port, cell.family)
                .filter(|(end, _)| !is_local_only || end.node == source.node)
                .map(|(end, port)| direct(&source, &end, port))
                .collect()
        }
        Endpoint::Node(node) => {
            let Some(dialled) = station(backend, &cell.destination, cell.family) else {
                return Vec::new();
            };
            match (node_port(store, cell.port), host_port(store, node, cell)) {
                (Some((service, port)), _) => {
                    through_node_port(store, &source, &dialled, service, port, cell)
                }
                (None, Some((end, port))) => {
                    vec![through_node(&source, &dialled, &dialled, end, port, cell)]
                }
                (None, None) => straight(backend, &source, cell),
            }
        }
        Endpoint::Pod { .. } | Endpoint::External(_) => straight(backend, &source, cell),
        // It never leaves the pod (semantics 177).
        Endpoint::Localhost => vec![within(source, cell.port)],
    }
}

fn straight(backend: &dyn Backend, source: &Station, cell: &Cell) -> Vec<Route> {
    station(backend, &cell.destination, cell.family)
        .map(|end| match end.endpoint == source.endpoint {
            // As for localhost: its own address is in the pod too (semantics 176).
            true => within(end, cell.port),
            false => direct(source, &end, cell.port),
        })
        .into_iter()
        .collect()
}

/// A connection that no hook of a node sees.
fn within(end: Station, port: Port) -> Route {
    Route {
        host: end.host(),
        end: end.endpoint,
        port,
        hops: Vec::new(),
    }
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
        host: end.host(),
        end: end.endpoint.clone(),
        port,
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

/// A NodePort of this node leads anywhere, unless the Service keeps traffic from elsewhere local
/// (semantics 188). The node itself and its pods are not from elsewhere: they reach every end, and
/// its pods with their own address.
fn through_node_port(
    store: &Store,
    source: &Station,
    dialled: &Station,
    service: &Service,
    port: &ServicePort,
    cell: &Cell,
) -> Vec<Route> {
    let is_local = policy_of(service, |spec| spec.external_traffic_policy.as_deref());
    let starts_here = source.node == dialled.node;
    let is_rewritten = !(is_local && starts_here && source.is_pod);
    let seen_as = if is_rewritten { dialled } else { source };
    ends(store, service, port, cell.family)
        .filter(|(end, _)| !is_local || starts_here || end.node == dialled.node)
        .map(|(end, port)| through_node(source, dialled, seen_as, end, port, cell))
        .collect()
}

/// A port of a node: the node that is dialled rewrites the destination, and for an end elsewhere
/// also the source, as a rule to an address of its own (semantics 187).
fn through_node(
    source: &Station,
    dialled: &Station,
    seen_as: &Station,
    end: Station,
    port: Port,
    cell: &Cell,
) -> Route {
    let starts_here = source.node == dialled.node;
    let ends_here = end.node == dialled.node;
    let mut hops = Vec::new();
    if source.is_pod && !starts_here {
        hops.extend(hop(source.node.as_ref(), source, dialled, cell.port));
    }
    if end.is_pod && (!starts_here || source.is_pod) {
        hops.extend(hop(dialled.node.as_ref(), source, &end, port));
    }
    if end.is_pod && !ends_here {
        hops.extend(hop(end.node.as_ref(), seen_as, &end, port));
    }
    Route {
        host: end.host(),
        end: end.endpoint,
        port,
        hops,
    }
}

impl Station {
    fn of(pod: &Pod, address: IpAddr) -> Self {
        let ObjectName { namespace, name } = ObjectName::of(&pod.metadata);
        Self {
            endpoint: Endpoint::Pod { namespace, name },
            address,
            node: node_of(pod),
            is_pod: !is_host_network(pod),
        }
    }

    /// The node whose network this is in.
    fn host(&self) -> Option<String> {
        self.node.clone().filter(|_| !self.is_pod)
    }
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
        endpoint: endpoint.clone(),
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
        let end = Station::of(pod, address);
        let number = target_port(pod, port)?;
        let port = Port {
            number: Some(number),
            protocol: protocol(port.protocol.as_deref()),
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

/// A pod of this node that has asked for this port of the node (semantics 175).
fn host_port(store: &Store, node: &str, cell: &Cell) -> Option<(Station, Port)> {
    let dialled = cell.port;
    store.pods().find_map(|pod| {
        let is_wanted = |ip: &IpAddr| ip.is_ipv6() == (cell.family == Family::Ipv6);
        let spec = pod.spec.as_ref()?;
        let is_here = spec.node_name.as_deref() == Some(node) && !is_host_network(pod);
        let mut ports = spec
            .containers
            .iter()
            .flat_map(|c| c.ports.iter().flatten());
        let port = ports.find(|port| {
            port.host_port.is_some()
                && port.host_port == dialled.number.map(i32::from)
                && protocol(port.protocol.as_deref()) == dialled.protocol
        })?;
        let address = addresses(pod).find(is_wanted).filter(|_| is_here)?;
        let port = Port {
            number: u16::try_from(port.container_port).ok(),
            ..dialled
        };
        Some((Station::of(pod, address), port))
    })
}

/// Whether one of a Service's traffic policies is `Local`.
fn policy_of(service: &Service, which: impl Fn(&ServiceSpec) -> Option<&str>) -> bool {
    service.spec.as_ref().and_then(which) == Some("Local")
}

fn is_dialled(port: &ServicePort, number: Option<i32>, dialled: Port) -> bool {
    number.is_some()
        && number == dialled.number.map(i32::from)
        && protocol(port.protocol.as_deref()) == dialled.protocol
}

fn protocol(name: Option<&str>) -> Protocol {
    match name {
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
