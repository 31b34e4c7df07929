//! The machines of a cluster and the network between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::RangeInclusive,
    sync::Arc,
};

use super::{Cluster, Error, External, Node, Whereabouts};
use crate::{
    addresses::{MOST_EXTERNALS, MOST_NODES, Ranges, alone, pool::Pool},
    fabric::{Ground, attached},
    link::Link,
    listen::Servers,
    netns::Netns,
    place::Place,
    probe::Prober,
    rtnl::{self, Change, Work},
    service::Installed,
    sysctl::{self, Role},
    topology::Topology,
    underlay::{self, Machine},
};

impl Cluster {
    /// Makes the nodes and external machines. There is no pod yet.
    ///
    /// # Errors
    /// Where names repeat, the machines are too many, a machine is behind a node that there is not, or
    /// the kernel refuses; nothing is left then.
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
                        pod_mtu: node.pod_mtu,
                    },
                    addresses: ranges.node(number),
                    pools: ranges
                        .pods_of_node(number)
                        .into_iter()
                        .map(Pool::new)
                        .collect(),
                    proxied: Installed::default(),
                })
                .collect(),
            externals: iter::zip(&topology.externals, externals)
                .enumerate()
                .map(|(number, (external, netns))| {
                    let on = |node: &String| topology.nodes.iter().position(|n| n.name == *node);
                    let behind = external.behind.as_ref().and_then(on);
                    External {
                        name: external.name.clone(),
                        netns: Arc::new(netns),
                        link: link(topology.nodes.len() + number),
                        behind,
                        addresses: match behind {
                            Some(_) => ranges.behind(number),
                            None => ranges.external(number),
                        },
                    }
                })
                .collect(),
            pods: BTreeMap::new(),
            whereabouts: Whereabouts::default(),
            listening: BTreeMap::new(),
            services: Vec::new(),
            acquaintances: BTreeSet::new(),
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

    /// Lays the cables of the underlay, makes each node ready for pods, and hangs machines on nodes.
    fn connect(&self) -> Result<(), Error> {
        let nodes = self.nodes.iter().enumerate().map(|(number, node)| {
            let mut behind = self.ranges.pods_of_node(number);
            let machines = self.behind(number);
            behind
                .extend(machines.flat_map(|machine| machine.addresses.iter().copied().map(alone)));
            let machine = Machine {
                link: link(number),
                addresses: node.addresses.clone(),
                behind,
            };
            (machine, Place::Node(node.name.clone()), &*node.netns)
        });
        let on_underlay = |external: &&External| external.behind.is_none();
        let externals = self.externals.iter().filter(on_underlay).map(|external| {
            let machine = Machine {
                link: external.link,
                addresses: external.addresses.clone(),
                behind: Vec::new(),
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
                    changes.extend(self.behind(number).flat_map(|external| {
                        let (link, netns) = (external.link, &external.netns);
                        attached::admit(&node.addresses, link, netns, &external.addresses)
                    }));
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
        work.extend(self.hang());
        Ok(rtnl::apply(&work)?)
    }

    /// The work in machines behind nodes, and then in those nodes.
    fn hang(&self) -> impl Iterator<Item = Work<'_>> {
        let behind = self.externals.iter().filter_map(|external| {
            let node = &self.nodes[external.behind?];
            Some((external, node))
        });
        behind.flat_map(|(external, node)| {
            [
                Work {
                    namespace: &external.netns,
                    owner: Place::External(external.name.clone()).to_string(),
                    changes: attached::settle(external.link, &external.addresses),
                },
                Work {
                    namespace: &node.netns,
                    owner: Place::Node(node.name.clone()).to_string(),
                    changes: vec![Change::AwaitUp {
                        index: external.link.outside(),
                    }],
                },
            ]
        })
    }

    /// The machines that hang on the node with this number.
    fn behind(&self, node: usize) -> impl Iterator<Item = &External> {
        let on_it = move |external: &&External| external.behind == Some(node);
        self.externals.iter().filter(on_it)
    }
}

/// The links of the machines come first, in the order of nodes, then external machines.
fn link(machine: usize) -> Link {
    Link(u32::try_from(machine).expect("at most a few hundred machines"))
}

/// From the least that IPv6 needs to what every other link carries.
const PACKETS: RangeInclusive<u32> = 1_280..=1_500;

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
    for node in nodes {
        let is_right = |mtu: &u32| PACKETS.contains(mtu);
        if let Some(mtu) = node.pod_mtu.filter(|mtu| !is_right(mtu)) {
            return Err(Error::PodMtu {
                node: node.name.clone(),
                mtu,
            });
        }
    }
    let unknown = externals.iter().find_map(|external| {
        let behind = external.behind.as_ref()?;
        let is_known = nodes.iter().any(|node| node.name == *behind);
        (!is_known).then(|| Error::Unknown(Place::Node(behind.clone())))
    });
    if let Some(error) = unknown {
        return Err(error);
    }
    let nodes = nodes.iter().map(|node| &*node.name).collect();
    let externals = externals.iter().map(|external| &*external.name).collect();
    repeated(nodes, Place::Node)
        .or_else(|| repeated(externals, Place::External))
        .map_or(Ok(()), Err)
}
