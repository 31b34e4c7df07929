//! What an endpoint listens on: `80`, `80/tcp`, `icmp`.

use super::{
    SyntaxError,
    flow::{self, PortSelector},
};
use crate::cell::{Port, Protocol};

/// Reads `80` (TCP, as Kubernetes defaults), `80/udp` or `icmp`.
pub fn parse(text: &str) -> Result<Port, SyntaxError> {
    match flow::parse_port(text)? {
        PortSelector::Number(number, protocol) => Ok(Port {
            number: Some(number),
            protocol: protocol.unwrap_or(Protocol::Tcp),
        }),
        PortSelector::Protocol(Protocol::Icmp) => Ok(Port {
            number: None,
            protocol: Protocol::Icmp,
        }),
        PortSelector::Protocol(_) | PortSelector::Name(_) => Err(SyntaxError::new(
            0..text.len(),
            format!("`{text}` has no port number"),
        )
        .help("write 80/tcp, 53/udp, 132/sctp or icmp")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("80", "80/TCP")]
    #[case("80/tcp", "80/TCP")]
    #[case("53/udp", "53/UDP")]
    #[case("132/SCTP", "132/SCTP")]
    #[case("icmp", "ICMP")]
    fn reads(#[case] text: &str, #[case] printed: &str) {
        assert_eq!(parse(text).unwrap().to_string(), printed);
    }

    #[rstest]
    #[case("tcp", "`tcp` has no port number")]
    #[case("http", "`http` has no port number")]
    #[case("80/tpc", "`tpc` is not a protocol")]
    #[case("", "`` is not a port")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse(text).unwrap_err().message, message);
    }
}
