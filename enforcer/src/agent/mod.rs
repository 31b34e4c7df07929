//! One node's agent: events in, kernel state out.
//!
//! Start at [`NodeEnforcer`]. What must never happen: rules that go away because the enforcer does.
//! Dropping it touches nothing; only [`remove`](NodeEnforcer::remove) does.

mod node;

pub use self::node::{Commit, NodeEnforcer};
