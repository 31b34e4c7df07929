//! Where a scenario is played.
//!
//! A back end carries out the [`Change`]s of a step and answers probes. The runner knows nothing
//! else of it, so that the same file plays anywhere.

pub mod api;
pub mod cluster;
pub mod live;
pub mod sim;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use enforcer::{api::FieldError, diagnostic::Diagnostics, options::Options, plan::Plan};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    oracle,
    scenario::{BackendName, Change, Resolve, World},
    store::Store,
};

/// One connection to try, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The connection.
    pub cell: Cell,
    /// The port it comes from; a fresh one if there is none.
    pub source_port: Option<u16>,
    /// Whether it may be the same connection as the last from that port, in the eyes of the kernel.
    /// Otherwise it is a new one, whatever the nodes remember of that port.
    pub is_again: bool,
    /// How many bytes to send, which must arrive whole; as many as the back end likes if there is
    /// none.
    pub payload: Option<usize>,
}

impl From<Cell> for ProbeSpec {
    /// A connection like any other.
    fn from(cell: Cell) -> Self {
        Self {
            cell,
            source_port: None,
            is_again: false,
            payload: None,
        }
    }
}

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What came of it.
    pub outcome: Outcome,
    /// The source address that the server saw, if one answered.
    pub source_seen: Option<IpAddr>,
    /// Who answered: `ns/pod`, `node/n1` or `ext/internet`.
    pub served_by: Option<String>,
    /// From the first packet to the answer.
    pub latency: Duration,
}

