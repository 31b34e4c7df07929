//! Interval algebra: merge, subtract, flatten.
//!
//! Addresses of both families and ports are all points of one number line (`u128`), so that there
//! is one algebra. nftables' own is not used: it rejects overlapping members or mangles them on
//! deletion.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// Points from `first` to `last`, both included; `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Interval {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Interval {
    /// From `first` to `last`, which must not be smaller.
    pub(crate) fn new(first: u128, last: u128) -> Self {
        debug_assert!(first <= last, "{first} is after {last}");
        Self { first, last }
    }

    /// The addresses of a CIDR on its family's number line.
    pub(crate) fn of(net: &IpNet) -> Self {
        Self::new(number(net.network()), number(net.broadcast()))
    }

    #[cfg(test)]
    pub(crate) fn contains(self, point: u128) -> bool {
        (self.first..=self.last).contains(&point)
    }
}

/// An address as a point on its family's number line.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address at `point` of the number line of IPv6 or IPv4.
pub(crate) fn address(point: u128, ipv6: bool) -> IpAddr {
    if ipv6 {
        Ipv6Addr::from_bits(point).into()
    } else {
        let bits = u32::try_from(point).expect("points of the IPv4 line come from IPv4 addresses");
        Ipv4Addr::from_bits(bits).into()
    }
}

/// The same points in the fewest intervals, ascending: neither overlapping nor adjacent.
pub(crate) fn merge(intervals: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut sorted: Vec<_> = intervals.into_iter().collect();
    sorted.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match merged.last_mut() {
            Some(current) if next.first <= current.last.saturating_add(1) => {
                current.last = current.last.max(next.last);
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// What is left of `whole` without `holes`, ascending.
pub(crate) fn subtract(
    whole: Interval,
    holes: impl IntoIterator<Item = Interval>,
) -> Vec<Interval> {
    let mut left = Vec::new();
    let mut first = whole.first;
    for hole in merge(holes) {
        if hole.last < first {
            continue;
        }
        if hole.first > whole.last {
            break;
        }
        if hole.first > first {
            left.push(Interval::new(first, hole.first - 1));
        }
        match hole.last.checked_add(1) {
            Some(next) if next <= whole.last => first = next,
            _ => return left,
        }
    }
    left.push(Interval::new(first, whole.last));
    left
}

/// Disjoint intervals, ascending, over the points that any part covers. The payload of each is
/// `union` of the payloads of all parts that cover it; neighbours with equal payloads are one.
pub(crate) fn flatten<P, Q: PartialEq>(
    parts: &[(Interval, P)],
    union: impl Fn(&mut dyn Iterator<Item = &P>) -> Q,
) -> Vec<(Interval, Q)> {
    // Where parts begin and where they no longer are. A part that ends with the line never leaves.
    let mut edges: BTreeMap<u128, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (index, (interval, _)) in parts.iter().enumerate() {
        edges.entry(interval.first).or_default().0.push(index);
        if let Some(after) = interval.last.checked_add(1) {
            edges.entry(after).or_default().1.push(index);
        }
    }
    let mut flat: Vec<(Interval, Q)> = Vec::new();
    let mut covering = BTreeSet::new();
    let mut edges = edges.into_iter().peekable();
    while let Some((first, (begin, end))) = edges.next() {
        covering.extend(begin);
        for index in &end {
            covering.remove(index);
        }
        if covering.is_empty() {
            continue;
        }
        let last = edges.peek().map_or(u128::MAX, |(next, _)| next - 1);
        let payload = union(&mut covering.iter().map(|&index| &parts[index].1));
        match flat.last_mut() {
            Some((interval, before))
                if interval.last.checked_add(1) == Some(first) && *before == payload =>
            {
                interval.last = last;
            }
            _ => flat.push((Interval::new(first, last), payload)),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A number line short enough to try every point; also at the far end, where sums overflow.
    const LENGTH: u128 = 48;

    fn interval() -> impl Strategy<Value = Interval> {
        (0..LENGTH, 0..LENGTH, any::<bool>()).prop_map(|(a, b, at_the_end)| {
            let offset = if at_the_end {
                u128::MAX - LENGTH + 1
            } else {
                0
            };
            Interval::new(offset + a.min(b), offset + a.max(b))
        })
    }

    fn points() -> impl Iterator<Item = u128> {
        (0..LENGTH).chain(u128::MAX - LENGTH + 1..=u128::MAX)
    }

    fn is_canonical(intervals: &[Interval]) -> bool {
        intervals.windows(2).all(|pair| {
            pair[0]
                .last
                .checked_add(1)
                .is_some_and(|next| next < pair[1].first)
        })
    }

    proptest! {
        #[test]
        fn merging_keeps_the_points_and_leaves_nothing_to_merge(
            intervals in prop::collection::vec(interval(), 0..8),
        ) {
            let merged = merge(intervals.clone());
            prop_assert!(is_canonical(&merged));
            for point in points() {
                prop_assert_eq!(
                    merged.iter().any(|i| i.contains(point)),
                    intervals.iter().any(|i| i.contains(point)),
                );
            }
        }

        #[test]
        fn subtracting_removes_exactly_the_holes(
            whole in interval(),
            holes in prop::collection::vec(interval(), 0..6),
        ) {
            let left = subtract(whole, holes.clone());
            prop_assert!(is_canonical(&left));
            for point in points() {
                prop_assert_eq!(
                    left.iter().any(|i| i.contains(point)),
                    whole.contains(point) && !holes.iter().any(|i| i.contains(point)),
                );
            }
        }

        #[test]
        fn flattening_gives_every_point_the_union_of_what_covers_it(
            parts in prop::collection::vec((interval(), 0_u8..4), 0..8),
        ) {
            let flat = flatten(&parts, |payloads| payloads.fold(0_u8, |sum, bit| sum | 1 << bit));
            prop_assert!(flat.windows(2).all(|pair| pair[0].0.last < pair[1].0.first));
            let is_minimal = flat.windows(2).all(|pair| {
                pair[0].0.last + 1 < pair[1].0.first || pair[0].1 != pair[1].1
            });
            prop_assert!(is_minimal);
            for point in points() {
                let expected = parts
                    .iter()
                    .filter(|(i, _)| i.contains(point))
                    .fold(0_u8, |sum, (_, bit)| sum | 1 << bit);
                let found: Vec<_> = flat.iter().filter(|(i, _)| i.contains(point)).collect();
                prop_assert_eq!(found.iter().map(|(_, p)| *p).collect::<Vec<_>>(),
                    if expected == 0 { vec![] } else { vec![expected] });
            }
        }
    }
}
