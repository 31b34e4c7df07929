//! The kernel's notices of changes, by netlink multicast.
//!
//! They tell of every table of the network namespace; of those that are not ours nothing is read
//! but the table's name.

use std::{
    collections::BTreeSet,
    io, mem,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_packet_core::{NLA_HEADER_SIZE, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};

use crate::nft::{
    TABLE,
    watch::{Look, Part, TableChange, Watch},
};

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
/// Room for notices in bytes; taken only when they are there.
const NOTICES: usize = 8 << 20;
/// Longer than any notice: the kernel makes them a page or two long.
const LONGEST: usize = 1 << 16;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// Of `struct nfgenmsg`, which comes before the attributes.
const HEADER: usize = 4;
/// `NFNL_SUBSYS_NFTABLES` as the upper half of a message's type.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_NEWGEN` and `NFT_MSG_GETGEN`.
const NEW_GENERATION: u16 = SUBSYSTEM | 15;
const GET_GENERATION: u16 = SUBSYSTEM | 16;
/// `NFTA_GEN_ID` and `NFTA_GEN_PROC_NAME`.
const GENERATION_ID: u16 = 1;
const PROCESS_NAME: u16 = 3;
/// The table's name is the first attribute of every kind of message (`NFTA_CHAIN_TABLE`, ..).
const TABLE_NAME: u16 = 1;

/// Two netlink sockets: one is told of every change, the other asks for the generation. They belong
/// to the network namespace in which they were opened.
#[derive(Debug)]
pub struct NetlinkWatch {
    notices: Socket,
    questions: Socket,
    buffer: Vec<u8>,
    /// Whose transaction has changed our table and is not heard to its end yet.
    touched: BTreeSet<u32>,
}

impl NetlinkWatch {
    /// Watches the network namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever the kernel says; `EPERM` without `CAP_NET_ADMIN` in the namespace.
    pub fn open() -> io::Result<Self> {
        let watch = Self {
            notices: open()?,
            questions: open()?,
            buffer: Vec::with_capacity(LONGEST),
            touched: BTreeSet::new(),
        };
        watch.set_room(NOTICES)?;
        watch.notices.add_membership(GROUP)?;
        Ok(watch)
    }

    /// How many bytes of notices are kept until they are looked at; what there is no room for is
    /// lost. Without privilege it is no more than `net.core.rmem_max` allows.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn set_room(&self, bytes: usize) -> io::Result<()> {
        if setsockopt(&self.notices, sockopt::RcvBufForce, &bytes).is_err() {
            setsockopt(&self.notices, sockopt::RcvBuf, &bytes)?;
        }
        Ok(())
    }
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// The next message of the kernel; none if there is none now.
fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<Option<()>> {
    loop {
        buffer.clear();
        match socket.recv_from(buffer, 0) {
            Ok((_, sender)) if sender.port_number() == 0 => return Ok(Some(())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl AsFd for NetlinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

impl Watch for NetlinkWatch {
    fn look(&mut self, is_own: &dyn Fn(u32) -> bool) -> io::Result<Look> {
        let mut reading = Reading {
            look: Look::default(),
            touched: &mut self.touched,
            is_past_own: false,
        };
        loop {
            match receive(&self.notices, &mut self.buffer) {
                Ok(Some(())) => reading.read(&self.buffer, is_own),
                Ok(None) => return Ok(reading.look),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    reading.look.is_incomplete = true;
                    reading.touched.clear();
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn generation(&mut self) -> io::Result<u32> {
        let mut question = [0; 20];
        question[0..4].copy_from_slice(&20_u32.to_ne_bytes());
        question[4..6].copy_from_slice(&GET_GENERATION.to_ne_bytes());
        question[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        self.questions
            .send_to(&question, &SocketAddr::new(0, 0), 0)?;
        // The kernel answers while the question is being sent.
        while receive(&self.questions, &mut self.buffer)?.is_some() {
            let id = messages(&self.buffer)
                .filter(|message| message.message_type() == NEW_GENERATION)
                .find_map(|message| attribute(message.payload(), GENERATION_ID)?.try_into().ok());
            if let Some(id) = id {
                return Ok(u32::from_be_bytes(id));
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// What has been read of a queue of notices.
struct Reading<'a> {
    look: Look,
    touched: &'a mut BTreeSet<u32>,
    /// Whether a notice of our own has come.
    is_past_own: bool,
}

impl Reading<'_> {
    /// Takes a datagram of notices in.
    fn read(&mut self, datagram: &[u8], is_own: &dyn Fn(u32) -> bool) {
        for message in messages(datagram) {
            let port = message.port_number();
            let payload = message.payload();
            if is_own(port) {
                if !self.is_past_own {
                    self.is_past_own = true;
                    self.look.earlier = mem::take(&mut self.look.changes);
                }
            } else if message.message_type() == NEW_GENERATION {
                // It ends a transaction and says whose it was.
                if self.touched.remove(&port)
                    && let Some(name) = attribute(payload, PROCESS_NAME)
                {
                    self.look.culprits.insert(text(name));
                }
            } else if let Some(change) = change(message.message_type(), payload) {
                self.touched.insert(port);
                self.look.changes.insert(change);
            }
        }
    }
}

/// What a notice says, if it is about our table.
fn change(message_type: u16, payload: &[u8]) -> Option<TableChange> {
    // The attribute that names what is changed, or what it is in.
    let (part, name) = match message_type.checked_sub(SUBSYSTEM)? {
        0 | 2 => (Part::Table, None),
        3 | 5 => (Part::Chain, Some(3)),
        6 | 8 => (Part::Rule, Some(2)),
        9 | 11 => (Part::Set, Some(2)),
        12 | 14 => (Part::Element, Some(2)),
        18 | 20 | 22 | 24 => (Part::Other, None),
        _ => return None,
    };
    let is_ours = *payload.first()? == INET && attribute(payload, TABLE_NAME).map(text)? == TABLE;
    is_ours.then(|| TableChange {
        part,
        name: name
            .and_then(|name| attribute(payload, name))
            .map(text)
            .unwrap_or_default(),
        is_gone: matches!(message_type - SUBSYSTEM, 2 | 5 | 8 | 11 | 14 | 20 | 24),
    })
}

fn messages(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = usize::try_from(message.length()).ok()?.next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
        Some(message)
    })
}

/// The value of a message's attribute.
fn attribute(payload: &[u8], kind: u16) -> Option<&[u8]> {
    let mut attributes = NlasIterator::new(payload.get(HEADER..)?);
    let found = attributes.find_map(|attribute| attribute.ok().filter(|a| a.kind() == kind))?;
    let end = usize::from(found.length());
    found.into_inner().get(NLA_HEADER_SIZE..end)
}

/// A string with its end, as the kernel writes it.
fn text(value: &[u8]) -> String {
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}
