//! A random cluster as plain data: everything a verdict can depend on, and nothing else.
//!
//! It reads and prints as JSON, which is how [`shrink`](super::shrink) takes parts away. Addresses
//! follow from a pod's node and host number in the way the simulator gives them out, so that
//! policies can name ranges, and a scenario that replays a world has the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::{Deserialize, Serialize};

use crate::{
    cell::{Cell, Endpoint, Family, Port, Protocol},
    scenario::ObjectName,
};

/// Labels of anything.
pub type Labels = BTreeMap<String, String>;

/// A cluster with its policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Which addresses everything has; not empty.
    pub families: Vec<Family>,
    /// Labels of the nodes, by name; not empty.
    pub nodes: BTreeMap<String, Labels>,
    /// Labels of the namespaces, by name.
    pub namespaces: BTreeMap<String, Labels>,
    /// Pods, by `namespace/name`.
    #[serde(default)]
    pub pods: BTreeMap<String, Pod>,
    /// Whether pods may claim an address that another has, because the news of somebody's end is
    /// late (semantics 158, 159). Only without packets.
    #[serde(default)]
    pub is_late: bool,
    /// Machines outside the cluster.
    #[serde(default)]
    pub externals: BTreeSet<String>,
    /// Services, by `namespace/name`; only where packets are sent.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// Policies as the API server was given them, or holds them from older days.
    #[serde(default)]
    pub policies: Vec<NetworkPolicy>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Its node.
    pub node: String,
    /// Its place in the node's range; two pods of a node have one in common only if all but one of
    /// them have finished.
    pub host: u16,
    /// Whether it has the addresses of its node instead.
    #[serde(default)]
    pub host_network: bool,
    /// How far it has come.
    #[serde(default)]
    pub life: Life,
    /// The ports that its containers declare, container by container.
    #[serde(default)]
    pub containers: Vec<Vec<Declared>>,
    /// Tells a pod from an earlier one of its name.
    #[serde(default)]
    pub born: u32,
    /// When it was created, in seconds since 1970, where that matters.
    #[serde(default)]
    pub created: Option<i64>,
}

/// How far a pod has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// It has no address yet (semantics 40).
    Pending,
    /// It runs.
    #[default]
    Running,
    /// It runs and is told to end (semantics 42).
    Terminating,
    /// It has ended well; its address is free (semantics 39).
    Succeeded,
    /// It has ended badly; its address is free.
    Failed,
}

impl Life {
    /// Whether it can send and answer.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Terminating)
    }

    /// Whether its address may be another's by now.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// What policies can call it.
    #[serde(default)]
    pub name: Option<String>,
    /// 1–65535.
    pub number: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

impl Declared {
    /// The port without its name.
    pub fn port(&self) -> Port {
        Port {
            number: Some(self.number),
            protocol: self.protocol,
        }
    }
}

/// A Service with one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which pods of its namespace are behind it.
    pub selector: Labels,
    /// What clients dial.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port of the pods.
    pub target: Target,
    /// The port of every node that leads to it.
    #[serde(default)]
    pub node_port: Option<u16>,
    /// Whether what comes from outside stays on the node that was dialled.
    #[serde(default)]
    pub external_local: bool,
    /// Whether what comes from inside stays on its node.
    #[serde(default)]
    pub internal_local: bool,
    /// Whether a client stays with the pod it had.
    #[serde(default)]
    pub is_sticky: bool,
}

/// What a Service means on its pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// This port.
    Number(u16),
    /// The port of this name, which may be another on every pod.
    Name(String),
}

impl Target {
    fn is_declared(&self, protocol: Protocol, pod: &Pod) -> bool {
        pod.declared().any(|port| {
            port.protocol == protocol
                && match self {
                    Self::Number(number) => port.number == *number,
                    Self::Name(name) => port.name.as_ref() == Some(name),
                }
        })
    }
}

impl Pod {
    /// All ports of all containers.
    pub fn declared(&self) -> impl Iterator<Item = &Declared> {
        self.containers.iter().flatten()
    }

