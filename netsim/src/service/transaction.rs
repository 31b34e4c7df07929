//! One batch of nf_tables messages, applied whole or not at all.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::NfTablesMessage, none::ControlMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};

/// `NFNL_SUBSYS_NFTABLES`: whose batch it is.
const NFTABLES: u16 = 10;

/// Room for a transaction, which is one datagram.
const ROOM: usize = 16 << 20;

/// Applies the messages in the namespace of the calling thread.
pub(super) fn apply(messages: Vec<NfTablesMessage>) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Only root may have as much as it likes; others as much as `wmem_max`.
    if setsockopt(&socket, sockopt::SndBufForce, &ROOM).is_err() {
        setsockopt(&socket, sockopt::SndBuf, &ROOM)?;
    }
    let last = u32::try_from(messages.len()).expect("a transaction fits into one datagram");
    let batch = encode(messages, last);
    socket.send(&batch, 0)?;
    // Answers come in the order of the messages, and only the last and those in error have one: the
    // first decides.
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let answer = NetlinkMessage::<NetfilterMessage>::deserialize(&datagram)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::Error(_) if answer.header.sequence_number == last => return Ok(()),
            _ => {}
        }
    }
}

fn encode(messages: Vec<NfTablesMessage>, last: u32) -> Vec<u8> {
    let mut batch = Vec::new();
    let begin = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    push(
        &mut batch,
        0,
        NLM_F_REQUEST,
        begin.clone(),
        ControlMessage::BatchBegin,
    );
    for (number, message) in (1..).zip(messages) {
        let kind = match &message {
            NfTablesMessage::DeleteTable(_)
            | NfTablesMessage::DeleteChain(_)
            | NfTablesMessage::DeleteSet(_)
            | NfTablesMessage::DeleteRule(_) => 0,
            NfTablesMessage::NewRule(_) => NLM_F_CREATE | NLM_F_APPEND,
            _ => NLM_F_CREATE,
        };
        let answer = if number == last { NLM_F_ACK } else { 0 };
        let inet = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
        push(
            &mut batch,
            number,
            NLM_F_REQUEST | kind | answer,
            inet,
            message,
        );
    }
    push(
        &mut batch,
        last + 1,
        NLM_F_REQUEST,
        begin,
        ControlMessage::BatchEnd,
    );
    batch
}

fn push(
    batch: &mut Vec<u8>,
    number: u32,
    flags: u16,
    header: NetfilterHeader,
    message: impl Into<NetfilterMessageInner>,
) {
    let mut netlink = NetlinkHeader::default();
    netlink.flags = flags;
    netlink.sequence_number = number;
    let payload = NetlinkPayload::from(NetfilterMessage::new(header, message));
    let mut message = NetlinkMessage::new(netlink, payload);
    message.finalize();
    let start = batch.len();
    batch.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut batch[start..start + message.buffer_len()]);
}
