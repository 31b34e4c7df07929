//! Connections that lead to an endpoint which is none any more.
//!
//! UDP has no end: connection tracking would send the datagrams of a socket to the same endpoint for
//! as long as they come. kube-proxy makes the kernel forget such connections, and so do we.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
};

use super::{Proxy, Service};
use crate::{
    conntrack::{self, Ends},
    netns::Netns,
    topology::Protocol,
};

/// UDP addresses that are rewritten, and to which endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fronts(BTreeMap<SocketAddr, BTreeSet<SocketAddr>>);

impl Fronts {
    /// Those of a node.
    pub(super) fn of(proxy: &Proxy<'_>, services: &[Service]) -> Self {
        let mut fronts = Self::default();
        for service in services {
            for port in &service.ports {
                if port.protocol != Protocol::Udp {
                    continue;
                }
                let endpoints = || port.endpoints.iter().map(|endpoint| endpoint.address);
                for address in &service.cluster_ips {
                    fronts.add(SocketAddr::new(*address, port.port), endpoints());
                }
                if let Some(node_port) = port.node_port {
                    for address in proxy.addresses {
                        fronts.add(SocketAddr::new(*address, node_port), endpoints());
                    }
                }
            }
        }
        for host_port in proxy.host_ports {
            let port = host_port.port;
            if port.protocol != Protocol::Udp {
                continue;
            }
            for address in proxy.addresses {
                let pods = host_port.addresses.iter();
                let pods = pods.map(|pod| SocketAddr::new(*pod, port.pod_port));
                fronts.add(SocketAddr::new(*address, port.port), pods);
            }
        }
        fronts
    }

    fn add(&mut self, front: SocketAddr, endpoints: impl Iterator<Item = SocketAddr>) {
        let same_family = |endpoint: &SocketAddr| endpoint.is_ipv4() == front.is_ipv4();
        self.0
            .entry(front)
            .or_default()
            .extend(endpoints.filter(same_family));
    }

    /// Makes a node forget connections to endpoints that are none any more, after these fronts have
    /// taken the place of others.
    pub(super) fn clear(&self, before: &Self, netns: &Netns) -> io::Result<()> {
        if self == before {
            return Ok(());
        }
        conntrack::forget(netns, |connection| self.is_stale(before, connection))
    }

    fn is_stale(&self, before: &Self, connection: &conntrack::Connection) -> bool {
        if connection.protocol != Protocol::Udp {
            return false;
        }
        let Ends { from: server, .. } = connection.reply;
        let front = connection.original.to;
        match self.0.get(&front) {
            Some(endpoints) => !endpoints.contains(&server),
            None => before.0.contains_key(&front),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(protocol: Protocol, front: &str, server: &str) -> conntrack::Connection {
        let client = "10.0.0.1:40000".parse().unwrap();
        conntrack::Connection {
            protocol,
            original: Ends {
                from: client,
                to: front.parse().unwrap(),
            },
            reply: Ends {
                from: server.parse().unwrap(),
                to: client,
            },
        }
    }

    fn fronts(fronts: &[(&str, &[&str])]) -> Fronts {
        let parse = |text: &&str| text.parse().unwrap();
        let front = |(front, endpoints): &(&str, &[&str])| {
            (parse(front), endpoints.iter().map(parse).collect())
        };
        Fronts(fronts.iter().map(front).collect())
    }

    #[test]
    fn what_leads_to_no_endpoint_is_stale() {
        let before = fronts(&[("10.96.0.1:53", &["10.0.0.2:53"]), ("10.96.0.9:53", &[])]);
        let now = fronts(&[("10.96.0.1:53", &["10.0.0.3:53"]), ("10.96.0.2:53", &[])]);
        for (front, server, is_stale) in [
            ("10.96.0.1:53", "10.0.0.2:53", true),
            ("10.96.0.1:53", "10.0.0.3:53", false),
            // It was not rewritten at all.
            ("10.96.0.1:53", "10.96.0.1:53", true),
            ("10.96.0.2:53", "10.0.0.2:53", true),
            // The Service is gone.
            ("10.96.0.9:53", "10.0.0.2:53", true),
            ("10.96.0.1:54", "10.0.0.2:54", false),
            ("10.0.0.2:53", "10.0.0.2:53", false),
        ] {
            let udp = connection(Protocol::Udp, front, server);
            assert_eq!(now.is_stale(&before, &udp), is_stale, "{front} {server}");
            let tcp = connection(Protocol::Tcp, front, server);
            assert!(!now.is_stale(&before, &tcp));
        }
    }
}
