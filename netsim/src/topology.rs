//! What a simulated cluster is made of, as plain data.

use std::{fmt, net::IpAddr};

/// The address families of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Families {
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// Both; IPv4 is the first address of everything.
    #[default]
    Dual,
}

impl Families {
    /// Whether machines have an IPv4 address.
    #[must_use]
    pub fn has_v4(self) -> bool {
        self != Self::Ipv6
    }

    /// Whether machines have an IPv6 address.
    #[must_use]
    pub fn has_v6(self) -> bool {
        self != Self::Ipv4
    }

    /// Whether an address is of these families.
    #[must_use]
    pub fn contains(self, address: &IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.has_v4(),
            IpAddr::V6(_) => self.has_v6(),
        }
    }
}

/// How the pods of a node are attached to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fabric {
    /// Ports of one bridge per node, with `bridge-nf-call-iptables` so that the node sees their
    /// packets in its `forward` hook.
    #[default]
    Bridge,
    /// A host route per pod and a link-local gateway.
    Routed,
}

/// The machines of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Address families of every machine.
    pub families: Families,
    /// How pods are attached.
    pub fabric: Fabric,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Names of the machines outside the cluster.
    pub externals: Vec<String>,
}

/// A pod to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodSpec {
    /// `namespace/name`.
    pub name: String,
    /// The node it runs on.
    pub node: String,
    /// Whether it shares the namespace, and so the addresses, of its node.
    pub host_network: bool,
    /// Chosen addresses, one per family at most and inside the node's pod ranges. `None`: addresses
    /// that no pod of this cluster has had before, one per family.
    pub addresses: Option<Vec<IpAddr>>,
    /// What it listens on.
    pub listen: Vec<Listen>,
}

/// One open port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listen {
    /// 0 for ICMP, which every machine answers anyway.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// The protocols that probes speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Echo requests: ICMP or ICMPv6 after the family of the address.
    Icmp,
}

/// As people write it: `80/tcp`.
impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.port, self.protocol)
    }
}

/// In lower case, as people write it.
impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
        })
    }
}
