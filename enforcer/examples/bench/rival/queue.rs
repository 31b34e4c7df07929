//! The shape of kube-network-policies: each new connection's first packet is queued to user space,
//! which says whether it passes. Kinder than the original: the verdict is one look-up, whatever the
//! policies, and nothing is written back to the connection.
//!
//! Numbers are of `linux/netfilter/nfnetlink_queue.h`.

use std::{
    collections::HashSet,
    io,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use netsim::Netns;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// For `iptables-restore`.
pub(crate) const RULES: &str = "*filter
:FORWARD ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j NFQUEUE --queue-num 0
COMMIT
";

/// `NFNL_SUBSYS_QUEUE`, in the upper half of a message's type.
const SUBSYSTEM: u16 = 3 << 8;
const MESSAGE_PACKET: u16 = SUBSYSTEM;
const MESSAGE_VERDICT: u16 = SUBSYSTEM | 1;
const MESSAGE_CONFIGURE: u16 = SUBSYSTEM | 2;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
const CONFIGURE_COMMAND: u16 = 1;
const CONFIGURE_PARAMETERS: u16 = 2;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// As much of a packet as kube-network-policies wants.
const COPIED: u32 = 128;
const ATTRIBUTE_HEADER: u16 = 1;
const ATTRIBUTE_VERDICT: u16 = 2;
const ATTRIBUTE_PAYLOAD: u16 = 10;
/// Milliseconds until it is looked whether it is over.
const GLANCE: u8 = 50;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// What passes: source, destination, destination port.
pub(crate) type Passing = HashSet<(Ipv4Addr, Ipv4Addr, u16)>;

/// A thread that says what passes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Queue {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// Answers for the first queue of a namespace.
    ///
    /// # Errors
    /// The kernel has no such queues.
    pub(crate) fn answer(netns: &Netns, passing: Passing) -> Result<Self> {
        let socket = netns.run(bind)?.context("open a queue of packets")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name("queue".to_owned())
            .spawn(
                move || while !told.load(Ordering::Relaxed) && judge(&socket, &passing).is_ok() {},
            )?;
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            drop(thread.join());
        }
    }
}

fn bind() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    let command = [COMMAND_BIND, 0, 0, 0];
    send(&socket, MESSAGE_CONFIGURE, CONFIGURE_COMMAND, &command)?;
    let mut parameters = COPIED.to_be_bytes().to_vec();
    parameters.push(COPY_PACKET);
    send(
        &socket,
        MESSAGE_CONFIGURE,
        CONFIGURE_PARAMETERS,
        &parameters,
    )?;
    Ok(socket)
}

/// Answers all packets of one message.
fn judge(socket: &Socket, passing: &Passing) -> io::Result<()> {
    let mut wakers = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    if poll(&mut wakers, PollTimeout::from(GLANCE))? == 0 {
        return Ok(());
    }
    let (bytes, _) = socket.recv_from_full()?;
    let mut rest = &bytes[..];
    while let Some((kind, payload, others)) = message(rest) {
        rest = others;
        if kind != MESSAGE_PACKET {
            continue;
        }
        // After the part that all messages of netfilter have.
        let attributes = payload.get(4..).unwrap_or_default();
        let Some(id) = attribute(attributes, ATTRIBUTE_HEADER).and_then(|header| header.get(..4))
        else {
            continue;
        };
        let packet = attribute(attributes, ATTRIBUTE_PAYLOAD).and_then(connection);
        let passes = packet.is_some_and(|packet| passing.contains(&packet));
        let verdict = if passes { ACCEPT } else { DROP };
        let answer = [&verdict.to_be_bytes(), id].concat();
        send(socket, MESSAGE_VERDICT, ATTRIBUTE_VERDICT, &answer)?;
    }
    Ok(())
}

/// One message with one attribute, for queue 0.
fn send(socket: &Socket, kind: u16, attribute: u16, value: &[u8]) -> io::Result<()> {
    let length_of_attribute = 4 + value.len();
    let length = 20 + length_of_attribute.next_multiple_of(4);
    let short = |length: usize| u16::try_from(length).expect("all of these are short");
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::from(short(length)).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Sequence number, port; family, version and queue of netfilter's own header.
    bytes.extend([0; 12]);
    bytes.extend(short(length_of_attribute).to_ne_bytes());
    bytes.extend(attribute.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length, 0);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    Ok(())
}

/// The first message: its type and payload, and what comes after it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let payload = bytes.get(16..length)?;
    let others = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, payload, others))
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        if kind == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(length.next_multiple_of(4).max(4)..)?;
    }
}

/// Source, destination and destination port of an IPv4 packet.
fn connection(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u16)> {
    let address = |at: usize| -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(bytes.into())
    };
    let header = usize::from(packet.first()? & 0xf) * 4;
    let port = packet.get(header + 2..header + 4)?;
    Some((
        address(12)?,
        address(16)?,
        u16::from_be_bytes(port.try_into().ok()?),
    ))
}
