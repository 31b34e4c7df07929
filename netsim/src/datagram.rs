//! Sockets whose packets are whole: UDP and raw ones.
//!
//! Two things that std and tokio do not know: the address a packet was sent to (a machine with
//! several addresses must answer from the one that was asked, else neither the client nor the
//! connection tracking between them recognises the answer), and what others say of packets that did
//! not arrive ([`complaint`]).

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::{
    cmsg_space,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo, sock_extended_err},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike,
        SockaddrStorage, recv, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::SockRef;
use tokio::{io::Interest, net::UdpSocket};

/// A socket that tasks of the current runtime wait for.
#[derive(Debug)]
pub(crate) struct Datagrams {
    // tokio's only safe wrapper of a socket that is not TCP; raw sockets are polled in the same way.
    socket: UdpSocket,
}

impl Datagrams {
    /// Hands a non-blocking UDP or raw socket to the current runtime.
    pub(crate) fn register(socket: socket2::Socket) -> io::Result<Self> {
        UdpSocket::from_std(socket.into()).map(|socket| Self { socket })
    }

    /// The socket, for what needs no waiting.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// Waits until `take` finds something: a packet, or an error. It is called as often as the
    /// socket seems to have either, and says `WouldBlock` where it does not.
    pub(crate) async fn next<T>(
        &self,
        mut take: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.socket
                .ready(Interest::READABLE | Interest::ERROR)
                .await?;
            // One by one: tokio's `try_io` does nothing for two interests at once.
            for interest in [Interest::READABLE, Interest::ERROR] {
                match self.socket.try_io(interest, || take(self.socket.as_fd())) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    taken => return taken,
                }
            }
        }
    }
}

/// A packet that came in; its bytes are in the buffer of [`receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) length: usize,
    /// The port is 0 on a raw socket.
    pub(crate) from: SocketAddr,
    /// The address it was sent to.
    pub(crate) to: IpAddr,
}

/// Makes [`receive`] know the address that a packet was sent to.
pub(crate) fn note_destination(socket: &impl AsFd, v6: bool) -> nix::Result<()> {
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)
    }
}

/// Makes the socket keep what routers and machines say of its packets: [`complaint`].
pub(crate) fn note_complaints(socket: &impl AsFd, v6: bool) -> nix::Result<()> {
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    }
}

/// Takes one packet; `WouldBlock` where there is none.
pub(crate) fn take(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
}

/// Takes one packet and its addresses; `WouldBlock` where there is none. Needs [`note_destination`].
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    let mut space = cmsg_space!(in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let to = message.cmsgs()?.find_map(|note| match note {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    });
    let (Some(from), Some(to)) = (message.address.as_ref().and_then(address), to) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(Arrival {
        length: message.bytes,
        from,
        to,
    })
}

/// Sends one packet from a chosen address of this machine.
pub(crate) fn send_from(
    socket: &impl AsFd,
    packet: &[u8],
    from: IpAddr,
    to: SocketAddr,
) -> io::Result<()> {
    let (v4, v6);
    let note = match from {
        IpAddr::V4(from) => {
            v4 = in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr {
                    s_addr: u32::from(from).to_be(),
                },
                ipi_addr: in_addr { s_addr: 0 },
            };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(from) => {
            v6 = in6_pktinfo {
                ipi6_ifindex: 0,
                ipi6_addr: in6_addr {
                    s6_addr: from.octets(),
                },
            };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    sendmsg(
        socket.as_fd().as_raw_fd(),
        &[IoSlice::new(packet)],
        &[note],
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrStorage::from(to)),
    )?;
    Ok(())
}

/// What somebody says of a packet; the packet is in the buffer of [`complaint`].
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) error: io::Error,
    /// How many bytes of the packet there are, transport header first.
    pub(crate) length: usize,
    /// Where the packet was sent to.
    pub(crate) about: Option<IpAddr>,
}

/// Takes the oldest complaint about a packet of this socket. `None` where there is none. Needs
/// [`note_complaints`].
pub(crate) fn complaint(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Option<Complaint>> {
    let mut space = cmsg_space!(sock_extended_err, nix::libc::sockaddr_in6);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut space),
        flags,
    ) {
        Ok(message) => message,
        Err(nix::errno::Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let what = message.cmsgs()?.find_map(|note| match note {
        ControlMessageOwned::Ipv4RecvErr(what, _) | ControlMessageOwned::Ipv6RecvErr(what, _) => {
            i32::try_from(what.ee_errno).ok()
        }
        _ => None,
    });
    let about = message.address.as_ref().and_then(address);
    Ok(what.map(|errno| Complaint {
        error: io::Error::from_raw_os_error(errno),
        length: message.bytes,
        about: about.map(|address| address.ip()),
    }))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = |v4: &SockaddrIn| SocketAddr::V4((*v4).into());
    let v6 = |v6: &SockaddrIn6| SocketAddr::V6((*v6).into());
    debug_assert!(storage.family().is_some());
    storage
        .as_sockaddr_in()
        .map(v4)
        .or_else(|| storage.as_sockaddr_in6().map(v6))
}
