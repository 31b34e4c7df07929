//! Where a scenario is played.
//!
//! A back end carries out the [`Change`]s of a step and answers probes. The runner knows nothing
//! else of it, so that the same file plays anywhere.

pub mod sim;

use std::{net::IpAddr, time::Duration};

use enforcer::{api::FieldError, diagnostic::Diagnostics, plan::Plan};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    scenario::{Change, Resolve, World},
    store::Store,
};

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
        source: enforcer::nft::ApplyError,
    },
    /// The rules cannot reach the node's kernel at all.
    #[error("open the dataplane of node {node}")]
    Dataplane {
        /// The node.
        node: String,
        /// Why.
        source: anyhow::Error,
    },
    /// Something that this back end cannot do.
    #[error("{0}: this back end cannot do it")]
    Unsupported(String),
    /// A policy's template has nothing to stand for.
    #[error("resolve the templates of a policy\n{0}")]
    Template(Diagnostics),
}

fn sentences(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// A connection that outlives steps.
pub trait LongLived: Send {
    /// Sends something there and back again.
    fn exchange(&mut self, deadline: Duration) -> Outcome;
}

/// A place where scenarios are played.
pub trait Backend: Resolve {
    /// Brings everything of a world into being; there is nothing yet.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn create(&mut self, world: &World) -> Result<(), BackendError>;

    /// Carries out one change, and returns when every node has acted on it.
    ///
    /// # Errors
    /// See [`BackendError`]. A refused object changes nothing.
    fn change(&mut self, change: &Change) -> Result<(), BackendError>;

    /// Asks the API server whether it would take an object, and changes nothing.
    ///
    /// # Errors
    /// What the API server objects to.
    fn admit(&self, policy: &NetworkPolicy) -> Result<(), Vec<FieldError>>;

    /// The objects as the API server holds them.
    fn store(&self) -> &Store;

    /// The address of an endpoint, as a source would dial it.
    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr>;

    /// Probes all cells at once against one deadline; the answers are in the order of the cells.
    ///
    /// # Errors
    /// If the probes could not even be sent.
    fn probe(
        &mut self,
        cells: &[Cell],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError>;

    /// Opens a connection that stays.
    ///
    /// # Errors
    /// The outcome of the attempt, if it did not come about.
    fn open_flow(&mut self, cell: &Cell, deadline: Duration)
    -> Result<Box<dyn LongLived>, Outcome>;

    /// What the nodes' enforcers compiled, by node.
    fn plans(&self) -> Vec<(&str, &Plan)>;

    /// The index of an enforcer that knows every object, for explanations.
    fn index(&self) -> &enforcer::cluster::Cluster;

    /// A node's state as text, for a person who looks into a failure.
    fn dump(&self, node: &str) -> String;
}
