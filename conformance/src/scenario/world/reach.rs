//! Who answers a connection, as far as the file says, if no policy is in its way.
//!
//! A connection to a Service, a NodePort or a host port ends at a pod; one to localhost ends at its
//! source. Start at [`World::targets`] and [`World::without_policies`].

use super::{Named, ObjectName, Pod, Service, ServicePort, World};
use crate::{
    cell::{Cell, Endpoint, Outcome, Port, Protocol},
    scenario::text::flow::PortSelector,
};

/// A pod behind a Service, with the port that the Service's `targetPort` means for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backing {
    /// The pod.
    pub pod: ObjectName,
    /// The port on the pod.
    pub port: Port,
}

/// A Service at one of its ports, and how it was dialled.
struct Dialled<'a> {
    service: &'a Service,
    port: ServicePort,
    /// The node of whose port it was dialled; nothing at its ClusterIP.
    node: Option<&'a str>,
}

impl World {
    /// The one to whom a connection goes by what it dials: the source itself for localhost.
    pub fn dialled<'a>(&self, source: &'a Endpoint, destination: &'a Endpoint) -> &'a Endpoint {
        match destination {
            Endpoint::Localhost => source,
            other => other,
        }
    }

    /// Every port an endpoint answers on, with the name it goes by. Pods that do not run answer
    /// nowhere; NodePorts and host ports are not among the ports of a node, and localhost has none
    /// of its own.
    pub fn listening(&self, endpoint: &Endpoint) -> Vec<Named<Port>> {
        let anonymous = |listen: &[Port]| listen.iter().copied().map(Named::anonymous).collect();
        match endpoint {
            Endpoint::Pod { .. } => self
                .pod(endpoint)
                .filter(|pod| pod.is_running())
                .map(Pod::listening)
                .unwrap_or_default(),
            Endpoint::Node(name) => self
                .nodes
                .get(name)
                .map_or_else(Vec::new, |node| anonymous(&node.listen)),
            Endpoint::External(name) => self
                .externals
                .get(name)
                .map_or_else(Vec::new, |external| anonymous(&external.listen)),
            Endpoint::Service { namespace, name } => {
                let Some(service) = self.services.get(&ObjectName::new(namespace, name)) else {
                    return Vec::new();
                };
                let answering = service
                    .ports()
                    .into_iter()
                    .filter(|port| !self.backings(service, port).is_empty());
                answering
                    .map(|port| Named {
                        name: port.name,
                        value: port.port,
                    })
                    .collect()
            }
            Endpoint::Localhost => Vec::new(),
        }
    }

    /// Whether somebody answers on just this port; a node also answers on NodePorts and host ports.
    pub fn listens(&self, endpoint: &Endpoint, port: Port) -> bool {
        port.protocol == Protocol::Icmp
            || self.listening(endpoint).iter().any(|p| p.value == port)
            || self.host_port(endpoint, port).is_some()
            || self
                .node_port(endpoint, port)
                .is_some_and(|dialled| !self.backings(dialled.service, &dialled.port).is_empty())
    }

    /// The ports of an endpoint that a flow's port part means, of those it answers on.
    pub fn matching_ports(&self, endpoint: &Endpoint, port: Option<&PortSelector>) -> Vec<Port> {
        let listening = self.listening(endpoint).into_iter();
        let numbered = |number: u16, protocol: Protocol| Port {
            number: Some(number),
            protocol,
        };
        let mut chosen: Vec<Port> = match port {
            None => listening.map(|p| p.value).collect(),
            Some(PortSelector::Number(number, protocol)) => {
                let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
                all.into_iter()
                    .filter(|other| protocol.is_none_or(|it| it == *other))
                    .map(|protocol| numbered(*number, protocol))
                    .filter(|port| self.listens(endpoint, *port))
                    .collect()
            }
            Some(PortSelector::Protocol(Protocol::Icmp)) => vec![Port {
                number: None,
                protocol: Protocol::Icmp,
            }],
            Some(PortSelector::Protocol(protocol)) => listening
                .map(|p| p.value)
                .filter(|p| p.protocol == *protocol)
                .collect(),
            Some(PortSelector::Name(name)) => listening
                .filter(|p| p.name.as_ref() == Some(name))
                .map(|p| p.value)
                .collect(),
        };
        chosen.sort();
        chosen.dedup();
        chosen
    }

    /// The running pods a Service selects, whatever they listen on. Those that are to end serve only
    /// while there are no others.
    pub fn selected_by<'a>(&'a self, service: &'a Service) -> Vec<&'a Pod> {
        let selector = service.selector();
        let running = self.pods.values().filter(|pod| {
            pod.name.namespace == service.name.namespace
                && !selector.is_empty()
                && pod.is_running()
                && selector.iter().all(|(k, v)| pod.labels().get(k) == Some(v))
        });
        let (ending, ready): (Vec<_>, Vec<_>) = running.partition(|pod| pod.terminating);
        if ready.is_empty() { ending } else { ready }
    }

    /// The pods behind one port of a Service that listen on the port it means for them.
    pub fn backings(&self, service: &Service, port: &ServicePort) -> Vec<Backing> {
        let backing = |pod: &Pod| {
            let target = port.target_on(pod)?;
            pod.listen.contains(&target).then(|| Backing {
                pod: pod.name.clone(),
                port: target,
            })
        };
        let pods = self.selected_by(service).into_iter();
        pods.filter_map(backing).collect()
    }

