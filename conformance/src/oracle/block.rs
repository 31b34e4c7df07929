//! `ipBlock`: an address range with holes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::networking::v1::IPBlock;

use super::trace::{Match, Trace};

/// Whether an address lies in the block's range (64) and in none of its holes (66, 69). A hole is
/// of this block alone and denies nothing (67, 70). A block says nothing about the other family
/// (76, 196). If the range or a hole cannot be read, the block matches nothing (227).
pub(super) fn contains(block: &IPBlock, address: IpAddr, trace: &mut Trace) -> Match {
    let cidr = match read(&block.cidr) {
        Ok(cidr) => cidr,
        Err(why) => return unreadable(trace, why),
    };
    let mut hole = None;
    for except in block.except.iter().flatten() {
        match read(except) {
            Ok(range) if range.contains(address) => hole = Some(except),
            Ok(_) => {}
            Err(why) => return unreadable(trace, why),
        }
    }
    if cidr.is_ipv4 != address.is_ipv4() {
        trace.used(&[76, 196]);
        return Match::No(format!("{address} is not of the family of {}", block.cidr));
    }
    trace.used(&[64]);
    if !cidr.contains(address) {
        return Match::No(format!("{address} is not in {}", block.cidr));
    }
    match hole {
        Some(except) => {
            trace.used(&[66]);
            Match::No(format!(
                "{address} is in {} but also in its except {except}",
                block.cidr
            ))
        }
        None => Match::Yes,
    }
}

/// Whether an address lies in a range; it does not where the range cannot be read.
pub(super) fn is_in(cidr: &str, address: IpAddr) -> bool {
    read(cidr).is_ok_and(|range| range.contains(address))
}

fn unreadable(trace: &mut Trace, why: String) -> Match {
    trace.used(&[227, 239, 241]);
    Match::Unreadable(why)
}

/// All addresses that share their first `prefix` bits with `base`.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    is_ipv4: bool,
    base: u128,
    prefix: u32,
}

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        let bits = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let width = if self.is_ipv4 { 32 } else { 128 };
        // A shift by the whole width leaves nothing to compare: the range is everything.
        let network = |bits: u128| bits.checked_shr(width - self.prefix).unwrap_or(0);
        self.is_ipv4 == address.is_ipv4() && network(bits) == network(self.base)
    }
}

/// Reads a range as API servers before strict validation did: host bits are cleared and leading
/// zeros are decimal (78), an IPv4-mapped range is the IPv4 range (79).
fn read(text: &str) -> Result<Range, String> {
    let wrong = || format!("`{text}` is not a CIDR");
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let prefix = decimal(prefix).ok_or_else(wrong)?;
    if let Some(address) = ipv4(address) {
        let base = u128::from(address.to_bits());
        let is_ipv4 = true;
        return (prefix <= 32)
            .then_some(Range {
                is_ipv4,
                base,
                prefix,
            })
            .ok_or_else(wrong);
    }
    let address = ipv6(address).filter(|_| prefix <= 128).ok_or_else(wrong)?;
    match address.to_ipv4_mapped() {
        Some(mapped) if prefix >= 96 => Ok(Range {
            is_ipv4: true,
            base: u128::from(mapped.to_bits()),
            prefix: prefix - 96,
        }),
        _ => Ok(Range {
            is_ipv4: false,
            base: address.to_bits(),
            prefix,
        }),
    }
}

/// Four decimal numbers, leading zeros allowed (78).
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(decimal(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

/// An IPv6 address, leading zeros allowed in its groups and in a dotted tail (78).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let group = |group: &str| {
        if group.contains('.') {
            return ipv4(group).map(|tail| tail.to_string());
        }
        let digits = group.trim_start_matches('0');
        let is_zero = digits.is_empty() && !group.is_empty();
        Some(if is_zero { "0" } else { digits }.to_owned())
    };
    let groups: Option<Vec<_>> = text.split(':').map(group).collect();
    groups?.join(":").parse().ok()
}

/// Digits only: no sign, no space.
fn decimal(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits.then_some(())?;
    let digits = text.trim_start_matches('0');
    if digits.is_empty() {
        Some(0)
    } else {
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("10.0.0.0/24", "10.0.0.255", true)]
    #[case::outside("10.0.0.0/24", "10.0.1.0", false)]
    #[case::host_bits("10.0.0.1/24", "10.0.0.200", true)]
    #[case::leading_zeros_are_decimal("010.000.0.0/08", "10.9.9.9", true)]
    #[case::leading_zeros_are_not_octal("010.000.0.0/8", "8.0.0.1", false)]
    #[case::everything("0.0.0.0/0", "255.255.255.255", true)]
    #[case::one_address("10.0.0.7/32", "10.0.0.7", true)]
    #[case::one_address_only("10.0.0.7/32", "10.0.0.6", false)]
    #[case::ipv6("fd00::/8", "fdff::1", true)]
    #[case::ipv6_host_bits("fd00::1/64", "fd00::2", true)]
    #[case::ipv6_long_groups("fd00::00001/128", "fd00::1", true)]
    #[case::ipv6_everything("::/0", "2001:db8::1", true)]
    #[case::never_the_other_family("::/0", "10.0.0.1", false)]
    #[case::never_the_other_family("0.0.0.0/0", "fd00::1", false)]
    #[case::mapped("::ffff:10.0.0.0/104", "10.200.0.1", true)]
    #[case::mapped_with_zeros("::ffff:010.0.0.0/104", "10.200.0.1", true)]
    #[case::mapped_is_not_all("::ffff:10.0.0.0/104", "11.0.0.1", false)]
    #[case::mapped_is_not_ipv6("::ffff:10.0.0.0/104", "fd00::1", false)]
    #[case::mapped_and_too_wide("::ffff:10.0.0.0/90", "10.0.0.1", false)]
    fn a_range_is_read_as_old_servers_did(
        #[case] cidr: &str,
        #[case] address: IpAddr,
        #[case] expected: bool,
    ) {
        assert_eq!(read(cidr).unwrap().contains(address), expected);
    }

    #[rstest]
    fn what_is_no_range_is_refused(
        #[values(
            "",
            "10.0.0.0",
            "10.0.0/8",
            "10.0.0.0.0/8",
            "10.0.0.256/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "a.b.c.d/8",
            "fd00::/129",
            "fd00::1%eth0/64",
            ":::/0",
            "10.0.0.0/8/8",
            " 10.0.0.0/8"
        )]
        text: &str,
    ) {
        assert!(read(text).is_err());
    }
}
