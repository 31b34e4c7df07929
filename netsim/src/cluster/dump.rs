//! What a node looks like inside, for people.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use super::{Cluster, Error};
use crate::{conntrack, place::Place, probe::Probe, rtnl::listing};

/// A node's links, addresses, routes, neighbours and connections, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The node.
    pub node: String,
    /// Links, with the pod at the other end.
    pub links: Vec<String>,
    /// Addresses and the links they are on.
    pub addresses: Vec<String>,
    /// Routes of the main table.
    pub routes: Vec<String>,
    /// Neighbours.
    pub neighbours: Vec<String>,
    /// Connections that the node tracks.
    pub conntrack: Vec<String>,
}

impl Cluster {
    /// What a node looks like inside now.
    ///
    /// # Errors
    /// Where there is no such node or the kernel refuses to tell.
    pub fn dump(&self, node: &str) -> Result<Dump, Error> {
        let Some(number) = self.node_number(node) else {
            return Err(Error::Unknown(Place::Node(node.into())));
        };
        let netns = &self.nodes[number].netns;
        let mut listing = listing::list(netns)?;
        let homes = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.node == number)
            .filter_map(|(name, pod)| Some((name, pod.home.as_ref()?)));
        for (pod, home) in homes {
            let start = format!("{}: ", home.link.outside());
            let link = listing
                .links
                .iter_mut()
                .find(|line| line.starts_with(&start));
            if let Some(line) = link {
                line.push_str(" to pod ");
                line.push_str(pod);
            }
        }
        Ok(Dump {
            node: node.into(),
            links: listing.links,
            addresses: listing.addresses,
            routes: listing.routes,
            neighbours: listing.neighbours,
            conntrack: conntrack::list(netns).map_err(|source| self.conntrack(number, source))?,
        })
    }

    /// Makes every node forget the connections it tracks.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn flush_conntrack(&self) -> Result<(), Error> {
        self.nodes
            .iter()
            .enumerate()
            .try_for_each(|(number, node)| {
                conntrack::flush(&node.netns).map_err(|source| self.conntrack(number, source))
            })
    }

    /// Makes every node forget the connections by which these probes would not be strangers: those that
    /// came from the same chosen port to the same destination. Connection tracking lets what it knows
    /// go on, whatever the policies say by then; of UDP it knows for up to two minutes.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn forget_connections(&self, probes: &[Probe]) -> Result<(), Error> {
        let known: BTreeSet<_> = probes
            .iter()
            .filter_map(|probe| {
                let to = SocketAddr::new(probe.to, probe.port);
                Some((probe.source_port?, probe.protocol, to))
            })
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let forgotten = conntrack::forget(&node.netns, |connection| {
                let (from, to) = (connection.original.from, connection.original.to);
                known.contains(&(from.port(), connection.protocol, to))
            });
            forgotten.map_err(|source| self.conntrack(number, source))?;
        }
        Ok(())
    }

    fn conntrack(&self, node: usize, source: std::io::Error) -> Error {
        Error::Conntrack {
            node: self.nodes[node].name.clone(),
            source,
        }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "node {}", self.node)?;
        for (title, lines) in [
            ("links", &self.links),
            ("addresses", &self.addresses),
            ("routes", &self.routes),
            ("neighbours", &self.neighbours),
            ("connections", &self.conntrack),
        ] {
            writeln!(formatter, "\n{title}")?;
            for line in lines {
                writeln!(formatter, "  {line}")?;
            }
        }
        Ok(())
    }
}
