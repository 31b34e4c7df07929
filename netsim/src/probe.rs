//! One attempt to reach somebody, and what became of it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{place::Place, topology::Protocol};

/// One attempt to reach somebody.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Whose process it is. The kernel chooses the source address.
    pub from: Place,
    /// An address of a place or of a Service.
    pub to: IpAddr,
    /// 0 for ICMP.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The gist.
    pub outcome: Outcome,
    /// The source that the server saw; `None` where nobody of ours answered, and for ICMP, which the
    /// kernel answers.
    pub source_seen: Option<SocketAddr>,
    /// [`Place`] that answered, as it is displayed.
    pub served_by: Option<String>,
    /// From the first packet to the answer; the whole waiting time where nothing came.
    pub latency: Duration,
}

/// The four things that can become of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It arrived, and the answer came back.
    Allowed,
    /// Silence until the deadline (semantics 25), or dropped before it left.
    Denied,
    /// The machine is there and says that nobody listens (semantics 95): TCP reset, ICMP port or
    /// protocol unreachable, SCTP abort.
    Refused,
    /// A router or the sender's own routes say that there is no way, or that it is prohibited.
    Unreachable,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        })
    }
}
