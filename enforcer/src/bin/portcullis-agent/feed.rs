//! From the cluster to the agent's thread, and how long it takes into the kernel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use enforcer::{
    agent::{Agent, Unsettled},
    cluster::Event,
    kubernetes::{Resource, Sink},
};
use tracing::info;

use crate::metrics::Metrics;

/// How long is waited for a commit before it is not measured any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells an agent what a follower says.
pub(crate) struct Feed {
    agent: Arc<Agent>,
    is_synced: AtomicBool,
    seen: mpsc::Sender<Seen>,
}

/// An event on its way into the kernel.
struct Seen {
    at: Instant,
    resource: Resource,
}

impl Feed {
    /// Measures on a thread of its own.
    pub(crate) fn new(agent: Arc<Agent>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (seen, to_measure) = mpsc::channel();
        let measured = Arc::clone(&agent);
        thread::Builder::new()
            .name("latency".to_owned())
            .spawn(move || measure(&measured, &metrics, &to_measure))?;
        Ok(Self {
            agent,
            is_synced: AtomicBool::new(false),
            seen,
        })
    }
}

impl Sink for Feed {
    fn event(&self, resource: Resource, event: Event) {
        let at = Instant::now();
        self.agent.send(event);
        if self.is_synced.load(Ordering::Relaxed) {
            // Nobody measures any more only when the program ends.
            let _ = self.seen.send(Seen { at, resource });
        }
    }

    fn synced(&self) {
        info!("everything is known");
        self.agent.synced();
        self.is_synced.store(true, Ordering::Relaxed);
    }
}

/// From an event to the moment when the kernel has what it leads to. Events that come together are
/// committed together and so measured together.
fn measure(agent: &Agent, metrics: &Metrics, seen: &mpsc::Receiver<Seen>) {
    while let Ok(first) = seen.recv() {
        let all: Vec<_> = std::iter::once(first).chain(seen.try_iter()).collect();
        match agent.settle(PATIENCE) {
            Ok(()) => {
                let now = Instant::now();
                for event in all {
                    metrics.programmed(event.resource, now - event.at);
                }
            }
            Err(Unsettled::Ended) => return,
            Err(_) => {}
        }
    }
}
