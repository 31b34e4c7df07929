//! Connections: each pod is asked for all of its own at once.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use netsim::{
    probe,
    remote::words::{Ask, Call, Said, micros},
};

use super::{
    Cluster,
    ground::Ground,
    locked,
    session::{Session, SessionError},
};
use crate::{
    backend::{BackendError, Count, LongLived, Observation, ProbeSpec, Tally, Traffic, live::Live},
    cell::{Cell, Endpoint, Outcome},
    process,
    scenario::ObjectName,
};

/// How long the first attempts of background traffic may take.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(20);

/// What is asked of one pod: calls, with their places in the caller's list.
type Share = (Vec<usize>, Vec<Call>);

impl Cluster {
    pub(super) fn probe_all(
        &mut self,
        probes: &[ProbeSpec],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        let mut shares = BTreeMap::<ObjectName, Share>::new();
        for (index, spec) in probes.iter().enumerate() {
            let (sender, call) = self.call(&spec.cell)?;
            let (places, calls) = shares.entry(sender).or_default();
            places.push(index);
            calls.push(Call {
                source_port: spec.source_port,
                payload: spec.payload.unwrap_or_default(),
                ..call
            });
        }
        let asked = self.ask_each(shares, deadline, |calls| Ask::Probe {
            calls,
            deadline_us: micros(deadline),
        })?;
        let mut sorted: Vec<Option<Observation>> = vec![None; probes.len()];
        for (pod, places, said) in asked {
            let Said::Answers(heard) = said else {
                return Err(unexpected(&pod, &said).into());
            };
            for (index, heard) in places.into_iter().zip(heard) {
                sorted[index] = Some(observation(heard.into()));
            }
        }
        sorted
            .into_iter()
            .zip(probes)
            .map(|(seen, spec)| {
                let lost = || BackendError::Missing(format!("the answer to {}", spec.cell));
                seen.ok_or_else(lost)
            })
            .collect()
    }

    /// Asks every pod for its share, all at once.
    fn ask_each(
        &mut self,
        shares: BTreeMap<ObjectName, Share>,
        patience: Duration,
        ask: impl Fn(Vec<Call>) -> Ask,
    ) -> Result<Vec<(ObjectName, Vec<usize>, Said)>, BackendError> {
        let names = shares.keys().cloned().collect();
        let sessions = self.ground().sessions(&names)?;
        let asking = shares.into_iter().map(|(name, (places, calls))| {
            let session = sessions.get(&name).cloned();
            let ask = ask(calls);
            async move {
                let session = session.ok_or_else(|| gone(&name))?;
                let said = session.ask(ask, patience).await?;
                Ok::<_, SessionError>((name, places, said))
            }
        });
        Ok(self.live.wait(try_join_all(asking))?)
    }

    /// Who opens a connection, and to where.
    fn call(&self, cell: &Cell) -> Result<(ObjectName, Call), BackendError> {
        let missing = |what: &Endpoint| BackendError::Missing(format!("{what} of {cell}"));
        let sender = self.sender(&cell.source);
        let to = self.address_of(&cell.destination, cell.family);
        let call = Call {
            to: to.ok_or_else(|| missing(&cell.destination))?,
            port: cell.port.number.unwrap_or_default(),
            protocol: crate::backend::sim::to_netsim(cell.port.protocol),
            source_port: None,
            payload: 0,
        };
        Ok((sender.ok_or_else(|| missing(&cell.source))?, call))
    }

    pub(super) fn start(
        &mut self,
        cells: &[Cell],
        every: Duration,
    ) -> Result<Box<dyn Traffic>, BackendError> {
        let mut shares = BTreeMap::<ObjectName, Share>::new();
        for (index, cell) in cells.iter().enumerate() {
            let (sender, call) = self.call(cell)?;
            let (places, calls) = shares.entry(sender).or_default();
            places.push(index);
            calls.push(call);
        }
        let parts = shares.into_iter().map(|(pod, (places, calls))| Part {
            pod,
            places,
            calls,
            traffic: None,
        });
        let mut background = Background {
            ground: self.ground.clone(),
            live: self.live.clone(),
            named: self.named.clone(),
            every,
            parts: parts.collect(),
            tallies: vec![Tally::default(); cells.len()],
        };
        background.begin()?;
        Ok(Box::new(background))
    }

    pub(super) fn open(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        let opened = self.try_open(cell, deadline);
        opened.unwrap_or(Err(Outcome::Unreachable))
    }

