//! Probes on raw sockets: ICMP echo, and SCTP, for which the kernel may have no sockets.
//!
//! One socket per namespace, protocol and family carries all probes that start there; each has a
//! number of its own (source port or echo identifier) by which answers and complaints find it.
//!
//! Raw sockets are a privilege (`CAP_NET_RAW`). Without it ICMP has ping sockets, where the group may
//! have them (`net.ipv4.ping_group_range`); they carry one number each.

use std::{
    collections::BTreeMap,
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use nix::libc;
use socket2::{Domain, Type};

use super::{
    Answer, echo,
    outcome::{is_loss, is_too_long},
    patience::Patience,
};
use crate::{
    datagram::{self, Datagrams},
    greeting::Greeting,
    listen::sctp::payload,
    sctp::{self, Chunk, Packet},
    topology::Protocol,
};

/// The longest packet of IP.
const LONGEST: usize = 65_535;

/// How many links in a row may turn out to be too narrow, for each probe.
const REPEATS: usize = 5;

/// More than an answer to a probe without payload.
const SHORT: usize = 2_048;

/// The probes of one socket.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) v6: bool,
    /// By number.
    pub(super) probes: BTreeMap<u16, Numbered>,
}

/// A probe of a bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    /// Its place in the caller's list.
    pub(super) index: usize,
    pub(super) to: SocketAddr,
    /// Source port or echo identifier.
    pub(super) number: u16,
    pub(super) nonce: u64,
    /// In bytes.
    pub(super) payload: usize,
}

/// A socket in the namespace of the calling thread.
#[derive(Debug)]
pub(super) struct Socket {
    socket: socket2::Socket,
    /// Whether the kernel writes the identifier, and leaves out the IP header.
    is_ping: bool,
}

impl Socket {
    /// A raw socket; for ICMP, where that is not permitted, a ping socket for this identifier.
    ///
    /// # Errors
    /// `EPERM` where neither is permitted.
    pub(super) fn open(protocol: Protocol, v6: bool, number: u16) -> io::Result<Self> {
        let (family, icmp) = match v6 {
            true => (Domain::IPV6, libc::IPPROTO_ICMPV6),
            false => (Domain::IPV4, libc::IPPROTO_ICMP),
        };
        let spoken = match protocol {
            Protocol::Sctp => sctp::PROTOCOL,
            _ => icmp,
        };
        let raw = socket2::Socket::new(family, Type::RAW.nonblocking(), Some(spoken.into()));
        let (socket, is_ping) = match raw {
            Err(refused)
                if protocol == Protocol::Icmp && refused.raw_os_error() == Some(libc::EPERM) =>
            {
                let kind = Type::DGRAM.nonblocking();
                let ping = socket2::Socket::new(family, kind, Some(spoken.into()));
                // What is missing is the privilege; ping sockets are off almost everywhere.
                (ping.map_err(|_| refused)?, true)
            }
            raw => (raw?, false),
        };
        if is_ping {
            let own = match v6 {
                true => SocketAddr::from((Ipv6Addr::UNSPECIFIED, number)),
                false => SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)),
            };
            socket.bind(&own.into())?;
        }
        socket.set_recv_buffer_size(4 << 20)?;
        datagram::note_complaints(&socket, v6)?;
        Ok(Self { socket, is_ping })
    }

    /// Whether probes with other numbers can go through it, too.
    pub(super) fn has_room(&self) -> bool {
        !self.is_ping
    }
}

/// Sends all of them and collects what comes back, by index.
pub(super) async fn probe(
    bundle: Bundle,
    mut patience: Patience,
) -> io::Result<Vec<(usize, Answer)>> {
    let Bundle {
        socket,
        protocol,
        v6,
        probes,
    } = bundle;
    let started = Instant::now();
    let mut exchange = Exchange {
        is_ping: socket.is_ping,
        socket: Datagrams::register(socket.socket)?,
        protocol,
        v6,
        started,
        open: probes.clone(),
        again: Vec::new(),
        repeats: probes.len() * REPEATS,
        answers: Vec::with_capacity(probes.len()),
    };
    while patience.repeat() {
        for probe in probes.values() {
            exchange.send(probe)?;
        }
        patience.sent();
        if let Some(done) = patience.wait_a_while(exchange.listen()).await {
            done?;
            break;
        }
    }
    let Exchange {
        mut answers, open, ..
    } = exchange;
    let silent = Answer::denied(started.elapsed());
    answers.extend(open.values().map(|probe| (probe.index, silent.clone())));
    Ok(answers)
}

/// What came back.
enum Heard {
    /// SCTP: what a server of ours said, if it is one.
    Greeting(Option<Greeting>),
    /// ICMP: so many bytes.
    Echo(usize),
}

struct Exchange {
    socket: Datagrams,
    is_ping: bool,
    protocol: Protocol,
    v6: bool,
    started: Instant,
    /// Those that nothing has come back for.
    open: BTreeMap<u16, Numbered>,
    /// Those that were too long for a link.
    again: Vec<Numbered>,
    /// How many more may be.
    repeats: usize,
    answers: Vec<(usize, Answer)>,
}

