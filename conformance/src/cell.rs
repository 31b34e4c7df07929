//! What is judged: one connection from an endpoint to an endpoint, and what can come of it.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::text::{SyntaxError, endpoint, endpoint::Selector, listen};

/// A protocol a probe can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP: a connect and the server's greeting.
    Tcp,
    /// UDP: a datagram and its answer.
    Udp,
    /// SCTP: INIT and INIT-ACK.
    Sctp,
    /// ICMP or ICMPv6: echo request and reply; has no port.
    Icmp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
        })
    }
}

/// The text is not the name of a protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a protocol: write tcp, udp, sctp or icmp")]
pub struct NotAProtocol(pub String);

impl FromStr for Protocol {
    type Err = NotAProtocol;

    /// Reads the name in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp]
            .into_iter()
            .find(|protocol| protocol.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| NotAProtocol(text.to_owned()))
    }
}

/// An IP family.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// Who can open or accept a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `ns/name`: a pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// `node/n1`: a process in the node's own network namespace.
    Node(String),
    /// `ext/internet`: a machine outside the cluster.
    External(String),
    /// `svc/ns/name`: a Service; only ever a destination.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// `localhost`: the source itself, by 127.0.0.1 or ::1; only ever a destination.
    Localhost,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::External(name) => write!(f, "ext/{name}"),
            Self::Service { namespace, name } => write!(f, "svc/{namespace}/{name}"),
            Self::Localhost => f.write_str("localhost"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = SyntaxError;

    /// Reads what [`Display`](fmt::Display) prints: one endpoint by its full name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let several = SyntaxError::new(
            0..text.len(),
            format!("`{text}` can mean several endpoints, and one is needed here"),
        );
        let selector = endpoint::parse(text)?;
        if !selector.is_exact() {
            return Err(several);
        }
        Ok(match selector {
            Selector::Labelled { .. } => return Err(several),
            Selector::Pods { namespace, name } => Self::Pod {
                namespace: namespace.as_str().to_owned(),
                name: name.as_str().to_owned(),
            },
            Selector::Node(name) => Self::Node(name.as_str().to_owned()),
            Selector::External(name) => Self::External(name.as_str().to_owned()),
            Selector::Localhost => Self::Localhost,
            Selector::Service { namespace, name } => Self::Service {
                namespace: namespace.as_str().to_owned(),
                name: name.as_str().to_owned(),
            },
        })
    }
}

/// A port with its protocol; ICMP has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1–65535; nothing for ICMP.
    pub number: Option<u16>,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{number}/{}", self.protocol),
            None => write!(f, "{}", self.protocol),
        }
    }
}

impl FromStr for Port {
    type Err = SyntaxError;

    /// Reads `80` (TCP), `53/udp` or `icmp`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        listen::parse(text)
    }
}

/// One connection that is probed and judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Who opens it.
    pub source: Endpoint,
    /// To whom.
    pub destination: Endpoint,
    /// On which port, as the source dials it (a Service's port for a Service).
    pub port: Port,
    /// Over which family.
    pub family: Family,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} -> {}:{} over {}",
            self.source, self.destination, self.port, self.family
        )
    }
}

/// What came of a probe, and what can be expected of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The server answered.
    Allowed,
    /// Nothing came back before the deadline (semantics 25).
    Denied,
    /// The destination itself refused: nobody listens there (semantics 95).
    Refused,
    /// The network said that there is no way.
    Unreachable,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x/a")]
    #[case("node/n1")]
    #[case("ext/internet")]
    #[case("svc/x/web")]
    #[case("localhost")]
    fn an_endpoint_reads_what_it_prints(#[case] text: &str) {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("x/*", "`x/*` can mean several endpoints, and one is needed here")]
    #[case(
        "x{app=db}",
        "`x{app=db}` can mean several endpoints, and one is needed here"
    )]
    #[case("internet", "`internet` is not an endpoint")]
    fn an_endpoint_is_one(#[case] text: &str, #[case] message: &str) {
        assert_eq!(text.parse::<Endpoint>().unwrap_err().message, message);
    }

    #[rstest]
    #[case("80/TCP")]
    #[case("53/UDP")]
    #[case("ICMP")]
    fn a_port_reads_what_it_prints(#[case] text: &str) {
        assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
    }
}