    fn try_open(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Result<Box<dyn LongLived>, Outcome>, BackendError> {
        let (sender, call) = self.call(cell)?;
        let sessions = self.ground().sessions(&[sender.clone()].into())?;
        let session = sessions
            .get(&sender)
            .cloned()
            .ok_or_else(|| gone(&sender))?;
        let flow = self.named.fetch_add(1, Ordering::Relaxed);
        let ask = Ask::OpenFlow {
            flow,
            call,
            deadline_us: micros(deadline),
        };
        let said = self.live.wait(session.ask(ask, deadline))?;
        let outcome = match &said {
            Said::Answers(answers) => answers.first().map(|answer| outcome(answer.outcome)),
            _ => None,
        };
        match outcome.ok_or_else(|| unexpected(&sender, &said))? {
            Outcome::Allowed => Ok(Ok(Box::new(Flow {
                live: self.live.clone(),
                session,
                flow,
            }))),
            other => Ok(Err(other)),
        }
    }
}

fn gone(pod: &ObjectName) -> SessionError {
    SessionError {
        pod: pod.clone(),
        reason: "there is no such pod".to_owned(),
    }
}

fn unexpected(pod: &ObjectName, said: &Said) -> SessionError {
    SessionError {
        pod: pod.clone(),
        reason: format!("the answer makes no sense: {said:?}; is the image of another version?"),
    }
}

fn outcome(seen: probe::Outcome) -> Outcome {
    match seen {
        probe::Outcome::Allowed => Outcome::Allowed,
        probe::Outcome::Denied => Outcome::Denied,
        probe::Outcome::Refused => Outcome::Refused,
        probe::Outcome::Unreachable => Outcome::Unreachable,
    }
}

fn observation(answer: probe::Answer) -> Observation {
    Observation {
        outcome: outcome(answer.outcome),
        source_seen: answer.source_seen.map(|address| address.ip()),
        served_by: answer.served_by,
        latency: answer.latency,
    }
}

/// A long-lived connection of a pod.
struct Flow {
    live: Live,
    session: Arc<Session>,
    flow: u64,
}

impl LongLived for Flow {
    /// A pod that is gone has taken its connections with it.
    fn exchange(&mut self, deadline: Duration) -> Outcome {
        let ask = Ask::Exchange {
            flow: self.flow,
            deadline_us: micros(deadline),
        };
        match self.live.wait(self.session.ask(ask, deadline)) {
            Ok(Said::Exchanged(seen)) => outcome(seen),
            _ => Outcome::Refused,
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let ask = Ask::CloseFlow { flow: self.flow };
        let session = self.session.clone();
        // Nobody waits for it, and a stream that has ended has closed it.
        let closing = async move { drop(session.ask(ask, Duration::ZERO).await) };
        self.live.handle().spawn(closing);
    }
}

/// Background traffic of several pods. It follows them: a container that was started again is asked
/// anew, and one that is gone when it comes again. Of what it had begun by then nobody knows.
struct Background {
    ground: Arc<Mutex<Ground>>,
    live: Live,
    named: Arc<AtomicU64>,
    every: Duration,
    parts: Vec<Part>,
    /// What is counted and nobody has taken yet.
    tallies: Vec<Tally>,
}

/// The traffic of one pod.
struct Part {
    pod: ObjectName,
    /// Of its calls, in the list of all.
    places: Vec<usize>,
    calls: Vec<Call>,
    /// Where it goes on, and what it is called there.
    traffic: Option<(Arc<Session>, u64)>,
}

impl Background {
    /// Returns when every cell has been tried: what changes from now on meets traffic.
    fn begin(&mut self) -> Result<(), BackendError> {
        self.start()?;
        match self.await_attempts() {
            true => Ok(()),
            false => {
                let what = "background traffic: nothing has begun".to_owned();
                Err(BackendError::Unsupported(what))
            }
        }
    }

    /// Returns when every cell has been tried since it was counted last, or much too late.
    fn await_attempts(&mut self) -> bool {
        let begun = Instant::now();
        while self.tallies.iter().any(|tally| tally.connections() == 0) {
            if begun.elapsed() > FIRST_ATTEMPTS {
                return false;
            }
            process::short_pause();
            self.count();
        }
        true
    }

    /// Starts what does not go on.
    fn start(&mut self) -> Result<(), SessionError> {
        let patience = netsim::traffic::Traffic::PATIENCE;
        for part in self.parts.iter_mut().filter(|part| part.traffic.is_none()) {
            let sessions = locked(&self.ground).sessions(&[part.pod.clone()].into())?;
            let session = sessions.get(&part.pod).cloned();
            let session = session.ok_or_else(|| gone(&part.pod))?;
            let traffic = self.named.fetch_add(1, Ordering::Relaxed);
            let ask = Ask::StartTraffic {
                traffic,
                calls: part.calls.clone(),
                every_us: micros(self.every),
                patience_us: micros(patience),
            };
            self.live.wait(session.ask(ask, Duration::ZERO))?;
            part.traffic = Some((session, traffic));
        }
        Ok(())
    }

    fn count(&mut self) {
        let asking = self.parts.iter().map(|part| async move {
            let (session, traffic) = part.traffic.as_ref()?;
            let ask = Ask::TakeTraffic { traffic: *traffic };
            session.ask(ask, Duration::from_secs(30)).await.ok()
        });
        let said = self.live.wait(futures::future::join_all(asking));
        let now = Instant::now();
        for (part, said) in self.parts.iter_mut().zip(said) {
            let Some(Said::Tallies(heard)) = said else {
                part.traffic = None;
                for index in &part.places {
                    self.tallies[*index].undecided += 1;
                }
                continue;
            };
            for (index, heard) in part.places.iter().zip(heard) {
                let new = heard.at(now);
                for (_, count) in new.counts {
                    self.tallies[*index].add(Count {
                        connections: count.attempts,
                        first: count.first,
                        last: count.last,
                        example: observation(count.example),
                    });
                }
                self.tallies[*index].undecided += new.undecided;
            }
        }
    }
}

impl Traffic for Background {
    fn take(&mut self) -> Result<Vec<Tally>, BackendError> {
        self.count();
        let has_ended = self.parts.iter().any(|part| part.traffic.is_none());
        // A pod that is gone may come again; one that is there is heard before this goes on.
        if has_ended && self.start().is_ok() {
            self.await_attempts();
        }
        let empty = vec![Tally::default(); self.tallies.len()];
        Ok(mem::replace(&mut self.tallies, empty))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let going_on = self.parts.iter().filter_map(|part| part.traffic.as_ref());
        let stopping = going_on.map(|(session, traffic)| async move {
            let ask = Ask::StopTraffic { traffic: *traffic };
            // A stream that has ended has stopped it.
            drop(session.ask(ask, Duration::ZERO).await);
        });
        self.live.wait(futures::future::join_all(stopping));
    }
}
