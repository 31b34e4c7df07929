//! Servers of pods, nodes and external machines.
//!
//! One thread serves everybody ([`Servers`]). Sockets are made inside the namespace of their place
//! and stay there; a [`Server`] is what one place listens on, and dropping it closes every socket,
//! also those of open connections, before `drop` returns: a socket would keep the namespace alive.
//!
//! - `tcp`, `udp`: say who they are and whom they see (`greeting`), then echo;
//! - `sctp`: answers the first packet of an association, which is all a probe needs;
//! - ICMP is answered by the kernel.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
};

use nix::libc;
use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    task::{AbortHandle, yield_now},
};

use crate::{
    netns::Netns,
    place::Place,
    topology::{Listen, Protocol},
};

pub(crate) mod sctp;
mod tcp;
mod udp;

/// The thread that serves every place of a cluster. Dropping it stops every server.
#[derive(Debug)]
pub struct Servers {
    work: Work,
    responders: sctp::Responders,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What one place listens on; closed when dropped.
#[derive(Debug)]
pub struct Server {
    listen: Vec<Listen>,
    tasks: Vec<AbortHandle>,
    /// Disconnected once every task is gone.
    gone: mpsc::Receiver<Infallible>,
    /// Ports that the namespace's SCTP responder answers for this place.
    _associations: Option<sctp::Ports>,
}

/// SCTP of a namespace is refused while this lives: [`Servers::refuse_sctp`].
#[derive(Debug)]
pub struct Refusing {
    _responder: Arc<sctp::Responder>,
}

/// Why a place does not listen.
#[derive(Debug, thiserror::Error)]
#[error("make {place} listen on {listen}")]
pub struct ListenError {
    /// Where.
    pub place: Place,
    /// On what.
    pub listen: Listen,
    /// What the kernel says. `EADDRINUSE`: somebody of the same namespace does already.
    pub source: io::Error,
}

/// What [`Servers::open`] makes for one place.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Where the sockets are made.
    pub netns: &'a Netns,
    /// Who the server says it is.
    pub place: &'a Place,
    /// On what. Every address of the namespace, of either family, is served.
    pub listen: &'a [Listen],
}

impl Servers {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the process may have no more threads or descriptors.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let thread = thread::Builder::new()
            .name("servers".into())
            // Never sent: it ends when the other side is dropped. The runtime drops its tasks.
            .spawn(move || drop(runtime.block_on(stopped)))?;
        let work = Work { handle };
        Ok(Self {
            responders: sctp::Responders::new(work.clone()),
            work,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Makes one place listen. Packets that arrive after this has returned are answered.
    ///
    /// # Errors
    /// [`ListenError`], for the first port that cannot be had; none is open then.
    pub fn open(&self, opening: Opening<'_>) -> Result<Server, ListenError> {
        let mut one = self.open_each(&[opening])?;
        Ok(one.pop().expect("asked for one"))
    }

    /// Makes many places listen; every namespace is visited once. Answers in the same order.
    ///
    /// # Errors
    /// As [`Servers::open`]; nothing new listens anywhere then.
    pub fn open_each(&self, openings: &[Opening<'_>]) -> Result<Vec<Server>, ListenError> {
        let sockets = Netns::run_each(openings.iter().map(|opening| opening.netns), |index| {
            let opening = &openings[index];
            let blame = |listen, source| opening.blame(listen, source);
            let mut sockets = Vec::new();
            // Twice the same port is one port.
            for listen in opening.listen.iter().copied().collect::<BTreeSet<_>>() {
                bind(listen, &mut sockets).map_err(|source| blame(listen, source))?;
            }
            Ok(sockets)
        });
        let sockets = match (sockets, openings.first()) {
            (Ok(sockets), _) => sockets,
            (Err(_), None) => Vec::new(),
            (Err(source), Some(opening)) => {
                let listen = opening.listen.first().copied().unwrap_or(Listen::NOTHING);
                return Err(opening.blame(listen, source));
            }
        };
        openings
            .iter()
            .zip(sockets)
            .map(|(opening, sockets)| self.serve(opening, sockets?))
            .collect()
    }

    /// Refuses SCTP that nobody of a namespace listens to, until the answer is dropped: without it
    /// such packets are met with silence as soon as somebody has a raw socket there.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`.
    pub fn refuse_sctp(&self, netns: &Netns) -> io::Result<Refusing> {
        let responder = self.responders.respond(netns)?;
        Ok(Refusing {
            _responder: responder,
        })
    }

    /// The thread, for those who wait for it.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Who answers SCTP, namespace by namespace.
    pub(crate) fn responders(&self) -> &sctp::Responders {
        &self.responders
    }

    fn serve(&self, opening: &Opening<'_>, sockets: Vec<Bound>) -> Result<Server, ListenError> {
        let name: Arc<str> = opening.place.to_string().into();
        let (alive, gone) = mpsc::channel();
        let tasks = sockets.into_iter().map(|bound| {
            let started = match bound.socket {
                Made::Tcp(socket) => tcp::serve(&self.work, socket, name.clone(), alive.clone()),
                Made::Udp(socket) => udp::serve(&self.work, socket, name.clone(), alive.clone()),
            };
            started.map_err(|source| opening.blame(bound.listen, source))
        });
        let mut server = Server {
            listen: opening.listen.to_vec(),
            tasks: Vec::new(),
            gone,
            _associations: None,
        };
        for task in tasks {
            server.tasks.push(task?);
        }
        let ports: Vec<u16> = opening.ports(Protocol::Sctp).collect();
        if let Some(port) = ports.first().copied() {
            let listen = Listen {
                port,
                protocol: Protocol::Sctp,
            };
            let opened = self.responders.listen(opening.netns, &ports, &name);
            server._associations = Some(opened.map_err(|source| opening.blame(listen, source))?);
        }
        Ok(server)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported there.
            drop(thread.join());
        }
    }
}

impl Server {
    /// What it listens on.
    pub(crate) fn listen(&self) -> &[Listen] {
        &self.listen
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // Nothing is ever sent: this ends when the last task has let go.
        let _disconnected = self.gone.recv();
    }
}

impl Opening<'_> {
    fn ports(&self, protocol: Protocol) -> impl Iterator<Item = u16> {
        self.listen
            .iter()
            .filter(move |listen| listen.protocol == protocol)
            .map(|listen| listen.port)
    }

    fn blame(&self, listen: Listen, source: io::Error) -> ListenError {
        ListenError {
            place: self.place.clone(),
            listen,
            source,
        }
    }
}

impl Listen {
    /// What the kernel does by itself.
    const NOTHING: Self = Self {
        port: 0,
        protocol: Protocol::Icmp,
    };
}

/// The server thread, as those see it who give it work.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    handle: Handle,
}

