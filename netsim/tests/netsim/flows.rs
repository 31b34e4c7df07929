//! Connections that stay open while the world changes.

use std::time::Duration;

use netsim::{
    Cluster, Fabric, Families, Protocol,
    flow::{Flow, FlowError},
    probe::{Outcome, Probe},
};

use crate::{
    Test,
    barrier::{let_pass, swallow},
    world::{FABRICS, PATIENCE, PORT, SILENCE, pod, tcp, world},
};

const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

pub(crate) fn tests() -> Vec<Test> {
    [
        ("a_flow_exchanges_as_long_as_it_may", exchanges as fn()),
        ("a_flow_feels_a_barrier_and_recovers", barrier),
        ("a_flow_that_is_not_allowed_is_not_opened", not_opened),
        ("a_flow_ends_with_its_server", server_gone),
        ("many_flows_keep_apart", many),
        ("only_tcp_and_udp_have_flows", no_flows),
    ]
    .map(|(name, test)| (format!("flows::{name}"), test))
    .into()
}

fn open(cluster: &mut Cluster, protocol: Protocol, v6: bool) -> Flow {
    let addresses = cluster.pod_addresses("y/c");
    let to = addresses
        .into_iter()
        .find(|address| address.is_ipv6() == v6);
    let probe = Probe {
        protocol,
        ..tcp(&pod("x/a"), to.unwrap(), PORT)
    };
    cluster.open_flow(&probe, PATIENCE).unwrap()
}

fn each(mut test: impl FnMut(&mut Cluster, Protocol, bool)) {
    for fabric in FABRICS {
        for protocol in PROTOCOLS {
            for v6 in [false, true] {
                test(&mut world(fabric, Families::Dual), protocol, v6);
            }
        }
    }
}

fn exchanges() {
    each(|cluster, protocol, v6| {
        let mut flow = open(cluster, protocol, v6);
        assert_eq!(flow.opened().served_by.as_deref(), Some("y/c"));
        let seen = flow.opened().source_seen.unwrap();
        assert!(cluster.pod_addresses("x/a").contains(&seen.ip()));
        for _ in 0..20 {
            assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Allowed);
        }
    });
}

fn barrier() {
    each(|cluster, protocol, v6| {
        let mut flow = open(cluster, protocol, v6);
        let to = cluster.pod_addresses("y/c");
        swallow(cluster, "n1", &to);
        assert_eq!(flow.exchange(SILENCE).unwrap(), Outcome::Denied);
        assert_eq!(flow.exchange(SILENCE).unwrap(), Outcome::Denied);
        let_pass(cluster, "n1", &to);
        // The answers to what was held up come first, and are not taken for this one's.
        assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Allowed);
        assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Allowed);
    });
}

fn not_opened() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let to = cluster.pod_addresses("y/c");
    for (port, expected) in [(81, Outcome::Refused), (PORT, Outcome::Denied)] {
        if expected == Outcome::Denied {
            swallow(&cluster, "n1", &to);
        }
        for protocol in PROTOCOLS {
            for address in &to {
                let probe = Probe {
                    protocol,
                    ..tcp(&pod("x/a"), *address, port)
                };
                let error = cluster.open_flow(&probe, SILENCE).unwrap_err();
                let netsim::cluster::Error::Flow(FlowError::NotAllowed(answer)) = error else {
                    panic!("{error:?}");
                };
                assert_eq!(answer.outcome, expected, "{probe:?}");
            }
        }
    }
}

fn server_gone() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let mut flow = open(&mut cluster, Protocol::Tcp, false);
    cluster.remove_pod("y/c").unwrap();
    assert_ne!(flow.exchange(SILENCE).unwrap(), Outcome::Allowed);
}

fn many() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let mut flows = Vec::new();
    for _ in 0..100 {
        for protocol in PROTOCOLS {
            flows.push(open(&mut cluster, protocol, false));
        }
    }
    for _ in 0..3 {
        for flow in &mut flows {
            assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Allowed);
        }
    }
}

fn no_flows() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let to = cluster.pod_addresses("y/c")[0];
    for protocol in [Protocol::Sctp, Protocol::Icmp] {
        let probe = Probe {
            protocol,
            ..tcp(&pod("x/a"), to, PORT)
        };
        let error = cluster
            .open_flow(&probe, Duration::from_secs(1))
            .unwrap_err();
        let netsim::cluster::Error::Flow(FlowError::NoFlows(refused)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(refused, protocol);
    }
}
