//! Which connections a Plan denies.

use std::{
    collections::{BTreeSet, HashMap},
    iter,
};

use super::{Entry, Tuple};
use crate::{
    options::Established,
    plan::{ConnectionId, Plan},
};

/// How far a connection is followed to the one that announced it; H.323 needs two steps.
const LONGEST_ANCESTRY: usize = 8;

/// Whether `new` may deny a connection that `old` lets pass. It does not if all that happened is that
/// selectors match more pods: for a pod that a table knows it allows everything that it allows for
/// those it does not know, and more.
pub(crate) fn may_deny_more(old: &Plan, new: &Plan) -> bool {
    let is_judged_the_same = old.node == new.node
        && old.ingress == new.ingress
        && old.egress == new.egress
        && old.own == new.own
        && old.profiles == new.profiles;
    if !is_judged_the_same {
        return true;
    }
    let mut was_there = false;
    let classes = &old.classes;
    classes.differences(&new.classes, |_, before, _| was_there |= before.is_some());
    for (id, table) in &new.peers {
        if let Some(before) = old.peers.get(id) {
            let answers = &before.answers;
            answers.differences(&table.answers, |_, before, _| was_there |= before.is_some());
        }
    }
    was_there
}

/// The connections of `entries` that the policies in `plan` deny; none unless the Plan is to revoke
/// ([`Established::Revoke`]).
///
/// A connection is not cut because an address of it is held: holding is for pods that begin, and
/// what the policies deny of it is cut all the same. A connection that another one announced (FTP
/// data) shares that one's fate.
pub fn revoked(plan: &Plan, entries: &[Entry]) -> BTreeSet<ConnectionId> {
    if plan.options().established != Established::Revoke {
        return BTreeSet::new();
    }
    let has_masters = entries.iter().any(|entry| entry.master.is_some());
    let by_original: HashMap<Tuple, &Entry> = if has_masters {
        entries
            .iter()
            .map(|entry| (entry.original, entry))
            .collect()
    } else {
        HashMap::new()
    };
    let first_ancestor = |entry| {
        let announced_by = |entry: &&Entry| by_original.get(&entry.master?).copied();
        iter::successors(Some(entry), announced_by)
            .take(LONGEST_ANCESTRY)
            .last()
            .filter(|entry| entry.master.is_none())
    };
    entries
        .iter()
        .filter(|entry| {
            first_ancestor(entry).is_some_and(|judged| plan.denial(&judged.packet()).is_some())
        })
        .map(|entry| entry.id)
        .collect()
}
