//! Lists that the kernel gives over netlink.
//!
//! Attributes are read where they lie: a busy node has a hundred thousand connections, and the
//! packet crate makes several vectors of each but knows neither ids nor masters.

use std::{io, net::IpAddr};

use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NlaBuffer, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};

/// Message types of every netlink family.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A socket that lists are asked from. It belongs to the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Lists {
    socket: Socket,
    /// Of the last question, so that what is left of answers to an earlier one is not read as new.
    sequence: u32,
}

/// One attribute.
pub(super) type Attribute<'a> = NlaBuffer<&'a [u8]>;

impl Lists {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks for everything of a kind, with an empty header of the family, `header` bytes long, and
    /// hands over the attributes of each answer of the type `listed`.
    pub(super) fn ask(
        &mut self,
        question: u16,
        listed: u16,
        header: usize,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket
            .send(&request(question, header, self.sequence), 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(invalid)?;
                let is_answer = message.sequence_number() == self.sequence;
                match message.message_type() {
                    _ if !is_answer => {}
                    ERROR | DONE => return outcome(message.payload()),
                    kind if kind == listed => {
                        each(message.payload().get(header..).unwrap_or_default())?;
                    }
                    _ => {}
                }
                let length = message.length() as usize;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn request(question: u16, header: usize, sequence: u32) -> Vec<u8> {
    let mut netlink = NetlinkHeader::default();
    netlink.message_type = question;
    netlink.flags = NLM_F_REQUEST | NLM_F_DUMP;
    netlink.sequence_number = sequence;
    let mut bytes = vec![0; netlink.buffer_len() + header];
    netlink.length = u32::try_from(bytes.len()).expect("two short headers");
    netlink.emit(&mut bytes);
    bytes
}

/// What an error or the end of a list says: a negative errno, or 0.
fn outcome(payload: &[u8]) -> io::Result<()> {
    let code = payload
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = io::Result<Attribute<'_>>> {
    NlasIterator::new(bytes).map(|attribute| attribute.map_err(invalid))
}

/// An address of either family, by its length.
pub(super) fn address(value: &[u8]) -> io::Result<IpAddr> {
    match value.len() {
        4 => exactly::<4>(value).map(IpAddr::from),
        _ => exactly::<16>(value).map(IpAddr::from),
    }
}

pub(super) fn exactly<const N: usize>(value: &[u8]) -> io::Result<[u8; N]> {
    value.try_into().map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
