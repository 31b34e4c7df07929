//! What one node enforces: data, comparable, and able to answer for a packet.
//!
//! The Plan has the shape of the kernel's table (see [`crate::nft`]) so that asking it is asking
//! the compiled rules, not the policies again.

use std::net::IpAddr;

use crate::{
    cluster::PodRef,
    policy::{Direction, PolicyRef, Protocol},
};

/// The transport of a packet, as `meta l4proto` and `th dport` see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A protocol with ports, and the destination port.
    Port(Protocol, u16),
    /// Any other protocol number; ICMP is 1, ICMPv6 is 58.
    Other(u8),
}

/// The first packet of a connection as the forward hook sees it: after DNAT, before SNAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Protocol and destination port.
    pub transport: Transport,
}

/// What becomes of a packet on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes both directions.
    Allowed,
    /// It is dropped.
    Denied {
        /// In which direction it was judged when it fell.
        direction: Direction,
        /// The isolated local pod.
        pod: PodRef,
        /// Everything that isolates the pod in that direction. None of it allows the packet; none
        /// of it alone denies it.
        isolated_by: Vec<PolicyRef>,
    },
}
