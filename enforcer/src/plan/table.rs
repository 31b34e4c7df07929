//! The tables of a Plan: what the look-ups of a new connection go through.

use std::{fmt, hash::Hasher, net::IpAddr, num::NonZeroU32};

use super::{interval::number, sorted::Sorted};
use crate::{
    cluster::PodRef,
    policy::{Direction, PolicyRef},
};

/// A short name for content: equal content has the same one, and inside one Plan different content
/// has different ones. Across Plans the latter is only very likely; [`crate::nft::diff`] does not
/// rely on it.
///
/// It is also a number that a packet can carry for a while (see [`crate::nft`]), in the priority's
/// 32 bits: the highest is set, which tells it from the priorities of everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU32);

impl Id {
    /// The bit that all have, as nft writes it.
    pub(crate) const MARK: &'static str = "8000:0";
    /// The same.
    pub(crate) const MARK_BIT: u32 = 1 << 31;

    /// The name of `content`, the `attempt`th if earlier ones belong to other content.
    pub(crate) fn of(content: &impl std::hash::Hash, attempt: u32) -> Self {
        let mut hasher = Fnv1a(0xcbf2_9ce4_8422_2325);
        content.hash(&mut hasher);
        hasher.write_u32(attempt);
        let hash = hasher.finish();
        let [.., a, b, c, d] = (hash ^ hash >> u32::BITS).to_be_bytes();
        let number = u32::from_be_bytes([a, b, c, d]) | Self::MARK_BIT;
        // nft has a word of its own for the highest number.
        let number = number.min(u32::MAX - 1);
        Self(NonZeroU32::new(number).expect("a bit of it is set"))
    }

    /// The number.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }

    /// The number as nft writes a packet's priority.
    pub(crate) fn handle(self) -> String {
        let number = self.number();
        format!("{:x}:{:x}", number >> 16, number & 0xffff)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// FNV-1a: the standard library's hashes may change from release to release, and with them every
/// name in a snapshot. Nothing rests on its strength.
struct Fnv1a(u64);

impl Hasher for Fnv1a {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// What tells a live connection from all others of the network namespace: conntrack's `CTA_ID` and
/// nftables' `ct id`. A later connection between the same ends has another one, unless it took the
/// entry of the earlier one over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

impl ConnectionId {
    /// The connection of this number, as `conntrack -L -o id` and `nft` show it.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a look-up answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// Everything passes this direction: the kernel's `return`.
    Everything,
    /// What the port set of this name holds passes, and nothing else: the kernel's `goto`.
    Ports(Id),
}

/// An isolated local pod, by one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The pod.
    pub pod: PodRef,
    /// What it is judged by.
    pub profile: Id,
}

/// What pods that the same policies select in one direction share. The tables are asked in the
/// order of the fields; the first that knows the peer decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Profile {
    /// The direction it judges.
    pub direction: Direction,
    /// Everything that isolates these pods: the reason of every denial.
    pub policies: Vec<PolicyRef>,
    /// The table of peers that selectors match, by their class.
    pub peers: Option<Id>,
    /// The table of address ranges.
    pub blocks: Option<Id>,
    /// For everyone else; nothing if there is none.
    pub otherwise: Option<Grant>,
}

/// What is allowed for pods that selectors match. Its name stays the same while pods come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTable {
    /// The direction it is asked in.
    pub direction: Direction,
    /// Everything that is allowed for the addresses of a class, ranges that contain them included.
    pub answers: Sorted<Id, Grant>,
}

/// Disjoint address ranges, ascending, IPv4 before IPv6.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockTable {
    /// The direction it is asked in.
    pub direction: Direction,
    /// The ranges.
    pub blocks: Vec<Block>,
}

impl BlockTable {
    /// What is allowed for `address`, if a range contains it.
    pub fn get(&self, address: IpAddr) -> Option<Grant> {
        let after = self.blocks.partition_point(|block| block.first <= address);
        let block = &self.blocks[after.checked_sub(1)?];
        (block.first.is_ipv4() == address.is_ipv4() && number(address) <= number(block.last))
            .then_some(block.grant)
    }

    /// Whether a range of this family is in it.
    pub(crate) fn has_family(&self, ipv6: bool) -> bool {
        self.blocks
            .iter()
            .any(|block| block.first.is_ipv6() == ipv6)
    }
}

/// Addresses from `first` to `last`, both included and of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address.
    pub last: IpAddr,
    /// What is allowed for them.
    pub grant: Grant,
}
