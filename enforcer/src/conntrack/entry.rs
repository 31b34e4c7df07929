//! One connection as conntrack knows it.

use std::net::IpAddr;

use crate::{
    plan::{ConnectionId, Packet, Transport},
    policy::Protocol,
};

/// A live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What tells it from all others, also from an earlier one between the same ends.
    pub id: ConnectionId,
    /// Its first packet as it came.
    pub original: Tuple,
    /// The packets that answer it as they come: between the ends that NAT has chosen.
    pub reply: Tuple,
    /// The original packet of the connection that announced this one (as FTP does). Policies then
    /// judge that one: this one passes as related to it.
    pub master: Option<Tuple>,
}

/// The ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The number of its protocol.
    pub protocol: u8,
    /// 0 in protocols without ports.
    pub source_port: u16,
    /// 0 in protocols without ports.
    pub destination_port: u16,
}

impl Entry {
    /// Its first packet as the forward hook saw it, after DNAT and before SNAT: from where it came,
    /// to where the answers come from.
    pub fn packet(&self) -> Packet {
        let number = self.reply.protocol;
        let protocol = Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.number() == number);
        Packet {
            source: self.original.source,
            destination: self.reply.source,
            transport: match protocol {
                Some(protocol) => Transport::Port(protocol, self.reply.source_port),
                None => Transport::Other(number),
            },
        }
    }
}
