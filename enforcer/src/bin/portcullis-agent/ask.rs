//! Questions to the agent that runs on this node, over its own HTTP.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody is there.
    #[error("reach the agent at {address}: is it running, and with this --bind?")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The agent says no.
    #[error("{}", answer.trim())]
    Refused {
        /// What it said.
        answer: String,
    },
    /// Somebody else is there.
    #[error("read the answer of {address}: it is not that of an agent")]
    NotAnAgent {
        /// Where.
        address: SocketAddr,
    },
}

/// The JSON that the agent serves at `path`.
pub(crate) fn ask(bind: SocketAddr, path: &str) -> Result<Value, AskError> {
    answer(bind, "GET", path, "")
}

/// Puts a text to `path`, and gives the JSON that the agent answers.
pub(crate) fn tell(bind: SocketAddr, path: &str, body: &str) -> Result<Value, AskError> {
    answer(bind, "PUT", path, body)
}

fn answer(bind: SocketAddr, method: &str, path: &str, body: &str) -> Result<Value, AskError> {
    let address = reachable(bind);
    let (status, body) = request(address, method, path, body)
        .map_err(|source| AskError::Unreachable { address, source })?;
    match status {
        Some(200) => serde_json::from_str(&body).map_err(|_| AskError::NotAnAgent { address }),
        Some(_) => Err(AskError::Refused { answer: body }),
        None => Err(AskError::NotAnAgent { address }),
    }
}

/// An agent that listens everywhere also listens here.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(Option<u16>, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok());
    Ok((status, body.to_owned()))
}
