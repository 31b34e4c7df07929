//! What a simulated cluster is made of, as plain data.

use std::{fmt, net::IpAddr, str::FromStr};

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
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// The machines outside the cluster.
    pub externals: Vec<ExternalSpec>,
}

/// A node to be made. `"n1".into()` is an ordinary one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// The longest packet, in bytes, that it passes on to its pods, from 1,280 to 1,500. What is longer
    /// is cut into fragments or answered with an ICMP error, for the pods let everybody believe that
    /// they take more. `None`: 1,500, as on every other link.
    ///
    /// On a bridge the kernel joins the fragments of an IPv6 packet and forgets how long they were: a
    /// packet that is too long for these links, but not for others, does not arrive there, TCP aside.
    pub pod_mtu: Option<u32>,
}

impl<T: Into<String>> From<T> for NodeSpec {
    fn from(name: T) -> Self {
        Self {
            name: name.into(),
            pod_mtu: None,
        }
    }
}

/// A machine that is neither node nor pod. `"internet".into()` is one like any other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExternalSpec {
    /// Its name.
    pub name: String,
    /// The node that it hangs on and that forwards its packets, as a virtual machine or a container
    /// that is no pod. `None`: it is on the network that the nodes are on.
    pub behind: Option<String>,
}

impl<T: Into<String>> From<T> for ExternalSpec {
    fn from(name: T) -> Self {
        Self {
            name: name.into(),
            behind: None,
        }
    }
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
    /// Ports of its node that lead to it. Not on a host network.
    pub host_ports: Vec<HostPort>,
}

/// A port of a node that leads to a pod, as the portmap plug-in makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// The port of every address of the node.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port of the pod.
    pub pod_port: u16,
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
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

/// As it is displayed.
impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text}: a port is written as 80/tcp, 53/udp or 132/sctp");
        let (port, protocol) = text.split_once('/').ok_or_else(wrong)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(wrong()),
        };
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self { port, protocol })
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