impl Work {
    /// Until the thread has answered whatever had reached its sockets before this was called; not
    /// what comes in thousands to a single socket.
    pub(crate) async fn catch_up(&self) {
        /// In each, the thread finishes what it has begun and looks for what has come in: up to a
        /// thousand sockets, up to a hundred packets each.
        const ROUNDS: usize = 16;
        let rounds = self.handle.spawn(async {
            for _ in 0..ROUNDS {
                yield_now().await;
            }
        });
        // Without the thread there is nothing to wait for.
        drop(rounds.await);
    }

    /// Starts a task. `make` runs here, where it may register sockets with the server thread;
    /// `alive` is dropped after the task and what it holds.
    pub(crate) fn start<Task>(
        &self,
        alive: mpsc::Sender<Infallible>,
        make: impl FnOnce() -> io::Result<Task>,
    ) -> io::Result<AbortHandle>
    where
        Task: Future<Output = ()> + Send + 'static,
    {
        let _entered = self.handle.enter();
        let task = make()?;
        let guarded = async move {
            // Parameters of the block drop in reverse: the task's sockets first.
            let _alive = alive;
            task.await;
        };
        Ok(self.handle.spawn(guarded).abort_handle())
    }
}

/// An open port of one family.
struct Bound {
    listen: Listen,
    socket: Made,
}

enum Made {
    Tcp(socket2::Socket),
    Udp(socket2::Socket),
}

/// Opens a port on every address of the namespace that the calling thread is in.
fn bind(listen: Listen, sockets: &mut Vec<Bound>) -> io::Result<()> {
    let everywhere: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for address in everywhere {
        let address = SocketAddr::new(address, listen.port);
        let made = match listen.protocol {
            Protocol::Tcp => tcp::bind(address).map(Made::Tcp),
            Protocol::Udp => udp::bind(address).map(Made::Udp),
            // One responder for all ports of a namespace; and the kernel.
            Protocol::Sctp | Protocol::Icmp => continue,
        };
        match made {
            Ok(socket) => sockets.push(Bound { listen, socket }),
            // A kernel, or a namespace, without IPv6.
            Err(error)
                if address.is_ipv6()
                    && matches!(
                        error.raw_os_error(),
                        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                    ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
