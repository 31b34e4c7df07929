//! Transactions straight into the kernel: one netlink batch, sent at once.
//!
//! `batch` frames the operations, `object` writes tables, chains and maps, `rule` expressions,
//! `element` the members of maps, `answer` reads what the kernel says; `watch` hears what others do.

mod answer;
mod batch;
mod element;
mod object;
mod rule;
mod watch;

use std::{io, os::fd::AsFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use self::batch::Batch;
pub use self::watch::NetlinkWatch;
use super::{ApplyError, Dataplane, Transaction};

/// What the kernel keeps of a send buffer for itself.
const RESERVED: usize = 32;
/// Room for answers; there is one per refused operation and one for the last.
const ANSWERS: usize = 1 << 20;

/// A netlink socket. It belongs to the network namespace in which it was opened, whichever thread
/// uses it.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    port: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever the kernel says; `EPROTONOSUPPORT` if it has no netfilter netlink.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        let port = socket.bind_auto()?.port_number();
        socket.set_non_blocking(true)?;
        // Answers then hold the header of what was refused, not all of it.
        socket.set_cap_ack(true)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &ANSWERS).is_err() {
            // Without privilege the default has room for hundreds of refusals; the first decides.
            setsockopt(&socket, sockopt::RcvBuf, &ANSWERS)?;
        }
        Ok(Self { socket, port })
    }

    /// Makes room for a message of this length and says whether it may be sent; the limit if not.
    fn make_room(&self, bytes: usize) -> io::Result<Result<(), usize>> {
        let limit = || -> io::Result<usize> {
            Ok(getsockopt(&self.socket.as_fd(), sockopt::SndBuf)?.saturating_sub(RESERVED))
        };
        if bytes <= limit()? {
            return Ok(Ok(()));
        }
        // The kernel doubles the value. Only the first is exempt from net.core.wmem_max, and only
        // in the first user namespace; the second is cut to it.
        if setsockopt(&self.socket, sockopt::SndBufForce, &bytes).is_err() {
            setsockopt(&self.socket, sockopt::SndBuf, &bytes)?;
        }
        let limit = limit()?;
        Ok(if bytes <= limit { Ok(()) } else { Err(limit) })
    }
}

impl Dataplane for Netlink {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        if transaction.is_empty() {
            return Ok(());
        }
        let total = transaction.len();
        let batch = Batch::new(transaction);
        let bytes = batch.bytes().len();
        let room = self
            .make_room(bytes)
            .map_err(|source| ApplyError::Send { total, source })?;
        if let Err(limit) = room {
            return Err(ApplyError::TooLong {
                total,
                bytes,
                limit,
            });
        }
        let kernel = SocketAddr::new(0, 0);
        self.socket
            .send_to(batch.bytes(), &kernel, 0)
            .map_err(|source| ApplyError::Send { total, source })?;
        answer::read(&self.socket, &batch, transaction)
    }

    fn is_sender(&self, port: u32) -> bool {
        port == self.port
    }
}
