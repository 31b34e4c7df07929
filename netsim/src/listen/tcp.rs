//! TCP servers.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::Work;
use crate::greeting::Greeting;

/// Connections that wait to be accepted. The kernel takes the smaller of this and `somaxconn`.
const BACKLOG: i32 = 65_535;

/// Without free descriptors: until some connection has ended.
const BREATH: Duration = Duration::from_millis(5);

/// Opens a port in the namespace of the calling thread.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // Its connections inherit this: closing resets, so that nothing of a connection outlives it,
    // neither here nor where it is tracked.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Accepts for ever.
pub(super) fn serve(
    work: &Work,
    socket: Socket,
    place: Arc<str>,
    alive: mpsc::Sender<Infallible>,
) -> io::Result<AbortHandle> {
    work.start(alive, || {
        let listener = TcpListener::from_std(socket.into())?;
        Ok(accept(listener, place))
    })
}

async fn accept(listener: TcpListener, place: Arc<str>) {
    // Ends every connection when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                connections.spawn(talk(stream, Greeting::line(&place, source)));
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Greets, then echoes until the client has enough.
async fn talk(mut stream: TcpStream, greeting: String) {
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        let mut buffer = [0; 2048];
        let length = match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
