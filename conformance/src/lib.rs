//! Scenarios for network policies.

pub mod cell;
pub mod matrix;
pub mod oracle;
pub mod paint;
pub mod report;
pub mod scenario;
