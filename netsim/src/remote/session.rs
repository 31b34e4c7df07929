//! The end of a session that has the sockets.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::words::{Able, Ask, Call, Reply, Request, Said, TallyHeard};
use crate::{
    cluster::Whereabouts,
    flow::{Flow, FlowError},
    listen::Servers,
    netns::Netns,
    place::Place,
    probe::{Outcome, Probe, Prober},
    topology::Protocol,
    traffic::Traffic,
};

/// Where a session is. Nobody hears this name: servers say who they are, clients do not.
const HERE: &str = "here";

/// Where probes start from, and what goes on beside questions.
#[derive(Debug)]
struct Session {
    netns: Arc<Netns>,
    prober: Prober,
    whereabouts: Whereabouts,
    traffic: Mutex<HashMap<u64, Arc<Mutex<Traffic>>>>,
    flows: Mutex<HashMap<u64, Arc<Mutex<Flow>>>>,
}

/// Answers questions in the namespace of this process until there are no more, and every one that was
/// asked is answered.
///
/// # Errors
/// Where the session cannot begin, or its input cannot be read. A question that cannot be understood
/// is answered with [`Said::Failed`].
pub fn run(input: impl BufRead, output: impl Write + Send) -> io::Result<()> {
    // Nobody listens here; probes wait for servers of their own process, and there are none.
    let servers = Servers::start()?;
    let netns = Arc::new(Netns::home()?);
    let whereabouts = Whereabouts::default();
    whereabouts.come(here(), &netns);
    let session = Session {
        netns,
        prober: Prober::beside(&servers),
        whereabouts,
        traffic: Mutex::default(),
        flows: Mutex::default(),
    };
    let output = Mutex::new(output);
    let reply = |id, said| {
        // Whoever does not listen any more closes our input, too.
        let _heard = write(&output, &Reply { id, said });
    };
    let (session, reply) = (&session, &reply);
    thread::scope(|scope| {
        for line in input.lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Request>(&line) {
                Ok(Request { id, ask }) => {
                    scope.spawn(move || reply(id, session.answer(&ask)));
                }
                Err(error) => reply(0, Said::Failed(format!("understand {line}: {error}"))),
            }
        }
        Ok(())
    })
}

fn write(output: &Mutex<impl Write>, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut output = locked(output);
    output.write_all(&line)?;
    output.flush()
}

impl Session {
    fn answer(&self, ask: &Ask) -> Said {
        self.try_to(ask).unwrap_or_else(Said::Failed)
    }

    fn try_to(&self, ask: &Ask) -> Result<Said, String> {
        match ask {
            Ask::Able => Ok(Said::Able(self.able())),
            Ask::Probe { calls, deadline_us } => {
                let find = |_: &Place| Some(&*self.netns);
                let answers = self
                    .prober
                    .run(&probes(calls), find, Duration::from_micros(*deadline_us))
                    .map_err(|error| chain(&error))?;
                Ok(Said::Answers(answers.into_iter().map(Into::into).collect()))
            }
            Ask::StartTraffic {
                traffic,
                calls,
                every_us,
                patience_us,
            } => {
                let started = Traffic::start(
                    self.prober.clone(),
                    probes(calls),
                    self.whereabouts.clone(),
                    Duration::from_micros(*every_us),
                    Duration::from_micros(*patience_us),
                )
                .map_err(|error| chain(&error))?;
                locked(&self.traffic).insert(*traffic, Arc::new(Mutex::new(started)));
                Ok(Said::Done)
            }
            Ask::TakeTraffic { traffic } => {
                let known = locked(&self.traffic).get(traffic).cloned();
                let known = known.ok_or_else(|| format!("find traffic {traffic}"))?;
                let tallies = locked(&known).take().map_err(|error| chain(&error))?;
                let now = Instant::now();
                let heard = tallies.into_iter().map(|tally| TallyHeard::of(tally, now));
                Ok(Said::Tallies(heard.collect()))
            }
            Ask::StopTraffic { traffic } => {
                let stopped = locked(&self.traffic).remove(traffic);
                drop(stopped);
                Ok(Said::Done)
            }
            Ask::OpenFlow {
                flow,
                call,
                deadline_us,
            } => self.open(*flow, call, Duration::from_micros(*deadline_us)),
            Ask::Exchange { flow, deadline_us } => {
                let known = locked(&self.flows).get(flow).cloned();
                let known = known.ok_or_else(|| format!("find flow {flow}"))?;
                let exchanged = locked(&known).exchange(Duration::from_micros(*deadline_us));
                // What says nothing about the network is an end of the connection all the same.
                Ok(Said::Exchanged(exchanged.unwrap_or(Outcome::Refused)))
            }
            Ask::CloseFlow { flow } => {
                let closed = locked(&self.flows).remove(flow);
                drop(closed);
                Ok(Said::Done)
            }
        }
    }

    fn open(&self, flow: u64, call: &Call, deadline: Duration) -> Result<Said, String> {
        let find = |_: &Place| Some(&*self.netns);
        let answer = match self.prober.open_flow(&call.probe(here()), find, deadline) {
            Ok(opened) => {
                let answer = opened.opened().clone();
                locked(&self.flows).insert(flow, Arc::new(Mutex::new(opened)));
                answer
            }
            Err(FlowError::NotAllowed(answer)) => answer,
            Err(error) => return Err(chain(&error)),
        };
        Ok(Said::Answers(vec![answer.into()]))
    }

    /// Tries to make sockets, and closes them at once.
    fn able(&self) -> Able {
        let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let why_not = |protocol, to| {
            let probe = Probe::new(here(), to, 1, protocol);
            let made = self.prober.attempt(&probe, &self.netns).map(drop);
            made.err().map(|error| error.to_string())
        };
        let no = |protocol| {
            let reasons = families.map(|family| why_not(protocol, family));
            // One family is enough: there may be no other.
            reasons.into_iter().collect::<Option<Vec<_>>>()?.pop()
        };
        Able {
            no_icmp: no(Protocol::Icmp),
            no_sctp: no(Protocol::Sctp),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn here() -> Place {
    Place::Pod(HERE.into())
}

fn probes(calls: &[Call]) -> Vec<Probe> {
    calls.iter().map(|call| call.probe(here())).collect()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// A panic elsewhere leaves nothing half-done behind these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
