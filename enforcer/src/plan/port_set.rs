//! Sets of ports per protocol, and what a rule allows.

use std::{collections::BTreeMap, fmt};

use super::{
    Transport,
    interval::{Interval, merge},
};
use crate::policy::{PortRange, Protocol};

/// Ports of several protocols in canonical form: per protocol ascending, neither overlapping nor
/// adjacent (semantics 104), so that equal sets compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet(BTreeMap<Protocol, Vec<PortRange>>);

impl PortSet {
    /// All ranges, by protocol and number.
    pub fn ranges(&self) -> impl Iterator<Item = (Protocol, PortRange)> {
        self.0
            .iter()
            .flat_map(|(protocol, ranges)| ranges.iter().map(|range| (*protocol, *range)))
    }

    /// Whether there is no port in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `port` of `protocol` is in it; a port of one protocol says nothing about another
    /// (semantics 105, 108).
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.0
            .get(&protocol)
            .is_some_and(|ranges| ranges.iter().any(|range| range.contains(port)))
    }

    /// Whether a range of more than one port is in it.
    pub(crate) fn has_ranges(&self) -> bool {
        self.ranges()
            .any(|(_, range)| range.first() != range.last())
    }
}

impl FromIterator<(Protocol, PortRange)> for PortSet {
    fn from_iter<I: IntoIterator<Item = (Protocol, PortRange)>>(iter: I) -> Self {
        let mut by_protocol: BTreeMap<Protocol, Vec<Interval>> = BTreeMap::new();
        for (protocol, range) in iter {
            by_protocol
                .entry(protocol)
                .or_default()
                .push(Interval::new(range.first().into(), range.last().into()));
        }
        let port = |point| u16::try_from(point).expect("merging adds no points");
        Self(
            by_protocol
                .into_iter()
                .map(|(protocol, intervals)| {
                    let ranges = merge(intervals).into_iter().map(|interval| {
                        PortRange::new(port(interval.first), port(interval.last))
                            .expect("an interval is the right way round")
                    });
                    (protocol, ranges.collect())
                })
                .collect(),
        )
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<_> = self
            .ranges()
            .map(|(protocol, range)| format!("{protocol} {range}"))
            .collect();
        f.write_str(&ports.join(", "))
    }
}

/// What may pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allowed {
    /// Every port of every protocol, ICMP included (semantics 84).
    Everything,
    /// These ports and nothing else; the empty set is nothing at all.
    Ports(PortSet),
}

impl Allowed {
    /// Nothing.
    pub const NOTHING: Self = Self::Ports(PortSet(BTreeMap::new()));

    /// Whether nothing may pass.
    pub fn is_nothing(&self) -> bool {
        *self == Self::NOTHING
    }

    /// Whether a packet of this transport may pass.
    pub fn admits(&self, transport: Transport) -> bool {
        match (self, transport) {
            (Self::Everything, _) => true,
            (Self::Ports(ports), Transport::Port(protocol, port)) => ports.contains(protocol, port),
            (Self::Ports(_), Transport::Other(_)) => false,
        }
    }

    /// What any of them lets pass (semantics 86, 98).
    pub(crate) fn union<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut ranges = Vec::new();
        for allowed in all {
            match allowed {
                Self::Everything => return Self::Everything,
                Self::Ports(ports) => ranges.extend(ports.ranges()),
            }
        }
        Self::Ports(ranges.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn set(ranges: &[(Protocol, u16, u16)]) -> PortSet {
        ranges
            .iter()
            .map(|&(protocol, first, last)| {
                (
                    protocol,
                    PortRange::new(first, last).expect("the right way round"),
                )
            })
            .collect()
    }

    #[rstest]
    #[case::semantics_101_both_ends(&[(Protocol::Tcp, 80, 83)], "TCP 80-83")]
    #[case::semantics_102_range_of_one(&[(Protocol::Tcp, 80, 80)], "TCP 80")]
    #[case::semantics_104_overlapping(&[(Protocol::Tcp, 80, 90), (Protocol::Tcp, 85, 95)], "TCP 80-95")]
    #[case::adjacent(&[(Protocol::Udp, 53, 53), (Protocol::Udp, 54, 54)], "UDP 53-54")]
    #[case::semantics_108_protocols_apart(&[(Protocol::Udp, 53, 53), (Protocol::Tcp, 53, 53)], "TCP 53, UDP 53")]
    #[case::the_whole_line(&[(Protocol::Sctp, 0, 65535), (Protocol::Sctp, 1, 1)], "SCTP 0-65535")]
    fn sets_are_canonical(#[case] ranges: &[(Protocol, u16, u16)], #[case] text: &str) {
        assert_eq!(set(ranges).to_string(), text);
    }

    #[rstest]
    #[case::semantics_84(Allowed::Everything, Transport::Other(1), true)]
    #[case::ports_never_cover_icmp(Allowed::Ports(set(&[(Protocol::Tcp, 0, 65535)])), Transport::Other(1), false)]
    #[case::semantics_110(Allowed::Ports(set(&[(Protocol::Tcp, 80, 80)])), Transport::Port(Protocol::Udp, 80), false)]
    #[case::semantics_85(Allowed::Ports(set(&[(Protocol::Tcp, 80, 80)])), Transport::Port(Protocol::Tcp, 80), true)]
    #[case::nothing(Allowed::NOTHING, Transport::Port(Protocol::Tcp, 80), false)]
    fn admission(#[case] allowed: Allowed, #[case] transport: Transport, #[case] admits: bool) {
        assert_eq!(allowed.admits(transport), admits);
    }

    fn protocol() -> impl Strategy<Value = Protocol> {
        prop_oneof![
            Just(Protocol::Tcp),
            Just(Protocol::Udp),
            Just(Protocol::Sctp)
        ]
    }

    proptest! {
        #[test]
        fn a_union_holds_exactly_the_ports_of_its_parts(
            parts in prop::collection::vec(
                prop::collection::vec((protocol(), 65500_u16.., 65500_u16..), 0..4), 0..4),
        ) {
            let parts: Vec<_> = parts
                .into_iter()
                .map(|ranges| Allowed::Ports(
                    ranges.into_iter().map(|(protocol, a, b)| {
                        (protocol, PortRange::new(a.min(b), a.max(b)).expect("sorted"))
                    }).collect()))
                .collect();
            let union = Allowed::union(&parts);
            for protocol in Protocol::ALL {
                for port in 65490..=u16::MAX {
                    let transport = Transport::Port(protocol, port);
                    prop_assert_eq!(
                        union.admits(transport),
                        parts.iter().any(|part| part.admits(transport)),
                    );
                }
            }
        }
    }
}
