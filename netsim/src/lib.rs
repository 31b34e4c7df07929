//! Nodes and pods made of network namespaces, without a cluster and without root.
//!
//! It knows nothing of policies: it moves packets and says what became of them.

pub mod flow;
pub mod listen;
pub mod netns;
pub mod place;
pub mod probe;
pub mod sandbox;
pub mod service;
pub mod topology;

pub use netns::Netns;
pub use place::Place;
pub use topology::{Fabric, Families, Listen, PodSpec, Protocol, Topology};
