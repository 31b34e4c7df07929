//! A simulated cluster: nodes, pods and external machines that exchange real packets.
//!
//! Start at [`Cluster::build`] (inside a [`crate::sandbox::Sandbox`]), then [`Cluster::add_pods`].
//! Dropping the cluster closes its descriptors, and the kernel takes everything away.
//!
//! - the machines and the network between them, in `cluster/build.rs`;
//! - pods coming and going, in `cluster/pods.rs`;
//! - pods of one bridge that know each other, in `cluster/neighbours.rs`;
//! - listeners, probes, flows, traffic and Services, in `cluster/traffic.rs`;
//! - [`dump`]: what a node looks like inside.
//!
//! What must be true: packets keep their source address everywhere (nothing is masqueraded unless a
//! Service asks for it); an address that was freed is not given to another pod unless it is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    addresses::{Ranges, pool::Pool},
    fabric::Ground,
    link::Link,
    listen::{Server, Servers},
    netns::Netns,
    place::Place,
    probe::Prober,
    service::{Installed, Service},
    topology::{HostPort, Topology},
};

mod build;
pub mod dump;
mod error;
mod neighbours;
mod pods;
mod traffic;
mod whereabouts;

pub use error::Error;
pub(crate) use whereabouts::Whereabouts;

/// A simulated cluster.
#[derive(Debug)]
pub struct Cluster {
    topology: Topology,
    ranges: Ranges,
    underlay: Netns,
    nodes: Vec<Node>,
    externals: Vec<External>,
    pods: BTreeMap<String, Pod>,
    whereabouts: Whereabouts,
    services: Vec<Service>,
    prober: Prober,
    /// Before `listening`: it stops faster as a whole than one by one.
    servers: Servers,
    listening: BTreeMap<Place, Vec<Server>>,
    /// Who is going to talk to which addresses, whoever will have them.
    acquaintances: BTreeSet<(Place, IpAddr)>,
    /// How many links there have been.
    links: u32,
}

#[derive(Debug)]
struct Node {
    name: String,
    netns: Arc<Netns>,
    ground: Ground,
    addresses: Vec<IpAddr>,
    /// One per family.
    pools: Vec<Pool>,
    /// Its Services and host ports.
    proxied: Installed,
}

#[derive(Debug)]
struct External {
    name: String,
    netns: Arc<Netns>,
    link: Link,
    /// The number of the node that it hangs on; `None`: on the underlay.
    behind: Option<usize>,
    addresses: Vec<IpAddr>,
}

#[derive(Debug)]
struct Pod {
    /// The number of its node.
    node: usize,
    addresses: Vec<IpAddr>,
    host_ports: Vec<HostPort>,
    /// `None` for a host-network pod.
    home: Option<Home>,
}

impl Pod {
    fn netns<'a>(&'a self, nodes: &'a [Node]) -> &'a Arc<Netns> {
        match &self.home {
            Some(home) => &home.netns,
            None => &nodes[self.node].netns,
        }
    }
}

/// What a pod has when it does not live in the namespace of its node.
#[derive(Debug)]
struct Home {
    netns: Arc<Netns>,
    link: Link,
    /// The addresses of its segment that it has a neighbour entry for.
    acquainted: BTreeSet<IpAddr>,
}

impl Cluster {
    /// The range of all pods, one per family, IPv4 first.
    #[must_use]
    pub fn pod_cidrs(&self) -> Vec<IpNet> {
        self.ranges.pods()
    }

    /// The pod ranges of one node; empty for a node that does not exist.
    #[must_use]
    pub fn node_pod_cidrs(&self, node: &str) -> Vec<IpNet> {
        self.node_number(node)
            .map(|number| self.ranges.pods_of_node(number))
            .unwrap_or_default()
    }

    /// The range of Service addresses, one per family.
    #[must_use]
    pub fn service_cidrs(&self) -> Vec<IpNet> {
        self.ranges.services()
    }

    /// The addresses by which others know a node (its `InternalIP`s); empty for a node that does not
    /// exist. On a bridged fabric it has gateway addresses beside them.
    #[must_use]
    pub fn node_addresses(&self, node: &str) -> Vec<IpAddr> {
        self.node(node)
            .map(|node| node.addresses.clone())
            .unwrap_or_default()
    }

    /// The addresses that a node has on its pod bridge. Empty on a routed fabric.
    #[must_use]
    pub fn gateway_addresses(&self, node: &str) -> Vec<IpAddr> {
        match (self.topology.fabric, self.node_number(node)) {
            (crate::Fabric::Bridge, Some(number)) => self.ranges.gateways_of_node(number),
            _ => Vec::new(),
        }
    }

    /// The addresses of an external machine; empty for one that does not exist.
    #[must_use]
    pub fn external_addresses(&self, name: &str) -> Vec<IpAddr> {
        self.external(name)
            .map(|external| external.addresses.clone())
            .unwrap_or_default()
    }

    /// The addresses of a pod, IPv4 first; those of its node for a host-network pod; empty for a pod
    /// that does not exist.
    #[must_use]
    pub fn pod_addresses(&self, name: &str) -> Vec<IpAddr> {
        self.pods
            .get(name)
            .map(|pod| pod.addresses.clone())
            .unwrap_or_default()
    }

    /// The names of the pods that exist, sorted.
    pub fn pod_names(&self) -> impl Iterator<Item = &str> {
        self.pods.keys().map(String::as_str)
    }

    /// The machines this cluster was made of.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The namespace that a place is in. A host-network pod is in that of its node.
    #[must_use]
    pub fn netns(&self, place: &Place) -> Option<&Netns> {
        match place {
            Place::Node(name) => self.node(name).map(|node| &*node.netns),
            Place::External(name) => self.external(name).map(|external| &*external.netns),
            Place::Pod(name) => self.pods.get(name).map(|pod| &**pod.netns(&self.nodes)),
        }
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    fn node_number(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    fn external(&self, name: &str) -> Option<&External> {
        self.externals.iter().find(|one| one.name == name)
    }
}
