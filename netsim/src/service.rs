//! Services: cluster addresses rewritten to endpoints.

use std::net::{IpAddr, SocketAddr};

use crate::topology::Protocol;

/// A Service, already resolved: who its endpoints are is somebody else's business.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `namespace/name`.
    pub name: String,
    /// Cluster addresses, one per family at most. Empty for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// `externalTrafficPolicy: Local`: node ports lead to endpoints of that node only, and the
    /// endpoint sees the client's address. Otherwise to any endpoint, which sees the node's.
    pub external_local: bool,
    /// What it serves.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The port of the cluster addresses.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port of every address of every node.
    pub node_port: Option<u16>,
    /// Where it leads, both families mixed. None: connections are rejected.
    pub endpoints: Vec<Endpoint>,
}

/// A pod behind a Service. It carries its own port, since a named target port may have another
/// number in each pod (semantics 183).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address and port of the pod.
    pub address: SocketAddr,
    /// The node it runs on.
    pub node: String,
}
