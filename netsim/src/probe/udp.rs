//! UDP probes.

use std::{io, net::SocketAddr, time::Instant};

use socket2::{Domain, Socket, Type};
use tokio::time::timeout_at;

use super::{Answer, outcome::is_loss, ports::Walk, repeat::Repeats};
use crate::{
    datagram::{self, Datagrams},
    greeting::{self, Greeting},
};

/// A socket in the namespace of the calling thread.
pub(super) fn socket(to: SocketAddr, ports: &mut Walk<'_>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    // Without it a connected socket learns of closed ports only.
    datagram::note_complaints(&socket, to.is_ipv6())?;
    ports.bind(&socket, to.is_ipv6())?;
    Ok(socket)
}

/// Sends `nonce` until it comes back.
pub(super) async fn probe(
    socket: Socket,
    to: SocketAddr,
    nonce: u64,
    deadline: tokio::time::Instant,
) -> io::Result<Answer> {
    let started = Instant::now();
    if let Err(error) = socket.connect(&to.into()) {
        return Answer::of_error(error, started.elapsed());
    }
    let socket = Datagrams::register(socket)?;
    let nonce = nonce.to_be_bytes();
    for pause in Repeats::until(deadline) {
        match socket.socket().send(&nonce) {
            Err(error) if !is_loss(&error) => {
                // A node that rejects what it sends itself says why in the complaint.
                let error = socket.socket().take_error()?.unwrap_or(error);
                return Answer::of_error(error, started.elapsed());
            }
            _ => {}
        }
        match timeout_at(pause, reply(&socket, &nonce)).await {
            Ok(Ok(greeting)) => return Ok(Answer::allowed(Some(greeting), started.elapsed())),
            Ok(Err(error)) => return Answer::of_error(error, started.elapsed()),
            Err(_) => {}
        }
    }
    Ok(Answer::denied(started.elapsed()))
}

async fn reply(socket: &Datagrams, nonce: &[u8]) -> io::Result<Greeting> {
    loop {
        let mut buffer = [0; greeting::MAX];
        let received = socket
            .next(|socket| datagram::take(socket, &mut buffer))
            .await?;
        match Greeting::split(&buffer[..received]) {
            Some((greeting, echoed)) if echoed == nonce => return Ok(greeting),
            _ => {}
        }
    }
}
