//! The simulator as a back end: netsim builds nodes and pods, one enforcer per node enforces.
//!
//! Every change is announced to every node's enforcer and committed before the next, as if the
//! watches of all nodes were instant.

mod change;
mod dataplane;
mod fabric;
mod translate;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use enforcer::{
    agent::NodeEnforcer,
    api::{self, FieldError},
    cluster::{Cluster as Index, Event},
    nft::Dataplane,
    plan::Plan,
};
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use netsim::{
    place::Place,
    probe::Probe,
    service::Service,
    topology::{Fabric, Families, Topology},
};

pub use self::{
    dataplane::DataplaneKind,
    fabric::{missing_for, usual_fabric},
    translate::{sim_fabric, sim_families},
};
use super::{Backend, BackendError, LongLived, Observation};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    endpoints, process,
    scenario::{Change, Resolve, Template, Wanted, World},
    store::Store,
};

/// How to build a simulated cluster.
#[derive(Clone, Copy, Debug)]
pub struct SimOptions {
    /// How pods hang on their node.
    pub fabric: Fabric,
    /// Which addresses they have.
    pub families: Families,
    /// How rules reach the kernel.
    pub dataplane: DataplaneKind,
}

/// A simulated cluster.
pub struct Sim {
    store: Store,
    net: netsim::Cluster,
    enforcers: BTreeMap<String, NodeEnforcer<Box<dyn Dataplane>>>,
    /// What is programmed.
    services: Vec<Service>,
    /// The addresses pods have or had last, for pods that ask for those of one that has gone.
    former: BTreeMap<String, Vec<IpAddr>>,
    options: SimOptions,
}

impl Sim {
    /// Builds the nodes and external machines of a world, and nothing else yet.
    ///
    /// # Errors
    /// If the kernel refuses a namespace, a link, or a netlink socket.
    pub fn build(world: &World, options: SimOptions) -> Result<Self, BackendError> {
        let net = netsim::Cluster::build(&Topology {
            families: options.families,
            fabric: options.fabric,
            nodes: world.nodes.keys().cloned().collect(),
            externals: world.externals.keys().cloned().collect(),
        })?;
        let mut enforcers = BTreeMap::new();
        for node in world.nodes.keys() {
            let dataplane = dataplane::open(&net, node, options.dataplane)?;
            enforcers.insert(node.clone(), NodeEnforcer::new(node, dataplane));
        }
        Ok(Self {
            store: Store::new(net.service_cidrs()),
            net,
            enforcers,
            services: Vec::new(),
            former: BTreeMap::new(),
            options,
        })
    }

    /// Where other processes can open an endpoint's network namespace while this value lives.
    pub fn netns_path(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        let place = self.place(endpoint)?;
        Some(self.net.netns(&place)?.path())
    }

