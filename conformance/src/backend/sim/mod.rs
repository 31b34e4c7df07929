//! The simulator as a back end: netsim builds nodes and pods, one enforcer per node enforces.
//!
//! Every change is announced to every node's enforcer and committed before the next, as if the
//! watches of all nodes were instant.

mod address;
mod change;
mod dataplane;
mod dump;
mod fabric;
mod probe;
mod translate;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use enforcer::{
    agent::NodeEnforcer,
    api::{self, FieldError},
    cluster::{Cluster as Index, Event},
    nft::Dataplane,
    options::Options,
    plan::Plan,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use netsim::{
    service::Service,
    topology::{Fabric, Families, Topology},
};

pub use self::{
    dataplane::DataplaneKind,
    fabric::{missing_for, usual_fabric},
    translate::{sim_fabric, sim_families},
};
use super::{Backend, BackendError, LongLived, Observation, ProbeSpec, Traffic};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    endpoints, oracle,
    scenario::{Change, World},
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
    /// What the enforcers choose where the specification leaves a choice.
    pub options: Options,
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
            nodes: world.nodes.keys().cloned().map(Into::into).collect(),
            externals: world.externals.keys().cloned().map(Into::into).collect(),
        })?;
        let mut enforcers = BTreeMap::new();
        for node in world.nodes.keys() {
            let dataplane = dataplane::open(&net, node, options.dataplane)?;
            enforcers.insert(
                node.clone(),
                NodeEnforcer::new(node, options.options, dataplane),
            );
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
        self.address_of(endpoint, family)
    }

    fn probe(
        &mut self,
        probes: &[ProbeSpec],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        self.probe_all(probes, deadline)
    }

    fn start_traffic(
        &mut self,
        cells: &[Cell],
        every: Duration,
    ) -> Result<Box<dyn Traffic>, BackendError> {
        self.start(cells, every)
    }

    fn open_flow(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        self.open(cell, deadline)
    }

    fn options(&self) -> Options {
        self.options.options
    }

    fn seen_by(&self, node: &str) -> Option<Arc<oracle::World>> {
        self.store.node(node)?;
        Some(Arc::new(self.store.world()))
    }

    fn plans(&self) -> Vec<(String, Arc<Plan>)> {
        self.enforcers
            .iter()
            .map(|(node, enforcer)| (node.clone(), Arc::clone(enforcer.plan())))
            .collect()
    }

    fn index(&self) -> &Index {
        let first = self.enforcers.values().next();
        first.expect("a scenario has a node").cluster()
    }

    fn complaints(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn dump(&self, node: &str) -> String {
        self.state_of(node)
    }
}
