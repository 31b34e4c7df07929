//! Turns Kubernetes network policies into nftables state.
//!
//! Objects become events, events an index, the index a [`plan::Plan`], and two Plans a
//! transaction for the kernel:
//!
//! | module | what is in it | input and output |
//! |---|---|---|
//! | [`yaml`], [`diagnostic`] | YAML with spans, errors in rustc's style | text in, text out |
//! | [`api`] | decoding, defaulting and validation as the API server does them | objects |
//! | [`cluster`] | the index: events in, look-ups out | no I/O |
//! | [`policy`] | the one ordered, tiered model every policy API lowers to | data |
//! | [`compile`] | (index, node) to [`plan::Plan`] | pure |
//! | [`plan`] | what one node enforces; can be asked for a verdict | data |
//! | [`conntrack`] | live connections, and which of them a Plan denies | reads the kernel's list |
//! | [`explain`] | why a connection is allowed or denied | pure |
//! | [`nft`] | the difference of two Plans as one transaction, and the two ways into the kernel | the only effects |
//! | `kubernetes` | from an API server to events (feature `agent`) | the network |
//! | [`options`] | what the specification leaves to the enforcer | data |
//! | [`agent`] | one node's enforcer, and the thread that keeps it going: events in, kernel state out | composes the above |
//!
//! Start at [`agent::NodeEnforcer`], and at [`agent::Agent`] for what a node runs. What must never happen: a look at tables that are not ours, a
//! kernel listing on the hot path, a policy that opens more because it was not understood.

pub mod agent;
pub mod api;
pub mod cluster;
pub mod compile;
pub mod conntrack;
pub mod diagnostic;
pub mod explain;
#[cfg(feature = "agent")]
pub mod kubernetes;
pub mod nft;
pub mod options;
pub mod plan;
pub mod policy;
pub mod yaml;
