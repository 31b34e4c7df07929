//! SCTP servers on raw sockets.
//!
//! A raw socket sees every SCTP packet of its namespace, and the kernel says nothing by itself once
//! there is one. So there is one responder per namespace and family, whoever listens there: pods
//! that share the namespace of their node, and probes that start in it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
};

use nix::sys::stat::fstat;
use socket2::{Domain, Socket, Type};
use tokio::task::AbortHandle;

use super::Work;
use crate::{
    datagram::{self, Datagrams},
    greeting::Greeting,
    netns::Netns,
    sctp::{self, Chunk, Packet},
};

/// The longest packet of IP.
const LONGEST: usize = 65_535;

thread_local! {
    // One for all responders of the thread: a packet is answered before the next is read.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// Who listens in a namespace, by port.
type Names = Arc<Mutex<BTreeMap<u16, Arc<str>>>>;

/// The responders of all namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Responders {
    work: Work,
    /// By the inode of the namespace, which is its own while a socket is in it.
    known: Arc<Mutex<HashMap<u64, Weak<Responder>>>>,
}

/// Answers the INITs of one namespace as long as somebody holds it.
#[derive(Debug)]
pub(crate) struct Responder {
    names: Names,
    tasks: Vec<AbortHandle>,
    gone: Mutex<mpsc::Receiver<Infallible>>,
}

/// Ports of one place; closed when dropped.
#[derive(Debug)]
pub(super) struct Ports {
    responder: Arc<Responder>,
    ports: Vec<u16>,
}

impl Responders {
    pub(super) fn new(work: Work) -> Self {
        Self {
            work,
            known: Arc::default(),
        }
    }

    /// Opens ports. A port is one place's at a time.
    pub(super) fn listen(
        &self,
        netns: &Netns,
        ports: &[u16],
        name: &Arc<str>,
    ) -> io::Result<Ports> {
        let responder = self.respond(netns)?;
        let mut opened = Ports {
            responder,
            ports: Vec::new(),
        };
        for port in ports {
            if opened.ports.contains(port) {
                continue;
            }
            let mut names = locked(&opened.responder.names);
            if names.contains_key(port) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            names.insert(*port, name.clone());
            drop(names);
            opened.ports.push(*port);
        }
        Ok(opened)
    }

    /// Makes the namespace answer at all: without listeners every INIT is refused.
    pub(crate) fn respond(&self, netns: &Netns) -> io::Result<Arc<Responder>> {
        let identity = fstat(netns.as_fd())?.st_ino;
        let mut known = locked(&self.known);
        if let Some(responder) = known.get(&identity).and_then(Weak::upgrade) {
            return Ok(responder);
        }
        known.retain(|_, responder| responder.strong_count() > 0);
        let responder = Arc::new(self.start(netns)?);
        known.insert(identity, Arc::downgrade(&responder));
        Ok(responder)
    }

    fn start(&self, netns: &Netns) -> io::Result<Responder> {
        let names = Names::default();
        let (alive, gone) = mpsc::channel();
        let mut responder = Responder {
            names: names.clone(),
            tasks: Vec::new(),
            gone: Mutex::new(gone),
        };
        for family in [Domain::IPV4, Domain::IPV6] {
            let socket = match netns.run(|| raw(family))? {
                Ok(socket) => socket,
                Err(error)
                    if family == Domain::IPV6
                        && error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let names = names.clone();
            let task = self.work.start(alive.clone(), || {
                let socket = Datagrams::register(socket)?;
                Ok(async move {
                    loop {
                        // An error concerns one packet, not the socket.
                        let _answered = socket.next(|socket| answer(&socket, &names)).await;
                    }
                })
            })?;
            responder.tasks.push(task);
        }
        Ok(responder)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // Nothing is ever sent: this ends when the last socket is closed.
        let _disconnected = locked(&self.gone).recv();
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        let mut names = locked(&self.responder.names);
        for port in &self.ports {
            names.remove(port);
        }
    }
}

/// A raw SCTP socket in the namespace of the calling thread.
fn raw(family: Domain) -> io::Result<Socket> {
    let socket = Socket::new(family, Type::RAW.nonblocking(), Some(sctp::PROTOCOL.into()))?;
    datagram::note_destination(&socket, family == Domain::IPV6)?;
    socket.set_recv_buffer_size(4 << 20)?;
    Ok(socket)
}

/// Takes one packet, and answers it if it asks for an association.
fn answer(socket: &impl AsFd, names: &Names) -> io::Result<()> {
    let (arrival, packet) = BUFFER.with_borrow_mut(|buffer| {
        let arrival = datagram::receive(socket, buffer)?;
        let received = &buffer[..arrival.length];
        io::Result::Ok((arrival, Packet::decode(payload(received, arrival.from))))
    })?;
    let Some(packet) = packet else {
        return Ok(());
    };
    let Chunk::Init { tag, padding } = packet.chunk else {
        return Ok(());
    };
    let source = SocketAddr::new(arrival.from.ip(), packet.source);
    let name = locked(names).get(&packet.destination).cloned();
    let reply = Packet {
        source: packet.destination,
        destination: packet.source,
        tag,
        chunk: name.map_or(Chunk::Abort, |name| Chunk::InitAck {
            // Any number but 0; nobody comes back with it except to abort.
            tag: !tag | 1,
            cookie: Greeting::line(&name, source, Some(padding)).into_bytes(),
        }),
    };
    let to = SocketAddr::new(arrival.from.ip(), 0);
    // A full queue or a route that is gone loses the answer, as anywhere.
    drop(datagram::send_from(socket, &reply.encode(), arrival.to, to));
    Ok(())
}

/// What follows the IP header, which raw sockets of IPv4 hand over and those of IPv6 do not.
pub(crate) fn payload(packet: &[u8], from: SocketAddr) -> &[u8] {
    let header = match packet.first() {
        Some(first) if from.is_ipv4() => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    packet.get(header..).unwrap_or_default()
}

/// A panic elsewhere leaves nothing half-done behind these locks.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
