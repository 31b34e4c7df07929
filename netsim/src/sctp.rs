//! The packets of SCTP that open and end an association (RFC 9260).
//!
//! The kernel may have no SCTP sockets, but its connection tracking knows the protocol: what is
//! written here must be right, checksum included, or it is dropped on the way.

/// The number of the protocol in IP headers.
pub(crate) const PROTOCOL: i32 = 132;

const COMMON_HEADER: usize = 12;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const STATE_COOKIE: u16 = 7;
/// RFC 4820.
const PADDING: u16 = 0x8005;

/// A packet with one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    /// Who receives it recognises the association by this; 0 with INIT.
    pub(crate) tag: u32,
    pub(crate) chunk: Chunk,
}

/// The chunks of a handshake that is broken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// I want an association; write this tag into what you send. So many bytes mean nothing.
    Init { tag: u32, padding: usize },
    /// So do I; and show me this cookie. Its text is ours to choose.
    InitAck { tag: u32, cookie: Vec<u8> },
    /// There is no association.
    Abort,
}

impl Packet {
    /// The bytes after the IP header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, value) = match &self.chunk {
            Chunk::Init { tag, padding } => {
                let mut value = opening(*tag);
                if *padding > 0 {
                    value.extend(PADDING.to_be_bytes());
                    value.extend(length_of(*padding));
                    value.resize(value.len() + padding, 0);
                }
                (INIT, value)
            }
            Chunk::InitAck { tag, cookie } => {
                let mut value = opening(*tag);
                value.extend(STATE_COOKIE.to_be_bytes());
                value.extend(length_of(cookie.len()));
                value.extend(cookie);
                (INIT_ACK, value)
            }
            Chunk::Abort => (ABORT, Vec::new()),
        };
        let mut packet = Vec::with_capacity(COMMON_HEADER + 4 + value.len() + 3);
        packet.extend(self.source.to_be_bytes());
        packet.extend(self.destination.to_be_bytes());
        packet.extend(self.tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([kind, 0]);
        packet.extend(length_of(value.len()));
        packet.extend(value);
        // The padding of the last parameter is not counted in its length.
        packet.resize(packet.len().next_multiple_of(4), 0);
        let checksum = crc32c(&packet);
        packet[8..12].copy_from_slice(&checksum.to_le_bytes());
        packet
    }

    /// The source port of a packet that may be cut short.
    pub(crate) fn source_of(packet: &[u8]) -> Option<u16> {
        Some(u16::from_be_bytes(packet.get(..2)?.try_into().ok()?))
    }

    /// Reads the first chunk. `None`: another kind of packet, or a broken one.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
        let port = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
        let chunk = match *packet.get(COMMON_HEADER)? {
            INIT => Chunk::Init {
                tag: number(16)?,
                padding: parameter(packet.get(32..)?, PADDING).map_or(0, <[u8]>::len),
            },
            INIT_ACK => Chunk::InitAck {
                tag: number(16)?,
                cookie: parameter(packet.get(32..)?, STATE_COOKIE)?.to_vec(),
            },
            ABORT => Chunk::Abort,
            _ => return None,
        };
        Some(Self {
            source: port(0)?,
            destination: port(2)?,
            tag: number(4)?,
            chunk,
        })
    }
}

/// What INIT and INIT-ACK have in common: tag, window, streams out and in, first sequence number.
fn opening(tag: u32) -> Vec<u8> {
    let mut value = tag.to_be_bytes().to_vec();
    value.extend(65_536_u32.to_be_bytes());
    value.extend(1_u16.to_be_bytes());
    value.extend(1_u16.to_be_bytes());
    value.extend(tag.to_be_bytes());
    value
}

/// The length field of a chunk or parameter, which counts its own header of four bytes.
fn length_of(value: usize) -> [u8; 2] {
    u16::try_from(value + 4)
        .expect("no packet is that long")
        .to_be_bytes()
}

/// What a chunk says about this.
fn parameter(mut parameters: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (header, rest) = parameters.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]])).checked_sub(4)?;
        if header[..2] == wanted.to_be_bytes() {
            return rest.get(..length);
        }
        parameters = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// The checksum over a packet whose checksum field is zero.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = (value >> 1) ^ (0x82f6_3b78 * (value & 1));
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn packets_read_as_they_were_written() {
        let chunks = [
            Chunk::Init { tag: 7, padding: 0 },
            Chunk::Init {
                tag: 7,
                padding: 4_001,
            },
            Chunk::InitAck {
                tag: 8,
                cookie: b"netsim a/b 10.0.0.1:1\n".to_vec(),
            },
            Chunk::Abort,
        ];
        for chunk in chunks {
            let packet = Packet {
                source: 40_000,
                destination: 132,
                tag: 0xdead_beef,
                chunk,
            };
            let bytes = packet.encode();
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(Packet::decode(&bytes), Some(packet));
        }
    }

    #[test]
    fn a_broken_packet_is_none_of_ours() {
        let whole = Packet {
            source: 1,
            destination: 2,
            tag: 3,
            chunk: Chunk::InitAck {
                tag: 4,
                cookie: vec![b'x'; 40],
            },
        }
        .encode();
        for length in 0..whole.len() {
            assert_eq!(Packet::decode(&whole[..length]), None, "{length} bytes");
        }
    }
}
