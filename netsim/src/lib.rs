//! Nodes and pods made of network namespaces, without a cluster and without root.
//!
//! It knows nothing of policies: it moves packets and says what became of them.
//!
//! Start with [`sandbox::Sandbox::enter`] in `main`, then [`Cluster::build`]; the rest are methods of
//! [`Cluster`].
//!
//! | what | where |
//! |---|---|
//! | what a cluster is made of | [`topology`], [`place`] |
//! | the privileges it needs, or why they cannot be had | [`sandbox`] |
//! | one namespace | [`netns`] |
//! | nodes, pods, external machines | [`cluster`], `underlay`, `fabric`, `link`, `addresses` |
//! | what the kernel is told and asked | `rtnl`, `sysctl`, `conntrack` |
//! | who answers, who asks | [`listen`], [`probe`], [`flow`], [`traffic`] |
//! | Services | [`service`] |
//! | probes from inside a pod of a real cluster | [`remote`], and the program `portcullis-probe` |
//!
//! What must never happen: a thread that goes on with other work in a foreign namespace; a name, a
//! mount or a process that outlives its cluster; a packet that changes its source unless a Service
//! says so.

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
mod parcel;
pub mod place;
pub mod probe;
pub mod remote;
mod rtnl;
pub mod sandbox;
mod sctp;
pub mod service;
mod sysctl;
pub mod topology;
pub mod traffic;
mod underlay;

pub use cluster::Cluster;
pub use netns::Netns;
pub use place::Place;
pub use topology::{
    ExternalSpec, Fabric, Families, HostPort, Listen, NodeSpec, PodSpec, Protocol, Topology,
};
