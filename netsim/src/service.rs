//! Services: cluster addresses and node ports rewritten to endpoints, as kube-proxy does; and host
//! ports rewritten to pods, as the portmap plug-in does.
//!
//! `program` gives one node its Services: a table `inet services` of its own, replaced in one
//! transaction, that nobody else reads or writes.
//!
//! - `ruleset`: what the table consists of, without any I/O;
//! - `choice`: which endpoint a connection goes to;
//! - `stale`: connections to endpoints that are none any more;
//! - `table`, `expression`: the messages it is written in;
//! - `transaction`: how they get into the kernel.
//!
//! What must be true: a rewritten packet is routed, and judged by policies, as one to the endpoint.
//! Nothing but node ports and a pod that reaches itself is masqueraded.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    netns::Netns,
    topology::{HostPort, Protocol},
};

mod choice;
mod expression;
mod ruleset;
mod stale;
mod table;
mod transaction;

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
    /// `internalTrafficPolicy: Local`: cluster addresses lead to endpoints of the client's node only;
    /// where it has none, packets are dropped.
    pub internal_local: bool,
    /// `sessionAffinity: ClientIP`: an address that has been sent to an endpoint is sent there again
    /// until it has not come for so long.
    pub affinity: Option<Duration>,
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

/// A node, as its Services see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proxy<'a> {
    /// The namespace of the node.
    pub(crate) netns: &'a Netns,
    /// Its name, to know its own endpoints by.
    pub(crate) node: &'a str,
    /// All its addresses; each has the node ports.
    pub(crate) addresses: &'a [IpAddr],
    /// The ranges of its own pods. Clients from there are not from outside: their replies come back
    /// through this node. Those of another node would be answered past it.
    pub(crate) pod_cidrs: &'a [IpNet],
    /// The host ports of its pods.
    pub(crate) host_ports: &'a [PodPort<'a>],
}

/// A host port and the pod it leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PodPort<'a> {
    /// `namespace/name`.
    pub(crate) pod: &'a str,
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) port: HostPort,
}

/// What a node has in its kernel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Installed {
    /// `None`: nobody knows.
    table: Option<table::Names>,
    fronts: stale::Fronts,
}

/// Why a node does not have its Services; it keeps those it had.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Two Services want the same address and port.
    #[error("program Services: {one} and {other} have the same address, protocol and port")]
    Clash {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// Two ports with the same number and protocol in Services of the same name.
    #[error("program Services: {0} is there twice")]
    Twice(String),
    /// ICMP knows no ports.
    #[error("program Services: {0} wants a port of ICMP")]
    NoPorts(String),
    /// The kernel refuses.
    #[error("program the Services of node {node}")]
    Kernel {
        /// Whose.
        node: String,
        /// `EPERM` outside a sandbox; `EMSGSIZE` for more at once than an unprivileged user may send;
        /// `ENOENT` or `EOPNOTSUPP` on a kernel that lacks a part of nf_tables.
        source: io::Error,
    },
}

/// Gives a node its Services and host ports in the place of those it had, in one transaction.
/// Connections that stand keep their endpoint, except UDP to one that is none any more. Makes the node
/// track connections even without Services.
///
/// # Errors
/// [`ServiceError`]; nothing has changed then.
pub(crate) fn program(
    proxy: &Proxy<'_>,
    services: &[Service],
    installed: &mut Installed,
) -> Result<(), ServiceError> {
    let kernel = |source| ServiceError::Kernel {
        node: proxy.node.to_owned(),
        source,
    };
    let table = ruleset::table(proxy, services)?;
    let names = table.names();
    let messages = table.into_messages(installed.table.as_ref());
    let applied = proxy.netns.run(|| transaction::apply(messages));
    applied.and_then(|applied| applied).map_err(kernel)?;
    installed.table = Some(names);
    let before = std::mem::replace(&mut installed.fronts, stale::Fronts::of(proxy, services));
    let cleared = installed.fronts.clear(&before, proxy.netns);
    cleared.map_err(kernel)
}
