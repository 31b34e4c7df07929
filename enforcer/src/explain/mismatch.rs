//! What about a rule does not match a connection, and which rule came nearest.

use std::{cmp::Reverse, fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::NearMiss;
use crate::{
    cluster::{Cluster, Pod, PodRef},
    plan::Transport,
    policy::{
        Direction, NamespaceScope, Peer, Peers, PortMatch, Ports, Protocol, Requirement, Rule,
        Selector,
    },
};

/// One thing about a rule that does not match. Displayed as a clear line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The rule is about other ports.
    Ports {
        /// What it allows.
        wanted: Vec<PortMatch>,
        /// What was asked for.
        asked: Transport,
    },
    /// The rule names a port that the destination does not have.
    UnknownPort {
        /// The name.
        name: Arc<str>,
        /// In this protocol.
        protocol: Protocol,
        /// The destination; none if it is not a pod, so that no name means anything.
        pod: Option<PodRef>,
    },
    /// The entry is about pods of another namespace.
    Namespace {
        /// The namespace it is about.
        wanted: Arc<str>,
        /// The pod.
        pod: PodRef,
    },
    /// A requirement on the namespace's labels is not met.
    NamespaceLabel {
        /// The requirement.
        requirement: Requirement,
        /// The namespace.
        namespace: Arc<str>,
        /// What it has.
        found: Option<String>,
    },
    /// Nothing is known of the namespace, so that no requirement on its labels is met.
    UnknownNamespace {
        /// The namespace.
        namespace: Arc<str>,
    },
    /// A requirement on the pod's labels is not met.
    PodLabel {
        /// The requirement.
        requirement: Requirement,
        /// The pod.
        pod: PodRef,
        /// What it has.
        found: Option<String>,
    },
    /// The entry is about pods and the address is not a pod's own.
    NotAPod {
        /// The address.
        address: IpAddr,
        /// The hostNetwork pod or the node whose address it is.
        belongs_to: Option<String>,
    },
    /// The address is not in the range.
    OutsideBlock {
        /// The address.
        address: IpAddr,
        /// The range.
        cidr: IpNet,
    },
    /// The entry could not be read, so it matches nobody (semantics 227).
    Unreadable {
        /// Why.
        why: Arc<str>,
    },
    /// The address is in a hole of the range.
    Excepted {
        /// The address.
        address: IpAddr,
        /// The range.
        cidr: IpNet,
        /// The hole.
        except: IpNet,
    },
}

/// A connection as one of its sides sees it.
pub(super) struct Question<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) subject: &'a Pod,
    pub(super) direction: Direction,
    pub(super) peer: IpAddr,
    pub(super) transport: Transport,
}