    /// Tells every node, and waits until every node's kernel has it.
    fn announce(&mut self, event: &Event) -> Result<(), BackendError> {
        for (node, enforcer) in &mut self.enforcers {
            enforcer.handle(event.clone());
            enforcer.commit().map_err(|source| BackendError::Program {
                node: node.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn resolve_services(&mut self) -> Result<(), BackendError> {
        let services = endpoints::resolve(&self.store);
        if services != self.services {
            self.net.set_services(&services)?;
            self.services = services;
        }
        Ok(())
    }

    fn place(&self, endpoint: &Endpoint) -> Option<Place> {
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let spec = self.store.pod(namespace, name)?.spec.as_ref()?;
                if spec.host_network == Some(true) {
                    return Some(Place::Node(spec.node_name.clone()?));
                }
                Some(Place::Pod(format!("{namespace}/{name}")))
            }
            Endpoint::Node(name) => Some(Place::Node(name.clone())),
            Endpoint::External(name) => Some(Place::External(name.clone())),
            Endpoint::Service { .. } => None,
        }
    }

    /// The kernel's own listing, where the `nft` binary is there to ask for it; else what the
    /// enforcer has put into the kernel.
    fn ruleset(&self, node: &str) -> String {
        let netns = self.net.netns(&Place::Node(node.to_owned()));
        let listed = netns.and_then(|netns| netns.run(process::list_ruleset).ok().flatten());
        if let Some(text) = listed {
            return format!("ruleset\n{text}");
        }
        let plan = self.enforcers.get(node).map(NodeEnforcer::plan);
        let sent = plan.map(|plan| enforcer::nft::diff(&Plan::default(), plan).to_string());
        format!(
            "ruleset, as it was sent (with nft installed, this is the kernel's own listing)\n{}",
            sent.unwrap_or_default()
        )
    }

    fn netsim_probe(&self, cell: &Cell) -> Result<Probe, BackendError> {
        let missing = |what: &Endpoint| BackendError::Missing(format!("{what} of {cell}"));
        Ok(Probe {
            from: self
                .place(&cell.source)
                .ok_or_else(|| missing(&cell.source))?,
            to: self
                .address(&cell.destination, cell.family)
                .ok_or_else(|| missing(&cell.destination))?,
            port: cell.port.number.unwrap_or(0),
            protocol: translate::to_netsim(cell.port.protocol),
        })
    }
}

impl Backend for Sim {
    fn create(&mut self, world: &World) -> Result<(), BackendError> {
        self.create_world(world)
    }

    fn change(&mut self, change: &Change) -> Result<(), BackendError> {
        self.carry_out(change)
    }

    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>> {
        api::admit_network_policy(policy.clone()).map(|_| ())
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let wanted = |address: &IpAddr| is_of(address, family);
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let pod = self.store.pod(namespace, name)?;
                endpoints::addresses(pod).find(wanted)
            }
            Endpoint::Node(name) => self.net.node_addresses(name).into_iter().find(wanted),
            Endpoint::External(name) => {
                let addresses = self.net.external_addresses(name);
                addresses.into_iter().find(wanted)
            }
            Endpoint::Service { namespace, name } => {
                let service = self.store.service(namespace, name)?;
                endpoints::cluster_ips(service).find(wanted)
            }
        }
    }

    fn probe(
        &mut self,
        cells: &[Cell],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        let probes = cells
            .iter()
            .map(|cell| self.netsim_probe(cell))
            .collect::<Result<Vec<_>, _>>()?;
        let answers = self.net.probe(&probes, deadline)?;
        Ok(answers.into_iter().map(translate::observation).collect())
    }

    fn open_flow(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        let probe = self.netsim_probe(cell).map_err(|_| Outcome::Unreachable)?;
        translate::flow(self.net.open_flow(&probe, deadline))
    }

    fn plans(&self) -> Vec<(&str, &Plan)> {
        self.enforcers
            .iter()
            .map(|(node, enforcer)| (node.as_str(), enforcer.plan()))
            .collect()
    }

    fn index(&self) -> &Index {
        let first = self.enforcers.values().next();
        first.expect("a scenario has a node").cluster()
    }

    fn dump(&self, node: &str) -> String {
        let network = match self.net.dump(node) {
            Ok(dump) => dump.to_string(),
            Err(error) => format!("failed to {error}\n"),
        };
        format!("{network}\n{}", self.ruleset(node))
    }
}

/// Templates take the addresses of the simulated network.
impl Resolve for Sim {
    fn resolve(&self, template: &Template) -> Option<String> {
        let family = template.family?;
        let address = |endpoint: Endpoint| Some(self.address(&endpoint, family)?.to_string());
        let range = |ranges: Vec<IpNet>| {
            let mut ranges = ranges.into_iter();
            Some(ranges.find(|r| is_of(&r.addr(), family))?.to_string())
        };
        match &template.wanted {
            Wanted::Pod { namespace, name } => {
                let mut former = self.former.get(&format!("{namespace}/{name}"))?.iter();
                Some(former.find(|address| is_of(address, family))?.to_string())
            }
            Wanted::PodCidr => range(self.net.pod_cidrs()),
            Wanted::ServiceCidr => range(self.net.service_cidrs()),
            Wanted::HostBits => None,
            Wanted::Node(name) => address(Endpoint::Node(name.clone())),
            Wanted::NodePodCidr(node) => range(self.net.node_pod_cidrs(node)),
            Wanted::External(name) => address(Endpoint::External(name.clone())),
            Wanted::Service { namespace, name } => address(Endpoint::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            }),
        }
    }
}

fn is_of(address: &IpAddr, family: Family) -> bool {
    address.is_ipv6() == (family == Family::Ipv6)
}
