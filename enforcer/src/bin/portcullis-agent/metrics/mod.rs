//! What is counted, in Prometheus' text format.
//!
//! | module | what is in it |
//! |---|---|
//! | here | what happens, counted when it happens |
//! | `present` | what is, looked at when somebody asks |
//! | `process` | the program itself |
//! | `page` | how what was looked at is written |

mod page;
mod present;
mod process;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use enforcer::{
    agent::{Agent, Attempt},
    kubernetes::{Complaints, Health, Resource},
    nft::{ApplyError, Dataplane, Transaction},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use self::{present::Present, process::Process};
use crate::{place::Netns, readiness::Readiness};

/// Before every name.
const PREFIX: &str = "portcullis_agent";
/// From 1 ms to 30 s.
const LATENCY: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];
/// From 0.1 ms to 5 s.
const COMMIT: [f64; 15] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTrigger {
    trigger: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
    result: &'static str,
}

/// What happened so far.
#[derive(Debug)]
pub(crate) struct Metrics {
    programming: Family<ByTrigger, Histogram, fn() -> Histogram>,
    begin: Histogram,
    sync_duration: Family<ByKind, Histogram, fn() -> Histogram>,
    commit_duration: Family<ByResult, Histogram, fn() -> Histogram>,
    commits: Family<ByResult, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let metrics = Self {
            programming: Family::new_with_constructor(|| Histogram::new(LATENCY)),
            begin: Histogram::new(LATENCY),
            sync_duration: Family::new_with_constructor(|| Histogram::new(COMMIT)),
            commit_duration: Family::new_with_constructor(|| Histogram::new(COMMIT)),
            commits: Family::default(),
        };
        // What has not happened yet is 0, not absent.
        for resource in Resource::ALL {
            let trigger = trigger(resource);
            drop(metrics.programming.get_or_create(&ByTrigger { trigger }));
        }
        let by = ByResult { result: "error" };
        drop(metrics.commits.get_or_create(&by));
        Arc::new(metrics)
    }

    /// An event of this resource took so long from the watch into the kernel.
    pub(crate) fn programmed(&self, resource: Resource, took: Duration) {
        let trigger = trigger(resource);
        self.programming
            .get_or_create(&ByTrigger { trigger })
            .observe(took.as_secs_f64());
    }

    /// A pod of the node was seen with its first address, and so long later was in the kernel.
    pub(crate) fn begun(&self, took: Duration) {
        self.begin.observe(took.as_secs_f64());
    }

    /// The agent's thread tried to make the kernel's rules those of the index.
    pub(crate) fn attempted(&self, attempt: Attempt) {
        let by = ByKind {
            kind: if attempt.is_full {
                "full"
            } else {
                "incremental"
            },
            result: result(attempt.is_done),
        };
        self.sync_duration
            .get_or_create(&by)
            .observe(attempt.took.as_secs_f64());
    }
}

fn trigger(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "pod",
        Resource::Namespaces => "namespace",
        Resource::NetworkPolicies => "policy",
        Resource::Nodes => "node",
    }
}

fn result(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "error" }
}

/// A dataplane that is watched.
pub(crate) struct Metered<D> {
    pub(crate) dataplane: D,
    pub(crate) metrics: Arc<Metrics>,
}

impl<D: Dataplane> Dataplane for Metered<D> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let started = Instant::now();
        let applied = self.dataplane.apply(transaction);
        let by = ByResult {
            result: result(applied.is_ok()),
        };
        self.metrics
            .commit_duration
            .get_or_create(&by)
            .observe(started.elapsed().as_secs_f64());
        self.metrics.commits.get_or_create(&by).inc();
        applied
    }

    fn is_sender(&self, port: u32) -> bool {
        self.dataplane.is_sender(port)
    }
}

/// Everything that is asked when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    pub(crate) agent: Arc<Agent>,
    pub(crate) health: Arc<Health>,
    pub(crate) complaints: Complaints,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) netns: Netns,
}

/// Everything that is exposed.
#[derive(Debug)]
pub(crate) struct Exposed(Registry);

impl Exposed {
    pub(crate) fn new(metrics: &Metrics, subjects: Subjects) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let agent = registry.sub_registry_with_prefix(PREFIX);
        agent.register(
            "policy_programming_latency_seconds",
            "From seeing an event to its rules being in the kernel",
            metrics.programming.clone(),
        );
        agent.register(
            "pod_start_isolation_latency_seconds",
            "From seeing the first address of a pod of this node to its rules being in the kernel",
            metrics.begin.clone(),
        );
        agent.register(
            "sync_duration_seconds",
            "Compiling, comparing and committing; all of the table or what is different",
            metrics.sync_duration.clone(),
        );
        agent.register(
            "nft_commit_duration_seconds",
            "One nftables transaction",
            metrics.commit_duration.clone(),
        );
        agent.register(
            "nft_commits",
            "nftables transactions",
            metrics.commits.clone(),
        );
        agent.register_collector(Box::new(Present::new(subjects)));
        Self(registry)
    }

    /// The exposition.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
