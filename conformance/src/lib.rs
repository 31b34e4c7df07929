//! Scenarios for network policies.

pub mod cell;
pub mod scenario;
