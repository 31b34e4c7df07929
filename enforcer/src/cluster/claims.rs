//! Who owns an address.
//!
//! Two pods can claim one address at the same time: the address of a finished or deleted pod may
//! have been given to another before the news of its end arrived (semantics 39, 158). Exactly one
//! claimant owns it, and which one never depends on the order of events.

use std::{cmp::Ordering, collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{Phase, Pod, PodRef};

/// A pod's claim to an address. The greatest claim wins.
#[derive(Clone, Debug)]
struct Claim(Arc<Pod>);

impl Claim {
    /// A running pod comes before others, then the newest, then the one with the greatest uid. The
    /// name only makes the order total.
    fn precedence(&self) -> (bool, i64, &str, &PodRef) {
        let pod = &self.0;
        let is_running = pod.phase == Phase::Running;
        (is_running, pod.created, &pod.uid, &pod.reference)
    }
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> Ordering {
        self.precedence().cmp(&other.precedence())
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claim {
    fn eq(&self, other: &Self) -> bool {
        self.precedence() == other.precedence()
    }
}

impl Eq for Claim {}

/// All claims, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Sorted; never empty.
    by_address: BTreeMap<IpAddr, Vec<Claim>>,
}

impl Claims {
    /// Enters a pod's claims. A pod that cannot own addresses has none.
    pub(super) fn insert(&mut self, pod: &Arc<Pod>) {
        if !pod.can_own_addresses() {
            return;
        }
        for address in &pod.addresses {
            let claims = self.by_address.entry(*address).or_default();
            let claim = Claim(Arc::clone(pod));
            if let Err(position) = claims.binary_search(&claim) {
                claims.insert(position, claim);
            }
        }
    }

    /// Takes back what [`Claims::insert`] entered for the same pod.
    pub(super) fn remove(&mut self, pod: &Pod) {
        for address in &pod.addresses {
            if let Some(claims) = self.by_address.get_mut(address) {
                claims.retain(|claim| claim.0.reference != pod.reference);
                if claims.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
    }

    /// The owner of an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Pod> {
        owner(self.by_address.get(&address)?)
    }

    /// All owned addresses in their order, with their owners.
    pub(super) fn owners(&self) -> impl Iterator<Item = (IpAddr, &Pod)> {
        self.by_address
            .iter()
            .filter_map(|(address, claims)| Some((*address, owner(claims)?)))
    }
}

fn owner(claims: &[Claim]) -> Option<&Pod> {
    claims.last().map(|claim| claim.0.as_ref())
}
