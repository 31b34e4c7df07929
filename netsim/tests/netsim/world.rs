//! A small cluster that has one of everything.
//!
//! | place | where |
//! |---|---|
//! | `x/a`, `x/b` | node n1 |
//! | `y/c` | node n2 |
//! | `y/host` | the namespace of node n2 |
//! | `node/n1`, `node/n2` | themselves |
//! | `ext/internet` | outside |

use std::{net::IpAddr, time::Duration};

use netsim::{
    Cluster, Fabric, Families, Listen, Place, PodSpec, Protocol, Topology,
    probe::{Answer, Outcome, Probe},
};

/// Everybody listens here; the host-network pod, which shares a namespace, on [`HOST_PORT`].
pub(crate) const PORT: u16 = 80;
pub(crate) const HOST_PORT: u16 = 8080;

/// Long enough for a busy machine; only failures wait so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// How long silence is listened to.
pub(crate) const SILENCE: Duration = Duration::from_millis(200);

pub(crate) const FABRICS: [Fabric; 2] = [Fabric::Bridge, Fabric::Routed];
pub(crate) const FAMILIES: [Families; 3] = [Families::Ipv4, Families::Ipv6, Families::Dual];

pub(crate) fn pod(name: &str) -> Place {
    Place::Pod(name.into())
}

pub(crate) fn node(name: &str) -> Place {
    Place::Node(name.into())
}

pub(crate) fn external(name: &str) -> Place {
    Place::External(name.into())
}

/// TCP, UDP and SCTP on a port.
pub(crate) fn ports(port: u16) -> Vec<Listen> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .map(|protocol| Listen { port, protocol })
        .collect()
}

pub(crate) fn spec(name: &str, node: &str) -> PodSpec {
    PodSpec {
        name: name.into(),
        node: node.into(),
        listen: ports(PORT),
        ..PodSpec::default()
    }
}

pub(crate) fn world(fabric: Fabric, families: Families) -> Cluster {
    let mut cluster = Cluster::build(&Topology {
        families,
        fabric,
        nodes: vec!["n1".into(), "n2".into()],
        externals: vec!["internet".into()],
    })
    .unwrap();
    let host = PodSpec {
        host_network: true,
        listen: ports(HOST_PORT),
        ..spec("y/host", "n2")
    };
    cluster
        .add_pods(vec![
            spec("x/a", "n1"),
            spec("x/b", "n1"),
            spec("y/c", "n2"),
            host,
        ])
        .unwrap();
    for place in [node("n1"), node("n2"), external("internet")] {
        cluster.listen(&place, &ports(PORT)).unwrap();
    }
    cluster
}

/// Everybody in it, and the port they listen on.
pub(crate) fn everybody() -> Vec<(Place, u16)> {
    vec![
        (pod("x/a"), PORT),
        (pod("x/b"), PORT),
        (pod("y/c"), PORT),
        (pod("y/host"), HOST_PORT),
        (node("n1"), PORT),
        (node("n2"), PORT),
        (external("internet"), PORT),
    ]
}

pub(crate) fn addresses(cluster: &Cluster, place: &Place) -> Vec<IpAddr> {
    match place {
        Place::Pod(name) => cluster.pod_addresses(name),
        Place::Node(name) => cluster.node_addresses(name),
        Place::External(name) => cluster.external_addresses(name),
    }
}

pub(crate) fn tcp(from: &Place, to: IpAddr, port: u16) -> Probe {
    Probe::new(from.clone(), to, port, Protocol::Tcp)
}

/// One TCP probe that is expected to arrive.
pub(crate) fn reaches(cluster: &mut Cluster, from: &Place, to: IpAddr) -> Answer {
    let answer = ask(cluster, tcp(from, to, PORT), PATIENCE);
    assert_eq!(answer.outcome, Outcome::Allowed, "{from} -> {to}");
    answer
}

/// One TCP probe that must not arrive.
pub(crate) fn misses(cluster: &mut Cluster, from: &Place, to: IpAddr) {
    let answer = ask(cluster, tcp(from, to, PORT), SILENCE);
    assert_ne!(answer.outcome, Outcome::Allowed, "{from} -> {to}");
}

pub(crate) fn ask(cluster: &mut Cluster, probe: Probe, patience: Duration) -> Answer {
    let mut answers = cluster.probe(&[probe], patience).unwrap();
    answers.pop().unwrap()
}
