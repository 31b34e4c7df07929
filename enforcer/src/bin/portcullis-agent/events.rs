//! Tells the owners of policies that cannot be honoured, by Kubernetes events.
//!
//! Every agent sees every policy. So that a cluster of thousands of nodes does not say the same
//! thousands of times, the nodes are ranked by a hash of node and policy: the first tells at once,
//! the second and third somewhat later in case the first is away, all others keep quiet. Whoever
//! comes second finds that the event, whose name follows from its content, is already there.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use enforcer::{
    agent::Agent,
    kubernetes::{Complaint, Complaints, Health, PublishError, event_name, publish},
    policy::PolicyRef,
};
use kube::Client;
use tokio::{
    task::spawn_blocking,
    time::{Instant, interval, sleep_until},
};
use tracing::{debug, warn};

/// How many nodes tell of one policy.
const TELLERS: u32 = 3;
/// How much later than the one before it a node tells.
const LATER: Duration = Duration::from_secs(30);
/// When it is told again: servers forget events after an hour.
const AGAIN: Duration = Duration::from_secs(65 * 60);
/// When an event that the server did not take is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Events that may be told at once, and how long it takes until one more may.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_secs(10);
/// How long the agent's thread may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What tells.
pub(crate) struct Teller {
    pub(crate) client: Client,
    pub(crate) node: Arc<str>,
    pub(crate) agent: Arc<Agent>,
}

/// An event that is to be told.
struct Pending {
    due: Instant,
    /// Whether it has waited for those before it.
    has_waited: bool,
}

impl Teller {
    /// Tells of every complaint, for ever.
    pub(crate) async fn tell(self, health: &Health, complaints: &Complaints) {
        // Before all pods are known every node would rank itself first.
        let mut look = interval(Duration::from_secs(1));
        while !health.is_synced() {
            look.tick().await;
        }
        let mut complaints = complaints.subscribe();
        let mut pending = HashMap::<String, Pending>::new();
        let mut allowance = Allowance::new(Instant::now());
        loop {
            let now = Instant::now();
            let all = complaints.borrow_and_update().clone();
            let named: HashMap<_, _> = all
                .iter()
                .map(|(policy, complaint)| {
                    let name = format!("{}/{}", policy.namespace, event_name(policy, complaint));
                    (name, (policy, complaint))
                })
                .collect();
            pending.retain(|name, _| named.contains_key(name));
            for name in named.keys() {
                pending.entry(name.clone()).or_insert(Pending {
                    due: now,
                    has_waited: false,
                });
            }
            if pending.values().any(|state| state.due <= now) {
                let nodes = self.nodes().await;
                for (name, state) in pending.iter_mut().filter(|(_, state)| state.due <= now) {
                    let (policy, complaint) = named[name];
                    let is_turn = state.is_turn(now, rank(&self.node, policy, &nodes));
                    if is_turn && allowance.take(now) {
                        state.due = now + self.tell_of(policy, complaint).await;
                    } else if is_turn {
                        state.due = now + REFILL;
                    }
                }
            }
            let next = pending.values().map(|state| state.due).min();
            tokio::select! {
                // Whoever complains lives as long as the program.
                _ = complaints.changed() => {}
                () = sleep_until(next.unwrap_or(now + AGAIN)) => {}
            }
        }
    }

    /// Tells of one complaint. Says when to tell of it again.
    async fn tell_of(&self, policy: &PolicyRef, complaint: &Complaint) -> Duration {
        match publish(&self.client, &self.node, policy, complaint).await {
            Ok(is_new) => debug!(%policy, is_new, "told by an event"),
            Err(PublishError::NoNamespace) => {}
            Err(error @ PublishError::Forbidden { .. }) => warn!(%policy, "failed to {error}"),
            Err(error) => {
                debug!(%policy, error = &error as &dyn std::error::Error, "not told by an event");
                return RETRY;
            }
        }
        AGAIN
    }

    /// All nodes that have pods.
    async fn nodes(&self) -> BTreeSet<Arc<str>> {
        let agent = Arc::clone(&self.agent);
        let nodes = spawn_blocking(move || {
            agent.ask(PATIENCE, |enforcer| {
                let pods = enforcer.cluster().pods();
                pods.filter_map(|pod| pod.node.clone()).collect()
            })
        });
        nodes.await.ok().and_then(Result::ok).unwrap_or_default()
    }
}

impl Pending {
    /// Whether a node is to tell now that so many others are to tell before; if not, it is due when
    /// that may have changed.
    fn is_turn(&mut self, now: Instant, rank: u32) -> bool {
        if rank > 0 && !self.has_waited {
            self.has_waited = rank < TELLERS;
            self.due = now + if self.has_waited { LATER * rank } else { AGAIN };
            return false;
        }
        self.has_waited = false;
        true
    }
}

/// How many nodes are to tell of a policy before this one.
fn rank(own: &str, policy: &PolicyRef, nodes: &BTreeSet<Arc<str>>) -> u32 {
    let weight = |node: &str| {
        let mut hasher = DefaultHasher::new();
        (policy.to_string(), node).hash(&mut hasher);
        hasher.finish()
    };
    let own_weight = weight(own);
    let before = nodes
        .iter()
        .filter(|node| weight(node) < own_weight)
        .count();
    u32::try_from(before).unwrap_or(u32::MAX)
}

/// How many events may be told.
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now - self.since >= REFILL {
            self.left += 1;
            self.since += REFILL;
        }
        if self.left == BURST {
            self.since = now;
        }
        let is_there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_nodes_one_is_first_and_policies_differ_in_which() {
        let nodes: BTreeSet<Arc<str>> = ["n1", "n2", "n3", "n4", "n5"].map(Arc::from).into();
        let mut first = BTreeSet::new();
        for number in 0..50 {
            let policy = PolicyRef::network_policy("x", &format!("p{number}"));
            let mut ranks: Vec<_> = nodes
                .iter()
                .map(|node| (rank(node, &policy, &nodes), node.clone()))
                .collect();
            ranks.sort_unstable();
            let order: Vec<_> = ranks.iter().map(|(rank, _)| *rank).collect();
            assert_eq!(order, [0, 1, 2, 3, 4]);
            first.insert(ranks.swap_remove(0).1);
        }
        assert_eq!(first.len(), nodes.len());
    }

    #[test]
    fn the_first_tells_at_once_the_next_ones_later_and_all_others_not() {
        let now = Instant::now();
        let due = |rank| {
            let mut state = Pending {
                due: now,
                has_waited: false,
            };
            (!state.is_turn(now, rank)).then(|| (state.due - now, state.is_turn(state.due, rank)))
        };
        assert_eq!(due(0), None);
        assert_eq!(due(1), Some((LATER, true)));
        assert_eq!(due(2), Some((LATER * 2, true)));
        assert_eq!(due(3), Some((AGAIN, false)));
    }

    #[test]
    fn a_storm_of_events_becomes_a_trickle() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        let mut taken = |after| {
            let now = begin + Duration::from_secs(after);
            (0..100).filter(|_| allowance.take(now)).count()
        };
        assert_eq!(taken(0), 20);
        assert_eq!(taken(5), 0);
        assert_eq!(taken(10), 1);
        assert_eq!(taken(45), 3);
        assert_eq!(taken(3_600), 20);
    }
}
