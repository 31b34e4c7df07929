//! The kernel's list of connections, over ctnetlink.
//!
//! Attributes are read where they lie: a busy node has a hundred thousand entries, and the packet
//! crate makes several vectors of each but knows neither ids nor masters.

use std::{io, net::IpAddr};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NlaBuffer,
    NlasIterator,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterProtoFamily, conntrack::ConntrackMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::libc;

use super::{Connections, Entry, Tuple};
use crate::plan::ConnectionId;

/// Message types of every netlink family.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`.
const ENTRY: u16 = 0x100;
/// `struct nfgenmsg`, before the attributes.
const FAMILY_HEADER: usize = 4;

/// `enum ctattr_type`.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const TUPLE_MASTER: u16 = 14;
/// `enum ctattr_tuple`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// `enum ctattr_ip`.
const IPV4_SOURCE: u16 = 1;
const IPV4_DESTINATION: u16 = 2;
const IPV6_SOURCE: u16 = 3;
const IPV6_DESTINATION: u16 = 4;
/// `enum ctattr_l4proto`.
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;

/// The connections that conntrack knows in one network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
    /// Of the last question, so that what is left of answers to an earlier one is not read as new.
    sequence: u32,
}

impl Conntrack {
    /// Opens a socket in the network namespace of the calling thread; whichever thread uses it
    /// reads that namespace.
    ///
    /// # Errors
    /// Whatever the kernel says; `EPROTONOSUPPORT` if it has no netfilter netlink.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }
}

impl Connections for Conntrack {
    fn live(&mut self) -> io::Result<Vec<Entry>> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request(self.sequence), 0)?;
        let mut entries = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(invalid)?;
                let is_answer = message.sequence_number() == self.sequence;
                match message.message_type() {
                    _ if !is_answer => {}
                    ENTRY => entries.extend(entry(message.payload())?),
                    ERROR | DONE => return outcome(message.payload()).map(|()| entries),
                    _ => {}
                }
                let length = message.length() as usize;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// Every entry, of all address families.
fn request(sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let any = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let get = NetfilterMessage::new(any, ConntrackMessage::Get(Vec::new()));
    let mut message = NetlinkMessage::new(header, get.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What an error or the end of a list says: a negative errno, or 0.
fn outcome(payload: &[u8]) -> io::Result<()> {
    let code = payload
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    match code.checked_neg() {
        None | Some(0) => Ok(()),
        // The answer of netfilter netlink to messages of a part that it does not have.
        Some(libc::EINVAL) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel lacks the module nf_conntrack_netlink, which lists connections",
        )),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// An entry; none for a protocol of which only one direction is known.
fn entry(payload: &[u8]) -> io::Result<Option<Entry>> {
    let (mut id, mut original, mut reply, mut master) = (None, None, None, None);
    for attribute in attributes(payload.get(FAMILY_HEADER..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            ID => {
                id = Some(ConnectionId::new(u32::from_be_bytes(exactly(
                    attribute.value(),
                )?)))
            }
            TUPLE_ORIGINAL => original = tuple(attribute.value())?,
            TUPLE_REPLY => reply = tuple(attribute.value())?,
            TUPLE_MASTER => master = tuple(attribute.value())?,
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

fn tuple(value: &[u8]) -> io::Result<Option<Tuple>> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut source_port, mut destination_port) = (0, 0, 0);
    for part in attributes(value) {
        let part = part?;
        let is_address = match part.kind() {
            TUPLE_IP => true,
            TUPLE_PROTOCOL => false,
            _ => continue,
        };
        for attribute in attributes(part.value()) {
            let attribute = attribute?;
            let value = attribute.value();
            match (is_address, attribute.kind()) {
                (true, IPV4_SOURCE) => source = Some(IpAddr::from(exactly::<4>(value)?)),
                (true, IPV6_SOURCE) => source = Some(IpAddr::from(exactly::<16>(value)?)),
                (true, IPV4_DESTINATION) => destination = Some(IpAddr::from(exactly::<4>(value)?)),
                (true, IPV6_DESTINATION) => destination = Some(IpAddr::from(exactly::<16>(value)?)),
                (false, PROTOCOL_NUMBER) => [protocol] = exactly(value)?,
                (false, PROTOCOL_SOURCE_PORT) => source_port = u16::from_be_bytes(exactly(value)?),
                (false, PROTOCOL_DESTINATION_PORT) => {
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

fn attributes(bytes: &[u8]) -> impl Iterator<Item = io::Result<NlaBuffer<&[u8]>>> {
    NlasIterator::new(bytes).map(|attribute| attribute.map_err(invalid))
}

fn exactly<const N: usize>(value: &[u8]) -> io::Result<[u8; N]> {
    value.try_into().map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
