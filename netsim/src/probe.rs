//! Attempts to reach somebody, and what became of them.
//!
//! A [`Prober`] makes the sockets of all its probes inside the namespaces they start in, then runs
//! them all at once against one deadline (`round`, `patience`). Every probe is a stranger to the
//! network: its source port is fresh (`ports`), and it leaves no connection behind that another
//! could ride on.
//!
//! - `tcp`, `udp`: a socket per probe;
//! - `raw`: ICMP (`echo`) and SCTP (`sctp`), a socket per namespace;
//! - `attempt`: one probe without a round;
//! - `outcome`: what the kernel's errors mean.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    flow::{Flow, FlowError},
    listen::{
        Servers, Work,
        sctp::{Responder, Responders},
    },
    netns::Netns,
    place::Place,
    topology::Protocol,
};
use nix::sys::resource::{Resource, getrlimit};

mod attempt;
mod echo;
pub(crate) mod outcome;
mod patience;
mod ports;
mod raw;
mod round;
mod tcp;
mod udp;

pub(crate) use attempt::Attempt;

/// One attempt to reach somebody: [`Probe::new`], and what else is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Whose process it is. The kernel chooses the source address.
    pub from: Place,
    /// An address of a place or of a Service.
    pub to: IpAddr,
    /// 0 for ICMP.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The port it comes from; ICMP: its identifier. `None`: a number that nobody has used lately.
    /// Several probes may come from one port if they go to different places.
    pub source_port: Option<u16>,
    /// How many bytes it carries, all of which must arrive. TCP: any number. Others: one packet of at
    /// most [`Probe::LONGEST_PACKET`] (UDP: a datagram, ICMP: the data of the request, SCTP: an INIT
    /// with padding), which travels in fragments where a link cannot carry it whole.
    pub payload: usize,
}

impl Probe {
    /// The most that a packet carries, in bytes.
    pub const LONGEST_PACKET: usize = 65_000;

    /// A short one from any port.
    #[must_use]
    pub fn new(from: Place, to: IpAddr, port: u16, protocol: Protocol) -> Self {
        Self {
            from,
            to,
            port,
            protocol,
            source_port: None,
            payload: 0,
        }
    }
}

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The gist.
    pub outcome: Outcome,
    /// The source that the server saw; `None` where nobody of ours answered, and for ICMP, which the
    /// kernel answers.
    pub source_seen: Option<SocketAddr>,
    /// [`Place`] that answered, as it is displayed.
    pub served_by: Option<String>,
    /// How many bytes of [`Probe::payload`] the server says it has received. `None` without payload.
    pub received: Option<usize>,
    /// From the first packet to the answer; the whole waiting time where nothing came.
    pub latency: Duration,
}

/// The four things that can become of a probe.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It arrived, and the answer came back.
    Allowed,
    /// Silence until the deadline (semantics 25).
    Denied,
    /// The machine is there and says that nobody listens (semantics 95): TCP reset, ICMP port or
    /// protocol unreachable, SCTP abort.
    Refused,
    /// A router or the sender's own routes say that there is no way, or that it is prohibited.
    Unreachable,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        })
    }
}

/// Sends probes.
///
/// A clone shares everything with the original.
#[derive(Debug, Clone)]
pub struct Prober {
    ports: Arc<ports::Ports>,
    servers: Work,
    /// Nobody, where others answer for the namespaces that are probed from.
    responders: Option<Responders>,
    nonce: Arc<AtomicU64>,
}

/// Why probes could not be sent. What becomes of them on the way is an [`Outcome`], not an error.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no such place.
    #[error("send a probe from {0}: there is no such place")]
    NoSuchPlace(Place),
    /// A namespace or a socket cannot be had.
    #[error("send a probe from {place}")]
    Socket {
        /// Where.
        place: Place,
        /// `EMFILE` without free descriptors; `EPERM` without `CAP_NET_RAW` in the namespace (ICMP,
        /// SCTP); `EINVAL` for an address that nobody can send to.
        source: io::Error,
    },
    /// The event loop cannot be had.
    #[error("start an event loop")]
    Loop(#[source] io::Error),
}

