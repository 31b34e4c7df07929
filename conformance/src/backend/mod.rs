//! Where a scenario is played.
//!
//! A step's actions are lowered to [`Change`]s of objects; a back end carries them out and answers
//! probes. The runner knows nothing else of it, so that the same file plays anywhere.

mod change;
pub mod sim;

use std::{net::IpAddr, time::Duration};

use enforcer::api::FieldError;

pub use self::change::{Change, NewAddress, NewPod};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
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

/// A step could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The API server refused an object; a step with `refuse` expects it.
    #[error("the API server refuses the object: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<FieldError>),
    /// Something the step names does not exist.
    #[error("there is no {0}")]
    Missing(String),
    /// The simulator failed.
    #[error("failed to {operation}")]
    Simulator {
        /// What was tried.
        operation: String,
        /// Why it failed.
        source: netsim::Error,
    },
    /// The kernel refused the ruleset.
    #[error("failed to program node {node}")]
    Program {
        /// The node whose ruleset it was.
        node: String,
        /// Why it failed.
        source: enforcer::nft::ApplyError,
    },
}

/// A named connection that outlives steps.
pub trait LongLived: Send {
    /// Sends something there and back again.
    fn exchange(&mut self, deadline: Duration) -> Outcome;
}

/// A place where scenarios are played.
pub trait Backend {
    /// The objects as the API server holds them.
    fn store(&self) -> &Store;

    /// Carries out one change, and returns when every node has acted on it.
    ///
    /// # Errors
    /// See [`BackendError`]. A refused object changes nothing.
    fn change(&mut self, change: Change) -> Result<(), BackendError>;

    /// The address of an endpoint, as a source would dial it.
    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr>;

    /// The ranges that pod addresses come from.
    fn pod_cidrs(&self) -> Vec<ipnet::IpNet>;

    /// The ranges that the pods of one node come from.
    fn node_pod_cidrs(&self, node: &str) -> Vec<ipnet::IpNet>;

    /// Probes all cells at once against one deadline; the answers are in the order of the cells.
    ///
    /// # Errors
    /// If the probes could not even be sent.
    fn probe(&mut self, cells: &[Cell], deadline: Duration) -> Result<Vec<Observation>, BackendError>;

    /// Opens a connection that stays.
    ///
    /// # Errors
    /// The outcome of the attempt, if it did not come about.
    fn open_flow(&mut self, cell: &Cell, deadline: Duration) -> Result<Box<dyn LongLived>, Outcome>;

    /// What the nodes' compiled plans say of a cell: see [`crate::judge`].
    fn plans(&self) -> Vec<(&str, &enforcer::plan::Plan)>;

    /// A node's state as text, for a person who looks into a failure.
    fn dump(&self, node: &str) -> String;
}
