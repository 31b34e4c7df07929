//! A simulated cluster that stays after the command that built it: `portcullis sim`.
//!
//! A *holder* process owns the namespaces and the enforcers, and listens on a Unix socket. Other
//! commands find it by the cluster's name ([`state`]), talk to it ([`request`]), or enter its
//! namespaces through `/proc`. When the holder ends, however it ends, the cluster is gone.

pub mod holder;
pub mod request;
pub mod state;
