//! Which addresses of one range are taken.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};

use ipnet::IpNet;

use super::nth;

/// As many as a bridge has ports, and as a /22 has addresses.
const MOST: usize = 1022;

/// 0 is the range's own address, 1 the gateway's.
const FIRST: usize = 2;

/// The addresses of one family that a node can give to pods.
#[derive(Debug)]
pub(crate) struct Pool {
    range: IpNet,
    /// The next host number that nobody has had.
    next: usize,
    taken: BTreeSet<IpAddr>,
    /// Had once and free now, the longest free first.
    freed: VecDeque<IpAddr>,
}

/// Why a chosen address cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not in the pod ranges of the node.
    #[error("it is not in the pod ranges of the node")]
    Outside,
    /// The range's own, the gateway's, or the broadcast address.
    #[error("it is reserved")]
    Reserved,
    /// Another pod has it.
    #[error("another pod has it")]
    Taken,
    /// The pod has chosen two of one family.
    #[error("the pod has another of the same family")]
    SecondOfFamily,
}

impl Pool {
    pub(crate) fn new(range: IpNet) -> Self {
        Self {
            range,
            next: FIRST,
            taken: BTreeSet::new(),
            freed: VecDeque::new(),
        }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.range.contains(&address)
    }

    /// An address that nobody has had; when none is left, the one that is free for longest.
    /// `None` when all are taken.
    pub(crate) fn fresh(&mut self) -> Option<IpAddr> {
        while self.next <= MOST {
            let address = nth(self.range, self.next);
            self.next += 1;
            if !self.freed.contains(&address) && self.taken.insert(address) {
                return Some(address);
            }
        }
        let address = self.freed.pop_front()?;
        self.taken.insert(address);
        Some(address)
    }

    /// This address and no other.
    pub(crate) fn take(&mut self, address: IpAddr) -> Result<(), AddressError> {
        let reserved = [
            nth(self.range, 0),
            nth(self.range, 1),
            self.range.broadcast(),
        ];
        if !self.contains(address) {
            Err(AddressError::Outside)
        } else if reserved.contains(&address) {
            Err(AddressError::Reserved)
        } else if !self.taken.insert(address) {
            Err(AddressError::Taken)
        } else {
            self.freed.retain(|freed| *freed != address);
            Ok(())
        }
    }

    pub(crate) fn free(&mut self, address: IpAddr) {
        if self.taken.remove(&address) {
            self.freed.push_back(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new("10.244.4.0/22".parse().unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_freed_address_is_not_handed_out_while_there_are_others() {
        let mut pool = pool();
        let first = pool.fresh().unwrap();
        assert_eq!(first, ip("10.244.4.2"));
        pool.free(first);
        assert_eq!(pool.fresh(), Some(ip("10.244.4.3")));
    }

    #[test]
    fn a_full_range_gives_the_address_that_is_free_for_longest() {
        let mut pool = pool();
        let all: Vec<_> = std::iter::from_fn(|| pool.fresh()).collect();
        assert_eq!(all.len(), 1021);
        pool.free(all[7]);
        pool.free(all[3]);
        assert_eq!(pool.fresh(), Some(all[7]));
        assert_eq!(pool.fresh(), Some(all[3]));
        assert_eq!(pool.fresh(), None);
    }

    #[test]
    fn a_chosen_address_is_taken_once_and_can_be_had_again() {
        let mut pool = pool();
        let chosen = ip("10.244.4.3");
        assert_eq!(pool.take(chosen), Ok(()));
        assert_eq!(pool.take(chosen), Err(AddressError::Taken));
        assert_eq!(pool.fresh(), Some(ip("10.244.4.2")));
        assert_eq!(pool.fresh(), Some(ip("10.244.4.4")));
        pool.free(chosen);
        assert_eq!(pool.take(chosen), Ok(()));
    }

    #[test]
    fn some_addresses_are_for_nobody() {
        let mut pool = pool();
        assert_eq!(pool.take(ip("10.244.4.0")), Err(AddressError::Reserved));
        assert_eq!(pool.take(ip("10.244.4.1")), Err(AddressError::Reserved));
        assert_eq!(pool.take(ip("10.244.7.255")), Err(AddressError::Reserved));
        assert_eq!(pool.take(ip("10.244.8.2")), Err(AddressError::Outside));
        assert_eq!(pool.take(ip("fd00::2")), Err(AddressError::Outside));
    }
}
