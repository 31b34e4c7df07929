//! Connections that are opened one after the other while the world changes.
//!
//! A [`Traffic`] tries each of its probes every so often, each time with a new socket from a new
//! port, and does not wait for one answer before it tries again. Whoever asks ([`Traffic::take`])
//! hears what became of every attempt that was begun since the last time.
//!
//! - `pacer`: a thread that visits the namespaces and makes sockets;
//! - a second thread sends, and waits for the answers of all;
//! - `tally`: the counting.
//!
//! What must be true: an attempt says what the network was like when it was begun, or nothing. So
//! nothing is sent twice (TCP repeats by itself after a second, which is longer than an attempt
//! takes), and no attempt leaves a connection behind.

use std::{
    convert::Infallible,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{runtime, sync::mpsc::UnboundedReceiver, task::JoinSet};

use crate::{
    cluster::Whereabouts,
    listen::Work,
    probe::{Answer, Outcome, Probe, ProbeError, Prober},
};

mod pacer;
mod tally;

use pacer::{Pacer, Turn};
use tally::Ledger;
pub use tally::{Count, Tally};

/// How long a busy machine may take beyond the patience of an attempt.
const BUSY: Duration = Duration::from_secs(20);

/// TCP repeats a first packet after this long: an answer that comes later may be one to that.
const REPEATED: Duration = Duration::from_secs(1);

/// Attempts that go on in the background until this is dropped.
#[derive(Debug)]
pub struct Traffic {
    ledger: Arc<Ledger>,
    patience: Duration,
    stop: Option<mpsc::Sender<Infallible>>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Why nothing can be said about attempts.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// They could not be made.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Some have no outcome although they should have had one long ago.
    #[error("hear the end of all connections within {0:?}")]
    Stuck(Duration),
}

impl Traffic {
    /// An attempt that has no answer after this long is denied. Less than TCP takes to repeat itself.
    pub const PATIENCE: Duration = Duration::from_millis(250);

    /// Starts it. An attempt from a place that is gone is [`Outcome::Unreachable`] until it comes
    /// again.
    pub(crate) fn start(
        prober: Prober,
        probes: Vec<Probe>,
        whereabouts: Whereabouts,
        every: Duration,
        patience: Duration,
    ) -> Result<Self, ProbeError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ProbeError::Loop)?;
        let ledger = Arc::new(Ledger::new(probes.len()));
        let (stop, stopped) = mpsc::channel();
        let (sender, turns) = tokio::sync::mpsc::unbounded_channel();
        let servers = prober.servers().clone();
        let pacer = Pacer {
            prober,
            probes,
            whereabouts,
            every,
            patience,
            ledger: ledger.clone(),
            turns: sender,
        };
        let mut traffic = Self {
            ledger: ledger.clone(),
            patience,
            stop: Some(stop),
            threads: Vec::new(),
        };
        let book = ledger.clone();
        traffic.spawn("pacer", move || {
            if let Err(error) = pacer.run(&stopped) {
                book.fail(error);
            }
        })?;
        traffic.spawn("traffic", move || {
            runtime.block_on(send(&ledger, turns, patience, &servers));
        })?;
        Ok(traffic)
    }

    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), ProbeError> {
        let thread = thread::Builder::new().name(name.into()).spawn(work);
        self.threads.push(thread.map_err(ProbeError::Loop)?);
        Ok(())
    }

    /// What became of the attempts that were begun since the last time: a tally for each probe, in
    /// the order of the probes. Waits until all of them have ended.
    ///
    /// # Errors
    /// [`TrafficError`]; the attempts are counted the next time then, unless no more can be made.
    pub fn take(&mut self) -> Result<Vec<Tally>, TrafficError> {
        self.ledger.take(self.patience + BUSY)
    }

    /// Ends it, before this returns. Attempts that have no answer yet are given up.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // The pacer hears it, and the other thread that the pacer is gone.
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // A panic there has been reported there.
            drop(thread.join());
        }
    }
}

/// Until the pacer is gone.
async fn send(
    ledger: &Arc<Ledger>,
    mut turns: UnboundedReceiver<Turn>,
    patience: Duration,
    servers: &Work,
) {
    // What is open when it is dropped is given up.
    let mut attempts = JoinSet::new();
    while let Some(turn) = turns.recv().await {
        let (ledger, servers) = (ledger.clone(), servers.clone());
        attempts.spawn(async move {
            let Some(ticket) = ledger.begin(turn.entry) else {
                return;
            };
            let answer = match turn.attempt {
                Some(attempt) => attempt.run(patience, &servers).await,
                None => Ok(Answer::of(Outcome::Unreachable, Duration::ZERO)),
            };
            match answer {
                Ok(answer) => ledger.end(&ticket, is_telling(&answer).then_some(answer)),
                Err(error) => ledger.fail(ProbeError::Loop(error)),
            }
            drop(turn.underway);
        });
        while attempts.try_join_next().is_some() {}
    }
}

/// Whether an answer tells what the network was like when the attempt was begun.
fn is_telling(answer: &Answer) -> bool {
    answer.outcome != Outcome::Allowed || answer.latency < REPEATED
}
