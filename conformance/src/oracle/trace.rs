//! What the oracle has said so far, and by which lines.

use std::collections::BTreeSet;

use super::Judgement;

/// Collects reasons and line numbers while one connection is judged.
#[derive(Debug, Default)]
pub(super) struct Trace {
    reasons: Vec<String>,
    lines: BTreeSet<u16>,
}

impl Trace {
    /// Adds a sentence and the lines it rests on.
    pub(super) fn say(&mut self, lines: &[u16], reason: String) {
        self.reasons.push(reason);
        self.used(lines);
    }

    /// Notes lines that were applied without a sentence of their own.
    pub(super) fn used(&mut self, lines: &[u16]) {
        self.lines.extend(lines);
    }

    /// Closes the judgement.
    pub(super) fn into_judgement(self, allowed: bool) -> Judgement {
        Judgement {
            allowed,
            reasons: self.reasons,
            lines: self.lines.into_iter().collect(),
        }
    }
}

/// Whether one part of a policy covers what it is held against.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It does.
    Yes,
    /// It does not; why, as a clause that follows a colon.
    No(String),
    /// It cannot be read, so it matches nothing (227); what is wrong with it.
    Unreadable(String),
}
