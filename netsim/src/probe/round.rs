//! Probes that are sent at once.
//!
//! Many are shared out among as many threads as the machine runs at once, whole places each. A thread
//! visits its namespaces to make sockets, then runs an event loop of its own.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    panic::resume_unwind,
    pin::pin,
    sync::Arc,
    thread::{self, available_parallelism},
    time::Duration,
};

use tokio::{runtime, select, task::JoinSet};

use super::{Answer, Probe, ProbeError, Prober, patience, raw, tcp, udp};
use crate::{listen::sctp::Responder, netns::Netns, place::Place, topology::Protocol};

/// Below this a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 512;

/// The probes that start in one place.
struct Start<'a> {
    place: &'a Place,
    netns: &'a Netns,
    /// With their indices in the caller's list.
    probes: Vec<(usize, &'a Probe)>,
}

/// The sockets of one place.
#[derive(Default)]
struct Sockets {
    tcp: Vec<Single>,
    udp: Vec<Single>,
    bundles: Vec<raw::Bundle>,
}

/// The socket of one probe.
struct Single {
    index: usize,
    to: SocketAddr,
    payload: usize,
    socket: socket2::Socket,
}

/// Answers, with the indices of the probes.
type Answers = Vec<(usize, Answer)>;

pub(super) fn run<'n>(
    prober: &Prober,
    probes: &[Probe],
    find: impl Fn(&Place) -> Option<&'n Netns>,
    deadline: Duration,
) -> Result<Vec<Answer>, ProbeError> {
    let starts = starts(probes, |place| find(place))?;
    let refusing = refuse(prober, &starts)?;
    let threads = match probes.len() {
        0..WORTH_A_THREAD => 1,
        _ => available_parallelism().map_or(1, Into::into),
    };
    let share = starts.len().div_ceil(threads).max(1);
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = starts
            .chunks(share)
            .map(|share| scope.spawn(|| send(prober, share, deadline)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    drop(refusing);
    let mut sorted: Vec<Option<Answer>> = vec![None; probes.len()];
    for answers in answers {
        for (index, answer) in answers? {
            sorted[index] = Some(answer);
        }
    }
    Ok(sorted
        .into_iter()
        .map(|answer| answer.expect("every probe has a start, which answers for it"))
        .collect())
}

fn starts<'a>(
    probes: &'a [Probe],
    find: impl Fn(&Place) -> Option<&'a Netns>,
) -> Result<Vec<Start<'a>>, ProbeError> {
    let mut places: BTreeMap<&Place, Vec<(usize, &Probe)>> = BTreeMap::new();
    for (index, probe) in probes.iter().enumerate() {
        places.entry(&probe.from).or_default().push((index, probe));
    }
    let start = |(place, probes)| match find(place) {
        Some(netns) => Ok(Start {
            place,
            netns,
            probes,
        }),
        None => Err(ProbeError::NoSuchPlace(place.clone())),
    };
    places.into_iter().map(start).collect()
}

