//! Connections between two namespaces, both ends in the hands of one thread.
//!
//! The kernel carries a packet over a virtual wire while its sender waits, so that one thread can
//! speak for both ends without ever being put aside: what is timed is the way of packets through the
//! node and nothing else. Rates are by this process's processor time, in the kernel or not: on a
//! machine that does nothing else that is the time that passes, and on a busy one it still holds.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use netsim::Netns;
use nix::{
    libc,
    sys::{
        resource::UsageWho,
        socket::{setsockopt, sockopt},
    },
};

use super::shape::PORT;
use crate::process::processor_time;

/// The longest answer that is awaited.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is not answered meanwhile is denied.
const SILENCE: Duration = Duration::from_millis(200);
/// What is written at once.
const CHUNK: usize = 1 << 16;

/// A client and a server that wait for each other.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: Netns,
    listener: TcpListener,
    datagrams: UdpSocket,
    server: SocketAddr,
}

/// What was measured at a stretch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Processor time of all of it, opening and closing sockets included.
    pub(super) took: Duration,
    /// From the first packet to its answer, of each.
    pub(crate) latencies: Vec<Duration>,
}

impl Batch {
    /// How many a second.
    pub(super) fn rate(&self) -> f64 {
        crate::sample::number(self.latencies.len()) / self.took.as_secs_f64()
    }
}

/// How long a stretch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// So many, unless they take longer than this.
    pub(crate) count: usize,
    pub(crate) at_most: Duration,
}

impl Exchange {
    /// Listens on the server's side.
    pub(super) fn new(client: Netns, server: &Netns, address: IpAddr) -> io::Result<Self> {
        let address = SocketAddr::new(address, PORT);
        let (listener, datagrams) =
            server.run(|| (TcpListener::bind(address), UdpSocket::bind(address)))?;
        let datagrams = datagrams?;
        datagrams.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            client,
            listener: listener?,
            datagrams,
            server: address,
        })
    }

    /// Whether a packet to a port meets silence, not an answer, be it a refusal.
    pub(super) fn is_denied(&self, port: u16) -> io::Result<bool> {
        let address = SocketAddr::new(self.server.ip(), port);
        let connected = self
            .client
            .run(|| TcpStream::connect_timeout(&address, SILENCE))?;
        match connected {
            Ok(_) => {
                // Not to be taken for a later one.
                self.listener.accept()?;
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// TCP connections, one after the other: opened, accepted, reset.
    pub(crate) fn connections(&self, stretch: Stretch) -> io::Result<Batch> {
        self.stretch(stretch, || {
            let begun = Instant::now();
            let client = TcpStream::connect_timeout(&self.server, PATIENCE)?;
            let latency = begun.elapsed();
            reset_when_closed(&client)?;
            self.listener.accept()?;
            Ok(latency)
        })
    }

    /// UDP requests from a new port each, with their answers.
    pub(super) fn requests(&self, stretch: Stretch) -> io::Result<Batch> {
        let any = SocketAddr::new([0, 0, 0, 0].into(), 0);
        self.stretch(stretch, || {
            let client = UdpSocket::bind(any)?;
            client.set_read_timeout(Some(PATIENCE))?;
            let begun = Instant::now();
            client.send_to(b"?", self.server)?;
            let mut buffer = [0; 16];
            let (_, from) = self.datagrams.recv_from(&mut buffer)?;
            self.datagrams.send_to(b"!", from)?;
            client.recv_from(&mut buffer)?;
            Ok(begun.elapsed())
        })
    }

    fn stretch(
        &self,
        stretch: Stretch,
        one: impl Fn() -> io::Result<Duration> + Sync,
    ) -> io::Result<Batch> {
        self.client.run(|| {
            let (begun, before) = (Instant::now(), used()?);
            let mut latencies = Vec::with_capacity(stretch.count);
            while latencies.len() < stretch.count && begun.elapsed() < stretch.at_most {
                latencies.push(one()?);
            }
            Ok(Batch {
                took: used()?.saturating_sub(before),
                latencies,
            })
        })?
    }

    /// Connections that stand.
    pub(super) fn streams(&self, count: usize) -> io::Result<Vec<(TcpStream, TcpStream)>> {
        self.client.run(|| {
            (0..count)
                .map(|_| {
                    let client = TcpStream::connect_timeout(&self.server, PATIENCE)?;
                    reset_when_closed(&client)?;
                    let (server, _) = self.listener.accept()?;
                    client.set_nonblocking(true)?;
                    server.set_nonblocking(true)?;
                    Ok((client, server))
                })
                .collect()
        })?
    }
}

/// Bytes a second of processor time over streams that take turns.
pub(super) fn throughput(
    streams: &mut [(TcpStream, TcpStream)],
    at_least: Duration,
) -> io::Result<f64> {
    let mut buffer = vec![0; CHUNK];
    let mut received = 0;
    let before = used()?;
    let spent = || Ok::<_, io::Error>(used()?.saturating_sub(before));
    while spent()? < at_least {
        for (client, server) in &mut *streams {
            without_waiting(client.write(&buffer))?;
            loop {
                match without_waiting(server.read(&mut buffer))? {
                    0 => break,
                    read => received += read,
                }
            }
        }
    }
    Ok(crate::sample::number(received) / spent()?.as_secs_f64())
}

/// Of all threads: user space may have a say in what passes.
fn used() -> io::Result<Duration> {
    processor_time(UsageWho::RUSAGE_SELF)
}

fn without_waiting(moved: io::Result<usize>) -> io::Result<usize> {
    match moved {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Nobody's port is kept waiting.
fn reset_when_closed(stream: &impl AsFd) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(stream, sockopt::Linger, &linger).map_err(Into::into)
}