impl Question<'_> {
    /// Everything that does not match, per entry of the rule's peers; nothing where it allows.
    pub(super) fn ask(&self, rule: &Rule) -> Vec<(Option<usize>, Vec<Mismatch>)> {
        let peers = match &rule.peers {
            Peers::Any => {
                let reasons = self.ports(&rule.ports, self.destination());
                return vec![(None, reasons.into_iter().collect())];
            }
            Peers::OneOf(peers) => peers,
        };
        let ask = |(index, peer): (usize, &Peer)| {
            let mut reasons = self.peer(peer);
            // A range has no pod that could resolve a name (semantics 97).
            let destination = match (peer, self.direction) {
                (Peer::Block { .. }, Direction::Egress) => None,
                _ => self.destination(),
            };
            reasons.extend(self.ports(&rule.ports, destination));
            (Some(index), reasons)
        };
        peers.iter().enumerate().map(ask).collect()
    }

    /// The pod whose container ports give names a number (semantics 91).
    fn destination(&self) -> Option<&Pod> {
        match self.direction {
            Direction::Ingress => Some(self.subject),
            Direction::Egress => self.cluster.owner(self.peer),
        }
    }

    fn peer(&self, peer: &Peer) -> Vec<Mismatch> {
        match peer {
            Peer::Pods { namespaces, pods } => match self.cluster.owner(self.peer) {
                Some(pod) => self.pod(namespaces, pods, pod),
                None => vec![Mismatch::NotAPod {
                    address: self.peer,
                    belongs_to: self.host(),
                }],
            },
            Peer::Block { cidr, except } => self.block(*cidr, except).into_iter().collect(),
            Peer::Unreadable(why) => vec![Mismatch::Unreadable {
                why: Arc::clone(why),
            }],
        }
    }

    fn pod(&self, scope: &NamespaceScope, selector: &Selector, pod: &Pod) -> Vec<Mismatch> {
        let namespace = &pod.reference.namespace;
        let mut reasons = Vec::new();
        match scope {
            NamespaceScope::Named(wanted) if wanted == namespace => {}
            NamespaceScope::Named(wanted) => reasons.push(Mismatch::Namespace {
                wanted: wanted.clone(),
                pod: pod.reference.clone(),
            }),
            NamespaceScope::Matching(selector) => match self.cluster.namespace(namespace) {
                None => reasons.push(Mismatch::UnknownNamespace {
                    namespace: namespace.clone(),
                }),
                Some(found) => {
                    for requirement in selector.requirements() {
                        if !requirement.matches(&found.labels) {
                            reasons.push(Mismatch::NamespaceLabel {
                                requirement: requirement.clone(),
                                namespace: namespace.clone(),
                                found: found.labels.get(key(requirement)).map(Into::into),
                            });
                        }
                    }
                }
            },
        }
        for requirement in selector.requirements() {
            if !requirement.matches(&pod.labels) {
                reasons.push(Mismatch::PodLabel {
                    requirement: requirement.clone(),
                    pod: pod.reference.clone(),
                    found: pod.labels.get(key(requirement)).map(Into::into),
                });
            }
        }
        reasons
    }

    fn block(&self, cidr: IpNet, except: &[IpNet]) -> Option<Mismatch> {
        let address = self.peer;
        if !cidr.contains(&address) {
            return Some(Mismatch::OutsideBlock { address, cidr });
        }
        let hole = except.iter().find(|hole| hole.contains(&address))?;
        Some(Mismatch::Excepted {
            address,
            cidr,
            except: *hole,
        })
    }

    fn ports(&self, ports: &Ports, destination: Option<&Pod>) -> Option<Mismatch> {
        let wanted = match ports {
            Ports::All => return None,
            Ports::OneOf(wanted) => wanted,
        };
        let matches = |entry: &PortMatch| match (entry, self.transport) {
            (PortMatch::Range(protocol, range), Transport::Port(asked, port)) => {
                *protocol == asked && range.contains(port)
            }
            (PortMatch::Named(protocol, name), Transport::Port(asked, port)) => {
                *protocol == asked
                    && destination.and_then(|pod| pod.port_number(*protocol, name)) == Some(port)
            }
            (_, Transport::Other(_)) => false,
        };
        if wanted.iter().any(matches) {
            return None;
        }
        if let [PortMatch::Named(protocol, name)] = wanted.as_slice()
            && destination
                .and_then(|pod| pod.port_number(*protocol, name))
                .is_none()
        {
            return Some(Mismatch::UnknownPort {
                name: name.clone(),
                protocol: *protocol,
                pod: destination.map(|pod| pod.reference.clone()),
            });
        }
        Some(Mismatch::Ports {
            wanted: wanted.clone(),
            asked: self.transport,
        })
    }

    /// Whose address the peer's is, if it is not a pod's own.
    fn host(&self) -> Option<String> {
        let node = self
            .cluster
            .nodes()
            .find(|node| node.addresses.contains(&self.peer));
        if let Some(node) = node {
            return Some(format!("node {}", node.name));
        }
        self.cluster
            .pods()
            .find(|pod| pod.host_network && pod.addresses.contains(&self.peer))
            .map(|pod| format!("the host of {}", pod.reference))
    }
}

/// The label that a requirement is about.
fn key(requirement: &Requirement) -> &str {
    match requirement {
        Requirement::In(key, _)
        | Requirement::NotIn(key, _)
        | Requirement::Exists(key)
        | Requirement::DoesNotExist(key) => key,
    }
}

/// The nearest of many misses.
#[derive(Default)]
pub(super) struct Misses {
    nearest: Option<NearMiss>,
}

impl Misses {
    /// Keeps the nearer one; the first of equals.
    pub(super) fn add(&mut self, miss: NearMiss) {
        let is_nearer = self
            .nearest
            .as_ref()
            .is_none_or(|nearest| distance(&miss) < distance(nearest));
        if is_nearer {
            self.nearest = Some(miss);
        }
    }

    pub(super) fn nearest(self) -> Option<NearMiss> {
        self.nearest
    }
}

