//! How many bytes of a TCP connection have arrived, in the words of its two ends.
//!
//! A client announces so many bytes and sends them; the server counts them and says so. Nothing big
//! goes back: the way there is what is tried.

/// How a client begins.
const ANNOUNCED: &str = "netsim parcel ";

/// How a server ends.
const ACKNOWLEDGED: &str = "netsim received ";

/// The line before the bytes.
pub(crate) fn announce(bytes: usize) -> String {
    format!("{ANNOUNCED}{bytes}\n")
}

/// Splits an announcement off what a client sent: how many bytes will come, and those that have.
pub(crate) fn announced(received: &[u8]) -> Option<(usize, &[u8])> {
    line(ANNOUNCED, received)
}

/// The line after the bytes.
pub(crate) fn acknowledge(bytes: usize) -> String {
    format!("{ACKNOWLEDGED}{bytes}\n")
}

/// How many bytes a server says it has received.
pub(crate) fn acknowledged(received: &[u8]) -> Option<usize> {
    line(ACKNOWLEDGED, received).map(|(bytes, _)| bytes)
}

fn line<'r>(start: &str, received: &'r [u8]) -> Option<(usize, &'r [u8])> {
    let end = received.iter().position(|byte| *byte == b'\n')?;
    let number = received[..end].strip_prefix(start.as_bytes())?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, &received[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_they_were_written() {
        let sent = announce(100) + "abc";
        assert_eq!(announced(sent.as_bytes()), Some((100, &b"abc"[..])));
        assert_eq!(acknowledged(acknowledge(100).as_bytes()), Some(100));
    }

    #[test]
    fn other_words_are_none_of_these() {
        for words in [
            "",
            "1\n",
            "netsim parcel 5",
            "netsim parcel five\n",
            "netsim x/a 10.0.0.1:1\n",
        ] {
            assert_eq!(announced(words.as_bytes()), None, "{words:?}");
            assert_eq!(acknowledged(words.as_bytes()), None, "{words:?}");
        }
    }
}
