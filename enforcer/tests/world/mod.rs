//! Small worlds for tests: pods and policies in one line each.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "every test program uses another part of it"
)]

pub(crate) mod random;

use std::{net::IpAddr, sync::Arc};

use enforcer::{
    cluster::{Cluster, ContainerPort, Event, Labels, Namespace, Node, Phase, Pod, PodRef},
    compile::compile,
    options::Options,
    plan::{Packet, Transport, Verdict},
    policy::{
        Action, Direction, NamespaceScope, Order, Peer, Peers, Policy, PolicyRef, PortMatch,
        PortRange, Ports, Protocol, Requirement, Rule, Selector, Subject, Tier,
    },
};

/// A namespace; its name is a label of it, as everywhere.
pub(crate) fn namespace(name: &str, labels: &[(&str, &str)]) -> Event {
    let own = [("kubernetes.io/metadata.name", name)];
    Event::ApplyNamespace(Namespace {
        name: name.into(),
        labels: own.iter().chain(labels).copied().collect(),
    })
}

pub(crate) fn node(name: &str, addresses: &[&str]) -> Event {
    node_with_ranges(name, addresses, &[])
}

/// A node with ranges for its pods.
pub(crate) fn node_with_ranges(name: &str, addresses: &[&str], ranges: &[&str]) -> Event {
    Event::ApplyNode(Node {
        name: name.into(),
        labels: Labels::default(),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        pod_cidrs: ranges
            .iter()
            .map(|range| range.parse().expect("a CIDR"))
            .collect(),
    })
}

/// A running pod.
pub(crate) fn pod(name: &str, node: &str, addresses: &[&str], labels: &[(&str, &str)]) -> Pod {
    Pod {
        reference: name.parse().expect("namespace/name"),
        uid: name.into(),
        created: 0,
        labels: labels.iter().copied().collect(),
        node: Some(node.into()),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        host_network: false,
        phase: Phase::Running,
        ports: Vec::new(),
    }
}

pub(crate) fn container_port(name: &str, protocol: Protocol, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        protocol,
        port,
    }
}

pub(crate) fn gone(name: &str) -> Event {
    Event::DeletePod(name.parse::<PodRef>().expect("namespace/name"))
}

/// A policy of one direction.
pub(crate) fn policy(name: &str, direction: Direction, pods: Selector, rules: Vec<Rule>) -> Event {
    policies(name, pods, vec![(direction, rules)])
}

/// A policy of several directions.
pub(crate) fn policies(
    name: &str,
    pods: Selector,
    directions: Vec<(Direction, Vec<Rule>)>,
) -> Event {
    let (namespace, object) = name.split_once('/').expect("namespace/name");
    let origin = PolicyRef::network_policy(namespace, object);
    let subject = Subject {
        namespaces: NamespaceScope::Named(namespace.into()),
        pods,
    };
    let lowered = directions.into_iter().map(|(direction, mut rules)| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.index = index;
        }
        Policy {
            origin: origin.clone(),
            subject: subject.clone(),
            direction,
            tier: Tier::NetworkPolicy,
            order: Order::UNORDERED,
            rules,
            broken: None,
        }
    });
    Event::ApplyPolicy(origin.clone(), lowered.collect())
}

pub(crate) fn no_policy(name: &str) -> Event {
    let (namespace, object) = name.split_once('/').expect("namespace/name");
    Event::DeletePolicy(PolicyRef::network_policy(namespace, object))
}

/// Pods with all these labels.
pub(crate) fn with(labels: &[(&str, &str)]) -> Selector {
    Selector::new(
        labels
            .iter()
            .map(|(key, value)| Requirement::In((*key).into(), vec![(*value).into()])),
    )
}

pub(crate) fn allow(peers: Vec<Peer>, ports: Vec<PortMatch>) -> Rule {
    Rule {
        action: Action::Allow,
        peers: if peers.is_empty() {
            Peers::Any
        } else {
            Peers::OneOf(peers)
        },
        ports: if ports.is_empty() {
            Ports::All
        } else {
            Ports::OneOf(ports)
        },
        index: 0,
    }
}

/// Pods of one namespace.
pub(crate) fn pods_in(namespace: &str, pods: Selector) -> Peer {
    Peer::Pods {
        namespaces: NamespaceScope::Named(namespace.into()),
        pods,
    }
}

/// Pods of all namespaces that match.
pub(crate) fn pods_where(namespaces: Selector, pods: Selector) -> Peer {
    Peer::Pods {
        namespaces: NamespaceScope::Matching(namespaces),
        pods,
    }
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> Peer {
    Peer::Block {
        cidr: cidr.parse().expect("a CIDR"),
        except: except
            .iter()
            .map(|hole| hole.parse().expect("a CIDR"))
            .collect(),
    }
}

pub(crate) fn port(protocol: Protocol, port: u16) -> PortMatch {
    PortMatch::Range(protocol, PortRange::single(port))
}

pub(crate) fn ports(protocol: Protocol, first: u16, last: u16) -> PortMatch {
    let range = PortRange::new(first, last).expect("the right way round");
    PortMatch::Range(protocol, range)
}

pub(crate) fn named(protocol: Protocol, name: &str) -> PortMatch {
    PortMatch::Named(protocol, Arc::from(name))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn packet(source: &str, destination: &str, transport: Transport) -> Packet {
    Packet {
        source: ip(source),
        destination: ip(destination),
        transport,
    }
}

pub(crate) fn cluster(events: impl IntoIterator<Item = Event>) -> Cluster {
    let mut cluster = Cluster::default();
    for event in events {
        cluster.handle(event);
    }
    cluster
}

/// What the node of the source and then the node of the destination say.
pub(crate) fn verdict(cluster: &Cluster, packet: &Packet) -> Verdict {
    let node_of = |address| cluster.owner(address).and_then(|pod| pod.node.clone());
    let nodes = [node_of(packet.source), node_of(packet.destination)];
    for node in nodes.iter().flatten() {
        match compile(cluster, node, Options::default()).verdict(packet) {
            Verdict::Allowed => {}
            denied => return denied,
        }
    }
    Verdict::Allowed
}

pub(crate) fn passes(cluster: &Cluster, packet: &Packet) -> bool {
    verdict(cluster, packet) == Verdict::Allowed
}
