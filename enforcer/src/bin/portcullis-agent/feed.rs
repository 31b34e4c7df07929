//! From the cluster to the agent's thread, and how long it takes into the kernel.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use enforcer::{
    agent::{Agent, Unsettled},
    cluster::{Event, Pod, PodRef},
    kubernetes::{Resource, Sink},
};
use tracing::info;

use crate::metrics::Metrics;

/// How long is waited for a commit before it is not measured any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells an agent what a follower says.
pub(crate) struct Feed {
    agent: Arc<Agent>,
    node: Arc<str>,
    is_synced: AtomicBool,
    /// Pods of the node that have addresses.
    begun: Mutex<HashSet<PodRef>>,
    seen: mpsc::Sender<Seen>,
}

/// An event on its way into the kernel.
struct Seen {
    at: Instant,
    resource: Resource,
    /// Whether a pod of the node got its first address by it.
    begins: bool,
}

impl Feed {
    /// Measures on a thread of its own.
    pub(crate) fn new(
        agent: Arc<Agent>,
        node: &str,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (seen, to_measure) = mpsc::channel();
        let measured = Arc::clone(&agent);
        thread::Builder::new()
            .name("latency".to_owned())
            .spawn(move || measure(&measured, &metrics, &to_measure))?;
        Ok(Self {
            agent,
            node: node.into(),
            is_synced: AtomicBool::new(false),
            begun: Mutex::default(),
            seen,
        })
    }

    /// Whether a pod of the node gets its first address by this event.
    fn begins(&self, event: &Event) -> bool {
        let has_begun = |pod: &Pod| {
            pod.node.as_ref() == Some(&self.node)
                && pod.can_own_addresses()
                && !pod.addresses.is_empty()
        };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ApplyPod(pod) if has_begun(pod) => begun.insert(pod.reference.clone()),
            Event::ApplyPod(Pod { reference, .. }) | Event::DeletePod(reference) => {
                begun.remove(reference);
                false
            }
            Event::ResetPods(all) => {
                let local = all.iter().filter(|pod| has_begun(pod));
                *begun = local.map(|pod| pod.reference.clone()).collect();
                false
            }
            _ => false,
        }
    }
}

impl Sink for Feed {
    fn event(&self, resource: Resource, event: Event) {
        let at = Instant::now();
        let begins = self.begins(&event);
        self.agent.send(event);
        if self.is_synced.load(Ordering::Relaxed) {
            // Nobody measures any more only when the program ends.
            let _ = self.seen.send(Seen {
                at,
                resource,
                begins,
            });
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
                    if event.begins {
                        metrics.begun(now - event.at);
                    }
                }
            }
            Err(Unsettled::Ended) => return,
            Err(_) => {}
        }
    }
}