/// A change could not be carried out. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The API server refused an object.
    #[error("apply a policy: the API server refuses it: {}", sentences(.0))]
    Refused(Vec<FieldError>),
    /// Something that was named does not exist.
    #[error("find {0}: it does not exist")]
    Missing(String),
    /// The simulator failed.
    #[error(transparent)]
    Simulator(#[from] netsim::cluster::Error),
    /// The kernel refused a node's ruleset.
    #[error("program node {node}")]
    Program {
        /// The node.
        node: String,
        /// Why.
        source: enforcer::agent::Unsettled,
    },
    /// The rules cannot reach the node's kernel at all.
    #[error("open the dataplane of node {node}")]
    Dataplane {
        /// The node.
        node: String,
        /// Why.
        source: anyhow::Error,
    },
    /// Nothing can be said about background traffic.
    #[error(transparent)]
    Traffic(#[from] netsim::traffic::TrafficError),
    /// Something that this back end cannot do.
    #[error("{0}: this back end cannot do it")]
    Unsupported(String),
    /// An API server did not do what it was asked.
    #[error(transparent)]
    Live(#[from] live::LiveError),
    /// The agent of a node, a process, does not do what it must.
    #[error("have the agent of {node} {what}{}", end_of(.log))]
    Agent {
        /// The node.
        node: String,
        /// What it was to do.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// A pod of a cluster does not run.
    #[error(transparent)]
    NotStarted(#[from] cluster::NotStarted),
    /// A pod of a cluster does not answer.
    #[error(transparent)]
    Session(#[from] cluster::SessionError),
    /// A policy's template has nothing to stand for.
    #[error("resolve the templates of a policy\n{0}")]
    Template(Diagnostics),
}

fn sentences(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

fn end_of(log: &str) -> String {
    if log.is_empty() {
        return String::new();
    }
    format!("; its log ends\n{log}")
}

/// A connection that outlives steps.
pub trait LongLived: Send {
    /// Sends something there and back again.
    fn exchange(&mut self, deadline: Duration) -> Outcome;
}

/// How often connections of one cell came out one way, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many; at least one.
    pub connections: usize,
    /// When the first of them was begun.
    pub first: Instant,
    /// When the last of them was begun.
    pub last: Instant,
    /// What the first of them saw.
    pub example: Observation,
}

/// What became of the connections of one cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// One entry for each outcome there was.
    pub counts: Vec<Count>,
    /// Connections that say nothing, because the machine was too busy to tell in time.
    pub undecided: usize,
}

impl Tally {
    /// All connections that came out one way or the other.
    pub fn connections(&self) -> usize {
        self.counts.iter().map(|count| count.connections).sum()
    }

    /// Counts more connections in.
    pub fn add(&mut self, more: Count) {
        let mut counts = self.counts.iter_mut();
        match counts.find(|count| count.example.outcome == more.example.outcome) {
            Some(count) => {
                count.connections += more.connections;
                count.first = count.first.min(more.first);
                count.last = count.last.max(more.last);
            }
            None => self.counts.push(more),
        }
    }
}

/// Connections that are opened one after the other, in the background, until this is dropped.
pub trait Traffic: Send {
    /// What became of the connections that were begun since the last time: one tally per cell, in
    /// the order of the cells. Waits for those whose answer is still open, so that none is counted
    /// later than it was begun.
    ///
    /// # Errors
    /// If connections could not even be tried.
    fn take(&mut self) -> Result<Vec<Tally>, BackendError>;
}

/// A place where scenarios are played.
pub trait Backend: Resolve {
    /// By which name scenario files know it, where they list what is known to come out wrong.
    fn known_as(&self) -> BackendName {
        BackendName::Simulator
    }

    /// Brings everything of a world into being; there is nothing yet.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn create(&mut self, world: &World) -> Result<(), BackendError>;

    /// Carries out one change, and returns when every node has acted on it. Nodes whose agent does
    /// not run, sees no API server or is refused by its kernel are not waited for.
    ///
    /// # Errors
    /// See [`BackendError`]. A refused object changes nothing.
    fn change(&mut self, change: &Change) -> Result<(), BackendError>;

    /// Carries out changes one after the other, and returns when every node has acted on the last.
    /// Nodes may act on several policies at once.
    ///
    /// # Errors
    /// As [`change`](Self::change); what follows the change that failed is not carried out.
    fn change_all(&mut self, changes: &[Change]) -> Result<(), BackendError> {
        changes.iter().try_for_each(|change| self.change(change))
    }

    /// Asks the API server whether it would take an object, as a new one or in place of the one of its
    /// name, and changes nothing.
    ///
    /// # Errors
    /// What the API server objects to.
    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>>;

    /// The objects as the API server holds them.
    fn store(&self) -> &Store;

    /// The address of an endpoint, as a source would dial it.
    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr>;

    /// Sends all probes at once against one deadline; the answers are in the order of the probes.
    ///
    /// # Errors
    /// If the probes could not even be sent.
    fn probe(
        &mut self,
        probes: &[ProbeSpec],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError>;

    /// Begins a new connection of every cell every so often, in the background.
    ///
    /// # Errors
    /// If not even the first could be tried.
    fn start_traffic(
        &mut self,
        cells: &[Cell],
        every: Duration,
    ) -> Result<Box<dyn Traffic>, BackendError>;

    /// Opens a connection that stays.
    ///
    /// # Errors
    /// The outcome of the attempt, if it did not come about. Nothing is left of it.
    fn open_flow(&mut self, cell: &Cell, deadline: Duration)
    -> Result<Box<dyn LongLived>, Outcome>;

    /// What the enforcers choose where the specification leaves a choice.
    fn options(&self) -> Options;

    /// How long it may take to act on a change, where the scenario does not say. Zero if every change
    /// is in force when [`change`](Self::change) returns.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// How soon after a change a look may still show what was before it, so that it must be repeated.
    fn settling(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether its enforcer is what is judged: where packets contradict scenario and oracle alike, it
    /// has failed, and the judges agree.
    fn is_on_trial(&self) -> bool {
        false
    }

    /// Whether its enforcers tell their plans. If not, there are two judges: oracle and packets.
    fn tells_plans(&self) -> bool {
        true
    }

    /// What the rules in a node's kernel are made of: the objects as its agent had seen them when
    /// they were last written. These are those of [`Backend::store`], unless the agent was stopped,
    /// cut off or refused. Nothing if no agent ever wrote rules there, or for an unknown node.
    fn seen_by(&self, node: &str) -> Option<Arc<oracle::World>>;

    /// The plans whose rules are in the kernels, by node.
    fn plans(&self) -> Vec<(String, Arc<Plan>)>;

    /// The index of an enforcer that knows every object, for explanations.
    fn index(&self) -> &enforcer::cluster::Cluster;

    /// What has gone wrong since the last time that no connection shows: a sentence each.
    fn complaints(&mut self) -> Vec<String>;

    /// A node's state as text, for a person who looks into a failure.
    fn dump(&self, node: &str) -> String;
}
