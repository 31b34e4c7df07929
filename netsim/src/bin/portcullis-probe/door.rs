//! How one process of a container speaks with the other: an abstract socket, which has no file and
//! belongs to the network namespace. Its name has the name of the server in it, because pods on the
//! network of their node share one.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    time::Duration,
};

/// How long the other side may take: it is asleep until somebody knocks.
const PATIENCE: Duration = Duration::from_secs(5);

/// No question is longer, in bytes.
const LONGEST: u64 = 64;

/// Which server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Which {
    /// Who it says it is.
    #[arg(
        long = "as",
        value_name = "NAMESPACE/POD",
        env = "PORTCULLIS_PROBE_NAME"
    )]
    pub(crate) name: String,
}

/// Nobody opened. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[error("reach the server {name}")]
pub(crate) struct Closed {
    name: String,
    source: io::Error,
}

impl Which {
    /// Says something to the server, and waits until it has understood.
    pub(crate) fn knock(&self, word: &str) -> Result<(), Closed> {
        self.speak(word).map_err(|source| Closed {
            name: self.name.clone(),
            source,
        })
    }

    fn speak(&self, word: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect_addr(&self.address()?)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(word.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.as_str() {
            "yes" => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The door that the server opens.
    pub(crate) fn open(&self) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&self.address()?)
    }

    fn address(&self) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(format!("portcullis-probe {}", self.name))
    }
}

/// Waits for a visitor: what they say, and the stream to answer on.
pub(crate) fn visitor(door: &UnixListener) -> io::Result<(String, UnixStream)> {
    let (stream, _) = door.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut word = String::new();
    (&stream).take(LONGEST).read_to_string(&mut word)?;
    Ok((word, stream))
}