    /// Whether it lives in a network namespace of its own.
    pub fn is_running_apart(&self) -> bool {
        self.life.is_running() && !self.host_network
    }
}

impl World {
    /// Everybody that can send or answer now.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let running = self.pods.iter().filter(|(_, pod)| pod.life.is_running());
        let pods = running.map(|(name, _)| endpoint(name));
        let nodes = self.nodes.keys().cloned().map(Endpoint::Node);
        let externals = self.externals.iter().cloned().map(Endpoint::External);
        pods.chain(nodes).chain(externals).collect()
    }

    /// The pod an endpoint is, if it is one.
    pub fn pod(&self, endpoint: &Endpoint) -> Option<&Pod> {
        match endpoint {
            Endpoint::Pod { .. } => self.pods.get(&endpoint.to_string()),
            _ => None,
        }
    }

    /// The address of somebody who can send or answer now.
    pub fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        if !self.families.contains(&family) {
            return None;
        }
        match endpoint {
            Endpoint::Pod { .. } => {
                let pod = self.pod(endpoint).filter(|pod| pod.life.is_running())?;
                self.pod_address(pod, family)
            }
            Endpoint::Node(name) => self.node_address(name, family),
            Endpoint::External(name) if self.externals.contains(name) => {
                let number = self.externals.iter().position(|other| other == name)?;
                Some(external_address(number, family))
            }
            // An address that nobody has, by itself.
            Endpoint::External(name) => {
                let address: IpAddr = name.parse().ok()?;
                (address.is_ipv4() == (family == Family::Ipv4)).then_some(address)
            }
            _ => None,
        }
    }

    /// The node that an endpoint is or runs on.
    pub fn node_of<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a str> {
        match endpoint {
            Endpoint::Node(name) => Some(name),
            _ => self.pod(endpoint).map(|pod| pod.node.as_str()),
        }
    }

    /// The address a pod has or had; none before it starts.
    pub fn pod_address(&self, pod: &Pod, family: Family) -> Option<IpAddr> {
        match pod.life {
            Life::Pending => None,
            _ if pod.host_network => self.node_address(&pod.node, family),
            _ => Some(address_of_pod(
                self.node_number(&pod.node)?,
                pod.host,
                family,
            )),
        }
    }

    /// All addresses of a pod.
    pub fn pod_addresses(&self, pod: &Pod) -> Vec<IpAddr> {
        let families = self.families.iter();
        families.filter_map(|f| self.pod_address(pod, *f)).collect()
    }

    /// The addresses of a node.
    pub fn node_addresses(&self, name: &str) -> Vec<IpAddr> {
        let families = self.families.iter();
        families
            .filter_map(|f| self.node_address(name, *f))
            .collect()
    }

    /// The ranges of a node's pods.
    pub fn node_pod_cidrs(&self, name: &str) -> Vec<String> {
        let Some(number) = self.node_number(name) else {
            return Vec::new();
        };
        let range = |family: &Family| {
            let length = match family {
                Family::Ipv4 => 22,
                Family::Ipv6 => 64,
            };
            format!("{}/{length}", address_of_pod(number, 0, *family))
        };
        self.families.iter().map(range).collect()
    }

    /// The pods behind a Service that surely listen.
    pub fn behind<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a String, &'a Pod)> {
        let namespace = name.split('/').next();
        let service = self.services.get(name);
        self.pods.iter().filter(move |(pod_name, pod)| {
            service.is_some_and(|service| {
                pod_name.split('/').next() == namespace
                    && pod.is_running_apart()
                    && service.target.is_declared(service.protocol, pod)
                    && service
                        .selector
                        .iter()
                        .all(|(key, value)| pod.labels.get(key) == Some(value))
            })
        })
    }

    /// Whether a connection goes to a Service that somebody is behind, by its address or by a port
    /// of a node.
    pub fn is_through_service(&self, cell: &Cell) -> bool {
        let mut services = self.services.iter();
        self.address(&cell.source, cell.family).is_some()
            && services.any(|(name, service)| {
                let is_dialled = match &cell.destination {
                    Endpoint::Service { .. } => {
                        cell.destination.to_string() == format!("svc/{name}")
                    }
                    Endpoint::Node(_) => service.node_port == cell.port.number,
                    _ => false,
                };
                is_dialled && self.behind(name).next().is_some()
            })
    }

    /// The world once all news has arrived: of pods that claim one address, the newest is left.
    pub fn settled(&self) -> Self {
        let mut settled = self.clone();
        settled.is_late = false;
        let claims = |pod: &Pod| pod.is_running_apart();
        let is_outdone = |pod: &Pod| {
            self.pods.values().any(|other| {
                claims(other)
                    && (&other.node, other.host) == (&pod.node, pod.host)
                    && (other.created, other.born) > (pod.created, pod.born)
            })
        };
        settled
            .pods
            .retain(|_, pod| !(claims(pod) && is_outdone(pod)));
        settled
    }

    /// Whether nothing refers to what is not there, and no address is two's.
    pub fn is_sound(&self) -> bool {
        let mut taken = BTreeSet::new();
        let pods = self.pods.iter().all(|(name, pod)| {
            let claims = !pod.host_network && !pod.life.is_finished() && pod.life != Life::Pending;
            name.parse::<ObjectName>()
                .is_ok_and(|name| self.namespaces.contains_key(&name.namespace))
                && self.nodes.contains_key(&pod.node)
                && (!claims || taken.insert((&pod.node, pod.host)) || self.is_late)
        });
        let policies = self.policies.iter().all(|policy| {
            let name = ObjectName::of(&policy.metadata);
            self.namespaces.contains_key(&name.namespace) && !name.name.is_empty()
        });
        let services = self.services.keys().all(|name| {
            name.parse::<ObjectName>()
                .is_ok_and(|name| self.namespaces.contains_key(&name.namespace))
        });
        let mut hosts = BTreeSet::new();
        let host_pods = self.pods.values().filter(|pod| pod.host_network);
        pods && policies
            && services
            && !self.families.is_empty()
            && !self.nodes.is_empty()
            && host_pods
                .map(|pod| &pod.node)
                .all(|node| hosts.insert(node))
    }

    fn node_number(&self, name: &str) -> Option<usize> {
        self.nodes.keys().position(|other| other == name)
    }

    fn node_address(&self, name: &str, family: Family) -> Option<IpAddr> {
        let number = self.node_number(name)?;
        // The first is the router's.
        let host = u16::try_from(number + 2).expect("there are few nodes");
        Some(match family {
            Family::Ipv4 => v4([172, 18, 0, 0], host),
            Family::Ipv6 => v6([0xfd00, 0x172, 0x18, 0], host),
        })
    }
}

