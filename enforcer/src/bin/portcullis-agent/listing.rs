//! Lists of nftables objects: names of everybody's tables and chains, counters of our own rules.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES << 8`, and messages of it.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_GETTABLE`.
pub(crate) const TABLES: u16 = SUBSYSTEM | 1;
/// `NFT_MSG_GETCHAIN`.
pub(crate) const CHAINS: u16 = SUBSYSTEM | 4;
/// `NFT_MSG_GETRULE`.
pub(crate) const RULES: u16 = SUBSYSTEM | 7;
/// `NFPROTO_UNSPEC`: of every family.
pub(crate) const EVERYBODY: u8 = 0;
/// `NFPROTO_INET`: of our table's.
pub(crate) const INET: u8 = 1;
/// Of every netlink family.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const MESSAGE_HEADER: usize = 16;
const HEADER: usize = 4;

/// Calls `each` with the attributes of every object of a kind in the network namespace of the
/// calling thread. `restriction` are (attribute, text) that it must have.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) fn list(
    message: u16,
    family: u8,
    restriction: &[(u16, &str)],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&question(message, family, restriction)?, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match message.message_type() {
                DONE => return Ok(()),
                ERROR => return Err(refusal(message.payload())),
                _ => each(message.payload().get(HEADER..).unwrap_or_default()),
            }
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn question(message: u16, family: u8, restriction: &[(u16, &str)]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MESSAGE_HEADER + HEADER];
    bytes[4..6].copy_from_slice(&message.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes[MESSAGE_HEADER] = family;
    for (attribute, text) in restriction {
        let length = u16::try_from(4 + text.len() + 1).map_err(io::Error::other)?;
        bytes.extend(length.to_ne_bytes());
        bytes.extend(attribute.to_ne_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    Ok(bytes)
}

fn refusal(payload: &[u8]) -> io::Error {
    let code = payload
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// The values of all attributes of a kind.
pub(crate) fn attributes(bytes: &[u8], kind: u16) -> impl Iterator<Item = &[u8]> {
    /// The length and kind of an attribute, before its value.
    const BEFORE: usize = 4;
    let mut at = 0;
    NlasIterator::new(bytes).filter_map(move |attribute| {
        let attribute = attribute.ok()?;
        let length = usize::from(attribute.length());
        let value = bytes.get(at + BEFORE..at + length);
        at += length.next_multiple_of(4);
        value.filter(|_| attribute.kind() == kind)
    })
}

/// The value of an attribute, as text.
pub(crate) fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let value = attributes(bytes, kind).next()?;
    let text = String::from_utf8_lossy(value);
    Some(text.trim_end_matches('\0').to_owned())
}
