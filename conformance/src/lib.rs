//! Scenarios for network policies.

pub mod cell;
