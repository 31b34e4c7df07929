//! Flows: `SOURCE -> DESTINATION[:PORT[/PROTOCOL]]`.

use std::{fmt, ops::Range};

use super::{
    Spanned, SyntaxError,
    endpoint::{self, Selector},
    trimmed,
};
use crate::cell::Protocol;

const FORM: &str = "a flow is written SOURCE -> DESTINATION[:PORT[/PROTOCOL]]";

/// Which connections are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who opens them.
    pub source: Spanned<Selector>,
    /// To whom.
    pub destination: Spanned<Selector>,
    /// On which ports; without it on every port the destination listens on.
    pub port: Option<Spanned<PortSelector>>,
}

impl Flow {
    /// Whether both ends are named exactly, so that it is a statement about one pair.
    pub fn is_exact(&self) -> bool {
        self.source.value.is_exact() && self.destination.value.is_exact()
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source.value, self.destination.value)?;
        match &self.port {
            Some(port) => write!(f, ":{}", port.value),
            None => Ok(()),
        }
    }
}

/// Which ports of a destination are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSelector {
    /// `80/tcp`: just this one; `80`: this number in every protocol the destination listens in.
    Number(u16, Option<Protocol>),
    /// `udp`: every port of the protocol the destination listens on; `icmp`: echo request.
    Protocol(Protocol),
    /// `http`: every port the destination gives this name.
    Name(String),
}

impl fmt::Display for PortSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, Some(protocol)) => write!(f, "{number}/{}", lower(*protocol)),
            Self::Number(number, None) => write!(f, "{number}"),
            Self::Protocol(protocol) => f.write_str(lower(*protocol)),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn lower(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        Protocol::Icmp => "icmp",
    }
}

/// Reads a flow.
pub fn parse(text: &str) -> Result<Flow, SyntaxError> {
    let Some(arrow) = text.find("->") else {
        return Err(SyntaxError::new(0..text.len(), "there is no `->` in this flow").help(FORM));
    };
    let source = trimmed(text, 0..arrow);
    let (destination, port) = parse_destination(text, arrow + 2..text.len())?;
    Ok(Flow {
        source: part(text, source)?,
        destination,
        port,
    })
}

/// Reads `DESTINATION[:PORT[/PROTOCOL]]` out of a part of a text.
pub(crate) fn parse_destination(
    text: &str,
    range: Range<usize>,
) -> Result<(Spanned<Selector>, Option<Spanned<PortSelector>>), SyntaxError> {
    let range = trimmed(text, range);
    if let Some(at) = text[range.clone()].find("->") {
        let at = range.start + at;
        return Err(SyntaxError::new(at..at + 2, "a flow has only one `->`").help(FORM));
    }
    let Some(colon) = text[range.clone()].find(':').map(|at| range.start + at) else {
        return Ok((part(text, range)?, None));
    };
    let destination = part(text, trimmed(text, range.start..colon))?;
    let span = trimmed(text, colon + 1..range.end);
    let value = parse_port(&text[span.clone()]).map_err(|error| error.shifted(span.start))?;
    Ok((destination, Some(Spanned { span, value })))
}

fn part(text: &str, span: Range<usize>) -> Result<Spanned<Selector>, SyntaxError> {
    match endpoint::parse(&text[span.clone()]) {
        Ok(value) => Ok(Spanned { span, value }),
        Err(error) => Err(error.shifted(span.start)),
    }
}

