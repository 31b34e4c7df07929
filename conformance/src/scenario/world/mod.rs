//! What exists at one moment of a scenario, as far as the file says: no addresses, no verdicts.
//!
//! The objects are the Kubernetes objects that a back end creates. The checker moves a [`World`]
//! from step to step, and so knows at every step who is there, who listens where, and what would
//! come of a connection [if there were no policies](World::without_policies).

mod kubernetes;
mod object;
mod workload;

use std::collections::BTreeMap;

pub(crate) use self::{
    kubernetes::{PodParts, namespace_object, node_object, pod_object, service_object},
    object::labels_of,
};
pub use self::{
    object::{
        AddressChoice, External, Named, Namespace, Node, ObjectName, Phase, Pod, Service,
        ServicePort,
    },
    workload::{NotAWorkload, pods_of},
};
use super::text::{endpoint::Selector, flow::PortSelector};
use crate::cell::{Cell, Endpoint, Outcome, Port, Protocol};

/// All objects a connection can depend on, except policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// By name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// By namespace and name.
    pub pods: BTreeMap<ObjectName, Pod>,
    /// By namespace and name.
    pub services: BTreeMap<ObjectName, Service>,
    /// Machines outside the cluster, by name.
    pub externals: BTreeMap<String, External>,
}

/// A pod behind a Service, with the port that the Service's `targetPort` means for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backing {
    /// The pod.
    pub pod: ObjectName,
    /// The port on the pod.
    pub port: Port,
}

impl World {
    /// The endpoints a selector means now. Pods that do not run are among them; a headless Service
    /// is its pods (semantics 185).
    pub fn select(&self, selector: &Selector) -> Vec<Endpoint> {
        let pod = |name: &ObjectName| Endpoint::Pod {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        };
        match selector {
            Selector::Pods { namespace, name } => self
                .pods
                .iter()
                .filter(|(key, value)| {
                    namespace.matches(&key.namespace)
                        && (name.matches(&key.name)
                            || value.workload.as_deref().is_some_and(|w| name.matches(w)))
                })
                .map(|(key, _)| pod(key))
                .collect(),
            Selector::Labelled { namespace, labels } => self
                .pods
                .iter()
                .filter(|(key, value)| {
                    namespace.matches(&key.namespace)
                        && labels.iter().all(|(k, v)| value.labels().get(k) == Some(v))
                })
                .map(|(key, _)| pod(key))
                .collect(),
            Selector::Node(name) => self
                .nodes
                .keys()
                .filter(|key| name.matches(key))
                .map(|key| Endpoint::Node(key.clone()))
                .collect(),
            Selector::External(name) => self
                .externals
                .keys()
                .filter(|key| name.matches(key))
                .map(|key| Endpoint::External(key.clone()))
                .collect(),
            Selector::Service { namespace, name } => self
                .services
                .iter()
                .filter(|(key, _)| namespace.matches(&key.namespace) && name.matches(&key.name))
                .flat_map(|(key, service)| {
                    if service.is_headless() {
                        self.selected_by(service).map(pod).collect()
                    } else {
                        vec![Endpoint::Service {
                            namespace: key.namespace.clone(),
                            name: key.name.clone(),
                        }]
                    }
                })
                .collect(),
            Selector::Localhost => vec![Endpoint::Localhost],
        }
    }

    /// The pod an endpoint is, if it is one.
    pub fn pod(&self, endpoint: &Endpoint) -> Option<&Pod> {
        match endpoint {
            Endpoint::Pod { namespace, name } => self.pods.get(&ObjectName::new(namespace, name)),
            _ => None,
        }
    }

