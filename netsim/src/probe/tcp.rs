//! TCP probes.
//!
//! The connection is reset when it is closed, so that no end of it waits for anything and whoever
//! tracks it forgets it: a later probe finds no established connection to ride on.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::libc;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

use super::{Answer, patience::Patience, ports::Walk};
use crate::{
    greeting::{self, Greeting},
    parcel,
};

/// A socket in the namespace of the calling thread.
pub(super) fn socket(to: SocketAddr, ports: &Walk<'_>, port: Option<u16>) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    // Beyond 32,768 probes at once two may share a port, as long as they go elsewhere.
    socket.set_reuse_address(true)?;
    ports.bind(&socket, to.is_ipv6(), port)?;
    Ok(socket)
}

/// Connects, listens to the greeting and delivers the payload.
pub(super) async fn probe(
    socket: Socket,
    to: SocketAddr,
    payload: usize,
    mut patience: Patience,
) -> io::Result<Answer> {
    let started = Instant::now();
    let stream = match connect(socket, to) {
        Ok(stream) => stream,
        Err(error) => return Answer::of_error(error, started.elapsed()),
    };
    patience.sent();
    let opened = patience.wait(stream.writable()).await;
    // In the end too, for what `connect` says about errors that are only noted.
    if let Some(error) = stream.take_error()? {
        return Answer::of_error(error, started.elapsed());
    }
    if opened.is_none() {
        return Ok(Answer::denied(started.elapsed()));
    }
    let shaken = started.elapsed();
    let greeting = match patience.wait(listen(&stream)).await {
        Some(Ok(greeting)) => greeting,
        Some(Err(error)) => return Answer::of_error(error, started.elapsed()),
        // A handshake is an answer; that nobody speaks is none of the network's business.
        None if payload == 0 => return Ok(Answer::allowed(None, shaken)),
        None => return Ok(Answer::denied(started.elapsed())),
    };
    let (Some(greeting), true) = (&greeting, payload > 0) else {
        return Ok(Answer::allowed(greeting, started.elapsed()));
    };
    match patience.wait(deliver(&stream, payload)).await {
        Some(Ok(received)) => {
            let received = Some(received);
            let greeting = Greeting {
                received,
                ..greeting.clone()
            };
            Ok(Answer::allowed(Some(greeting), started.elapsed()))
        }
        Some(Err(error)) => Answer::of_error(error, started.elapsed()),
        None => Ok(Answer::denied(started.elapsed())),
    }
}

/// Sends so many bytes and hears how many have arrived.
async fn deliver(stream: &TcpStream, payload: usize) -> io::Result<usize> {
    let mut sent = parcel::announce(payload).into_bytes();
    sent.resize(sent.len() + payload, 0);
    let mut rest = &sent[..];
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(length) => rest = &rest[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let received = hear(stream, parcel::acknowledged).await;
    received.map_err(|error| match error.kind() {
        // Servers of ours never close a connection properly.
        io::ErrorKind::UnexpectedEof => io::Error::from_raw_os_error(libc::ECONNRESET),
        _ => error,
    })
}

/// Sends the first packet.
fn connect(socket: Socket, to: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    // The packet may have been rejected before `connect` returned: an ICMP error that meets a socket
    // in use is only noted, and nobody is woken.
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    TcpStream::from_std(socket.into())
}

/// `None`: it was closed without one, or this is no server of ours.
async fn listen(stream: &TcpStream) -> io::Result<Option<Greeting>> {
    let greeting = hear(stream, |line| {
        Greeting::split(line).map(|(greeting, _)| greeting)
    })
    .await;
    match greeting {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        greeting => greeting.map(Some),
    }
}

/// Reads until what was read makes sense.
async fn hear<T>(stream: &TcpStream, sense: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let mut buffer = [0; greeting::MAX];
    let mut received = 0;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer[received..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => received += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(said) = sense(&buffer[..received]) {
            return Ok(said);
        }
    }
}
