//! Two nodes with pods on wires of the simulator; the first is enforced.
//!
//! | pod | node |
//! |---|---|
//! | `x/a`, `x/b` | n1 |
//! | `y/c` | n2 |

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use enforcer::{
    agent::NodeEnforcer, cluster::Event, conntrack::Conntrack, nft::Netlink, options::Options,
    policy::Protocol,
};
use ipnet::IpNet;
use libtest_mimic::Failed;
use netsim::{
    Fabric, Netns, Place, PodSpec, Topology,
    service::{Endpoint, Service, ServicePort},
};

use crate::{
    Outcome,
    calls::{Awaited, Call, End, PATIENCE, SILENCE, is_silence},
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

    /// A call from a pod (or `node/NAME`) to a pod, which comes about.
    pub(crate) fn call(
        &self,
        protocol: Protocol,
        from: &str,
        to: &str,
        port: u16,
    ) -> Result<Call, Failed> {
        let call = self.way(from, to, port)?.call(protocol, Awaited::Answer)?;
        call.map_err(|error| format!("{protocol} from {from} to {to}: {error}").into())
    }

    /// A call that does not come about, and how it fails.
    pub(crate) fn must_fail(
        &self,
        protocol: Protocol,
        from: &str,
        to: &str,
        awaited: Awaited,
    ) -> Outcome {
        let said = match self.way(from, to, 80)?.call(protocol, awaited)? {
            Ok(_) => "it comes about".into(),
            Err(error) if is_silence(&error) == (awaited == Awaited::Silence) => return Ok(()),
            Err(error) => error.to_string(),
        };
        Err(format!("{protocol} from {from} to {to}: {said}").into())
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
            .flat_map(IpNet::hosts);
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
    /// A call, or how it failed.
    pub(crate) fn call(
        &self,
        protocol: Protocol,
        awaited: Awaited,
    ) -> Result<io::Result<Call>, Failed> {
        let patience = match awaited {
            Awaited::Silence => SILENCE,
            Awaited::Answer | Awaited::Refusal => PATIENCE,
        };
        if protocol == Protocol::Tcp {
            let listener = self.server.run(|| TcpListener::bind(self.destination))??;
            let connect = || TcpStream::connect_timeout(&self.asked, patience);
            return Ok(self.client.run(connect)?.and_then(|client| {
                let (server, _) = listener.accept()?;
                Ok(Call {
                    client: End::Tcp(client),
                    server: End::Tcp(server),
                })
            }));
        }
        let any: IpAddr = match self.destination {
            SocketAddr::V4(_) => [0; 4].into(),
            SocketAddr::V6(_) => [0; 16].into(),
        };
        let server = self.server.run(|| UdpSocket::bind(self.destination))??;
        let client = self.client.run(|| UdpSocket::bind((any, 0)))??;
        let to_be_heard = match awaited {
            Awaited::Answer => PATIENCE,
            Awaited::Silence | Awaited::Refusal => SILENCE,
        };
        server.set_read_timeout(Some(to_be_heard))?;
        client.set_read_timeout(Some(patience))?;
        Ok(greet(&client, &server, self.asked).map(|()| Call {
            client: End::Udp(client),
            server: End::Udp(server),
        }))
    }
}

/// The first datagram there, after which each knows the other.
fn greet(client: &UdpSocket, server: &UdpSocket, destination: SocketAddr) -> io::Result<()> {
    client.connect(destination)?;
    client.send(b"hello")?;
    match server.recv_from(&mut [0; 16]) {
        Ok((_, source)) => server.connect(source),
        Err(silence) => client.recv(&mut [0; 16]).and(Err(silence)),
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
