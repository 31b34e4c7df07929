//! What every server says first: who it is, and whom it sees.

use std::net::SocketAddr;

/// No greeting is longer, in bytes: a name of two DNS labels, an address and a port.
pub(crate) const MAX: usize = 512;

/// One line of `netsim PLACE SOURCE`, and of packets how many bytes came: `netsim PLACE SOURCE BYTES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// [`Place`](crate::place::Place) as it is displayed.
    pub(crate) place: String,
    /// Where the packet came from, in the eyes of the server.
    pub(crate) source: SocketAddr,
    /// How many bytes the server received.
    pub(crate) received: Option<usize>,
}

impl Greeting {
    /// The line, with its end.
    pub(crate) fn line(place: &str, source: SocketAddr, received: Option<usize>) -> String {
        match received {
            None => format!("netsim {place} {source}\n"),
            Some(received) => format!("netsim {place} {source} {received}\n"),
        }
    }

    /// Splits a greeting off what a server sent. `None`: not complete, or somebody else's server.
    pub(crate) fn split(received: &[u8]) -> Option<(Self, &[u8])> {
        let end = received.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&received[..end]).ok()?.split(' ');
        if words.next()? != "netsim" {
            return None;
        }
        let greeting = Self {
            place: words.next()?.to_owned(),
            source: words.next()?.parse().ok()?,
            received: match words.next() {
                None => None,
                Some(received) => Some(received.parse().ok()?),
            },
        };
        Some((greeting, &received[end + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_reads_as_it_was_written() {
        for (source, received) in [("10.0.0.1:4000", None), ("[fd00::1]:4000", Some(4_000))] {
            let written = Greeting {
                place: "shop/web".into(),
                source: source.parse().unwrap(),
                received,
            };
            let sent = Greeting::line(&written.place, written.source, received) + "the rest";
            let (read, rest) = Greeting::split(sent.as_bytes()).unwrap();
            assert_eq!(read, written);
            assert_eq!(rest, b"the rest");
        }
    }

    #[test]
    fn another_servers_words_are_no_greeting() {
        for sent in [
            "",
            "netsim a/b 10.0.0.1:1",
            "HTTP/1.1 400 Bad Request\r\n",
            "netsim a/b c\n",
            "netsim a/b 10.0.0.1:1 many\n",
        ] {
            assert_eq!(Greeting::split(sent.as_bytes()), None, "{sent:?}");
        }
    }
}
