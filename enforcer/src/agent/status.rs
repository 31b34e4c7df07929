//! What an agent says of itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::policy::PolicyRef;

/// The newest repairs that are remembered one by one.
const REMEMBERED: usize = 32;

/// How an agent is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it has been told everything that exists. Before that it leaves the kernel alone.
    pub is_synced: bool,
    /// Whether everything it was told is in the kernel.
    pub is_settled: bool,
    /// Transactions that the kernel took.
    pub commits: u64,
    /// Operations in them.
    pub operations: u64,
    /// Live connections that are cut at the moment.
    pub revoked: usize,
    /// Why the kernel's rules are not what they should be; nothing if they are.
    pub failure: Option<Failure>,
    /// Changes of our table by others: how often, ever.
    pub drifts: u64,
    /// The newest of them, the latest at the end.
    pub recent_drifts: VecDeque<Drift>,
    /// Why changes by others are no longer noticed; nothing if they are.
    pub blind: Option<String>,
    /// Whether its thread has ended, which only a defect can make it do. The rules stay.
    pub has_ended: bool,
    /// Policies that cannot be honoured in full, with the reasons.
    pub broken_policies: BTreeMap<PolicyRef, Vec<Arc<str>>>,
}

/// One attempt to make the kernel's rules those of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whether the whole table was replaced; otherwise what is different.
    pub is_full: bool,
    /// Whether the kernel took it.
    pub is_done: bool,
    /// From the index to the kernel's answer: compiling, comparing and the transaction.
    pub took: Duration,
}

/// Transactions that the kernel refused, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the last one was refused for.
    pub error: Arc<str>,
    /// How many.
    pub attempts: u32,
    /// When the first was refused.
    pub since: SystemTime,
}

/// A change of our table that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// When it was noticed.
    pub noticed: SystemTime,
    /// What was changed, in words.
    pub changes: Vec<String>,
    /// The commands that did it, as far as the kernel says.
    pub culprits: Vec<String>,
    /// When the table was what it should be again; nothing if it is not.
    pub repaired: Option<SystemTime>,
}

impl Status {
    /// Remembers a drift; one that is not repaired yet grows.
    pub(super) fn note_drift(&mut self, drift: Drift) {
        match self.recent_drifts.back_mut() {
            Some(open) if open.repaired.is_none() => {
                add_new(&mut open.changes, drift.changes);
                add_new(&mut open.culprits, drift.culprits);
            }
            _ => {
                self.drifts += 1;
                if self.recent_drifts.len() == REMEMBERED {
                    self.recent_drifts.pop_front();
                }
                self.recent_drifts.push_back(drift);
            }
        }
    }

    /// Remembers who made the last drift.
    pub(super) fn note_culprits(&mut self, culprits: impl IntoIterator<Item = String>) {
        if let Some(last) = self.recent_drifts.back_mut() {
            add_new(&mut last.culprits, culprits);
        }
    }

    /// The table is what it should be. Says what was repaired, if something was.
    pub(super) fn note_repair(&mut self) -> Option<&Drift> {
        let open = self.recent_drifts.back_mut()?;
        if open.repaired.is_some() {
            return None;
        }
        open.repaired = Some(SystemTime::now());
        Some(open)
    }

    /// The kernel refused a transaction.
    pub(super) fn note_failure(&mut self, error: &str) {
        let failure = self.failure.get_or_insert_with(|| Failure {
            error: "".into(),
            attempts: 0,
            since: SystemTime::now(),
        });
        failure.error = error.into();
        failure.attempts = failure.attempts.saturating_add(1);
    }
}

fn add_new(known: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for one in more {
        if known.len() < REMEMBERED && !known.contains(&one) {
            known.push(one);
        }
    }
}
