//! What can go wrong with a simulated cluster.

use std::{io, net::IpAddr};

use crate::{
    addresses::pool::AddressError, flow::FlowError, listen::ListenError, place::Place,
    probe::ProbeError, rtnl::RtnlError, service::ServiceError, sysctl::SysctlError,
};

/// Why a cluster cannot be what was asked for. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More machines than the address ranges have room for.
    #[error("make {asked} {what}: there is room for {most}")]
    TooMany {
        /// `nodes` or `external machines`.
        what: &'static str,
        /// How many were asked for.
        asked: usize,
        /// How many there can be.
        most: usize,
    },
    /// Links that cannot be.
    #[error("limit packets to the pods of node {node} to {mtu} bytes: it can be 1280 to 1500")]
    PodMtu {
        /// The node.
        node: String,
        /// The longest packet, in bytes.
        mtu: u32,
    },
    /// A name that is taken.
    #[error("make {0}: it exists already")]
    Exists(Place),
    /// A name that nobody has.
    #[error("find {0}: it does not exist")]
    Unknown(Place),
    /// A chosen address that cannot be had.
    #[error("give pod {pod} the address {address}: {reason}")]
    Address {
        /// The pod.
        pod: String,
        /// What it chose.
        address: IpAddr,
        /// Why it cannot have it.
        reason: AddressError,
    },
    /// Every address of the node's pod range is taken.
    #[error("give pod {pod} an address: node {node} has none left")]
    NoAddress {
        /// The pod.
        pod: String,
        /// The node.
        node: String,
    },
    /// The kernel gives no namespace: often a limit (`user.max_net_namespaces`, open files).
    #[error("make a namespace")]
    Namespace(#[source] io::Error),
    /// The process gets no more threads or descriptors.
    #[error("start a thread")]
    Threads(#[source] io::Error),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Probes that could not be sent.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A flow that was not opened.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Services that cannot be had.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A link, address, route or neighbour.
    #[error(transparent)]
    Network(#[from] RtnlError),
    /// A kernel setting.
    #[error(transparent)]
    Setting(#[from] SysctlError),
    /// The table of connections.
    #[error("read the connections of node {node}")]
    Conntrack {
        /// The node.
        node: String,
        /// What the kernel says.
        source: io::Error,
    },
}
