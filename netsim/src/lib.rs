//! Nodes and pods made of network namespaces, without a cluster and without root.
//!
//! It knows nothing of policies: it moves packets and says what became of them.

mod addresses;
pub mod cluster;
mod conntrack;
mod datagram;
mod fabric;
pub mod flow;
mod greeting;
mod link;
pub mod listen;
mod mac;
pub mod netns;
pub mod place;
pub mod probe;
mod rtnl;
pub mod sandbox;
mod sctp;
pub mod service;
mod sysctl;
pub mod topology;
mod underlay;

pub use cluster::Cluster;
pub use netns::Netns;
pub use place::Place;
pub use topology::{Fabric, Families, Listen, PodSpec, Protocol, Topology};