    /// The Service that has this port of a node as NodePort.
    fn node_port<'a>(&'a self, endpoint: &'a Endpoint, port: Port) -> Option<Dialled<'a>> {
        let Endpoint::Node(node) = endpoint else {
            return None;
        };
        self.services.values().find_map(|service| {
            let wanted = |p: &ServicePort| {
                p.node_port == port.number
                    && p.node_port.is_some()
                    && p.port.protocol == port.protocol
            };
            Some(Dialled {
                service,
                port: service.ports().into_iter().find(wanted)?,
                node: Some(node),
            })
        })
    }

    /// The running pod that has this port of its node as host port, and its own port.
    pub fn host_port(&self, endpoint: &Endpoint, port: Port) -> Option<Backing> {
        let Endpoint::Node(node) = endpoint else {
            return None;
        };
        let pods = self.pods.values();
        let mut here = pods.filter(|pod| pod.node() == node && pod.is_running());
        here.find_map(|pod| {
            let (_, own) = pod
                .host_ports()
                .into_iter()
                .find(|(host, own)| (Some(*host), own.protocol) == (port.number, port.protocol))?;
            pod.listen.contains(&own).then(|| Backing {
                pod: pod.name.clone(),
                port: own,
            })
        })
    }

    /// The port of a Service that a connection dials, if it dials one.
    fn service_port<'a>(&'a self, destination: &'a Endpoint, port: Port) -> Option<Dialled<'a>> {
        match destination {
            Endpoint::Service { namespace, name } => {
                let service = self.services.get(&ObjectName::new(namespace, name))?;
                Some(Dialled {
                    service,
                    port: service.ports().into_iter().find(|p| p.port == port)?,
                    node: None,
                })
            }
            _ => self.node_port(destination, port),
        }
    }

    /// Who really answers a connection: the pods behind a Service, NodePort or host port, else the
    /// one that is dialled. Nobody where a traffic policy of the Service leaves none.
    pub fn targets(&self, source: &Endpoint, destination: &Endpoint, port: Port) -> Vec<Endpoint> {
        let endpoint = |pod: ObjectName| Endpoint::Pod {
            namespace: pod.namespace,
            name: pod.name,
        };
        let destination = self.dialled(source, destination);
        if let Some(dialled) = self.service_port(destination, port) {
            let backings = self.backings(dialled.service, &dialled.port).into_iter();
            let reached = backings.filter(|backing| self.leads_to(source, &dialled, backing));
            return reached.map(|backing| endpoint(backing.pod)).collect();
        }
        match self.host_port(destination, port) {
            Some(backing) => vec![endpoint(backing.pod)],
            None => vec![destination.clone()],
        }
    }

    /// Whether the traffic policies of a Service let this client get to this pod.
    fn leads_to(&self, source: &Endpoint, dialled: &Dialled<'_>, backing: &Backing) -> bool {
        let node = self.pods[&backing.pod].node();
        let own_node = self.node_of(source);
        match dialled.node {
            None => !dialled.service.is_internal_local() || own_node == Some(node),
            // The node itself and its pods reach any pod, as if they had dialled the ClusterIP
            // (semantics 188).
            Some(via) => {
                !dialled.service.is_external_local() || own_node == Some(via) || node == via
            }
        }
    }

    /// The node an endpoint is, or is a pod of.
    fn node_of<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a str> {
        match endpoint {
            Endpoint::Node(name) => Some(name),
            _ => Some(self.pod(endpoint)?.node()),
        }
    }

    /// Whether no policy may ever stop the connection: a pod and itself (semantics 176), a node
    /// and its own pods (164, 165), nodes, hostNetwork pods and the outside among each other
    /// (171, 172).
    pub fn is_always_allowed(&self, cell: &Cell) -> bool {
        let targets = self.targets(&cell.source, &cell.destination, cell.port);
        !targets.is_empty()
            && targets
                .iter()
                .all(|target| self.is_exempt(&cell.source, target))
    }

    /// Whether no policy may stop the connection to some of those who can answer it, while one may
    /// stop it to others: then what comes of it depends on who is picked.
    pub fn is_sometimes_allowed(&self, cell: &Cell) -> bool {
        let targets = self.targets(&cell.source, &cell.destination, cell.port);
        let exempt = targets.iter().filter(|t| self.is_exempt(&cell.source, t));
        let exempt = exempt.count();
        exempt > 0 && exempt < targets.len()
    }

    fn is_exempt(&self, source: &Endpoint, target: &Endpoint) -> bool {
        let is_host = |e: &Endpoint| match e {
            Endpoint::Node(_) => true,
            _ => self.pod(e).is_some_and(Pod::is_host_network),
        };
        let is_outside = |e: &Endpoint| matches!(e, Endpoint::External(_));
        source == target
            || ((is_host(source) || is_outside(source)) && (is_host(target) || is_outside(target)))
            || ((is_host(source) || is_host(target))
                && self.node_of(source).is_some()
                && self.node_of(source) == self.node_of(target))
    }

    /// What comes of a connection if there are no policies; nothing where the file cannot tell
    /// (a destination that does not run).
    pub fn without_policies(&self, cell: &Cell) -> Option<Outcome> {
        if !self.is_running(&cell.source) || !self.is_running(&cell.destination) {
            return None;
        }
        let destination = self.dialled(&cell.source, &cell.destination);
        Some(if !self.listens(destination, cell.port) {
            Outcome::Refused
        } else if self
            .targets(&cell.source, destination, cell.port)
            .is_empty()
        {
            // A traffic policy leaves nobody, and packets are dropped.
            Outcome::Denied
        } else {
            Outcome::Allowed
        })
    }
}
