//! What the kernel's errors say about a probe.

use std::{io, time::Duration};

use nix::libc;

use super::{Answer, Outcome};
use crate::greeting::Greeting;

impl Answer {
    /// Nothing before the deadline.
    pub(crate) fn denied(latency: Duration) -> Self {
        Self::of(Outcome::Denied, latency)
    }

    /// That, and nothing more is known.
    pub(crate) fn of(outcome: Outcome, latency: Duration) -> Self {
        Self {
            outcome,
            source_seen: None,
            served_by: None,
            received: None,
            latency,
        }
    }

    /// It got through; `greeting` is what a server of ours said.
    pub(crate) fn allowed(greeting: Option<Greeting>, latency: Duration) -> Self {
        let unknown = Self::of(Outcome::Allowed, latency);
        match greeting {
            None => unknown,
            Some(greeting) => Self {
                source_seen: Some(greeting.source),
                served_by: Some(greeting.place),
                received: greeting.received,
                ..unknown
            },
        }
    }

    /// The answer to so many bytes. Of a probe without payload nobody asked how long it was.
    pub(super) fn with_payload(mut self, payload: usize) -> Self {
        self.received = self.received.filter(|_| payload > 0);
        self
    }

    /// What an error of a probe's socket says. The error itself where it says nothing about the
    /// network: no descriptors, no permission for raw sockets, an address nobody can send to.
    pub(crate) fn of_error(error: io::Error, latency: Duration) -> io::Result<Self> {
        let outcome = match error.raw_os_error() {
            // A reset, or an ICMP error from the machine itself: no such port, no such protocol.
            Some(libc::ECONNREFUSED | libc::ECONNRESET | libc::ENOPROTOOPT | libc::EPROTO) => {
                Outcome::Refused
            }
            // ICMP: no route, no such host, administratively prohibited (EACCES in IPv6); or the
            // sender's own routes say the same. EADDRNOTAVAIL: no address of that family to send
            // from.
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::ENETDOWN
                | libc::EACCES
                | libc::EADDRNOTAVAIL,
            ) => Outcome::Unreachable,
            // The kernel has given up waiting before we have.
            Some(libc::ETIMEDOUT) => Outcome::Denied,
            _ => return Err(error),
        };
        Ok(Self::of(outcome, latency))
    }
}

/// The packet was too long for some link on its way. The kernel knows now how long it may be, and will
/// send the next in fragments.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Only this packet was lost. The sender's queue was full for a moment; or its own output hook has
/// dropped the packet (`EPERM`), in which case a complaint may follow that says more.
pub(crate) fn is_loss(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EPERM)
    )
}
