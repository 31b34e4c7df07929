//! Which connections of a world are worth asking about: every pair, on ports around which the
//! policies decide.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    dice::Dice,
    generate::words::{PORTS, PROTOCOLS},
    world::World,
};
use crate::cell::{Cell, Endpoint, Family, Port, Protocol};

/// The ports on which nodes and machines outside listen; a hostNetwork pod shares its node's.
pub const HOST_PORT: u16 = 80;
/// The port on which hostNetwork pods listen.
pub const HOST_POD_PORT: u16 = 81;

/// About `most` connections, most of them between pods, but at least one for every pair of which
/// one is a pod.
pub fn cells(dice: &mut Dice, world: &World, most: usize) -> Vec<Cell> {
    let boundaries = boundaries(&world.policies);
    let endpoints = world.endpoints();
    let is_judged = |source: &Endpoint, destination: &Endpoint| {
        [source, destination]
            .iter()
            .any(|end| world.pod(end).is_some_and(|pod| !pod.host_network))
    };
    let pairs: Vec<(&Endpoint, &Endpoint)> = endpoints
        .iter()
        .flat_map(|source| {
            endpoints
                .iter()
                .map(move |destination| (source, destination))
        })
        .filter(|(source, destination)| is_judged(source, destination))
        .collect();
    // What no policy may stop is asked once: a node and its pods, a pod and itself.
    let is_open = |source: &Endpoint, destination: &Endpoint| {
        let is_pod = |end| world.pod(end).is_some_and(|pod| !pod.host_network);
        source == destination
            || (!(is_pod(source) && is_pod(destination))
                && world.node_of(source).is_some()
                && world.node_of(source) == world.node_of(destination))
    };
    let closable = pairs
        .iter()
        .filter(|(source, destination)| !is_open(source, destination));
    let each = (most / closable.count().max(1)).max(1);
    let mut cells = Vec::with_capacity(most + pairs.len());
    for (source, destination) in pairs {
        let times = if is_open(source, destination) {
            1
        } else {
            each
        };
        for _ in 0..times {
            cells.push(Cell {
                source: source.clone(),
                destination: destination.clone(),
                port: port(dice, world, destination, &boundaries),
                family: *dice.pick(&world.families),
            });
        }
    }
    cells
}

fn port(dice: &mut Dice, world: &World, destination: &Endpoint, boundaries: &[Port]) -> Port {
    let protocol = match dice.below(10) {
        0 => Protocol::Icmp,
        _ => dice.weighted(&PROTOCOLS),
    };
    if protocol == Protocol::Icmp {
        return Port {
            number: None,
            protocol,
        };
    }
    let pod = world.pod(destination);
    let number = match pod {
        None => HOST_PORT,
        Some(pod) if pod.host_network => HOST_POD_PORT,
        Some(pod) => {
            let declared: Vec<Port> = pod.declared().map(super::world::Declared::port).collect();
            match dice.below(10) {
                0..4 if !declared.is_empty() => return *dice.pick(&declared),
                4..8 if !boundaries.is_empty() => return *dice.pick(boundaries),
                // The number of one protocol in another (108).
                8 if !boundaries.is_empty() => dice.pick(boundaries).number.unwrap_or(HOST_PORT),
                _ => *dice.pick(&PORTS),
            }
        }
    };
    Port {
        number: Some(number),
        protocol,
    }
}

/// The ports at the edges of what policies name, and their neighbours.
fn boundaries(policies: &[NetworkPolicy]) -> Vec<Port> {
    let mut found = BTreeSet::new();
    for port in policies.iter().flat_map(ports) {
        let Some(IntOrString::Int(first)) = port.port else {
            continue;
        };
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let Ok(protocol) = protocol.parse::<Protocol>() else {
            continue;
        };
        for edge in [first, port.end_port.unwrap_or(first)] {
            let around = (edge - 1..=edge + 1).filter_map(|n| u16::try_from(n).ok());
            found.extend(around.filter(|number| *number > 0).map(|number| Port {
                number: Some(number),
                protocol,
            }));
        }
    }
    found.retain(|port| port.protocol != Protocol::Icmp);
    found.into_iter().collect()
}

fn ports(policy: &NetworkPolicy) -> impl Iterator<Item = &NetworkPolicyPort> {
    let spec = policy.spec.iter();
    let ingress = spec.clone().flat_map(|s| s.ingress.iter().flatten());
    let egress = spec.flat_map(|s| s.egress.iter().flatten());
    let ingress = ingress.flat_map(|rule| rule.ports.iter().flatten());
    ingress.chain(egress.flat_map(|rule| rule.ports.iter().flatten()))
}

