//! Scenarios for network policies: their language, the oracle, the runner, the reports, and the
//! command `portcullis`.
//!
//! | module | what is in it |
//! |---|---|
//! | [`cell`] | one connection that is judged, and what can come of it |
//! | [`scenario`] | the language: from YAML to steps with every connection spelled out |
//! | [`store`], [`endpoints`] | what the control plane of a simulated cluster does |
//! | [`backend`] | where scenarios are played: the simulator, an API server, a cluster |
//! | [`oracle`] | the specification as plainly as possible; uses nothing of the enforcer |
//! | [`judge`] | oracle, compiled plans and kernel, held against each other |
//! | [`explanation`] | why a connection is denied, with file, line and column |
//! | [`runner`], [`library`] | plays scenarios; finds their files |
//! | [`semantics`], [`coverage`] | the numbered lines, and which of them the scenarios show |
//! | [`fuzz`] | random worlds, judged three ways |
//! | [`latency`] | how long changes take to reach the packets |
//! | [`demo`] | the first thing to try |
//! | [`negative`] | scenarios where nobody enforces: the suite can fail |
//! | [`report`], [`matrix`] | what people and machines are told |
//! | [`kept`] | simulated clusters that stay |
//! | [`cli`] | the command line |
//!
//! Start at [`runner::run`].

pub mod backend;
pub mod cell;
pub mod cli;
pub mod coverage;
pub mod demo;
pub mod endpoints;
pub mod explanation;
pub mod fuzz;
pub mod judge;
pub mod kept;
pub mod kind;
pub mod latency;
pub mod library;
pub mod matrix;
pub mod negative;
pub mod oracle;
pub mod paint;
mod process;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod semantics;
pub mod store;
