//! What the holder of a kept cluster can be asked, one JSON line each way.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Create or replace what these manifests describe.
    Apply {
        /// The file they came from, for error messages.
        file: String,
        /// Its text.
        text: String,
    },
    /// Delete what these manifests name.
    Delete {
        /// The file they came from.
        file: String,
        /// Its text.
        text: String,
    },
    /// Set (`Some`) and remove (`None`) labels of a pod.
    Label {
        /// `namespace/name`.
        pod: String,
        /// The labels.
        labels: Vec<(String, Option<String>)>,
    },
    /// Who reaches whom, with real packets.
    Matrix,
    /// Links, addresses, routes, neighbours, ruleset and conntrack of a node.
    Dump {
        /// The node.
        node: String,
    },
    /// End.
    Down,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// Done; the text is for the person.
    Done(String),
    /// Done, and the judges disagree about some of it.
    JudgesDisagree(String),
    /// Not done: bad input. The text is a rendered diagnostic.
    BadInput(String),
    /// Not done: the machine would not.
    Failed(String),
}

/// Asks the holder behind `socket`.
///
/// # Errors
/// If nobody listens there any more, or the answer breaks off.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Response> {
    let mut stream = UnixStream::connect(socket)?;
    send(&mut stream, request)?;
    receive(&stream)
}

/// Writes one line.
///
/// # Errors
/// If the other side has gone.
pub fn send<T: Serialize>(stream: &mut UnixStream, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Reads one line.
///
/// # Errors
/// If the other side has gone, or speaks another language.
pub fn receive<T: for<'de> Deserialize<'de>>(stream: &UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
