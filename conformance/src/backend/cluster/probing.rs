//! Connections: each pod is asked for all of its own at once.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use netsim::{
    probe,
    remote::words::{Ask, Call, Said, micros},
};

use super::{
    Cluster,
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
        let names = shares.keys().cloned().collect();
        let sessions = self.ground().sessions(&names)?;
        let traffic = self.named.fetch_add(1, Ordering::Relaxed);
        let patience = netsim::traffic::Traffic::PATIENCE;
        let started = self.ask_each(shares, Duration::ZERO, |calls| Ask::StartTraffic {
            traffic,
            calls,
            every_us: micros(every),
            patience_us: micros(patience),
        })?;
        let parts = started.into_iter().filter_map(|(name, places, _)| {
            let session = sessions.get(&name)?.clone();
            Some(Part { session, places })
        });
        let mut background = Background {
            live: self.live.clone(),
            traffic,
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

/// Background traffic of several pods.
struct Background {
    live: Live,
    traffic: u64,
    parts: Vec<Part>,
    /// What is counted and nobody has taken yet.
    tallies: Vec<Tally>,
}

/// The traffic of one pod.
struct Part {
    session: Arc<Session>,
    /// Of its calls, in the list of all.
    places: Vec<usize>,
}

impl Background {
    /// Returns when every cell has been tried: what changes from now on meets traffic.
    fn begin(&mut self) -> Result<(), BackendError> {
        let begun = Instant::now();
        while self.tallies.iter().any(|tally| tally.connections() == 0) {
            if begun.elapsed() > FIRST_ATTEMPTS {
                let what = "background traffic: nothing has begun".to_owned();
                return Err(BackendError::Unsupported(what));
            }
            process::short_pause();
            self.count()?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), BackendError> {
        let traffic = self.traffic;
        let asking = self.parts.iter().map(|part| async move {
            let ask = Ask::TakeTraffic { traffic };
            part.session.ask(ask, Duration::from_secs(30)).await
        });
        let said = self.live.wait(try_join_all(asking))?;
        let now = Instant::now();
        for (part, said) in self.parts.iter().zip(said) {
            let Said::Tallies(heard) = said else { continue };
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
        Ok(())
    }
}

impl Traffic for Background {
    fn take(&mut self) -> Result<Vec<Tally>, BackendError> {
        self.count()?;
        let empty = vec![Tally::default(); self.tallies.len()];
        Ok(mem::replace(&mut self.tallies, empty))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let traffic = self.traffic;
        let asking = self.parts.iter().map(|part| async move {
            // A stream that has ended has stopped it.
            drop(
                part.session
                    .ask(Ask::StopTraffic { traffic }, Duration::ZERO)
                    .await,
            );
        });
        self.live.wait(futures::future::join_all(asking));
    }
}
