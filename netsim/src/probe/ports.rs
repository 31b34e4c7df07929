//! Source ports that nobody has used lately.
//!
//! Connection tracking remembers a UDP exchange for up to two minutes and lets its packets pass
//! whatever the policies say by then. A probe must never meet such a memory, so ports are not left
//! to the kernel's dice: each namespace walks through all of them.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use nix::{libc, sys::stat::fstat};
use socket2::Socket;

use crate::netns::Netns;

/// Above the ports of servers and node ports.
const FIRST: u16 = 32_768;

/// How many ports of a namespace are taken in a second, at most: all of them in two minutes.
const PER_SECOND: u128 = 256;

/// The next port of every namespace, by inode. A number of a namespace that is gone may come back
/// for another: then that one starts somewhere in the middle, which is as good.
#[derive(Debug, Default)]
pub(super) struct Ports {
    next: Mutex<HashMap<u64, u16>>,
}

/// The ports of one namespace, to be taken one after the other, by several at once if need be.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    ports: &'a Ports,
    namespace: u64,
}

/// Where a process begins. Another may have probed from the same namespace a moment ago: by the clock
/// each begins beyond where those before it have come, as long as they took no more than
/// [`PER_SECOND`], and comes round when what they did is forgotten.
fn start(now: SystemTime) -> u16 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    let ports = since.unwrap_or_default().as_millis() * PER_SECOND / 1_000;
    let offset = ports % u128::from(u16::MAX - FIRST);
    FIRST + u16::try_from(offset).expect("it is less than the number of ports")
}

impl Ports {
    /// Goes on where the last walk through this namespace stopped.
    pub(super) fn walk(&self, netns: &Netns) -> io::Result<Walk<'_>> {
        Ok(Walk {
            ports: self,
            namespace: fstat(netns.as_fd())?.st_ino,
        })
    }
}

impl Walk<'_> {
    /// The next port. Also good for the identifier of an echo request.
    pub(super) fn take(&self) -> u16 {
        let start = || start(SystemTime::now());
        let mut all = self
            .ports
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = all.entry(self.namespace).or_insert_with(start);
        let taken = *next;
        *next = taken.checked_add(1).unwrap_or(FIRST);
        taken
    }

    /// Gives the socket a chosen port, or the next that is free. Its address is left to the kernel's
    /// routes.
    ///
    /// # Errors
    /// `EADDRINUSE` where somebody has the chosen port who does not share it, or every port is taken.
    pub(super) fn bind(&self, socket: &Socket, v6: bool, chosen: Option<u16>) -> io::Result<()> {
        let anywhere: IpAddr = match v6 {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        if let Some(port) = chosen {
            // For probes to elsewhere, and at once after a probe before.
            socket.set_reuse_address(true)?;
            return socket.bind(&SocketAddr::new(anywhere, port).into());
        }
        let mut bound = Ok(());
        for _ in FIRST..=u16::MAX {
            bound = socket.bind(&SocketAddr::new(anywhere, self.take()).into());
            match &bound {
                Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => {}
                _ => break,
            }
        }
        bound
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_process_begins_beyond_an_earlier_one_for_two_minutes() {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let span = u32::from(u16::MAX - FIRST);
        let ahead = |seconds| {
            let later = start(begun + Duration::from_secs(seconds));
            (u32::from(later) + span - u32::from(start(begun))) % span
        };
        for seconds in [1, 10, 60, 120] {
            assert_eq!(u64::from(ahead(seconds)), seconds * 256);
        }
    }
}
