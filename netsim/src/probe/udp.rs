//! UDP probes.

use std::{io, net::SocketAddr, time::Instant};

use socket2::{Domain, Socket, Type};

use super::{
    Answer,
    outcome::{is_loss, is_too_long},
    patience::Patience,
    ports::Walk,
};
use crate::{
    datagram::{self, Datagrams},
    greeting::{self, Greeting},
};

/// A socket in the namespace of the calling thread.
pub(super) fn socket(to: SocketAddr, ports: &Walk<'_>, port: Option<u16>) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    // Without it a connected socket learns of closed ports only.
    datagram::note_complaints(&socket, to.is_ipv6())?;
    ports.bind(&socket, to.is_ipv6(), port)?;
    Ok(socket)
}

/// Sends `nonce`, and with it so many bytes, until it comes back.
pub(super) async fn probe(
    socket: Socket,
    to: SocketAddr,
    nonce: u64,
    payload: usize,
    mut patience: Patience,
) -> io::Result<Answer> {
    let started = Instant::now();
    if let Err(error) = socket.connect(&to.into()) {
        return Answer::of_error(error, started.elapsed());
    }
    let socket = Datagrams::register(socket)?;
    let nonce = nonce.to_be_bytes();
    let mut datagram = nonce.to_vec();
    datagram.resize(payload.max(nonce.len()), 0);
    while patience.repeat() {
        match socket.socket().send(&datagram) {
            Err(error) if is_too_long(&error) => {
                patience.unsay();
                continue;
            }
            Err(error) if !is_loss(&error) => {
                return Answer::of_error(error, started.elapsed());
            }
            _ => patience.sent(),
        }
        match patience.wait_a_while(reply(&socket, &nonce)).await {
            Some(Ok(greeting)) => {
                let answer = Answer::allowed(Some(greeting), started.elapsed());
                return Ok(answer.with_payload(payload));
            }
            Some(Err(error)) if is_too_long(&error) => patience.unsay(),
            Some(Err(error)) => return Answer::of_error(error, started.elapsed()),
            None => {}
        }
    }
    Ok(Answer::denied(started.elapsed()))
}

async fn reply(socket: &Datagrams, nonce: &[u8]) -> io::Result<Greeting> {
    loop {
        let mut buffer = [0; 2 * greeting::MAX];
        let received = socket
            .next(|socket| datagram::take(socket, &mut buffer))
            .await?;
        match Greeting::split(&buffer[..received]) {
            Some((greeting, echoed)) if echoed.starts_with(nonce) => return Ok(greeting),
            _ => {}
        }
    }
}
