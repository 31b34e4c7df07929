//! The simulator as a back end: netsim builds nodes and pods, one agent per node enforces.
//!
//! Every change is announced to every node's agent and waited for before the next, as if the
//! watches of all nodes were instant.
//!
//! | module | what is in it |
//! |---|---|
//! | `change` | changes of objects: in the store, in the network, told to the agents |
//! | `agents` | the agents: told, waited for, stopped, cut off |
//! | `dataplane` | how an agent reaches its kernel, and how that is made to refuse |
//! | `foreign` | what others do to a node's nftables |
//! | `trouble` | what scenarios do to agents and tables, and what must not come of it |
//! | `address`, `probe`, `translate` | places, addresses and connections |
//! | `dump`, `fabric` | a node's state as text; which fabrics there can be |

mod address;
mod agents;
mod change;
mod dataplane;
mod dump;
mod fabric;
mod foreign;
mod probe;
mod translate;
mod trouble;

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use enforcer::{
    api::FieldError,
    cluster::{Cluster as Index, Event},
    options::Options,
    plan::Plan,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use netsim::{
    service::Service,
    topology::{Fabric, Families, Topology},
};

pub(crate) use self::translate::to_netsim;
use self::{agents::NodeAgent, dataplane::Openings};
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
    agents: BTreeMap<String, NodeAgent>,
    /// What an agent knows that has been told everything.
    index: Index,
    /// All objects for the oracle, once somebody has asked.
    seen: OnceCell<Arc<oracle::World>>,
    /// What was in the tables of others when they were made, by node.
    foreign: BTreeMap<String, Vec<Vec<u8>>>,
    /// What is programmed.
    services: Vec<Service>,
    /// The addresses pods have or had last, for pods that ask for those of one that has gone.
    former: BTreeMap<String, Vec<IpAddr>>,
    /// Those that pods had before the ones they have or had last.
    before: BTreeMap<String, Vec<IpAddr>>,
    /// Whether agents are not waited for after a change, since another one follows.
    is_more_to_come: bool,
    /// When agents were last told something.
    told: Option<Instant>,
    options: SimOptions,
}

impl Sim {
    /// Builds the nodes and external machines of a world, and nothing else yet.
    ///
    /// # Errors
    /// If the kernel refuses a namespace, a link, or a netlink socket.
    pub fn build(world: &World, options: SimOptions) -> Result<Self, BackendError> {
        let mut sim = Self::build_without_agents(world, options)?;
        for node in world.nodes.keys() {
            let openings = Openings::of(&sim.net, node, options.dataplane, options.options)?;
            let agent = NodeAgent::new(node, openings);
            sim.agents.insert(node.clone(), agent);
        }
        Ok(sim)
    }

    /// The same without any agent, for those who bring their own: objects are kept and networks are
    /// made, but nobody enforces anything.
    ///
    /// # Errors
    /// If the kernel refuses a namespace or a link.
    pub fn build_without_agents(world: &World, options: SimOptions) -> Result<Self, BackendError> {
        let net = netsim::Cluster::build(&Topology {
            families: options.families,
            fabric: options.fabric,
            nodes: translate::nodes(world),
            externals: translate::externals(world),
        })?;
        Ok(Self {
            store: Store::new(net.service_cidrs()),
            net,
            agents: BTreeMap::new(),
            index: Index::default(),
            seen: OnceCell::new(),
            foreign: BTreeMap::new(),
            services: Vec::new(),
            former: BTreeMap::new(),
            before: BTreeMap::new(),
            is_more_to_come: false,
            told: None,
            options,
        })
    }

    /// Where other processes can open an endpoint's network namespace while this value lives.
    pub fn netns_path(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        let place = self.place(endpoint)?;
        Some(self.net.netns(&place)?.path())
    }

    /// Tells every agent that can hear it, and waits until their kernels have it unless more is to
    /// come.
    fn announce(&mut self, event: Event) -> Result<(), BackendError> {
        self.seen.take();
        self.told = Some(Instant::now());
        let told: Vec<_> = self
            .agents
            .values_mut()
            .filter_map(|agent| agent.tell(&event).then_some(agent))
            .collect();
        self.index.handle(event);
        if self.is_more_to_come {
            return Ok(());
        }
        told.into_iter().try_for_each(NodeAgent::catch_up)
    }

    /// Tells the agents of objects that exist in the API alone: pods without a network, on nodes
    /// that are not simulated, and what goes with them.
    ///
    /// # Errors
    /// If a kernel refuses what follows.
    pub fn imagine(&mut self, events: Vec<Event>) -> Result<(), BackendError> {
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            self.is_more_to_come = events.peek().is_some();
            let told = self.announce(event);
            self.is_more_to_come = false;
            told?;
        }
        Ok(())
    }

    /// When the agents were last told of a change.
    pub fn told(&self) -> Option<Instant> {
        self.told
    }

    /// All objects as they are now.
    pub(in crate::backend) fn now(&self) -> Arc<oracle::World> {
        let now = self.seen.get_or_init(|| Arc::new(self.store.world()));
        Arc::clone(now)
    }

    fn agent(&mut self, node: &str) -> Result<&mut NodeAgent, BackendError> {
        let agent = self.agents.get_mut(node);
        agent.ok_or_else(|| BackendError::Missing(format!("node {node}")))
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

    /// Hundreds of policies are told to the agents as an API server tells them, without a pause.
    fn change_all(&mut self, changes: &[Change]) -> Result<(), BackendError> {
        let is_policy =
            |change: &Change| matches!(change, Change::ApplyPolicy(_) | Change::DeletePolicy(_));
        for (index, change) in changes.iter().enumerate() {
            let next = changes.get(index + 1);
            self.is_more_to_come = is_policy(change) && next.is_some_and(is_policy);
            let done = self.carry_out(change);
            self.is_more_to_come = false;
            done?;
        }
        Ok(())
    }

    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>> {
        self.store.admit_policy(policy.clone()).map(|_| ())
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
        self.start(cells, every, netsim::traffic::Traffic::PATIENCE)
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
        self.agents.get(node)?.seen(&self.now())
    }

    fn plans(&self) -> Vec<(String, Arc<Plan>)> {
        let agents = self.agents.iter();
        agents
            .map(|(node, agent)| (node.clone(), agent.plan()))
            .collect()
    }

    fn index(&self) -> &Index {
        &self.index
    }

    fn complaints(&mut self) -> Vec<String> {
        self.all_complaints()
    }

    fn dump(&self, node: &str) -> String {
        self.state_of(node)
    }
}
