//! Which address belongs to whom: the ranges of a cluster, as pure arithmetic.
//!
//! | who | IPv4 | IPv6 |
//! |---|---|---|
//! | pods | 10.244.0.0/16, /22 a node | fd00:10:244::/48, /64 a node |
//! | Services | 10.96.0.0/16 | fd00:10:96::/112 |
//! | nodes, their router first | 172.18.0.0/16 | fd00:172:18::/64 |
//! | external machines | 203.0.113.0/24 | 2001:db8:ffff::/64 |
//! | external machines behind a node | 198.51.100.0/24 | 2001:db8:fffe::/64 |
//!
//! - [`pool`]: which addresses of a node's pod range are taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::topology::Families;

pub(crate) mod pool;

/// /22 of 10.244.0.0/16.
pub(crate) const MOST_NODES: usize = 64;

/// 203.0.113.0/24 without its first and last address.
pub(crate) const MOST_EXTERNALS: usize = 254;

/// What a pod behind a routed fabric sends everything to.
pub(crate) const ROUTED_GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

/// The ranges of a cluster, in the families it has, IPv4 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ranges(pub(crate) Families);

impl Ranges {
    pub(crate) fn pods(self) -> Vec<IpNet> {
        self.of(
            (Ipv4Addr::new(10, 244, 0, 0), 16),
            (Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0), 48),
        )
    }

    pub(crate) fn services(self) -> Vec<IpNet> {
        self.of(
            (Ipv4Addr::new(10, 96, 0, 0), 16),
            (Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 112),
        )
    }

    pub(crate) fn nodes(self) -> Vec<IpNet> {
        self.of(
            (Ipv4Addr::new(172, 18, 0, 0), 16),
            (Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, 0), 64),
        )
    }

    pub(crate) fn externals(self) -> Vec<IpNet> {
        self.of(
            (Ipv4Addr::new(203, 0, 113, 0), 24),
            (Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0), 64),
        )
    }

    /// The pod ranges of the node with this number.
    pub(crate) fn pods_of_node(self, node: usize) -> Vec<IpNet> {
        let node = u16::try_from(node).expect("at most 64 nodes");
        let [high, low] = (node * 4).to_be_bytes();
        self.of(
            (Ipv4Addr::new(10, 244 + high, low, 0), 22),
            (Ipv6Addr::new(0xfd00, 0x10, 0x244, node, 0, 0, 0, 0), 64),
        )
    }

    /// What the pods of a bridged node send everything else to: the bridge's own addresses.
    pub(crate) fn gateways_of_node(self, node: usize) -> Vec<IpAddr> {
        hosts(&self.pods_of_node(node), 1)
    }

    /// The addresses of the nodes' default router.
    pub(crate) fn router(self) -> Vec<IpAddr> {
        hosts(&self.nodes(), 1)
    }

    /// The addresses of the node with this number. The first comes after the router.
    pub(crate) fn node(self, node: usize) -> Vec<IpAddr> {
        hosts(&self.nodes(), node + 2)
    }

    pub(crate) fn external(self, external: usize) -> Vec<IpAddr> {
        hosts(&self.externals(), external + 1)
    }

    /// The addresses of the external machine with this number, where it is behind a node.
    pub(crate) fn behind(self, external: usize) -> Vec<IpAddr> {
        let ranges = self.of(
            (Ipv4Addr::new(198, 51, 100, 0), 24),
            (Ipv6Addr::new(0x2001, 0xdb8, 0xfffe, 0, 0, 0, 0, 0), 64),
        );
        hosts(&ranges, external + 1)
    }

    fn of(self, (v4, v4_length): (Ipv4Addr, u8), (v6, v6_length): (Ipv6Addr, u8)) -> Vec<IpNet> {
        let v4 = Ipv4Net::new_assert(v4, v4_length).into();
        let v6 = Ipv6Net::new_assert(v6, v6_length).into();
        match self.0 {
            Families::Ipv4 => vec![v4],
            Families::Ipv6 => vec![v6],
            Families::Dual => vec![v4, v6],
        }
    }
}

/// The address number `host` of each range.
fn hosts(ranges: &[IpNet], host: usize) -> Vec<IpAddr> {
    ranges.iter().map(|range| nth(*range, host)).collect()
}

/// The address number `host` of a range, 0 being the range's own.
fn nth(range: IpNet, host: usize) -> IpAddr {
    match range {
        IpNet::V4(range) => {
            let host = u32::try_from(host).expect("host numbers are small");
            Ipv4Addr::from(u32::from(range.network()) + host).into()
        }
        IpNet::V6(range) => Ipv6Addr::from(u128::from(range.network()) + host as u128).into(),
    }
}

/// The range that holds this address alone.
pub(crate) fn alone(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// The first of `addresses` that is of the family of `like`.
pub(crate) fn same_family<'a>(
    addresses: impl IntoIterator<Item = &'a IpAddr>,
    like: IpAddr,
) -> Option<IpAddr> {
    addresses
        .into_iter()
        .copied()
        .find(|address| address.is_ipv4() == like.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nodes_share_out_the_pod_range() {
        let ranges = Ranges(Families::Dual);
        assert_eq!(
            text(&ranges.pods_of_node(0)),
            ["10.244.0.0/22", "fd00:10:244::/64"]
        );
        assert_eq!(
            text(&ranges.pods_of_node(63)),
            ["10.244.252.0/22", "fd00:10:244:3f::/64"]
        );
        for node in 0..MOST_NODES {
            for (whole, part) in ranges.pods().iter().zip(ranges.pods_of_node(node)) {
                assert!(whole.contains(&part), "{part} is no part of {whole}");
            }
        }
    }

    #[test]
    fn machines_have_an_address_in_each_family() {
        let ranges = Ranges(Families::Dual);
        assert_eq!(text(&ranges.node(0)), ["172.18.0.2", "fd00:172:18::2"]);
        assert_eq!(
            text(&ranges.external(0)),
            ["203.0.113.1", "2001:db8:ffff::1"]
        );
        assert_eq!(
            text(&ranges.behind(1)),
            ["198.51.100.2", "2001:db8:fffe::2"]
        );
        assert_eq!(
            text(&ranges.gateways_of_node(1)),
            ["10.244.4.1", "fd00:10:244:1::1"]
        );
        assert_eq!(text(&Ranges(Families::Ipv6).node(1)), ["fd00:172:18::3"]);
    }
}
