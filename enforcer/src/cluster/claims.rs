//! Who owns an address.
//!
//! Two pods can claim one address at the same time: the address of a finished or deleted pod may
//! have been given to another before the news of its end arrived (semantics 39, 158). Exactly one
//! claimant owns it, and which one never depends on the order of events.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

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
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    by_address: BTreeMap<IpAddr, Claimants>,
}

/// Whoever claims an address.
#[derive(Clone, Debug)]
enum Claimants {
    /// Nearly always.
    One(Claim),
    /// Sorted, at least two.
    Several(Box<[Claim]>),
}

impl Claimants {
    fn owner(&self) -> Option<&Pod> {
        let claim = match self {
            Self::One(claim) => Some(claim),
            Self::Several(claims) => claims.last(),
        };
        claim.map(|claim| claim.0.as_ref())
    }

    fn insert(&mut self, claim: Claim) {
        let mut claims = match self {
            Self::One(one) => vec![one.clone()],
            Self::Several(claims) => std::mem::take(claims).into_vec(),
        };
        if let Err(position) = claims.binary_search(&claim) {
            claims.insert(position, claim);
        }
        *self = Self::of(claims);
    }

    fn of(mut claims: Vec<Claim>) -> Self {
        match (claims.pop(), claims.is_empty()) {
            (Some(one), true) => Self::One(one),
            (last, _) => {
                claims.extend(last);
                Self::Several(claims.into())
            }
        }
    }
}

impl Claims {
    /// Enters a pod's claims. A pod that cannot own addresses has none.
    pub(super) fn insert(&mut self, pod: &Arc<Pod>) {
        if !pod.can_own_addresses() {
            return;
        }
        for address in &pod.addresses {
            let claim = Claim(Arc::clone(pod));
            match self.by_address.entry(*address) {
                Entry::Vacant(entry) => {
                    entry.insert(Claimants::One(claim));
                }
                Entry::Occupied(mut entry) => entry.get_mut().insert(claim),
            }
        }
    }

    /// Takes back what [`Claims::insert`] entered for the same pod.
    pub(super) fn remove(&mut self, pod: &Pod) {
        let is_its = |claim: &Claim| claim.0.reference == pod.reference;
        for address in &pod.addresses {
            let Entry::Occupied(mut entry) = self.by_address.entry(*address) else {
                continue;
            };
            match entry.get_mut() {
                Claimants::One(claim) if is_its(claim) => {
                    entry.remove();
                }
                Claimants::One(_) => {}
                Claimants::Several(claims) => {
                    let mut claims = std::mem::take(claims).into_vec();
                    claims.retain(|claim| !is_its(claim));
                    *entry.get_mut() = Claimants::of(claims);
                }
            }
        }
    }

    /// The owner of an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Pod> {
        self.by_address.get(&address)?.owner()
    }

    /// All owned addresses in a range, in their order.
    pub(super) fn owned_in(&self, range: &IpNet) -> impl Iterator<Item = IpAddr> {
        self.by_address
            .range(range.network()..=range.broadcast())
            .map(|(address, _)| *address)
    }

    /// All owned addresses in their order, with their owners.
    pub(super) fn owners(&self) -> impl Iterator<Item = (IpAddr, &Pod)> {
        self.by_address
            .iter()
            .filter_map(|(address, claimants)| Some((*address, claimants.owner()?)))
    }
}
