//! The connections a namespace knows: listed and forgotten.

use std::{fmt::Write, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Status, Tuple},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::netns::Netns;

/// Every connection, one line each, in the words of `conntrack -L`.
pub(crate) fn list(namespace: &Netns) -> io::Result<Vec<String>> {
    let get = ConntrackMessage::Get(Vec::new());
    let answers = namespace.run(|| ask(get, NLM_F_DUMP))??;
    Ok(answers.iter().map(|connection| show(connection)).collect())
}

/// Forgets every connection.
pub(crate) fn flush(namespace: &Netns) -> io::Result<()> {
    let delete = ConntrackMessage::Delete(Vec::new());
    namespace.run(|| ask(delete, NLM_F_ACK))??;
    Ok(())
}

/// One request and all its answers, in the namespace of the calling thread.
fn ask(request: ConntrackMessage, flags: u16) -> io::Result<Vec<Vec<ConntrackAttribute>>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let any = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let mut message = NetlinkMessage::new(
        header,
        NetlinkPayload::from(NetfilterMessage::new(any, request)),
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