/// Reads `80`, `80/tcp`, `udp`, `icmp` or a port's name.
pub fn parse_port(text: &str) -> Result<PortSelector, SyntaxError> {
    let (first, protocol) = match text.split_once('/') {
        Some((first, second)) => {
            let at = first.len() + 1;
            let protocol = second.parse::<Protocol>().map_err(|_| {
                SyntaxError::new(
                    at..text.len().max(at + 1),
                    format!("`{second}` is not a protocol"),
                )
                .help("protocols are tcp, udp, sctp and icmp")
            })?;
            (first, Some(protocol))
        }
        None => (text, None),
    };
    if let Ok(protocol) = first.parse::<Protocol>()
        && text == first
    {
        return Ok(PortSelector::Protocol(protocol));
    }
    if first.starts_with(|c: char| c.is_ascii_digit()) {
        return match (first.parse::<u16>(), protocol) {
            (Ok(0) | Err(_), _) => Err(SyntaxError::new(
                0..first.len(),
                format!("`{first}` is not a port"),
            )
            .help("ports are whole numbers from 1 to 65535")),
            (Ok(_), Some(Protocol::Icmp)) => {
                Err(SyntaxError::new(0..text.len(), "ICMP has no ports").help("write :icmp"))
            }
            (Ok(number), protocol) => Ok(PortSelector::Number(number, protocol)),
        };
    }
    let is_name = !first.is_empty()
        && first
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    match protocol {
        None if is_name => Ok(PortSelector::Name(first.to_owned())),
        _ => Err(
            SyntaxError::new(0..text.len().max(1), format!("`{text}` is not a port"))
                .help("write 80, 80/tcp, udp, icmp or the name of a port"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::pod_to_pod("x/a -> y/b", "x/a -> y/b")]
    #[case::port("x/a -> y/b:80", "x/a -> y/b:80")]
    #[case::port_and_protocol("x/a -> y/b:80/udp", "x/a -> y/b:80/udp")]
    #[case::upper_case_protocol("x/a -> y/b:80/UDP", "x/a -> y/b:80/udp")]
    #[case::protocol_alone("x/a -> y/b:sctp", "x/a -> y/b:sctp")]
    #[case::icmp("x/a -> y/b:icmp", "x/a -> y/b:icmp")]
    #[case::named_port("x/a -> y/b:http", "x/a -> y/b:http")]
    #[case::wildcards("*->y/*", "* -> y/*")]
    #[case::labels("ops{app=tool} -> *{app=db}:5432", "ops{app=tool} -> *{app=db}:5432")]
    #[case::node("node/n1 -> x/a", "node/n1 -> x/a")]
    #[case::external("ext/internet -> svc/x/web:80", "ext/internet -> svc/x/web:80")]
    #[case::blanks("  x/a   ->  y/b : 80/tcp ", "x/a -> y/b:80/tcp")]
    fn reads(#[case] text: &str, #[case] printed: &str) {
        assert_eq!(parse(text).unwrap().to_string(), printed);
    }

    #[test]
    fn knows_where_its_parts_stand() {
        let text = "x/a ->  y/b:80/udp";
        let flow = parse(text).unwrap();
        assert_eq!(&text[flow.source.span], "x/a");
        assert_eq!(&text[flow.destination.span], "y/b");
        assert_eq!(&text[flow.port.unwrap().span], "80/udp");
    }

    #[rstest]
    #[case::no_arrow("x/a y/b", 0..7, "there is no `->` in this flow")]
    #[case::two_arrows("x/a -> y/b -> z/c", 11..13, "a flow has only one `->`")]
    #[case::no_source("-> y/b", 0..0, "an endpoint is missing here")]
    #[case::no_destination("x/a ->", 6..6, "an endpoint is missing here")]
    #[case::no_port("x/a -> y/b:", 11..12, "`` is not a port")]
    #[case::port_0("x/a -> y/b:0", 11..12, "`0` is not a port")]
    #[case::port_too_big("x/a -> y/b:65536/tcp", 11..16, "`65536` is not a port")]
    #[case::range("x/a -> y/b:80-90", 11..16, "`80-90` is not a port")]
    #[case::protocol("x/a -> y/b:80/tpc", 14..17, "`tpc` is not a protocol")]
    #[case::no_protocol("x/a -> y/b:80/", 14..15, "`` is not a protocol")]
    #[case::icmp_port("x/a -> y/b:8/icmp", 11..17, "ICMP has no ports")]
    #[case::named_with_protocol("x/a -> y/b:http/tcp", 11..19, "`http/tcp` is not a port")]
    #[case::bad_destination("x/a -> Y/b", 7..8, "`Y` cannot be part of a name")]
    fn refuses(#[case] text: &str, #[case] span: Range<usize>, #[case] message: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!((error.span, error.message.as_str()), (span, message));
    }
}