    /// Whether a probe can be sent from there (and answered there): a pod must run.
    pub fn is_running(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Pod { .. } => self.pod(endpoint).is_some_and(Pod::is_running),
            Endpoint::Node(name) => self.nodes.contains_key(name),
            Endpoint::External(name) => self.externals.contains_key(name),
            Endpoint::Service { namespace, name } => self
                .services
                .contains_key(&ObjectName::new(namespace, name)),
            Endpoint::Localhost => true,
        }
    }

    /// Every port an endpoint answers on, with the name it goes by. Pods that do not run answer
    /// nowhere; NodePorts are not among the ports of a node.
    pub fn listening(&self, endpoint: &Endpoint) -> Vec<Named<Port>> {
        match endpoint {
            Endpoint::Pod { .. } => self
                .pod(endpoint)
                .filter(|pod| pod.is_running())
                .map(Pod::listening)
                .unwrap_or_default(),
            Endpoint::Node(name) => self.nodes.get(name).map_or_else(Vec::new, |node| {
                node.listen.iter().copied().map(Named::anonymous).collect()
            }),
            Endpoint::External(name) => self.externals.get(name).map_or_else(Vec::new, |ext| {
                ext.listen.iter().copied().map(Named::anonymous).collect()
            }),
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

    /// Whether somebody answers on just this port; a node also answers on NodePorts.
    pub fn listens(&self, endpoint: &Endpoint, port: Port) -> bool {
        port.protocol == Protocol::Icmp
            || self.listening(endpoint).iter().any(|p| p.value == port)
            || self
                .node_port(endpoint, port)
                .is_some_and(|(service, p)| !self.backings(service, &p).is_empty())
    }

    /// The ports of an endpoint that a flow's port part means, of those it answers on.
    pub fn matching_ports(&self, endpoint: &Endpoint, port: Option<&PortSelector>) -> Vec<Port> {
        let listening = self.listening(endpoint).into_iter();
        let chosen: Vec<Port> = match port {
            None => listening.map(|p| p.value).collect(),
            Some(PortSelector::Number(number, Some(protocol))) => {
                let port = Port {
                    number: Some(*number),
                    protocol: *protocol,
                };
                let answers = self.listens(endpoint, port);
                answers.then_some(port).into_iter().collect()
            }
            Some(PortSelector::Number(number, None)) => {
                let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| Port {
                    number: Some(*number),
                    protocol,
                });
                all.into_iter()
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
        let mut chosen = chosen;
        chosen.sort();
        chosen.dedup();
        chosen
    }

    /// The running pods a Service selects, whatever they listen on.
    pub fn selected_by<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a ObjectName> {
        let selector = service.selector();
        self.pods
            .iter()
            .filter(move |(key, pod)| {
                key.namespace == service.name.namespace
                    && !selector.is_empty()
                    && pod.is_running()
                    && selector.iter().all(|(k, v)| pod.labels().get(k) == Some(v))
            })
            .map(|(key, _)| key)
    }

    /// The pods behind one port of a Service that listen on the port it means for them.
    pub fn backings(&self, service: &Service, port: &ServicePort) -> Vec<Backing> {
        self.selected_by(service)
            .filter_map(|name| {
                let pod = &self.pods[name];
                let target = port.target_on(pod)?;
                let listens = pod.listening().iter().any(|p| p.value == target);
                listens.then(|| Backing {
                    pod: name.clone(),
                    port: target,
                })
            })
            .collect()
    }

    /// The Service that has this port of a node as NodePort.
    fn node_port(&self, endpoint: &Endpoint, port: Port) -> Option<(&Service, ServicePort)> {
        let Endpoint::Node(_) = endpoint else {
            return None;
        };
        self.services.values().find_map(|service| {
            let wanted = |p: &ServicePort| {
                p.node_port == port.number
                    && p.node_port.is_some()
                    && p.port.protocol == port.protocol
            };
            let found = service.ports().into_iter().find(wanted)?;
            Some((service, found))
        })
    }

    /// Who really answers a connection: the pods behind a Service or NodePort, else the
    /// destination itself.
    pub fn targets(&self, destination: &Endpoint, port: Port) -> Vec<Endpoint> {
        let found = match destination {
            Endpoint::Service { namespace, name } => self
                .services
                .get(&ObjectName::new(namespace, name))
                .and_then(|service| {
                    let ports = service.ports();
                    let port = ports.into_iter().find(|p| p.port == port)?;
                    Some((service, port))
                }),
            _ => self.node_port(destination, port),
        };
        match found {
            Some((service, port)) => self
                .backings(service, &port)
                .into_iter()
                .map(|backing| Endpoint::Pod {
                    namespace: backing.pod.namespace,
                    name: backing.pod.name,
                })
                .collect(),
            None => vec![destination.clone()],
        }
    }

    /// Whether no policy may ever stop the connection: a pod and itself (semantics 176), a node
    /// and its own pods (164, 165), nodes, hostNetwork pods and the outside among each other
    /// (171, 172).
    pub fn is_always_allowed(&self, cell: &Cell) -> bool {
        let targets = self.targets(&cell.destination, cell.port);
        !targets.is_empty()
            && targets
                .iter()
                .all(|target| self.is_exempt(&cell.source, target))
    }

    fn is_exempt(&self, source: &Endpoint, target: &Endpoint) -> bool {
        let is_host = |e: &Endpoint| match e {
            Endpoint::Node(_) => true,
            _ => self.pod(e).is_some_and(Pod::is_host_network),
        };
        let is_outside = |e: &Endpoint| matches!(e, Endpoint::External(_));
        let node = |e: &Endpoint| match e {
            Endpoint::Node(name) => Some(name.clone()),
            _ => self.pod(e).map(|pod| pod.node().to_owned()),
        };
        source == target
            || ((is_host(source) || is_outside(source)) && (is_host(target) || is_outside(target)))
            || ((is_host(source) || is_host(target))
                && node(source).is_some()
                && node(source) == node(target))
    }

    /// What comes of a connection if there are no policies; nothing where the file cannot tell
    /// (a destination that does not run).
    pub fn without_policies(&self, cell: &Cell) -> Option<Outcome> {
        if !self.is_running(&cell.source) || !self.is_running(&cell.destination) {
            return None;
        }
        Some(if self.listens(&cell.destination, cell.port) {
            Outcome::Allowed
        } else {
            Outcome::Refused
        })
    }
}
