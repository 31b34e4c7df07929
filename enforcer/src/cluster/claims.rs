//! Who owns an address.
//!
//! Two pods can claim one address at the same time: the address of a finished or deleted pod may
//! have been given to another before the news of its end arrived (semantics 39, 158). Exactly one
//! claimant owns it, and which one never depends on the order of events.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{Phase, Pod, PodRef};

/// A pod's claim to an address. The order of the fields is the order of precedence; the greatest
/// claim wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    running: bool,
    created: i64,
    uid: Arc<str>,
    pod: PodRef,
}

impl Claim {
    fn of(pod: &Pod) -> Self {
        Self {
            running: pod.phase == Phase::Running,
            created: pod.created,
            uid: Arc::clone(&pod.uid),
            pod: pod.reference.clone(),
        }
    }
}

/// All claims, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Sorted; never empty.
    by_address: BTreeMap<IpAddr, Vec<Claim>>,
}

impl Claims {
    /// Enters a pod's claims. A pod that cannot own addresses has none.
    pub(super) fn insert(&mut self, pod: &Pod) {
        if !pod.can_own_addresses() {
            return;
        }
        for address in &pod.addresses {
            let claims = self.by_address.entry(*address).or_default();
            let claim = Claim::of(pod);
            if let Err(position) = claims.binary_search(&claim) {
                claims.insert(position, claim);
            }
        }
    }

    /// Takes back what [`Claims::insert`] entered for the same pod.
    pub(super) fn remove(&mut self, pod: &Pod) {
        for address in &pod.addresses {
            if let Some(claims) = self.by_address.get_mut(address) {
                claims.retain(|claim| claim.pod != pod.reference);
                if claims.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
    }

    /// The owner of an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&PodRef> {
        self.by_address
            .get(&address)
            .and_then(|claims| owner(claims))
    }

    /// All owned addresses in their order, with their owners.
    pub(super) fn owners(&self) -> impl Iterator<Item = (IpAddr, &PodRef)> {
        self.by_address
            .iter()
            .filter_map(|(address, claims)| Some((*address, owner(claims)?)))
    }
}

fn owner(claims: &[Claim]) -> Option<&PodRef> {
    claims.last().map(|claim| &claim.pod)
}
