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

/// The connections of `entries` that the policies in `plan` deny; none unless the Plan is to revoke
/// ([`Established::Revoke`]).
///
/// Left alone is what the forward hook never sees: a connection one end of which is an address of
/// the node. So is a connection of an address that is held: holding is for pods that begin, and what
/// the policies deny of it is revoked all the same. A connection that another one announced (FTP
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
        .filter(|entry| first_ancestor(entry).is_some_and(|judged| is_denied(plan, judged)))
        .map(|entry| entry.id)
        .collect()
}

fn is_denied(plan: &Plan, entry: &Entry) -> bool {
    let packet = entry.packet();
    let is_forwarded = ![packet.source, packet.destination]
        .iter()
        .any(|end| plan.own_addresses().contains(end));
    is_forwarded && plan.denial(&packet).is_some()
}
