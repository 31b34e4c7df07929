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
use crate::{greeting::Greeting, parcel};

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
                connections.spawn(talk(stream, Greeting::line(&place, source, None)));
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Greets, then echoes until the client has enough.
async fn talk(mut stream: TcpStream, greeting: String) {
    // An error ends the connection, and so does a client that closes it.
    let _ended = answer(&mut stream, greeting).await;
}

/// Echoes what comes; of a parcel only how long it was.
async fn answer(stream: &mut TcpStream, greeting: String) -> io::Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    loop {
        let mut buffer = [0; 2048];
        let length = read(stream, &mut buffer).await?;
        match parcel::announced(&buffer[..length]) {
            None => stream.write_all(&buffer[..length]).await?,
            Some((announced, begun)) => {
                let mut received = begun.len();
                while received < announced {
                    received += read(stream, &mut buffer).await?;
                }
                let acknowledged = parcel::acknowledge(received);
                stream.write_all(acknowledged.as_bytes()).await?;
            }
        }
    }
}

/// At least one byte. The buffer is the caller's: many connections wait here at once.
async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}
