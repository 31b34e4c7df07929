//! The connections that the kernel forwards: conntrack's list without those of the node itself.

use std::{collections::HashSet, io, net::IpAddr};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::libc;

use super::{
    Connections, Entry, Tuple,
    netlink::{Lists, address, attributes, exactly},
};
use crate::plan::ConnectionId;

/// `NFNL_SUBSYS_CTNETLINK << 8` with `IPCTNL_MSG_CT_NEW` and `IPCTNL_MSG_CT_GET`, and the length of
/// `struct nfgenmsg`.
const NEW_CONNECTION: u16 = 0x100;
const GET_CONNECTION: u16 = 0x101;
const CONNECTION_HEADER: usize = 4;
/// `enum ctattr_type`.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const TUPLE_MASTER: u16 = 14;
/// `enum ctattr_tuple`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// `enum ctattr_ip`: sources and destinations of both families.
const IPV4_SOURCE: u16 = 1;
const IPV4_DESTINATION: u16 = 2;
const IPV6_SOURCE: u16 = 3;
const IPV6_DESTINATION: u16 = 4;
/// `enum ctattr_l4proto`.
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;

/// `RTM_NEWADDR`, `RTM_GETADDR` and the length of `struct ifaddrmsg`.
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const ADDRESS_HEADER: usize = 8;
/// `IFA_ADDRESS`, and `IFA_LOCAL`, which is another one on links with two ends.
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;

/// The connections that one network namespace forwards.
#[derive(Debug)]
pub struct Conntrack {
    connections: Lists,
    addresses: Lists,
}

impl Conntrack {
    /// Opens sockets in the network namespace of the calling thread; whichever thread uses them
    /// reads that namespace.
    ///
    /// # Errors
    /// Whatever the kernel says; `EPROTONOSUPPORT` if it has no netfilter netlink.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            connections: Lists::open(NETLINK_NETFILTER)?,
            addresses: Lists::open(NETLINK_ROUTE)?,
        })
    }

    /// Addresses of the node itself, those of its bridges included, which no object tells of.
    fn own_addresses(&mut self) -> io::Result<HashSet<IpAddr>> {
        let mut own = HashSet::new();
        self.addresses
            .ask(GET_ADDRESS, NEW_ADDRESS, ADDRESS_HEADER, |bytes| {
                for attribute in attributes(bytes) {
                    let attribute = attribute?;
                    if matches!(attribute.kind(), ADDRESS | ADDRESS_LOCAL) {
                        own.insert(address(attribute.value())?);
                    }
                }
                Ok(())
            })?;
        Ok(own)
    }
}

impl Connections for Conntrack {
    fn live(&mut self) -> io::Result<Vec<Entry>> {
        let own = self.own_addresses()?;
        let mut entries = Vec::new();
        self.connections
            .ask(GET_CONNECTION, NEW_CONNECTION, CONNECTION_HEADER, |bytes| {
                let is_forwarded = |entry: &Entry| {
                    let ends = [entry.original.source, entry.reply.source];
                    !ends
                        .iter()
                        .any(|end| end.is_loopback() || own.contains(end))
                };
                entries.extend(entry(bytes)?.filter(is_forwarded));
                Ok(())
            })
            .map_err(|error| match error.raw_os_error() {
                // The answer of netfilter netlink to questions for a part that it does not have.
                Some(libc::EINVAL) => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this kernel lacks the module nf_conntrack_netlink, which lists connections",
                ),
                _ => error,
            })?;
        Ok(entries)
    }
}

/// An entry; none for a protocol of which only one direction is known.
fn entry(bytes: &[u8]) -> io::Result<Option<Entry>> {
    let (mut id, mut original, mut reply, mut master) = (None, None, None, None);
    for attribute in attributes(bytes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            ID => id = Some(ConnectionId::new(u32::from_be_bytes(exactly(value)?))),
            TUPLE_ORIGINAL => original = tuple(value)?,
            TUPLE_REPLY => reply = tuple(value)?,
            TUPLE_MASTER => master = tuple(value)?,
            _ => {}
        }
    }
    let whole = |((id, original), reply)| Entry {
        id,
        original,
        reply,
        master,
    };
    Ok(id.zip(original).zip(reply).map(whole))
}

fn tuple(bytes: &[u8]) -> io::Result<Option<Tuple>> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut source_port, mut destination_port) = (0, 0, 0);
    for part in attributes(bytes) {
        let part = part?;
        for attribute in attributes(part.value()) {
            let attribute = attribute?;
            let value = attribute.value();
            match (part.kind(), attribute.kind()) {
                (TUPLE_IP, IPV4_SOURCE | IPV6_SOURCE) => source = Some(address(value)?),
                (TUPLE_IP, IPV4_DESTINATION | IPV6_DESTINATION) => {
                    destination = Some(address(value)?);
                }
                (TUPLE_PROTOCOL, PROTOCOL_NUMBER) => [protocol] = exactly(value)?,
                (TUPLE_PROTOCOL, PROTOCOL_SOURCE_PORT) => {
                    source_port = u16::from_be_bytes(exactly(value)?);
                }
                (TUPLE_PROTOCOL, PROTOCOL_DESTINATION_PORT) => {
                    destination_port = u16::from_be_bytes(exactly(value)?);
                }
                _ => {}
            }
        }
    }
    let whole = |(source, destination)| Tuple {
        source,
        destination,
        protocol,
        source_port,
        destination_port,
    };
    Ok(source.zip(destination).map(whole))
}
