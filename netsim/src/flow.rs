//! Connections that stay open.
//!
//! A [`Flow`] is opened while it is allowed and then asked, as policies change, whether data still
//! goes there and back again. It always speaks from the same source port. Opened with
//! [`Prober::open_flow`](crate::probe::Prober::open_flow).

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::libc;
use socket2::Socket;

use crate::{
    greeting::{self, Greeting},
    probe::{Answer, Outcome, ProbeError, outcome::is_loss},
    topology::Protocol,
};

/// How long a datagram is waited for before it is sent again.
const PATIENCE: Duration = Duration::from_millis(50);

/// An open connection; closed (TCP: reset) when dropped.
#[derive(Debug)]
pub struct Flow {
    socket: Socket,
    protocol: Protocol,
    opened: Answer,
    /// How many exchanges were tried. Each has a number, lest a late answer of one is taken for
    /// the answer of the next.
    exchanges: u64,
    /// What came in of a TCP line that is not complete.
    partial: Vec<u8>,
}

/// Why a flow was not opened.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// It was tried, and the answer was another than [`Outcome::Allowed`].
    #[error("open a flow: {}", .0.outcome)]
    NotAllowed(Answer),
    /// Only TCP and UDP have flows here.
    #[error("open a flow: {0:?} has none here")]
    NoFlows(Protocol),
    /// It could not be tried.
    #[error("open a flow")]
    NotTried(#[from] ProbeError),
    /// The socket failed in a way that says nothing about the network.
    #[error("open a flow")]
    Socket(#[source] io::Error),
}

impl Flow {
    /// Connects a socket, and waits for the greeting of the server.
    pub(crate) fn open(
        socket: Socket,
        protocol: Protocol,
        to: SocketAddr,
        deadline: Duration,
    ) -> Result<Self, FlowError> {
        let started = Instant::now();
        let mut flow = Self {
            socket,
            protocol,
            opened: Answer::denied(deadline),
            exchanges: 0,
            partial: Vec::new(),
        };
        let greeted = flow.connect(to, deadline).and_then(|()| {
            let left = deadline.saturating_sub(started.elapsed());
            match protocol {
                Protocol::Udp => flow.ask(left),
                _ => flow.listen(Instant::now() + left, |line| {
                    Greeting::split(line).map(|(greeting, _)| greeting)
                }),
            }
        });
        flow.opened = match greeted {
            Ok(greeting) => Answer::allowed(Some(greeting), started.elapsed()),
            Err(error) => outcome(error, started.elapsed()).map_err(FlowError::Socket)?,
        };
        match flow.opened.outcome {
            Outcome::Allowed => Ok(flow),
            _ => Err(FlowError::NotAllowed(flow.opened.clone())),
        }
    }

    /// How it was opened: who answered, and which source they saw.
    #[must_use]
    pub fn opened(&self) -> &Answer {
        &self.opened
    }

    /// Sends something and waits until it is echoed, `deadline` at most. `Denied`: it did not come
    /// back in time. A TCP flow that is refused once was reset and stays refused.
    ///
    /// After a denied exchange, TCP waits longer and longer before it tries again by itself (0.2 s,
    /// 0.4 s, ...), so an exchange that is allowed again may need that much more time.
    ///
    /// # Errors
    /// Where the socket fails in a way that says nothing about the network.
    pub fn exchange(&mut self, deadline: Duration) -> io::Result<Outcome> {
        let started = Instant::now();
        self.exchanges += 1;
        let exchanged = match self.protocol {
            Protocol::Udp => self.ask(deadline).map(drop),
            _ => self.echo(deadline),
        };
        match exchanged {
            Ok(()) => Ok(Outcome::Allowed),
            Err(error) => outcome(error, started.elapsed()).map(|answer| answer.outcome),
        }
    }

    fn connect(&mut self, to: SocketAddr, deadline: Duration) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        if self.protocol == Protocol::Udp {
            return self.socket.connect(&to.into());
        }
        let connected = self.socket.connect_timeout(&to.into(), deadline);
        // An ICMP error that met the socket in use was only noted.
        match (connected, self.socket.take_error()?) {
            (Err(silence), Some(noted)) if is_silence(&silence) => Err(noted),
            (connected, _) => connected,
        }
    }

    /// One TCP line there and back again.
    fn echo(&mut self, deadline: Duration) -> io::Result<()> {
        let deadline = Instant::now() + deadline;
        let line = format!("{}\n", self.exchanges);
        wait(&self.socket, deadline)?;
        self.socket.write_all(line.as_bytes())?;
        let line = line.as_bytes();
        self.listen(deadline, |heard| (heard == line).then_some(()))
    }

    /// Reads TCP lines until one is what is waited for.
    fn listen<T>(
        &mut self,
        deadline: Instant,
        expected: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<T> {
        loop {
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                if let Some(found) = expected(&line) {
                    return Ok(found);
                }
            }
            wait(&self.socket, deadline)?;
            let mut buffer = [0; greeting::MAX];
            match self.socket.read(&mut buffer)? {
                // Somebody closed it properly, which servers of ours never do.
                0 => return Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
                length => self.partial.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// One datagram there and back again, repeated while nothing comes.
    fn ask(&mut self, deadline: Duration) -> io::Result<Greeting> {
        let deadline = Instant::now() + deadline;
        let number = self.exchanges.to_be_bytes();
        loop {
            match self.socket.send(&number) {
                Err(error) if !is_loss(&error) => return Err(error),
                _ => {}
            }
            let patience = deadline.min(Instant::now() + PATIENCE);
            loop {
                match wait(&self.socket, patience) {
                    Ok(()) => {}
                    Err(error) if !is_silence(&error) => return Err(error),
                    Err(error) if patience == deadline => return Err(error),
                    Err(_) => break,
                }
                let mut buffer = [0; greeting::MAX];
                let received = match self.socket.read(&mut buffer) {
                    Err(error) if is_silence(&error) => continue,
                    received => received?,
                };
                match Greeting::split(&buffer[..received]) {
                    Some((greeting, echoed)) if echoed == number => return Ok(greeting),
                    _ => {}
                }
            }
        }
    }
}

/// The next reads and writes take no longer than until the deadline.
fn wait(socket: &Socket, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    socket.set_read_timeout(Some(left))?;
    socket.set_write_timeout(Some(left))
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn outcome(error: io::Error, latency: Duration) -> io::Result<Answer> {
    match error.raw_os_error() {
        _ if is_silence(&error) => Ok(Answer::denied(latency)),
        Some(libc::EPIPE) => {
            Answer::of_error(io::Error::from_raw_os_error(libc::ECONNRESET), latency)
        }
        _ => Answer::of_error(error, latency),
    }
}
