//! Attempts to reach somebody, and what became of them.
//!
//! A [`Prober`] makes the sockets of all its probes inside the namespaces they start in, then runs
//! them all at once from one thread against one deadline. Every probe is a stranger to the network:
//! its source port is fresh ([`ports`]), and it leaves no connection behind that another could ride
//! on.
//!
//! - [`tcp`], [`udp`]: a socket per probe;
//! - [`raw`]: ICMP ([`echo`]) and SCTP ([`crate::sctp`]), a socket per namespace;
//! - [`outcome`]: what the kernel's errors mean.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit};
use tokio::{
    runtime::{self, Runtime},
    task::JoinSet,
    time::Instant,
};

use crate::{
    flow::{Flow, FlowError},
    listen::{Servers, sctp::Responders},
    netns::Netns,
    place::Place,
    topology::Protocol,
};

mod echo;
pub(crate) mod outcome;
mod ports;
mod raw;
mod repeat;
mod tcp;
mod udp;

/// One attempt to reach somebody.
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
    /// From the first packet to the answer; the whole waiting time where nothing came.
    pub latency: Duration,
}

/// The four things that can become of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
#[derive(Debug)]
pub struct Prober {
    runtime: Runtime,
    ports: ports::Ports,
    responders: Responders,
    nonce: AtomicU64,
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

/// The sockets of the probes that start in one namespace.
#[derive(Default)]
struct Sockets {
    single: Vec<(usize, socket2::Socket)>,
    bundles: Vec<raw::Bundle>,
}

impl Prober {
    /// `servers` are those that will be probed.
    ///
    /// # Errors
    /// [`ProbeError::Loop`] without free descriptors.
    pub fn new(servers: &Servers) -> Result<Self, ProbeError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ProbeError::Loop)?;
        Ok(Self {
            runtime,
            ports: ports::Ports::default(),
            responders: servers.responders().clone(),
            nonce: AtomicU64::new(u64::from(std::process::id()) << 32),
        })
    }

    /// Runs all probes at once and waits `deadline` at most for their answers, which come in the
    /// order of the probes; less when all have answered. More probes than half of the free
    /// descriptors go in several rounds, each with a deadline of its own.
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
            answers.extend(self.round(round, &find, deadline)?);
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
        let mut walk = self.ports.walk(netns).map_err(blame)?;
        let socket = netns.run(|| match probe.protocol {
            Protocol::Tcp => tcp::socket(to, &mut walk).map(Some),
            Protocol::Udp => udp::socket(to, &mut walk).map(Some),
            Protocol::Sctp | Protocol::Icmp => Ok(None),
        });
        match socket.and_then(|socket| socket).map_err(blame)? {
            Some(socket) => Flow::open(socket, probe.protocol, to, deadline),
            None => Err(FlowError::NoFlows(probe.protocol)),
        }
    }

    fn round<'a>(
        &self,
        probes: &[Probe],
        find: impl Fn(&Place) -> Option<&'a Netns>,
        deadline: Duration,
    ) -> Result<Vec<Answer>, ProbeError> {
        let mut places: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
        for (index, probe) in probes.iter().enumerate() {
            places.entry(&probe.from).or_default().push(index);
        }
        let places: Vec<(&Place, &Netns, Vec<usize>)> = places
            .into_iter()
            .map(|(place, indices)| match find(place) {
                Some(netns) => Ok((place, netns, indices)),
                None => Err(ProbeError::NoSuchPlace(place.clone())),
            })
            .collect::<Result<_, _>>()?;
        let blame = |place: &Place, source| ProbeError::Socket {
            place: place.clone(),
            source,
        };
        // A raw socket silences the kernel's own refusals: somebody must refuse in its stead.
        let mut refusing = Vec::new();
        for (place, netns, indices) in &places {
            if indices
                .iter()
                .any(|index| probes[*index].protocol == Protocol::Sctp)
            {
                let responder = self.responders.respond(netns);
                refusing.push(responder.map_err(|source| blame(place, source))?);
            }
        }
        let sockets = Netns::run_each(places.iter().map(|(_, netns, _)| *netns), |visit| {
            let (_, netns, indices) = &places[visit];
            self.sockets(probes, netns, indices)
        });
        let sockets = match (sockets, places.first()) {
            (Ok(sockets), _) => sockets,
            (Err(_), None) => Vec::new(),
            (Err(source), Some((place, ..))) => return Err(blame(place, source)),
        };
        let mut ready = Vec::with_capacity(sockets.len());
        for (sockets, (place, ..)) in sockets.into_iter().zip(&places) {
            ready.push(sockets.map_err(|source| blame(place, source))?);
        }
        let answers = self.runtime.block_on(self.drive(probes, ready, deadline));
        let answers = answers.map_err(|(index, source)| blame(&probes[index].from, source));
        drop(refusing);
        answers
    }

    /// Makes the sockets of one namespace, from inside.
    fn sockets(&self, probes: &[Probe], netns: &Netns, indices: &[usize]) -> io::Result<Sockets> {
        let mut walk = self.ports.walk(netns)?;
        let mut sockets = Sockets::default();
        for index in indices.iter().copied() {
            let probe = &probes[index];
            let to = SocketAddr::new(probe.to, probe.port);
            match probe.protocol {
                Protocol::Tcp => sockets.single.push((index, tcp::socket(to, &mut walk)?)),
                Protocol::Udp => sockets.single.push((index, udp::socket(to, &mut walk)?)),
                Protocol::Sctp | Protocol::Icmp => {
                    let number = walk.take();
                    sockets
                        .bundle(probe.protocol, to)?
                        .probes
                        .push(raw::Numbered {
                            index,
                            to,
                            number,
                            nonce: self.nonce(),
                        });
                }
            }
        }
        Ok(sockets)
    }

    /// Everything at once. An error comes with the index of its probe.
    async fn drive(
        &self,
        probes: &[Probe],
        sockets: Vec<Sockets>,
        deadline: Duration,
    ) -> Result<Vec<Answer>, (usize, io::Error)> {
        let deadline = Instant::now() + deadline;
        let mut tasks = JoinSet::new();
        for sockets in sockets {
            for bundle in sockets.bundles {
                let first = bundle.probes.first().map_or(0, |probe| probe.index);
                tasks.spawn(async move {
                    let answers = raw::probe(bundle, deadline).await;
                    answers.map_err(|error| (first, error))
                });
            }
            for (index, socket) in sockets.single {
                let to = SocketAddr::new(probes[index].to, probes[index].port);
                let udp = (probes[index].protocol == Protocol::Udp).then(|| self.nonce());
                tasks.spawn(async move {
                    let answer = match udp {
                        Some(nonce) => udp::probe(socket, to, nonce, deadline).await,
                        None => tcp::probe(socket, to, deadline).await,
                    };
                    answer
                        .map(|answer| vec![(index, answer)])
                        .map_err(|error| (index, error))
                });
            }
        }
        let mut answers: Vec<Option<Answer>> = vec![None; probes.len()];
        while let Some(done) = tasks.join_next().await {
            let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            for (index, answer) in done? {
                answers[index] = Some(answer);
            }
        }
        Ok(answers
            .into_iter()
            .map(|answer| answer.expect("every probe is in one task, which answers for it"))
            .collect())
    }

    fn nonce(&self) -> u64 {
        self.nonce.fetch_add(1, Ordering::Relaxed)
    }
}

impl Sockets {
    /// The raw socket for a protocol and family.
    fn bundle(&mut self, protocol: Protocol, to: SocketAddr) -> io::Result<&mut raw::Bundle> {
        let v6 = to.is_ipv6();
        let same = |bundle: &raw::Bundle| bundle.protocol == protocol && bundle.v6 == v6;
        let at = match self.bundles.iter().position(same) {
            Some(at) => at,
            None => {
                self.bundles.push(raw::Bundle {
                    socket: raw::socket(protocol, v6)?,
                    protocol,
                    v6,
                    probes: Vec::new(),
                });
                self.bundles.len() - 1
            }
        };
        Ok(&mut self.bundles[at])
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
