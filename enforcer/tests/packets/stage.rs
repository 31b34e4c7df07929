//! Two nodes with pods on wires of the simulator; the first is enforced.
//!
//! | pod | node |
//! |---|---|
//! | `x/a`, `x/b` | n1 |
//! | `y/c` | n2 |

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use enforcer::{
    agent::NodeEnforcer, cluster::Event, conntrack::Conntrack, nft::Netlink, options::Options,
    policy::Protocol,
};
use libtest_mimic::Failed;
use netsim::{
    Fabric, Netns, Place, PodSpec, Topology,
    service::{Endpoint, Service, ServicePort},
};

use crate::{
    calls::{Call, End, SILENCE},
    world::{self, namespace},
};

pub(crate) const NODE: &str = "n1";

/// Which of their addresses the pods use; they always have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) struct Stage {
    net: netsim::Cluster,
    pub(crate) enforcer: NodeEnforcer<Netlink>,
    family: Family,
}

/// Where a call goes from and to.
pub(crate) struct Way {
    pub(crate) client: Netns,
    server: Netns,
    /// Where the server listens.
    pub(crate) destination: SocketAddr,
    /// Where the client sends to.
    asked: SocketAddr,
}

impl Stage {
    /// All pods are there and known; nothing is forbidden.
    pub(crate) fn new(fabric: Fabric, family: Family, options: Options) -> Result<Self, Failed> {
        let net = netsim::Cluster::build(&Topology {
            fabric,
            nodes: vec![NODE.into(), "n2".into()],
            ..Topology::default()
        })?;
        let node = net
            .netns(&Place::Node(NODE.into()))
            .ok_or("there is no node")?;
        let (netlink, conntrack) = node.run(|| (Netlink::open(), Conntrack::open()))?;
        let enforcer =
            NodeEnforcer::new(NODE, options, netlink?).with_connections(Box::new(conntrack?));
        let mut stage = Self {
            net,
            enforcer,
            family,
        };
        stage.tell([namespace("x", &[]), namespace("y", &[])])?;
        for name in [NODE, "n2"] {
            let addresses = stage.net.node_addresses(name);
            let ranges = stage.net.node_pod_cidrs(name);
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
            stage.tell([world::node_with_ranges(
                name,
                &strs(&addresses),
                &strs(&ranges),
            )])?;
        }
        for (name, node) in [("x/a", NODE), ("x/b", NODE), ("y/c", "n2")] {
            stage.add_wires(name, node)?;
            let known = stage.known(name, node);
            stage.tell([known])?;
        }
        Ok(stage)
    }

    /// Puts a pod on the wires that nobody knows of.
    pub(crate) fn add_wires(&mut self, name: &str, node: &str) -> Result<(), Failed> {
        self.net.add_pod(PodSpec {
            name: name.into(),
            node: node.into(),
            ..PodSpec::default()
        })?;
        Ok(())
    }

    /// What makes a pod known; its name is its label.
    pub(crate) fn known(&self, name: &str, node: &str) -> Event {
        let addresses = self.net.pod_addresses(name);
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let label = name.rsplit('/').next().unwrap_or(name);
        Event::ApplyPod(world::pod(name, node, &strs(&addresses), &[("pod", label)]))
    }

    /// Something happens, and the enforcer makes it so.
    pub(crate) fn tell(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), Failed> {
        for event in events {
            self.enforcer.handle(event);
        }
        self.enforcer.commit()?;
        Ok(())
    }

    /// How many connections are cut.
    pub(crate) fn revoked(&self) -> usize {
        self.enforcer.plan().revoked().len()
    }

    /// All nodes forget all connections.
    pub(crate) fn forget_connections(&self) -> Result<(), Failed> {
        Ok(self.net.flush_conntrack()?)
    }

    /// A call from a pod (or `node/NAME`) to a pod, or how it failed.
    pub(crate) fn call(
        &self,
        protocol: Protocol,
        from: &str,
        to: &str,
        port: u16,
    ) -> Result<io::Result<Call>, Failed> {
        self.way(from, to, port)?.call(protocol, SILENCE)
    }

