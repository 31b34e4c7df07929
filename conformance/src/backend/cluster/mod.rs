//! A real cluster as a back end: pods of ours on nodes of its own, real packets, whoever enforces.
//!
//! A scenario's objects are created as they are written, in namespaces that are ours alone. Its nodes
//! are nodes that take pods, by name; each pod runs `portcullis-probe`, and one stream per pod carries
//! all its probes. There are two judges: the oracle, and the packets. The cluster's enforcer is on
//! trial: where packets contradict scenario and oracle alike, it has failed, and the judges agree.
//!
//! | module | what is in it |
//! |---|---|
//! | `venue` | [`Clusters`]: connects, asks what there is, makes a [`Cluster`] per scenario |
//! | `facts`, `ability` | what a cluster is like, and what can therefore not be played on it |
//! | `ground` | namespaces and pods, which outlive scenarios; removed at the end |
//! | `manifest`, `starting` | the pods that are made, and why they do not run |
//! | `session` | the stream into a pod |
//! | `change`, `probing`, `address` | what a back end does: changes, connections, addresses |
//!
//! What must never happen: an object is touched that is not in a namespace of ours; something is left
//! behind that nobody asked to keep; a scenario passes of which a part was left out in silence.

mod ability;
mod address;
mod change;
mod facts;
mod ground;
mod manifest;
mod probing;
mod session;
mod starting;
mod venue;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use enforcer::{
    api::FieldError,
    cluster::{Cluster as Index, Event},
    options::Options,
    plan::Plan,
};
use k8s_openapi::api::{core::v1::Service, networking::v1::NetworkPolicy};

pub use self::{
    facts::Facts,
    session::SessionError,
    starting::NotStarted,
    venue::{Clusters, RIGHTS, Settings},
};
use self::{
    facts::RealNode,
    ground::Ground,
    manifest::{Demands, Making},
};
use super::{
    Backend, BackendError, LongLived, Observation, ProbeSpec, Traffic,
    live::{Live, LiveError},
};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    oracle,
    scenario::{BackendName, Change, ObjectName, Pod, World},
    store::Store,
};

/// How long the cluster may take to act on a change, where a scenario does not say.
const PATIENCE: Duration = Duration::from_secs(20);

/// A look that begins sooner after a change may show what was before it.
const SETTLING: Duration = Duration::from_millis(500);

/// One scenario on a real cluster.
pub struct Cluster {
    ground: Arc<Mutex<Ground>>,
    live: Live,
    facts: Arc<Facts>,
    settings: Settings,
    /// The real node of every node of the scenario.
    nodes: BTreeMap<String, RealNode>,
    /// Those from or to whose own addresses something goes.
    speaking: BTreeSet<String>,
    /// What the story demands of pods; of the others only what is in `sctp`.
    demands: BTreeMap<ObjectName, Demands>,
    sctp: bool,
    /// What its namespaces must allow.
    security: &'static str,
    store: Store,
    /// What an enforcer of ours would know, for explanations.
    index: Index,
    /// All objects for the oracle, once somebody has asked.
    seen: OnceCell<Arc<oracle::World>>,
    /// The addresses pods have or had last.
    former: BTreeMap<ObjectName, Vec<IpAddr>>,
    /// Those that pods had before the ones they have or had last.
    before: BTreeMap<ObjectName, Vec<IpAddr>>,
    policies: BTreeSet<ObjectName>,
    /// The last name that a flow or background traffic got.
    named: Arc<AtomicU64>,
    is_kept: bool,
}

impl Cluster {
    fn ground(&self) -> MutexGuard<'_, Ground> {
        locked(&self.ground)
    }

    /// All objects as they are now.
    fn now(&self) -> Arc<oracle::World> {
        let now = self.seen.get_or_init(|| Arc::new(self.store.world()));
        Arc::clone(now)
    }

    /// Remembers what an enforcer would be told.
    fn note(&mut self, event: Event) {
        self.seen.take();
        self.index.handle(event);
    }

    /// How a pod is made here.
    fn making<'a>(&'a self, pod: &'a Pod) -> Making<'a> {
        let usual = Demands {
            sctp: self.sctp,
            ..Demands::default()
        };
        Making {
            node: self
                .nodes
                .get(pod.node())
                .map_or(pod.node(), |node| node.name.as_str()),
            image: &self.settings.image,
            demands: self.demands.get(&pod.name).copied().unwrap_or(usual),
        }
    }

    /// Nothing is removed, neither now nor at the end.
    pub fn keep(&mut self) {
        self.is_kept = true;
        self.ground().keep();
    }

    /// Removes what must not outlive a scenario: its policies and Services.
    fn leave(&mut self) {
        for name in std::mem::take(&mut self.policies) {
            // What cannot be deleted goes with its namespace.
            drop(
                self.live
                    .delete::<NetworkPolicy>(&name.namespace, &name.name, None),
            );
        }
        let services: Vec<ObjectName> = self
            .store
            .services()
            .map(|it| ObjectName::of(&it.metadata))
            .collect();
        for name in services {
            drop(
                self.live
                    .delete::<Service>(&name.namespace, &name.name, None),
            );
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.is_kept {
            self.leave();
        }
    }
}

impl Backend for Cluster {
    fn known_as(&self) -> BackendName {
        BackendName::Cluster
    }

    fn create(&mut self, world: &World) -> Result<(), BackendError> {
        self.create_world(world)
    }

    fn change(&mut self, change: &Change) -> Result<(), BackendError> {
        self.carry_out(change)
    }

    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>> {
        match self.live.admit(policy) {
            Ok(_) => Ok(()),
            Err(LiveError::Refused { errors, .. }) => Err(errors),
            Err(error) => Err(vec![FieldError {
                path: enforcer::yaml::FieldPath::root(),
                kind: enforcer::api::FieldErrorKind::Invalid,
                value: None,
                detail: error.to_string(),
            }]),
        }
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
        self.settings.options
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn settling(&self) -> Duration {
        SETTLING
    }

    fn is_on_trial(&self) -> bool {
        true
    }

    fn tells_plans(&self) -> bool {
        false
    }

    fn seen_by(&self, node: &str) -> Option<Arc<oracle::World>> {
        let is_enforced = !self.settings.is_unenforced && self.nodes.contains_key(node);
        is_enforced.then(|| self.now())
    }

    fn plans(&self) -> Vec<(String, Arc<Plan>)> {
        let nodes = self.nodes.keys();
        nodes.map(|node| (node.clone(), Arc::default())).collect()
    }

    fn index(&self) -> &Index {
        &self.index
    }

    fn complaints(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn dump(&self, node: &str) -> String {
        match self.nodes.get(node) {
            Some(real) => format!("{node} is node {} of the cluster\n", real.name),
            None => format!("there is no {node}\n"),
        }
    }
}

/// A panic elsewhere leaves nothing half-done behind this lock.
fn locked(ground: &Mutex<Ground>) -> MutexGuard<'_, Ground> {
    ground.lock().unwrap_or_else(PoisonError::into_inner)
}
