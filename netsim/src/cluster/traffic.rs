//! Listeners, probes, flows, traffic and Services.

use std::{mem, net::IpAddr, time::Duration};

use super::{Cluster, Error};
use crate::{
    flow::Flow,
    listen::{Opening, Server},
    place::Place,
    probe::{Answer, Probe},
    service::{self, PodPort, Proxy, Service, ServiceError},
    topology::Listen,
    traffic::Traffic,
};

impl Cluster {
    /// Makes a place listen on more ports, beside those it listens on already. Everybody answers ICMP
    /// echo requests without being told.
    ///
    /// # Errors
    /// Where there is no such place or somebody of its namespace has the port.
    pub fn listen(&mut self, place: &Place, listen: &[Listen]) -> Result<(), Error> {
        let Some(netns) = self.netns(place) else {
            return Err(Error::Unknown(place.clone()));
        };
        let server = self.servers.open(Opening {
            netns,
            place,
            listen,
        })?;
        self.listening
            .entry(place.clone())
            .or_default()
            .push(server);
        Ok(())
    }

    /// Closes what a place listens on and opens it again, as containers do that restart: connections
    /// that stand are reset, and for a moment it refuses.
    ///
    /// # Errors
    /// Where there is no such place or the kernel refuses; it does not listen then.
    pub fn restart_listeners(&mut self, place: &Place) -> Result<(), Error> {
        let servers = self.listening.remove(place).unwrap_or_default();
        let listen: Vec<Listen> = servers.iter().flat_map(Server::listen).copied().collect();
        drop(servers);
        self.listen(place, &listen)
    }

    /// Sends all probes at once and waits for their answers, `deadline` at most, less when all have
    /// answered. The answers are in the order of the probes.
    ///
    /// # Errors
    /// Where a place does not exist or sockets cannot be had. What becomes of a packet is an answer,
    /// never an error.
    pub fn probe(&mut self, probes: &[Probe], deadline: Duration) -> Result<Vec<Answer>, Error> {
        self.prepare(probes)?;
        let find = |place: &Place| self.netns(place);
        Ok(self.prober.run(probes, find, deadline)?)
    }

    /// Opens a connection that stays open until it is dropped.
    ///
    /// # Errors
    /// [`Error::Flow`] with `NotAllowed` and the answer where it was not allowed within
    /// `deadline`.
    pub fn open_flow(&mut self, probe: &Probe, deadline: Duration) -> Result<Flow, Error> {
        self.prepare(std::slice::from_ref(probe))?;
        let find = |place: &Place| self.netns(place);
        Ok(self.prober.open_flow(probe, find, deadline)?)
    }

    /// Tries all probes every so often in the background, each time as somebody new. An attempt that
    /// has no answer after `patience` is denied: [`Traffic::PATIENCE`], unless there is a reason.
    ///
    /// It follows the places that it starts from, when they go and when they come again, and keeps to
    /// the addresses it goes to. From one place some 30,000 ports are used in turn, and connection
    /// tracking remembers a UDP exchange for two minutes: not more than 200 a second, or for less
    /// than two minutes.
    ///
    /// # Errors
    /// Where a place does not exist now or the process gets no more threads.
    pub fn start_traffic(
        &mut self,
        probes: Vec<Probe>,
        every: Duration,
        patience: Duration,
    ) -> Result<Traffic, Error> {
        for probe in &probes {
            if self.netns(&probe.from).is_none() {
                return Err(Error::Unknown(probe.from.clone()));
            }
        }
        let pairs: Vec<_> = self.pairs(&probes).collect();
        let pairs = pairs.into_iter().map(|(place, to)| (place.clone(), to));
        self.acquaint_for_ever(pairs.collect::<Vec<_>>())?;
        let (prober, whereabouts) = (self.prober.clone(), self.whereabouts.clone());
        let started = Traffic::start(prober, probes, whereabouts, every, patience);
        Ok(started?)
    }

    /// Gives every node these Services in the place of those it had: all of them or, where the kernel
    /// refuses, none. Connections that stand keep their endpoint.
    ///
    /// # Errors
    /// Where Services clash or the kernel refuses; nothing has changed then.
    pub fn set_services(&mut self, services: &[Service]) -> Result<(), Error> {
        for number in 0..self.nodes.len() {
            if let Err(error) = self.program(number, services) {
                // What was good enough before is so again; if not, the first error says more.
                let before = self.services.clone();
                for number in 0..number {
                    drop(self.program(number, &before));
                }
                return Err(error.into());
            }
        }
        self.services = services.to_vec();
        Ok(())
    }

    /// The Services that the nodes have.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Gives a node its host ports as they are now, beside its Services.
    pub(super) fn map_host_ports(&mut self, node: usize) -> Result<(), Error> {
        let services = mem::take(&mut self.services);
        let programmed = self.program(node, &services);
        self.services = services;
        Ok(programmed?)
    }

    fn program(&mut self, node: usize, services: &[Service]) -> Result<(), ServiceError> {
        let pod_cidrs = self.ranges.pods_of_node(node);
        let mut addresses = self.nodes[node].addresses.clone();
        addresses.extend(self.gateway_addresses(&self.nodes[node].name));
        let host_ports: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.node == node)
            .flat_map(|(name, pod)| {
                pod.host_ports.iter().map(|port| PodPort {
                    pod: name,
                    addresses: &pod.addresses,
                    port: *port,
                })
            })
            .collect();
        let node = &mut self.nodes[node];
        let proxy = Proxy {
            netns: &node.netns,
            node: &node.name,
            addresses: &addresses,
            pod_cidrs: &pod_cidrs,
            host_ports: &host_ports,
        };
        service::program(&proxy, services, &mut node.proxied)
    }

    fn prepare(&mut self, probes: &[Probe]) -> Result<(), Error> {
        let pairs: Vec<_> = self.pairs(probes).collect();
        self.acquaint(pairs)
    }

    /// Who talks to which addresses.
    fn pairs<'p>(&self, probes: &'p [Probe]) -> impl Iterator<Item = (&'p Place, IpAddr)> {
        probes.iter().flat_map(|probe| {
            let to = std::iter::once(probe.to).chain(self.endpoints(probe));
            to.map(|to| (&probe.from, to))
        })
    }

    /// Who may answer in the end, where the probe goes to a Service: they answer the client directly
    /// if they share its bridge.
    fn endpoints(&self, probe: &Probe) -> impl Iterator<Item = IpAddr> {
        let (to, number) = (probe.to, probe.port);
        self.services.iter().flat_map(move |service| {
            let by_address = service.cluster_ips.contains(&to);
            service
                .ports
                .iter()
                .filter(move |port| by_address || port.node_port == Some(number))
                .flat_map(|port| &port.endpoints)
                .map(|endpoint| endpoint.address.ip())
        })
    }
}
