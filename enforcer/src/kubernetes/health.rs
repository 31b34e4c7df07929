//! How following goes: for readiness, metrics and status.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{Resource, WatchError};

/// How following each resource goes.
#[derive(Debug, Default)]
pub struct Health {
    resources: Mutex<[ResourceHealth; Resource::ALL.len()]>,
    told: Condvar,
}

/// How following one resource goes.
#[derive(Clone, Debug, Default)]
pub struct ResourceHealth {
    /// It has been listed completely, once. For the node: and it is there.
    pub is_synced: bool,
    /// How often it was listed completely.
    pub lists: u64,
    /// Everything up to this version has been handed on; 0 before the first list. Servers promise
    /// that versions of one resource can be compared.
    pub version: u64,
    /// When the server last said anything about it.
    pub last_word: Option<SystemTime>,
    /// Failed attempts so far.
    pub errors: u64,
    /// Why it does not go at present; none if it does.
    pub failure: Option<Failure>,
}

/// Why it does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Since when there is no success.
    pub since: SystemTime,
    /// The last error, with its causes.
    pub message: String,
}

impl Health {
    /// How one resource does.
    pub fn of(&self, resource: Resource) -> ResourceHealth {
        self.lock()[resource as usize].clone()
    }

    /// Whether every resource has been listed.
    pub fn is_synced(&self) -> bool {
        self.lock().iter().all(|resource| resource.is_synced)
    }

    /// The server said something about it. Says whether it failed before.
    pub(super) fn heard(&self, resource: Resource) -> Option<Failure> {
        let health = &mut self.lock()[resource as usize];
        health.last_word = Some(SystemTime::now());
        health.failure.take()
    }

    /// Everything up to this version has been handed on.
    pub(super) fn told(&self, resource: Resource, version: &str) {
        if let Ok(version) = version.parse() {
            self.lock()[resource as usize].version = version;
            self.told.notify_all();
        }
    }

    /// Waits until everything up to these versions has been handed on; says whether it has.
    pub fn wait_for(&self, versions: &[(Resource, u64)], patience: Duration) -> bool {
        let is_behind = |resources: &mut [ResourceHealth; Resource::ALL.len()]| {
            let mut versions = versions.iter();
            versions.any(|(resource, version)| resources[*resource as usize].version < *version)
        };
        let waited = self
            .told
            .wait_timeout_while(self.lock(), patience, is_behind);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// It was listed completely.
    pub(super) fn listed(&self, resource: Resource) {
        self.lock()[resource as usize].lists += 1;
    }

    /// It is known completely. Says whether it is the last to be.
    pub(super) fn synced(&self, resource: Resource) -> bool {
        let mut resources = self.lock();
        let was_synced = resources.iter().all(|resource| resource.is_synced);
        resources[resource as usize].is_synced = true;
        !was_synced && resources.iter().all(|resource| resource.is_synced)
    }

    /// An attempt failed. Says whether that is news.
    pub(super) fn failed(&self, resource: Resource, error: &WatchError) -> bool {
        let health = &mut self.lock()[resource as usize];
        health.errors += 1;
        let message = error.chain();
        let is_news = health
            .failure
            .as_ref()
            .is_none_or(|failure| failure.message != message);
        let since = health
            .failure
            .as_ref()
            .map_or_else(SystemTime::now, |failure| failure.since);
        health.failure = Some(Failure { since, message });
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, [ResourceHealth; Resource::ALL.len()]> {
        // Nothing here can be left half done.
        self.resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
