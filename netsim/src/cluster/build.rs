//! The machines of a cluster and the network between them.

use std::{collections::BTreeMap, iter, sync::Arc};

use super::{Cluster, Error, External, Node, Whereabouts};
use crate::{
    addresses::{MOST_EXTERNALS, MOST_NODES, Ranges, pool::Pool},
    fabric::Ground,
    link::Link,
    listen::Servers,
    netns::Netns,
    place::Place,
    probe::Prober,
    rtnl::{self, Work},
    sysctl::{self, Role},
    topology::Topology,
    underlay::{self, Machine},
};

impl Cluster {
    /// Makes the nodes and external machines. There is no pod yet.
    ///
    /// # Errors
    /// Where names repeat, the machines are too many, or the kernel refuses; nothing is left then.
    pub fn build(topology: &Topology) -> Result<Self, Error> {
        check(topology)?;
        let count = 1 + topology.nodes.len() + topology.externals.len();
        let mut namespaces = Netns::many(count).map_err(Error::Namespace)?;
        let externals = namespaces.split_off(1 + topology.nodes.len());
        let nodes = namespaces.split_off(1);
        let underlay = namespaces.pop().expect("asked for one more");
        sysctl::set([&underlay], Role::Underlay)?;
        sysctl::set(&nodes, Role::Node(topology.fabric))?;
        sysctl::set(&externals, Role::External)?;

        let servers = Servers::start().map_err(Error::Threads)?;
        let ranges = Ranges(topology.families);
        let mut cluster = Self {
            topology: topology.clone(),
            ranges,
            underlay,
            nodes: iter::zip(&topology.nodes, nodes)
                .enumerate()
                .map(|(number, (node, netns))| Node {
                    name: node.name.clone(),
                    netns: Arc::new(netns),
                    ground: Ground {
                        fabric: topology.fabric,
                        ranges,
                        node: number,
                    },
                    addresses: ranges.node(number),
                    pools: ranges
                        .pods_of_node(number)
                        .into_iter()
                        .map(Pool::new)
                        .collect(),
                })
                .collect(),
            externals: iter::zip(&topology.externals, externals)
                .enumerate()
                .map(|(number, (external, netns))| External {
                    name: external.name.clone(),
                    netns: Arc::new(netns),
                    addresses: ranges.external(number),
                })
                .collect(),
            pods: BTreeMap::new(),
            whereabouts: Whereabouts::default(),
            listening: BTreeMap::new(),
            services: Vec::new(),
            prober: Prober::new(&servers),
            servers,
            links: u32::try_from(count - 1).expect("at most a few hundred machines"),
        };
        for node in &cluster.nodes {
            let place = Place::Node(node.name.clone());
            cluster.whereabouts.come(place, &node.netns);
        }
        for external in &cluster.externals {
            let place = Place::External(external.name.clone());
            cluster.whereabouts.come(place, &external.netns);
        }
        cluster.connect()?;
        // Nodes track connections from the start: those that exist before a policy must be known.
        cluster.set_services(&[])?;
        Ok(cluster)
    }

    /// Lays the cables of the underlay and makes each node ready for pods.
    fn connect(&self) -> Result<(), Error> {
        let nodes = self.nodes.iter().enumerate().map(|(number, node)| {
            let machine = Machine {
                link: link(number),
                addresses: node.addresses.clone(),
                pods: self.ranges.pods_of_node(number),
            };
            (machine, Place::Node(node.name.clone()), &*node.netns)
        });
        let externals = self.externals.iter().enumerate().map(|(number, external)| {
            let machine = Machine {
                link: link(self.nodes.len() + number),
                addresses: external.addresses.clone(),
                pods: Vec::new(),
            };
            let place = Place::External(external.name.clone());
            (machine, place, &*external.netns)
        });
        let machines: Vec<_> = nodes.chain(externals).collect();
        let everybody: Vec<_> = machines
            .iter()
            .map(|(machine, ..)| machine.clone())
            .collect();
        let namespaces: Vec<_> = machines.iter().map(|(.., netns)| *netns).collect();
        rtnl::apply(&[Work {
            namespace: &self.underlay,
            owner: "the underlay".into(),
            changes: underlay::build(self.ranges, &everybody, &namespaces),
        }])?;

        let (node_ranges, external_ranges) = (self.ranges.nodes(), self.ranges.externals());
        let mut work: Vec<_> = machines
            .iter()
            .enumerate()
            .map(|(number, (machine, place, netns))| {
                let node = self.nodes.get(number);
                let (own, other) = match node {
                    Some(_) => (&node_ranges, &external_ranges),
                    None => (&external_ranges, &node_ranges),
                };
                let mut changes = underlay::attach(machine, own, other, &everybody);
                if let Some(node) = node {
                    changes.extend(underlay::route_by_default(self.ranges));
                    changes.extend(node.ground.prepare());
                }
                Work {
                    namespace: netns,
                    owner: place.to_string(),
                    changes,
                }
            })
            .collect();
        work.push(Work {
            namespace: &self.underlay,
            owner: "the underlay".into(),
            changes: underlay::await_cables(&everybody),
        });
        Ok(rtnl::apply(&work)?)
    }
}

/// The links of the machines come first, in the order of nodes, then external machines.
fn link(machine: usize) -> Link {
    Link(u32::try_from(machine).expect("at most a few hundred machines"))
}

fn check(topology: &Topology) -> Result<(), Error> {
    let (nodes, externals) = (&topology.nodes, &topology.externals);
    for (what, asked, most) in [
        ("nodes", nodes.len(), MOST_NODES),
        ("external machines", externals.len(), MOST_EXTERNALS),
    ] {
        if asked > most {
            return Err(Error::TooMany { what, asked, most });
        }
    }
    let repeated = |names: Vec<&str>, place: fn(String) -> Place| {
        let repeated = names
            .iter()
            .enumerate()
            .find(|(index, name)| names[..*index].contains(name));
        repeated.map(|(_, name)| Error::Exists(place((*name).to_owned())))
    };
    let nodes = nodes.iter().map(|node| &*node.name).collect();
    let externals = externals.iter().map(|external| &*external.name).collect();
    repeated(nodes, Place::Node)
        .or_else(|| repeated(externals, Place::External))
        .map_or(Ok(()), Err)
}
