//! Addresses and address ranges, also in the forms that older API servers let through.
//!
//! Servers before strict validation parsed them as Go did before 1.17: leading zeros are decimal,
//! host bits are dropped, and an IPv4-mapped IPv6 range is the IPv4 range (semantics 78, 79, 245).
//! Whoever reads stored objects must read them the same way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Reads an address as older servers did; IPv4-mapped IPv6 addresses come out as IPv4.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    raw_address(text).map(|address| address.to_canonical())
}

/// An address range as it was written, read as older servers did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The address before the slash.
    address: IpAddr,
    /// The number after the slash, which the server compares as it stands.
    prefix_length: u8,
    /// The range it means.
    network: IpNet,
}

impl Range {
    /// Reads a range; nothing if no server ever accepted it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix_length) = text.split_once('/')?;
        let address = raw_address(address)?;
        let prefix_length = u8::try_from(decimal(prefix_length)?).ok()?;
        let network = IpNet::new(address, prefix_length).ok()?.trunc();
        Some(Self {
            address,
            prefix_length,
            network: unmapped(network),
        })
    }

    /// The range it means.
    pub(super) fn network(self) -> IpNet {
        self.network
    }

    /// Whether `hole` is a strict part of it, as the server decides (semantics 240).
    pub(super) fn is_wider_than(self, hole: Self) -> bool {
        self.network.contains(&hole.network.addr()) && self.prefix_length < hole.prefix_length
    }

    /// Why a server with strict validation refuses `text`, of which this is the meaning.
    pub(super) fn strictness(self, text: &str) -> Option<&'static str> {
        let (address, prefix_length) = text.split_once('/')?;
        if address.parse::<IpAddr>().is_err()
            || (prefix_length.len() > 1 && prefix_length.starts_with('0'))
        {
            Some("must not have leading 0s in IP or prefix length")
        } else if self.address.to_canonical() != self.address {
            Some("must not have an IPv4-mapped IPv6 address")
        } else if self.network.addr() != self.address {
            Some("must not have bits set beyond the prefix length")
        } else {
            None
        }
    }
}

/// The IPv4 range that an IPv4-mapped IPv6 range stands for. A shorter prefix than that of the
/// mapped block has lost the mark and stays IPv6.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED_BLOCK: u8 = 96;
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= MAPPED_BLOCK => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - MAPPED_BLOCK).ok())
            .map_or(network, IpNet::V4),
        other => other,
    }
}

fn raw_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        without_leading_zeros(text)?
            .parse::<Ipv6Addr>()
            .ok()
            .map(IpAddr::V6)
    } else {
        ipv4(text).map(IpAddr::V4)
    }
}

fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let octets: Vec<u8> = text
        .split('.')
        .map(|octet| u8::try_from(decimal(octet)?).ok())
        .collect::<Option<_>>()?;
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

/// An IPv6 address of which each group is written as short as can be.
fn without_leading_zeros(text: &str) -> Option<String> {
    let groups: Vec<String> = text
        .split(':')
        .map(|group| {
            if group.contains('.') {
                return Some(ipv4(group)?.to_string());
            }
            Some(match group.trim_start_matches('0') {
                "" if group.is_empty() => String::new(),
                "" => "0".to_owned(),
                digits => digits.to_owned(),
            })
        })
        .collect::<Option<_>>()?;
    Some(groups.join(":"))
}

/// A number of decimal digits only, however many zeros it starts with.
fn decimal(digits: &str) -> Option<u32> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