/// A raw socket silences the kernel's own refusals: somebody must refuse in its stead.
fn refuse(prober: &Prober, starts: &[Start<'_>]) -> Result<Vec<Arc<Responder>>, ProbeError> {
    let is_sctp = |(_, probe): &(usize, &Probe)| probe.protocol == Protocol::Sctp;
    let speaking = starts
        .iter()
        .filter(|start| start.probes.iter().any(is_sctp));
    speaking
        .filter_map(|start| {
            let responder = prober.respond(start.netns).transpose()?;
            Some(responder.map_err(|source| start.blame(source)))
        })
        .collect()
}

/// The work of one thread.
fn send(prober: &Prober, starts: &[Start<'_>], deadline: Duration) -> Result<Answers, ProbeError> {
    let sockets = Netns::run_each(starts.iter().map(|start| start.netns), |visit| {
        starts[visit].sockets(prober)
    });
    let sockets = match (sockets, starts.first()) {
        (Ok(sockets), _) => sockets,
        (Err(_), None) => Vec::new(),
        (Err(source), Some(start)) => return Err(start.blame(source)),
    };
    let mut ready = Vec::with_capacity(sockets.len());
    for (sockets, start) in sockets.into_iter().zip(starts) {
        ready.push(sockets.map_err(|source| start.blame(source))?);
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProbeError::Loop)?;
    let answers = runtime.block_on(drive(prober, ready, deadline));
    answers.map_err(|(place, source)| starts[place].blame(source))
}

/// Everything at once. An error comes with the number of its start.
async fn drive(
    prober: &Prober,
    sockets: Vec<Sockets>,
    deadline: Duration,
) -> Result<Answers, (usize, io::Error)> {
    let (deadline, patience) = patience::deadline(deadline, patience::TIMES);
    let mut tasks = JoinSet::new();
    for (place, sockets) in sockets.into_iter().enumerate() {
        let blame = move |error| (place, error);
        let one = move |index| move |answer| vec![(index, answer)];
        for Single {
            index,
            to,
            payload,
            socket,
        } in sockets.tcp
        {
            let patience = patience.clone();
            tasks.spawn(async move {
                let answer = tcp::probe(socket, to, payload, patience).await;
                answer.map(one(index)).map_err(blame)
            });
        }
        for Single {
            index,
            to,
            payload,
            socket,
        } in sockets.udp
        {
            let (nonce, patience) = (prober.nonce(), patience.clone());
            tasks.spawn(async move {
                let answer = udp::probe(socket, to, nonce, payload, patience).await;
                answer.map(one(index)).map_err(blame)
            });
        }
        for bundle in sockets.bundles {
            let patience = patience.clone();
            tasks.spawn(async move { raw::probe(bundle, patience).await.map_err(blame) });
        }
    }
    drop(patience);
    let collect = async {
        let mut answers = Answers::new();
        while let Some(done) = tasks.join_next().await {
            answers.extend(done.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))?);
        }
        Ok(answers)
    };
    let mut collect = pin!(collect);
    select! {
        answers = &mut collect => answers,
        () = deadline.run(&prober.servers) => collect.await,
    }
}

impl Start<'_> {
    /// Makes the sockets of its probes, from inside the namespace.
    fn sockets(&self, prober: &Prober) -> io::Result<Sockets> {
        let walk = prober.ports.walk(self.netns)?;
        let mut sockets = Sockets::default();
        for (index, probe) in &self.probes {
            let (index, to) = (*index, SocketAddr::new(probe.to, probe.port));
            let (port, payload) = (probe.source_port, probe.payload);
            let single = |socket| Single {
                index,
                to,
                payload,
                socket,
            };
            match probe.protocol {
                Protocol::Tcp => sockets.tcp.push(single(tcp::socket(to, &walk, port)?)),
                Protocol::Udp => sockets.udp.push(single(udp::socket(to, &walk, port)?)),
                Protocol::Sctp | Protocol::Icmp => {
                    let numbered = raw::Numbered {
                        index,
                        to,
                        number: port.unwrap_or_else(|| walk.take()),
                        nonce: prober.nonce(),
                        payload,
                    };
                    let bundle = sockets.bundle(probe.protocol, to, numbered.number)?;
                    bundle.probes.insert(numbered.number, numbered);
                }
            }
        }
        Ok(sockets)
    }

    fn blame(&self, source: io::Error) -> ProbeError {
        ProbeError::Socket {
            place: self.place.clone(),
            source,
        }
    }
}

impl Sockets {
    /// The socket for a protocol and family, on which nobody has this number yet.
    fn bundle(
        &mut self,
        protocol: Protocol,
        to: SocketAddr,
        number: u16,
    ) -> io::Result<&mut raw::Bundle> {
        let v6 = to.is_ipv6();
        let same = |bundle: &raw::Bundle| {
            let is_taken = bundle.probes.contains_key(&number) || !bundle.socket.has_room();
            bundle.protocol == protocol && bundle.v6 == v6 && !is_taken
        };
        let at = match self.bundles.iter().position(same) {
            Some(at) => at,
            None => {
                self.bundles.push(raw::Bundle {
                    socket: raw::Socket::open(protocol, v6, number)?,
                    protocol,
                    v6,
                    probes: BTreeMap::new(),
                });
                self.bundles.len() - 1
            }
        };
        Ok(&mut self.bundles[at])
    }
}
