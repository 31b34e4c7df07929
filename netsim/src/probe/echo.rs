//! ICMP echo.

const REQUEST: u8 = 8;
const REPLY: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Bytes before the data.
const HEADER: usize = 8;

/// An echo request with so many bytes of data, of which the nonce is the first. The kernel writes the
/// checksum of ICMPv6, and only of that.
pub(super) fn request(v6: bool, number: u16, nonce: u64, data: usize) -> Vec<u8> {
    let mut packet = vec![if v6 { REQUEST_V6 } else { REQUEST }, 0, 0, 0];
    packet.extend(number.to_be_bytes());
    packet.extend(1_u16.to_be_bytes());
    packet.extend(nonce.to_be_bytes());
    packet.resize(packet.len().max(HEADER + data), 0);
    if !v6 {
        let checksum = checksum(&packet);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// Identifier and nonce of an echo reply.
pub(super) fn reply(v6: bool, packet: &[u8]) -> Option<(u16, u64)> {
    let kind = if v6 { REPLY_V6 } else { REPLY };
    if *packet.first()? != kind {
        return None;
    }
    let number = packet.get(4..6)?.try_into().ok()?;
    let nonce = packet.get(8..16)?.try_into().ok()?;
    Some((u16::from_be_bytes(number), u64::from_be_bytes(nonce)))
}

/// How many bytes of data a reply has.
pub(super) fn data(packet: &[u8]) -> usize {
    packet.len().saturating_sub(HEADER)
}

/// Identifier of an echo request of ours that somebody complains about.
pub(super) fn number_of(v6: bool, packet: &[u8]) -> Option<u16> {
    let kind = if v6 { REQUEST_V6 } else { REQUEST };
    if *packet.first()? != kind {
        return None;
    }
    Some(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?))
}

/// RFC 1071, over a checksum field of zero.
fn checksum(packet: &[u8]) -> u16 {
    let sum: u32 = packet
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
