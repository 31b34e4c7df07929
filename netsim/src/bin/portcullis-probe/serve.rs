//! The server of a container.

use std::{
    error::Error,
    io::{self, Write as _},
    os::unix::net::UnixListener,
    sync::mpsc,
    thread,
};

use netsim::{
    Listen, Netns, Place,
    listen::{Opening, Servers},
};
use nix::sys::signal::{SigSet, Signal};

use crate::door::{self, Which};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Ports to listen on, on every address.
    #[arg(long, value_name = "PORT/PROTOCOL", value_delimiter = ',')]
    listen: Vec<Listen>,
    /// Refuse SCTP that nobody listens to: for pods that speak it, or are spoken to.
    #[arg(long)]
    sctp: bool,
    /// Ignore requests to terminate, until the kernel ends it or `end` does.
    #[arg(long)]
    stay: bool,
}

/// Why the server has not begun. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
enum NotServing {
    #[error("open the door for `ready` and `end`; does another server have this name?")]
    Door(#[source] io::Error),
    #[error("answer SCTP, which needs CAP_NET_RAW")]
    Sctp(#[source] io::Error),
}

/// Listens until it is told to end; the exit code.
///
/// As the first process of a container it hears only of signals that it asks for.
pub(crate) fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    // Threads that start from now on leave them to us.
    signals.thread_block()?;
    let servers = Servers::start()?;
    let netns = Netns::home()?;
    let place = Place::Pod(arguments.which.name.clone());
    let _server = servers.open(Opening {
        netns: &netns,
        place: &place,
        listen: &arguments.listen,
    })?;
    let _refusing = match arguments.sctp {
        true => Some(servers.refuse_sctp(&netns).map_err(NotServing::Sctp)?),
        false => None,
    };
    let door = arguments.which.open().map_err(NotServing::Door)?;
    let (end, ended) = mpsc::channel();
    let ends = end.clone();
    thread::Builder::new()
        .name("door".into())
        .spawn(move || attend(&door, &ends))?;
    if !arguments.stay {
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                if signals.wait().is_ok() {
                    // Whoever waits for the other end has ended already.
                    let _heard = end.send(0);
                }
            })?;
    }
    // The threads live as long as we do.
    Ok(ended.recv().unwrap_or(0))
}

/// Answers whoever knocks.
fn attend(door: &UnixListener, end: &mpsc::Sender<u8>) {
    loop {
        let Ok((word, mut stream)) = door::visitor(door) else {
            continue;
        };
        let code = word.strip_prefix("end ").and_then(|code| code.parse().ok());
        let answer = if word == "ready" || code.is_some() {
            "yes"
        } else {
            "what?"
        };
        // A visitor that has gone needs no answer.
        let _answered = stream.write_all(answer.as_bytes());
        drop(stream);
        if let Some(code) = code {
            let _heard = end.send(code);
        }
    }
}
