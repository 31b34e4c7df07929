//! Lists and watches of one resource, for ever.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    Health, Resource, Sink, WatchError,
    list::list,
    object::Kind,
    watch::{Position, watch},
};

/// A watch that lived so long shows that the server is well.
const STEADY: Duration = Duration::from_secs(10);
/// A watch that the server ended sooner than this counts as a failed attempt, or a server that ends
/// every watch would be asked without pause.
const SHORT: Duration = Duration::from_secs(1);

/// What a resource is followed with.
pub(super) struct Lane<S> {
    pub(super) client: Client,
    pub(super) resource: Resource,
    pub(super) node: Arc<str>,
    pub(super) sink: Arc<S>,
    pub(super) health: Arc<Health>,
}

/// Follows a resource until the task is aborted.
pub(super) async fn follow<K: Kind, S: Sink>(lane: Lane<S>, mut kind: K) {
    let mut pause = Pause::default();
    loop {
        let listed = Instant::now();
        let mut position = match list(&lane, &mut kind).await {
            Ok(listed) => {
                lane.reset(&mut kind, listed.all);
                lane.told(&listed.version);
                Position::new(listed.version)
            }
            Err(error) => {
                lane.failed(&error);
                pause.take(&error).await;
                continue;
            }
        };
        loop {
            let started = Instant::now();
            let end = watch(&lane, &mut kind, &mut position).await;
            let lived = started.elapsed();
            if lived >= STEADY {
                pause = Pause::default();
            }
            match end {
                Ok(()) if lived < SHORT => pause.take_at_most(Pause::LAST).await,
                Ok(()) => position.ended(lived),
                Err(error) => {
                    lane.failed(&error);
                    if lived >= STEADY {
                        position.ended(lived);
                    }
                    if error.needs_list() {
                        // It answers. What failed before was how to reach it, as after its restart.
                        if listed.elapsed() >= STEADY {
                            pause = Pause::default();
                        }
                        pause.take(&error).await;
                        break;
                    }
                    pause.take(&error).await;
                }
            }
            if position.is_doubtful() {
                warn!(resource = %lane.resource, "the watch says nothing, not even bookmarks; listing again");
                break;
            }
        }
    }
}

impl<S: Sink> Lane<S> {
    pub(super) fn apply<K: Kind>(&self, kind: &mut K, kept: K::Kept) {
        self.sink.event(self.resource, kind.apply(kept));
        self.synced();
    }

    pub(super) fn delete<K: Kind>(&self, kind: &mut K, kept: K::Kept) {
        self.sink.event(self.resource, kind.delete(kept));
    }

    fn reset<K: Kind>(&self, kind: &mut K, all: Vec<K::Kept>) {
        let count = all.len();
        self.sink.event(self.resource, kind.reset(all));
        self.health.listed(self.resource);
        info!(resource = %self.resource, count, "listed");
        // Without the node's own object nobody knows whether its name is right, and with a wrong
        // one there are no pods here: every rule would go.
        if self.resource != Resource::Nodes || count > 0 {
            self.synced();
        } else {
            warn!(node = %self.node, "the cluster has no node of this name");
        }
    }

    fn synced(&self) {
        if self.health.synced(self.resource) {
            self.sink.synced();
        }
    }

    /// Everything up to this version has been handed on.
    pub(super) fn told(&self, version: &str) {
        self.health.told(self.resource, version);
    }

    /// The server said something.
    pub(super) fn heard(&self) {
        if let Some(failure) = self.health.heard(self.resource) {
            let duration_s = failure.since.elapsed().unwrap_or_default().as_secs_f64();
            info!(resource = %self.resource, duration_s, "the API server answers again");
        }
    }

    fn failed(&self, error: &WatchError) {
        let chain = error.chain();
        if self.health.failed(self.resource, error) {
            warn!(resource = %self.resource, "failed to {chain}");
        } else {
            debug!(resource = %self.resource, "failed to {chain}");
        }
    }

    /// From 0 to 1, each time another.
    pub(super) fn jitter(&self) -> f64 {
        jitter()
    }
}

/// Waits longer from failure to failure.
struct Pause(Duration);

impl Pause {
    const FIRST: Duration = Duration::from_millis(200);
    const LAST: Duration = Duration::from_secs(30);
    /// Knocking at a door behind which nobody is costs nobody anything, and whoever comes back is
    /// to be heard soon.
    const KNOCK: Duration = Duration::from_secs(5);

    async fn take(&mut self, error: &WatchError) {
        let longest = match error {
            WatchError::Connection { .. } => Self::KNOCK,
            _ => Self::LAST,
        };
        self.take_at_most(longest).await;
    }

    async fn take_at_most(&mut self, longest: Duration) {
        let now = self.0.min(longest);
        sleep(now.mul_f64(0.5 + jitter())).await;
        self.0 = (now * 2).min(longest);
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

/// Every `RandomState` has other keys.
fn jitter() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
