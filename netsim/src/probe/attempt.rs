//! A probe that goes alone, without a round of others.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use socket2::Socket;
use tokio::select;

use super::{Answer, Probe, patience, ports::Walk, raw, tcp, udp};
use crate::{listen::Work, topology::Protocol};

/// A probe that has its socket and has not been sent.
#[derive(Debug)]
pub(crate) struct Attempt {
    to: SocketAddr,
    payload: usize,
    nonce: u64,
    socket: Made,
}

#[derive(Debug)]
enum Made {
    Tcp(Socket),
    Udp(Socket),
    Raw(raw::Bundle),
}

impl Attempt {
    /// Makes the socket, in the namespace of the calling thread, through which `walk` leads.
    pub(super) fn make(probe: &Probe, walk: &Walk<'_>, nonce: u64) -> io::Result<Self> {
        let to = SocketAddr::new(probe.to, probe.port);
        let port = probe.source_port;
        let socket = match probe.protocol {
            Protocol::Tcp => Made::Tcp(tcp::socket(to, walk, port)?),
            Protocol::Udp => Made::Udp(udp::socket(to, walk, port)?),
            Protocol::Sctp | Protocol::Icmp => {
                let numbered = raw::Numbered {
                    index: 0,
                    to,
                    number: port.unwrap_or_else(|| walk.take()),
                    nonce,
                    payload: probe.payload,
                };
                Made::Raw(raw::Bundle {
                    socket: raw::Socket::open(probe.protocol, to.is_ipv6(), numbered.number)?,
                    protocol: probe.protocol,
                    v6: to.is_ipv6(),
                    probes: [(numbered.number, numbered)].into(),
                })
            }
        };
        Ok(Self {
            to,
            payload: probe.payload,
            nonce,
            socket,
        })
    }

    /// Sends it, once, and waits for its answer: `silence` at most, and longer only for servers that
    /// are busy.
    ///
    /// # Errors
    /// What says nothing about the network.
    pub(crate) async fn run(self, silence: Duration, servers: &Work) -> io::Result<Answer> {
        let (deadline, patience) = patience::deadline(silence, 1);
        let answer = async move {
            match self.socket {
                Made::Tcp(socket) => tcp::probe(socket, self.to, self.payload, patience).await,
                Made::Udp(socket) => {
                    udp::probe(socket, self.to, self.nonce, self.payload, patience).await
                }
                Made::Raw(bundle) => {
                    let mut answers = raw::probe(bundle, patience).await?;
                    let (_, answer) = answers.pop().expect("one probe has one answer");
                    Ok(answer)
                }
            }
        };
        let mut answer = pin!(answer);
        select! {
            biased;
            answer = &mut answer => answer,
            () = deadline.run(servers) => answer.await,
        }
    }
}