/// Connections between pods and addresses that nobody has: at the edges of what policies and nodes
/// call theirs, and those that finished pods had. Only without packets.
pub fn with_strangers(dice: &mut Dice, world: &World, most: usize) -> Vec<Cell> {
    let boundaries = boundaries(&world.policies);
    let strangers: Vec<IpAddr> = strangers(world).into_iter().collect();
    let pods = world.pods.iter().filter(|(_, pod)| pod.is_running_apart());
    let pods: Vec<Endpoint> = pods.map(|(name, _)| super::world::endpoint(name)).collect();
    if strangers.is_empty() || pods.is_empty() {
        return Vec::new();
    }
    let cell = |_| {
        let address = *dice.pick(&strangers);
        let pod = dice.pick(&pods).clone();
        let port = port(dice, world, &pod, &boundaries);
        let stranger = Endpoint::External(address.to_string());
        let (source, destination) = match dice.chance(50) {
            true => (stranger, pod),
            false => (pod, stranger),
        };
        Cell {
            source,
            destination,
            port,
            family: match address {
                IpAddr::V4(_) => Family::Ipv4,
                IpAddr::V6(_) => Family::Ipv6,
            },
        }
    };
    (0..most).map(cell).collect()
}

/// Addresses that nobody has.
fn strangers(world: &World) -> BTreeSet<IpAddr> {
    let of_nodes = world
        .nodes
        .keys()
        .flat_map(|node| world.node_pod_cidrs(node));
    let of_policies = world.policies.iter().flat_map(blocks);
    let ranges = of_nodes.chain(of_policies);
    let ranges = ranges.filter_map(|text| text.parse::<IpNet>().ok());
    let edges = ranges.flat_map(|range| {
        let (first, last) = (range.network(), range.broadcast());
        [first, last]
            .into_iter()
            .chain(before(first))
            .chain(after(last))
    });
    let finished = world.pods.values().filter(|pod| pod.life.is_finished());
    let former = finished.flat_map(|pod| world.pod_addresses(pod));
    let is_meant = |address: &IpAddr| {
        let family = match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        };
        let everybody = world.endpoints();
        let mut addresses = everybody
            .iter()
            .filter_map(|end| world.address(end, family));
        // What goes to loopback never leaves its pod.
        !address.is_loopback()
            && world.families.contains(&family)
            && !addresses.any(|other| other == *address)
    };
    edges.chain(former).filter(is_meant).collect()
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address
            .to_bits()
            .checked_sub(1)
            .map(|bits| Ipv4Addr::from(bits).into()),
        IpAddr::V6(address) => address
            .to_bits()
            .checked_sub(1)
            .map(|bits| Ipv6Addr::from(bits).into()),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address
            .to_bits()
            .checked_add(1)
            .map(|bits| Ipv4Addr::from(bits).into()),
        IpAddr::V6(address) => address
            .to_bits()
            .checked_add(1)
            .map(|bits| Ipv6Addr::from(bits).into()),
    }
}

/// Every range that a policy names, holes included.
fn blocks(policy: &NetworkPolicy) -> Vec<String> {
    let spec = policy.spec.iter();
    let ingress = spec.clone().flat_map(|s| s.ingress.iter().flatten());
    let egress = spec.flat_map(|s| s.egress.iter().flatten());
    let from = ingress.flat_map(|rule| rule.from.iter().flatten());
    let peers = from.chain(egress.flat_map(|rule| rule.to.iter().flatten()));
    let blocks = peers.filter_map(|peer| peer.ip_block.as_ref());
    let ranges = blocks.flat_map(|block| {
        let holes = block.except.iter().flatten();
        std::iter::once(&block.cidr).chain(holes)
    });
    ranges.cloned().collect()
}

/// One connection from everybody to every Service behind which somebody listens, by its address
/// and, where it has one, by its port of every node.
pub fn through_services(dice: &mut Dice, world: &World) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (name, service) in &world.services {
        if world.behind(name).next().is_none() {
            continue;
        }
        for source in world.endpoints() {
            let mut ask = |destination: Endpoint, number: u16| {
                cells.push(Cell {
                    source: source.clone(),
                    destination,
                    port: Port {
                        number: Some(number),
                        protocol: service.protocol,
                    },
                    family: *dice.pick(&world.families),
                });
            };
            // Nobody outside has a way to the addresses of Services.
            if !matches!(source, Endpoint::External(_)) {
                let (namespace, name) = name.split_once('/').unwrap_or_default();
                let service_end = Endpoint::Service {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                ask(service_end, service.port);
            }
            if let Some(port) = service.node_port {
                for node in world.nodes.keys() {
                    ask(Endpoint::Node(node.clone()), port);
                }
            }
        }
    }
    cells
}