impl Exchange {
    /// Sends one probe, unless it has been answered.
    fn send(&mut self, probe: &Numbered) -> io::Result<()> {
        let packet = match self.protocol {
            Protocol::Sctp => Packet {
                source: probe.number,
                destination: probe.to.port(),
                tag: 0,
                chunk: Chunk::Init {
                    tag: tag(probe.nonce),
                    padding: probe.payload,
                },
            }
            .encode(),
            _ => echo::request(self.v6, probe.number, probe.nonce, probe.payload),
        };
        // Raw sockets of IPv6 take the protocol from the port.
        let to = SocketAddr::new(probe.to.ip(), 0).into();
        // A complaint about this very packet (a node that rejects what it sends itself) ends it.
        while self.open.contains_key(&probe.number) {
            match self.socket.socket().send_to(&packet, &to) {
                Err(error) if is_loss(&error) || is_too_long(&error) => return Ok(()),
                // The error may be about a packet sent before; then there is a complaint about it.
                Err(_) if self.hear_complaints()? > 0 => {}
                Err(error) => return self.settle(probe.number, Err(error)),
                Ok(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Until every probe has its answer.
    async fn listen(&mut self) -> io::Result<()> {
        // An echo is as long as what it answers.
        let has_payload = self.open.values().any(|probe| probe.payload > 0);
        let mut buffer = vec![0; if has_payload { LONGEST } else { SHORT }];
        while !self.open.is_empty() {
            let received = self
                .socket
                .next(|socket| datagram::take(socket, &mut buffer))
                .await;
            match received {
                Ok(length) => self.hear(&buffer[..length])?,
                // What is wrong is in the queue of complaints.
                Err(_) => {
                    self.hear_complaints()?;
                }
            }
            for probe in mem::take(&mut self.again) {
                self.send(&probe)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, packet: &[u8]) -> io::Result<()> {
        let family = match self.v6 {
            true => SocketAddr::from(([0; 16], 0)),
            false => SocketAddr::from(([0; 4], 0)),
        };
        let payload = match self.is_ping {
            true => packet,
            false => payload(packet, family),
        };
        match self.protocol {
            Protocol::Sctp => self.hear_sctp(payload),
            _ => match echo::reply(self.v6, payload) {
                Some((number, nonce)) if self.is_open(number, |probe| probe.nonce == nonce) => {
                    self.settle(number, Ok(Heard::Echo(echo::data(payload))))
                }
                _ => Ok(()),
            },
        }
    }

    fn hear_sctp(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some(packet) = Packet::decode(payload) else {
            return Ok(());
        };
        let number = packet.destination;
        let Some(probe) = self.open.get(&number).copied() else {
            return Ok(());
        };
        if packet.tag != tag(probe.nonce) {
            return Ok(());
        }
        match packet.chunk {
            Chunk::Init { .. } => Ok(()),
            Chunk::Abort => self.settle(
                number,
                Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            ),
            Chunk::InitAck { tag, cookie } => {
                // Tells those who track it that there is no association after all.
                let abort = Packet {
                    source: number,
                    destination: packet.source,
                    tag,
                    chunk: Chunk::Abort,
                };
                let to = SocketAddr::new(probe.to.ip(), 0).into();
                // Fresh ports make up for an abort that is lost.
                drop(self.socket.socket().send_to(&abort.encode(), &to));
                let greeting = Greeting::split(&cookie).map(|(greeting, _)| greeting);
                self.settle(number, Ok(Heard::Greeting(greeting)))
            }
        }
    }

    /// Takes every complaint there is; how many there were.
    fn hear_complaints(&mut self) -> io::Result<usize> {
        let mut heard = 0;
        let mut packet = [0; 2048];
        while let Some(complaint) = datagram::complaint(&*self.socket.socket(), &mut packet)? {
            heard += 1;
            let packet = &packet[..complaint.length];
            let number = match self.protocol {
                Protocol::Sctp => Packet::source_of(packet),
                _ => echo::number_of(self.v6, packet),
            };
            // Other sockets hear it too; another probe may have the same number.
            let about = |probe: &Numbered| complaint.about.is_none_or(|to| to == probe.to.ip());
            let Some(number) = number.filter(|number| self.is_open(*number, about)) else {
                continue;
            };
            if is_too_long(&complaint.error) {
                if self.repeats > 0 {
                    self.repeats -= 1;
                    self.again.extend(self.open.get(&number));
                }
            } else {
                self.settle(number, Err(complaint.error))?;
            }
        }
        Ok(heard)
    }

    fn is_open(&self, number: u16, test: impl FnOnce(&Numbered) -> bool) -> bool {
        self.open.get(&number).is_some_and(test)
    }

    fn settle(&mut self, number: u16, heard: io::Result<Heard>) -> io::Result<()> {
        let latency = self.started.elapsed();
        if let Some(probe) = self.open.remove(&number) {
            let answer = match heard {
                Ok(Heard::Greeting(greeting)) => Answer::allowed(greeting, latency),
                Ok(Heard::Echo(data)) => Answer {
                    received: Some(data),
                    ..Answer::allowed(None, latency)
                },
                Err(error) => Answer::of_error(error, latency)?,
            };
            let answer = answer.with_payload(probe.payload);
            self.answers.push((probe.index, answer));
        }
        Ok(())
    }
}

/// The tag of an association; never 0.
fn tag(nonce: u64) -> u32 {
    (nonce as u32) | 1 << 31
}