impl Prober {
    /// `servers` are those that will be probed.
    #[must_use]
    pub fn new(servers: &Servers) -> Self {
        Self {
            ports: Arc::default(),
            servers: servers.work().clone(),
            responders: Some(servers.responders().clone()),
            nonce: Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32)),
        }
    }

    /// As [`Prober::new`], for a process that probes beside the servers of another: that one answers
    /// SCTP for the namespace ([`Servers::refuse_sctp`]), and this one is silent.
    #[must_use]
    pub fn beside(servers: &Servers) -> Self {
        Self {
            responders: None,
            ..Self::new(servers)
        }
    }

    /// Sends all probes at once and waits for their answers, which come in the order of the probes:
    /// `deadline` at most after the last was sent, less when all have answered. What a busy machine
    /// has not yet come round to by then is waited for; silence is the network's, never the server's.
    ///
    /// More probes than half of the free descriptors go in several rounds, one after the other.
    ///
    /// `find` knows the namespaces of places.
    ///
    /// # Errors
    /// [`ProbeError`]; no answer is known then.
    pub fn run<'a>(
        &self,
        probes: &[Probe],
        find: impl Fn(&Place) -> Option<&'a Netns>,
        deadline: Duration,
    ) -> Result<Vec<Answer>, ProbeError> {
        let mut answers = Vec::with_capacity(probes.len());
        for round in probes.chunks(at_once()) {
            answers.extend(round::run(self, round, &find, deadline)?);
        }
        Ok(answers)
    }

    /// Opens a connection that stays open.
    ///
    /// # Errors
    /// [`FlowError`]: it was not allowed, or the protocol has none.
    pub fn open_flow<'a>(
        &self,
        probe: &Probe,
        find: impl Fn(&Place) -> Option<&'a Netns>,
        deadline: Duration,
    ) -> Result<Flow, FlowError> {
        let netns = find(&probe.from).ok_or_else(|| ProbeError::NoSuchPlace(probe.from.clone()))?;
        let to = SocketAddr::new(probe.to, probe.port);
        let blame = |source| ProbeError::Socket {
            place: probe.from.clone(),
            source,
        };
        let walk = self.ports.walk(netns).map_err(blame)?;
        let socket = netns.run(|| match probe.protocol {
            Protocol::Tcp => tcp::socket(to, &walk, probe.source_port).map(Some),
            Protocol::Udp => udp::socket(to, &walk, probe.source_port).map(Some),
            Protocol::Sctp | Protocol::Icmp => Ok(None),
        });
        match socket.and_then(|socket| socket).map_err(blame)? {
            Some(socket) => Flow::open(socket, probe.protocol, to, deadline),
            None => Err(FlowError::NoFlows(probe.protocol)),
        }
    }

    /// Makes the socket of a single probe. The calling thread is in `netns`, which the probe starts in.
    pub(crate) fn attempt(&self, probe: &Probe, netns: &Netns) -> io::Result<Attempt> {
        Attempt::make(probe, &self.ports.walk(netns)?, self.nonce())
    }

    /// Makes the namespace refuse SCTP, which its kernel does not while a probe has a raw socket there.
    /// `None`: somebody else does.
    pub(crate) fn respond(&self, netns: &Netns) -> io::Result<Option<Arc<Responder>>> {
        let responders = self.responders.as_ref();
        responders.map(|it| it.respond(netns)).transpose()
    }

    /// Those that will be probed.
    pub(crate) fn servers(&self) -> &Work {
        &self.servers
    }

    fn nonce(&self) -> u64 {
        self.nonce.fetch_add(1, Ordering::Relaxed)
    }
}

/// How many probes there may be at a time: each takes a descriptor, and its server another.
fn at_once() -> usize {
    const SPARE: u64 = 4_096;
    const LEAST: u64 = 256;
    const MOST: u64 = 16_384;
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((LEAST * 2, LEAST * 2));
    let rounds = (soft.saturating_sub(SPARE) / 2).clamp(LEAST, MOST);
    usize::try_from(rounds).expect("16,384 is a usize everywhere")
}
