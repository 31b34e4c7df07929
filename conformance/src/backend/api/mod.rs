//! Objects in an API server, packets in the simulator, and agents as processes between them.
//!
//! netsim builds the nodes and pods, as [`Sim`] does, but nothing is told to anybody: objects are
//! written to the server, and what a kubelet would report of them is written there, too. One
//! `portcullis-agent` per node reads them back, with the rights it is installed with, and programs
//! its node's kernel. A bare server is enough: where nobody else plays the namespace controller,
//! this does.
//!
//! | module | what is in it |
//! |---|---|
//! | `venue` | [`ApiServers`]: the servers that scenarios are played on, and what cannot be |
//! | `rights` | what a run must be allowed |
//! | `access` | the agents' service account, its rights and its token |
//! | `create`, `change` | worlds and changes: written, built, reported, waited for |
//! | `kubelet` | what kubelets write |
//! | `versions` | what an agent must have been told of |
//! | `agents`, `process`, `relay` | the agents: started, waited for, stopped, cut off |
//! | `pace` | how soon changes are in force |
//!
//! Start at [`ApiServers::connect`]. What must never happen: a write that is not waited for, or a
//! wait for an agent that cannot have heard.

mod access;
mod agents;
mod change;
mod create;
mod kubelet;
mod pace;
mod process;
mod relay;
mod rights;
mod venue;
mod versions;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use enforcer::{
    api::{FieldError, FieldErrorKind},
    cluster::Cluster as Index,
    compile::compile,
    options::Options,
    plan::Plan,
    yaml::FieldPath,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use tempfile::TempDir;

use self::{
    agents::{Known, NodeAgent},
    venue::{Lease, Server},
    versions::Versions,
};
pub use self::{
    pace::Pace,
    venue::{ApiServers, Settings, VenueError},
};
use super::{
    Backend, BackendError, LongLived, Observation, ProbeSpec, Traffic,
    live::{LiveError, Remains},
    sim::Sim,
};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    oracle,
    scenario::{Change, ObjectName, Resolve, Template, Wanted, World},
    store::Store,
};

/// A simulated cluster whose objects are in an API server.
pub struct ApiCluster {
    /// Before everything else: nobody enforces what is being taken away.
    agents: BTreeMap<String, NodeAgent>,
    remains: Remains,
    sim: Sim,
    versions: Versions,
    /// Those that exist.
    policies: BTreeSet<ObjectName>,
    options: Options,
    /// What an agent knows that has acted on everything, by node; once somebody has asked.
    now: BTreeMap<String, OnceCell<Known>>,
    /// When the last change was begun that no packet has met yet.
    changed: Option<Instant>,
    /// Kubeconfigs and logs of the agents.
    _folder: TempDir,
    /// Last: then somebody else may play on the server.
    lease: Lease,
}

impl ApiCluster {
    fn server(&self) -> &Server {
        self.lease.server()
    }

    /// Something has been written.
    fn touched(&mut self) {
        for known in self.now.values_mut() {
            known.take();
        }
    }

    /// What an agent knows that has acted on everything.
    fn known_now(&self, node: &str) -> Known {
        let compute = || Known {
            world: self.sim.now(),
            plan: Arc::new(compile(self.sim.index(), node, self.options)),
        };
        match self.now.get(node) {
            Some(known) => known.get_or_init(compute).clone(),
            None => compute(),
        }
    }

    fn known(&self, node: &str) -> Option<Known> {
        let agent = self.agents.get(node)?;
        agent.known(|| self.known_now(node))
    }

    /// Waits until every agent that hears has acted on everything.
    fn catch_up(&mut self) -> Result<(), BackendError> {
        let versions = &self.versions;
        let mut agents = self.agents.values_mut();
        agents.try_for_each(|agent| agent.catch_up(versions))
    }
}

impl Backend for ApiCluster {
    fn create(&mut self, world: &World) -> Result<(), BackendError> {
        self.create_world(world)
    }

    fn change(&mut self, change: &Change) -> Result<(), BackendError> {
        self.change_all(std::slice::from_ref(change))
    }

    fn change_all(&mut self, changes: &[Change]) -> Result<(), BackendError> {
        self.carry_out_all(changes)
    }

    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>> {
        match self.server().live.admit(policy) {
            Ok(_) => Ok(()),
            Err(LiveError::Refused { errors, .. }) => Err(errors),
            Err(error) => Err(vec![FieldError {
                path: FieldPath::root(),
                kind: FieldErrorKind::Invalid,
                value: None,
                detail: format!("failed to {error}"),
            }]),
        }
    }

    fn store(&self) -> &Store {
        self.sim.store()
    }

    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        self.sim.address(endpoint, family)
    }

    fn probe(
        &mut self,
        probes: &[ProbeSpec],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        let begun = Instant::now();
        let answers = self.sim.probe(probes, deadline)?;
        if let Some(changed) = self.changed.take() {
            let answered = answers
                .iter()
                .filter(|answer| answer.outcome != Outcome::Denied);
            if let Some(first) = answered.map(|answer| answer.latency).min() {
                let until = begun.saturating_duration_since(changed) + first;
                self.server().pace.packet(until);
            }
        }
        Ok(answers)
    }

    fn start_traffic(
        &mut self,
        cells: &[Cell],
        every: Duration,
    ) -> Result<Box<dyn Traffic>, BackendError> {
        self.sim.start_traffic(cells, every)
    }

    fn open_flow(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        self.sim.open_flow(cell, deadline)
    }

    fn options(&self) -> Options {
        self.options
    }

    fn seen_by(&self, node: &str) -> Option<Arc<oracle::World>> {
        Some(self.known(node)?.world)
    }

    /// What an agent must make of the objects it has been told of. Its own plan is in another
    /// process, and in the kernel, which is asked.
    fn plans(&self) -> Vec<(String, Arc<Plan>)> {
        let plan = |node: &String| self.known(node).map(|known| known.plan).unwrap_or_default();
        let nodes = self.agents.keys();
        nodes.map(|node| (node.clone(), plan(node))).collect()
    }

    fn index(&self) -> &Index {
        self.sim.index()
    }

    fn complaints(&mut self) -> Vec<String> {
        let agents = self.agents.values_mut();
        let mut complaints: Vec<String> = agents.flat_map(NodeAgent::complaints).collect();
        complaints.extend(self.sim.complaints());
        complaints
    }

    fn dump(&self, node: &str) -> String {
        let log = self
            .agents
            .get(node)
            .map(|agent| process::end_of(&agent.log));
        let log = log.unwrap_or_default();
        format!(
            "{}\nthe end of the agent's log\n{log}\n",
            self.sim.dump(node)
        )
    }
}

/// Templates take the addresses of the simulated network; those of Services are the server's.
impl Resolve for ApiCluster {
    fn resolve(&self, template: &Template) -> Option<String> {
        if let (Wanted::ServiceCidr, Some(family)) = (&template.wanted, template.family) {
            let mut ranges = self.server().service_cidrs.iter();
            let is_wanted =
                |range: &&ipnet::IpNet| range.addr().is_ipv6() == (family == Family::Ipv6);
            if let Some(range) = ranges.find(is_wanted) {
                return Some(range.to_string());
            }
        }
        self.sim.resolve(template)
    }
}

impl Drop for ApiCluster {
    fn drop(&mut self) {
        // All at once: each is waited for when it is dropped.
        self.agents.values_mut().for_each(NodeAgent::kill);
        self.agents.clear();
        // What could not be removed is tried again by `Remains` itself, and by whoever plays next.
        let _ = self.remains.remove();
    }
}
