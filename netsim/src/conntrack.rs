//! The connections a namespace knows: listed and forgotten.

use std::{fmt::Write, io, net::SocketAddr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner,
    NetfilterProtoFamily::{self, IPv4, IPv6, Unspec},
    conntrack::{
        ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol as Spoken, Status,
        Tuple,
    },
};
use netlink_sys::{Socket, SocketAddr as Address, protocols::NETLINK_NETFILTER};

use nix::libc;

use crate::{netns::Netns, topology::Protocol};

/// Every connection, one line each, in the words of `conntrack -L`.
pub(crate) fn list(namespace: &Netns) -> io::Result<Vec<String>> {
    let get = ConntrackMessage::Get(Vec::new());
    let answers = namespace.run(|| ask(get, NLM_F_DUMP, Unspec))??;
    Ok(answers.iter().map(|connection| show(connection)).collect())
}

/// A connection of a protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) protocol: Protocol,
    /// Its first packet as it came.
    pub(crate) original: Ends,
    /// The packets that answer, as they come.
    pub(crate) reply: Ends,
}

/// The ends of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// Forgets the connections that are to be.
pub(crate) fn forget(
    namespace: &Netns,
    which: impl Fn(&Connection) -> bool + Sync,
) -> io::Result<()> {
    namespace.run(|| {
        let known = ask(ConntrackMessage::Get(Vec::new()), NLM_F_DUMP, Unspec)?;
        for attributes in known {
            if !connection(&attributes).is_some_and(|connection| which(&connection)) {
                continue;
            }
            // The original packet is what it is known by.
            let is_name =
                |part: &ConntrackAttribute| matches!(part, ConntrackAttribute::CtaTupleOrig(_));
            let name: Vec<_> = attributes.into_iter().filter(is_name).collect();
            let family = match name.iter().find_map(ends) {
                Some((_, ends)) if ends.from.is_ipv6() => IPv6,
                _ => IPv4,
            };
            match ask(ConntrackMessage::Delete(name), NLM_F_ACK, family) {
                // It has ended by itself.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                deleted => drop(deleted?),
            }
        }
        Ok(())
    })?
}

fn connection(attributes: &[ConntrackAttribute]) -> Option<Connection> {
    let (mut original, mut reply) = (None, None);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(_) => original = ends(attribute),
            ConntrackAttribute::CtaTupleReply(_) => reply = ends(attribute),
            _ => {}
        }
    }
    let ((protocol, original), (_, reply)) = (original?, reply?);
    Some(Connection {
        protocol,
        original,
        reply,
    })
}

/// Protocol and ends of one direction.
fn ends(attribute: &ConntrackAttribute) -> Option<(Protocol, Ends)> {
    let (ConntrackAttribute::CtaTupleOrig(tuple) | ConntrackAttribute::CtaTupleReply(tuple)) =
        attribute
    else {
        return None;
    };
    let (mut source, mut destination, mut protocol) = (None, None, None);
    let (mut from, mut to) = (None, None);
    for part in tuple {
        match part {
            Tuple::Ip(parts) => parts.iter().for_each(|part| match part {
                IPTuple::SourceAddress(address) => source = Some(*address),
                IPTuple::DestinationAddress(address) => destination = Some(*address),
                _ => {}
            }),
            Tuple::Proto(parts) => parts.iter().for_each(|part| match part {
                ProtoTuple::Protocol(Spoken::Tcp) => protocol = Some(Protocol::Tcp),
                ProtoTuple::Protocol(Spoken::Udp) => protocol = Some(Protocol::Udp),
                ProtoTuple::Protocol(Spoken::Sctp) => protocol = Some(Protocol::Sctp),
                ProtoTuple::SourcePort(port) => from = Some(*port),
                ProtoTuple::DestinationPort(port) => to = Some(*port),
                _ => {}
            }),
            _ => {}
        }
    }
    let ends = Ends {
        from: SocketAddr::new(source?, from?),
        to: SocketAddr::new(destination?, to?),
    };
    Some((protocol?, ends))
}

/// Forgets every connection.
pub(crate) fn flush(namespace: &Netns) -> io::Result<()> {
    let delete = ConntrackMessage::Delete(Vec::new());
    namespace.run(|| ask(delete, NLM_F_ACK, Unspec))??;
    Ok(())
}

/// One request and all its answers, in the namespace of the calling thread.
fn ask(
    request: ConntrackMessage,
    flags: u16,
    family: NetfilterProtoFamily,
) -> io::Result<Vec<Vec<ConntrackAttribute>>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&Address::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let header_of = NetfilterHeader::new(family, 0, 0);
    let mut message = NetlinkMessage::new(
        header,
        NetlinkPayload::from(NetfilterMessage::new(header_of, request)),
    );
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut connections = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match message.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                // The end of a list, or the acknowledgement of what has no answer.
                NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => return Ok(connections),
                NetlinkPayload::InnerMessage(NetfilterMessage {
                    inner: NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)),
                    ..
                }) => connections.push(attributes),
                _ => {}
            }
            let aligned = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(aligned..).unwrap_or_default();
        }
    }
}

fn show(connection: &[ConntrackAttribute]) -> String {
    let mut line = String::new();
    for attribute in connection {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => {
                show_protocol(tuple, &mut line);
                show_tuple(tuple, &mut line);
            }
            ConntrackAttribute::CtaTupleReply(tuple) => {
                line.push_str(" reply");
                show_tuple(tuple, &mut line);
            }
            ConntrackAttribute::CtaStatus(status) if status.contains(Status::Assured) => {
                line.push_str(" assured");
            }
            ConntrackAttribute::CtaMark(mark) if *mark != 0 => {
                // Writing to a string cannot fail.
                let _ = write!(line, " mark {mark}");
            }
            _ => {}
        }
    }
    line
}

fn show_protocol(tuple: &[Tuple], line: &mut String) {
    for part in tuple {
        let Tuple::Proto(parts) = part else { continue };
        for part in parts {
            if let ProtoTuple::Protocol(protocol) = part {
                let _ = write!(line, "{}", format!("{protocol:?}").to_lowercase());
            }
        }
    }
}

fn show_tuple(tuple: &[Tuple], line: &mut String) {
    for part in tuple {
        // Writing to a string cannot fail.
        let _ = match part {
            Tuple::Ip(parts) => parts.iter().try_for_each(|part| match part {
                IPTuple::SourceAddress(address) => write!(line, " {address}"),
                IPTuple::DestinationAddress(address) => write!(line, " -> {address}"),
                _ => Ok(()),
            }),
            Tuple::Proto(parts) => parts.iter().try_for_each(|part| match part {
                ProtoTuple::SourcePort(port) => write!(line, " sport {port}"),
                ProtoTuple::DestinationPort(port) => write!(line, " dport {port}"),
                _ => Ok(()),
            }),
            _ => Ok(()),
        };
    }
}