/// How far a rule is from allowing: a wrong port alone is nearest, then wrong labels (the fewer and
/// the less about namespaces the nearer), then a hole in a range (narrow ranges first), then what
/// is about something else altogether.
fn distance(miss: &NearMiss) -> (u32, Reverse<u8>) {
    let mut total = 0;
    let mut prefix = 0;
    for reason in &miss.reasons {
        total += match reason {
            Mismatch::Ports { .. } => 1,
            Mismatch::UnknownPort { .. } => 2,
            Mismatch::PodLabel { .. } => 10,
            Mismatch::NamespaceLabel { .. } => 11,
            Mismatch::Namespace { .. } | Mismatch::UnknownNamespace { .. } => 15,
            Mismatch::Excepted { .. } => 12,
            Mismatch::Unreadable { .. } => 20,
            Mismatch::OutsideBlock { .. } => 40,
            Mismatch::NotAPod { .. } => 60,
        };
        if let Mismatch::Excepted { cidr, .. } | Mismatch::OutsideBlock { cidr, .. } = reason {
            prefix = cidr.prefix_len();
        }
    }
    (total, Reverse(prefix))
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports { wanted, .. } if wanted.is_empty() => {
                f.write_str("none of its ports can be read")
            }
            Self::Ports { wanted, asked } => {
                let wanted: Vec<_> = wanted.iter().map(port_text).collect();
                write!(
                    f,
                    "it allows {}, not {}",
                    wanted.join(", "),
                    transport_text(*asked)
                )
            }
            Self::UnknownPort {
                name,
                protocol,
                pod: Some(pod),
            } => write!(f, "{pod} has no {protocol} port named `{name}`"),
            Self::UnknownPort {
                name, pod: None, ..
            } => write!(
                f,
                "the port name `{name}` means nothing for an address that is not matched as a pod"
            ),
            Self::Namespace { wanted, pod } => write!(
                f,
                "it is about pods of namespace {wanted}, and {pod} is in {}",
                pod.namespace
            ),
            Self::NamespaceLabel {
                requirement,
                namespace,
                found,
            } => {
                let found = found_text(requirement, found.as_deref());
                write!(
                    f,
                    "it wants namespaces with {}, and {namespace} has {found}",
                    requirement_text(requirement)
                )
            }
            Self::UnknownNamespace { namespace } => {
                write!(f, "nothing is known of the labels of namespace {namespace}")
            }
            Self::PodLabel {
                requirement,
                pod,
                found,
            } => {
                let found = found_text(requirement, found.as_deref());
                write!(
                    f,
                    "it wants pods with {}, and {pod} has {found}",
                    requirement_text(requirement)
                )
            }
            Self::NotAPod {
                address,
                belongs_to: Some(host),
            } => write!(
                f,
                "it is about pods, and {address} is the address of {host}: only an ipBlock or a rule without peers matches it"
            ),
            Self::NotAPod {
                address,
                belongs_to: None,
            } => write!(f, "it is about pods, and {address} is not a pod's"),
            Self::Unreadable { why } => write!(f, "it cannot be read: {why}"),
            Self::OutsideBlock { address, cidr } => write!(f, "{address} is not in {cidr}"),
            Self::Excepted {
                address,
                cidr,
                except,
            } => write!(f, "{address} is in {cidr} but in its except {except}"),
        }
    }
}

fn port_text(entry: &PortMatch) -> String {
    match entry {
        PortMatch::Range(protocol, range) if range.first() == 0 => format!("{protocol}"),
        PortMatch::Range(protocol, range) => format!("{protocol} {range}"),
        PortMatch::Named(protocol, name) => format!("{protocol} `{name}`"),
    }
}

fn transport_text(transport: Transport) -> String {
    match transport {
        Transport::Port(protocol, port) => format!("{protocol} {port}"),
        Transport::Other(1) => "ICMP".to_owned(),
        Transport::Other(58) => "ICMPv6".to_owned(),
        Transport::Other(number) => format!("protocol {number}"),
    }
}

fn requirement_text(requirement: &Requirement) -> String {
    match requirement {
        Requirement::In(key, values) => match values.as_slice() {
            [value] => format!("{key}={value}"),
            values => format!("{key} in ({})", values.join(", ")),
        },
        Requirement::NotIn(key, values) => format!("{key} not in ({})", values.join(", ")),
        Requirement::Exists(key) => format!("the label {key}"),
        Requirement::DoesNotExist(key) => format!("no label {key}"),
    }
}

fn found_text(requirement: &Requirement, found: Option<&str>) -> String {
    match found {
        Some(value) => format!("{}={value}", key(requirement)),
        None => format!("no label {}", key(requirement)),
    }
}
