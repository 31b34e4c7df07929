//! UDP servers.

use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    sync::{Arc, mpsc},
};

use socket2::{Domain, Socket, Type};
use tokio::task::AbortHandle;

use super::Work;
use crate::{
    datagram::{self, Datagrams},
    greeting::Greeting,
};

/// Bytes of packets that wait to be read. The kernel takes the smaller of this and `rmem_max`.
const QUEUE: usize = 4 << 20;

/// The longest datagram.
const LONGEST: usize = 65_535;

/// The way there is what is tried: an answer fits into one packet of any link.
const ECHOED: usize = 512;

thread_local! {
    // One for all servers of the thread: a datagram is answered before the next is read.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// Opens a port in the namespace of the calling thread.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    datagram::note_destination(&socket, address.is_ipv6())?;
    socket.set_recv_buffer_size(QUEUE)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Answers for ever: each datagram with a greeting, which says how long it was, and its first bytes.
pub(super) fn serve(
    work: &Work,
    socket: Socket,
    place: Arc<str>,
    alive: mpsc::Sender<Infallible>,
) -> io::Result<AbortHandle> {
    work.start(alive, || {
        let socket = Datagrams::register(socket)?;
        Ok(async move {
            loop {
                // An error concerns one packet, not the socket.
                let _answered = socket.next(|socket| answer(&socket, &place)).await;
            }
        })
    })
}

fn answer(socket: &impl AsFd, place: &str) -> io::Result<()> {
    BUFFER.with_borrow_mut(|buffer| {
        let arrival = datagram::receive(socket, buffer)?;
        let received = Some(arrival.length);
        let mut reply = Greeting::line(place, arrival.from, received).into_bytes();
        let echoed = arrival.length.min(ECHOED);
        reply.extend_from_slice(&buffer[..echoed]);
        // A full queue or a route that is gone loses the answer, as anywhere.
        drop(datagram::send_from(
            socket,
            &reply,
            arrival.to,
            arrival.from,
        ));
        Ok(())
    })
}