    /// The way from a pod (or `node/NAME`) to a port of a pod.
    pub(crate) fn way(&self, from: &str, to: &str, port: u16) -> Result<Way, Failed> {
        let addresses = self.net.pod_addresses(to);
        let wanted = |address: &&IpAddr| address.is_ipv6() == (self.family == Family::V6);
        let address = addresses.iter().find(wanted).ok_or("it has no address")?;
        let destination = SocketAddr::new(*address, port);
        Ok(Way {
            client: self.inside(from)?,
            server: self.inside(to)?,
            destination,
            asked: destination,
        })
    }

    /// The same through a Service with another port, which leads there alone.
    pub(crate) fn way_through_service(
        &mut self,
        from: &str,
        to: &str,
        port: u16,
    ) -> Result<Way, Failed> {
        const PORT: u16 = 8080;
        let direct = self.way(from, to, port)?;
        let ranges = self.net.service_cidrs();
        let mut hosts = ranges
            .iter()
            .filter(|range| range.addr().is_ipv6() == direct.destination.is_ipv6())
            .flat_map(|range| range.hosts());
        let address = hosts.next().ok_or("Services have no addresses")?;
        self.net.set_services(&[Service {
            name: "x/service".into(),
            cluster_ips: vec![address],
            ports: vec![ServicePort {
                port: PORT,
                protocol: netsim::Protocol::Tcp,
                node_port: None,
                endpoints: vec![Endpoint {
                    address: direct.destination,
                    node: NODE.into(),
                }],
            }],
            ..Service::default()
        }])?;
        Ok(Way {
            asked: SocketAddr::new(address, PORT),
            ..direct
        })
    }

    pub(crate) fn inside(&self, place: &str) -> Result<Netns, Failed> {
        let place = match place.strip_prefix("node/") {
            Some(node) => Place::Node(node.into()),
            None => Place::Pod(place.into()),
        };
        let netns = self.net.netns(&place).ok_or("it is not there")?;
        Ok(netns.try_clone()?)
    }
}

impl Way {
    /// A call, with so much patience for a TCP handshake, or how it failed.
    pub(crate) fn call(
        &self,
        protocol: Protocol,
        patience: Duration,
    ) -> Result<io::Result<Call>, Failed> {
        let destination = self.destination;
        Ok(match protocol {
            Protocol::Tcp => {
                let listener = self.server.run(|| TcpListener::bind(destination))??;
                let connect = || TcpStream::connect_timeout(&self.asked, patience);
                self.client.run(connect)?.and_then(|client| {
                    let (server, _) = listener.accept()?;
                    Ok(Call {
                        client: End::Tcp(client),
                        server: End::Tcp(server),
                    })
                })
            }
            _ => {
                let any: IpAddr = match destination {
                    SocketAddr::V4(_) => [0; 4].into(),
                    SocketAddr::V6(_) => [0; 16].into(),
                };
                let server = self.server.run(|| UdpSocket::bind(destination))??;
                let client = self.client.run(|| UdpSocket::bind((any, 0)))??;
                greet(&client, &server, self.asked).map(|()| Call {
                    client: End::Udp(client),
                    server: End::Udp(server),
                })
            }
        })
    }
}

/// The first datagram there, after which each knows the other.
fn greet(client: &UdpSocket, server: &UdpSocket, destination: SocketAddr) -> io::Result<()> {
    client.connect(destination)?;
    client.send(b"hello")?;
    server.set_read_timeout(Some(SILENCE))?;
    match server.recv_from(&mut [0; 16]) {
        Ok((_, source)) => server.connect(source),
        Err(silence) => {
            // Whoever refused it has done so by now.
            client.set_read_timeout(Some(SILENCE))?;
            client.recv(&mut [0; 16]).and(Err(silence))
        }
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
