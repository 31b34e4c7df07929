//! The thread that makes sockets, attempt after attempt.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    sync::{Arc, Weak, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use super::tally::{Entry, Ledger};
use crate::{
    cluster::Whereabouts,
    listen::sctp::Responder,
    netns::Netns,
    place::Place,
    probe::{Attempt, Probe, ProbeError, Prober},
    topology::Protocol,
};

/// Attempts that are under way at a time, each with a socket at both ends.
const MOST: usize = 2_048;

/// So many times as many attempts may be under way as there would be on an idle machine if none was
/// answered. One that is further behind makes no more until some have ended.
const BEHIND: usize = 2;

/// An attempt to be made.
#[derive(Debug)]
pub(super) struct Turn {
    /// Its probe, and when it was made.
    pub(super) entry: Entry,
    /// The socket; `None` where there is nobody to make one for.
    pub(super) attempt: Option<Attempt>,
    /// To be dropped when it has ended.
    pub(super) underway: Arc<()>,
}

/// Makes the attempts of all probes, every so often.
#[derive(Debug)]
pub(super) struct Pacer {
    pub(super) prober: Prober,
    pub(super) probes: Vec<Probe>,
    pub(super) whereabouts: Whereabouts,
    pub(super) every: Duration,
    pub(super) patience: Duration,
    pub(super) ledger: Arc<Ledger>,
    pub(super) turns: UnboundedSender<Turn>,
}

/// Where the thread is and has been. Nothing here keeps a namespace alive that is to go, except
/// until the next attempt.
#[derive(Debug)]
struct Visits {
    /// Where the thread was born.
    home: Netns,
    here: Weak<Netns>,
    /// Who refuses SCTP in a namespace, in the kernel's stead.
    responders: BTreeMap<Place, (Weak<Netns>, Arc<Responder>)>,
}

impl Pacer {
    /// Goes on until `stop` is disconnected. To be run on a thread of its own: it changes its
    /// namespace.
    pub(super) fn run(self, stop: &mpsc::Receiver<Infallible>) -> Result<(), ProbeError> {
        let Some(first) = self.probes.first() else {
            return Ok(());
        };
        let mut visits = Visits::start().map_err(|source| blame(first, source))?;
        let mut next = Instant::now();
        let underway = Arc::new(());
        let most = self.most();
        loop {
            let room = most.saturating_sub(Arc::strong_count(&underway));
            for (number, probe) in self.probes.iter().enumerate().take(room) {
                let entry = self.ledger.enter(number);
                let attempt = self.make(&mut visits, probe);
                let turn = Turn {
                    entry,
                    attempt: attempt.map_err(|source| blame(probe, source))?,
                    underway: underway.clone(),
                };
                if self.turns.send(turn).is_err() {
                    return Ok(());
                }
            }
            // Attempts that a busy machine has missed are not made up for.
            let now = Instant::now();
            next = (next + self.every).max(now);
            // Nothing is ever sent here.
            match stop.recv_timeout(next - now) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                _ => return Ok(()),
            }
        }
    }

    /// How many attempts may be under way at a time.
    fn most(&self) -> usize {
        let rounds = self.patience.as_millis() / self.every.as_millis().max(1) + 1;
        let rounds = usize::try_from(rounds).unwrap_or(MOST);
        (self.probes.len() * rounds * BEHIND).min(MOST)
    }

    fn make(&self, visits: &mut Visits, probe: &Probe) -> io::Result<Option<Attempt>> {
        let Some(netns) = self.whereabouts.of(&probe.from) else {
            visits.leave(&probe.from)?;
            return Ok(None);
        };
        if probe.protocol == Protocol::Sctp {
            visits.refuse(&self.prober, &probe.from, &netns)?;
        }
        visits.enter(&netns)?;
        self.prober.attempt(probe, &netns).map(Some)
    }
}

impl Visits {
    fn start() -> io::Result<Self> {
        Ok(Self {
            home: Netns::current()?,
            here: Weak::new(),
            responders: BTreeMap::new(),
        })
    }

    fn enter(&mut self, netns: &Arc<Netns>) -> io::Result<()> {
        if !is(&self.here, netns) {
            netns.settle()?;
            self.here = Arc::downgrade(netns);
        }
        Ok(())
    }

    /// The place is gone, and with it, but for us, its namespace.
    fn leave(&mut self, place: &Place) -> io::Result<()> {
        self.responders.remove(place);
        if self.here.upgrade().is_none() {
            self.home.settle()?;
        }
        Ok(())
    }

    /// A raw socket silences the kernel's own refusals: somebody must refuse in its stead.
    fn refuse(&mut self, prober: &Prober, place: &Place, netns: &Arc<Netns>) -> io::Result<()> {
        let known = self.responders.get(place);
        if known.is_none_or(|(known, _)| !is(known, netns))
            && let Some(responder) = prober.respond(netns)?
        {
            let entry = (Arc::downgrade(netns), responder);
            self.responders.insert(place.clone(), entry);
        }
        Ok(())
    }
}

/// A pod may go and come again: then its place is another namespace.
fn is(known: &Weak<Netns>, netns: &Arc<Netns>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(netns))
}

fn blame(probe: &Probe, source: io::Error) -> ProbeError {
    ProbeError::Socket {
        place: probe.from.clone(),
        source,
    }
}
