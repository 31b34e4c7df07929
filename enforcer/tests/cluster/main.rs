//! The index: sequences of events in, look-ups out.

mod addresses;
mod interleaving;
mod namespaces;
mod nodes;
mod pods;
mod policies;

use enforcer::{
    cluster::{Cluster, Event, Labels, Namespace, Node, Phase, Pod, PodRef},
    policy::{Direction, NamespaceScope, Order, Policy, PolicyRef, Selector, Subject, Tier},
};

fn mk_cluster(events: impl IntoIterator<Item = Event>) -> Cluster {
    let mut cluster = Cluster::default();
    for event in events {
        cluster.handle(event);
    }
    cluster
}

/// A running pod on node `n1` without labels, older than nothing.
fn mk_pod(name: &str, addresses: &[&str]) -> Pod {
    let reference: PodRef = name.parse().expect("namespace/name");
    Pod {
        uid: format!("uid-of-{name}").into(),
        reference,
        created: 0,
        labels: Labels::default(),
        node: Some("n1".into()),
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect(),
        host_network: false,
        phase: Phase::Running,
        ports: Vec::new(),
    }
}

fn mk_namespace(name: &str, labels: &[(&'static str, &'static str)]) -> Namespace {
    Namespace {
        name: name.into(),
        labels: Labels::from_iter(labels.iter().copied()),
    }
}

fn mk_node(name: &str, address: &str) -> Node {
    Node {
        name: name.into(),
        labels: Labels::default(),
        addresses: vec![address.parse().expect("an address")],
        pod_cidrs: Vec::new(),
    }
}

/// A policy that isolates its whole namespace for ingress.
fn mk_policy(namespace: &str, name: &str) -> (PolicyRef, Vec<Policy>) {
    let origin = PolicyRef::network_policy(namespace, name);
    let policy = Policy {
        origin: origin.clone(),
        subject: Subject {
            namespaces: NamespaceScope::Named(namespace.into()),
            pods: Selector::EVERYTHING,
        },
        direction: Direction::Ingress,
        tier: Tier::NetworkPolicy,
        order: Order::UNORDERED,
        rules: Vec::new(),
        broken: None,
    };
    (origin, vec![policy])
}

/// The name of the pod that owns an address.
fn owner(cluster: &Cluster, address: &str) -> Option<String> {
    cluster
        .owner(address.parse().expect("an address"))
        .map(|pod| pod.reference.to_string())
}