/// `namespace/name` as an endpoint.
pub fn endpoint(pod: &str) -> Endpoint {
    let (namespace, name) = pod.split_once('/').unwrap_or_default();
    Endpoint::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// The address with this host number in the range of a node's pods.
pub fn address_of_pod(node: usize, host: u16, family: Family) -> IpAddr {
    let node = u16::try_from(node).expect("there are few nodes");
    match family {
        Family::Ipv4 => {
            let third = u8::try_from(node * 4).expect("there are few nodes");
            v4([10, 244, third, 0], host)
        }
        Family::Ipv6 => v6([0xfd00, 0x10, 0x244, node], host),
    }
}

/// The address of the machine with this number outside the cluster.
pub fn external_address(number: usize, family: Family) -> IpAddr {
    let host = u16::try_from(number + 1).expect("there are few machines");
    match family {
        Family::Ipv4 => v4([203, 0, 113, 0], host),
        Family::Ipv6 => v6([0x2001, 0xdb8, 0xffff, 0], host),
    }
}

fn v4(base: [u8; 4], host: u16) -> IpAddr {
    Ipv4Addr::from(u32::from_be_bytes(base) + u32::from(host)).into()
}

fn v6([a, b, c, d]: [u16; 4], host: u16) -> IpAddr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, host).into()
}
