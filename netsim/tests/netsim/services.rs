//! Services, as the cluster keeps them on all its nodes.

use std::net::{IpAddr, SocketAddr};

use netsim::{
    Cluster, Fabric, Families, Protocol,
    probe::Outcome,
    service::{Endpoint, Service, ServicePort},
};

use crate::{
    Test,
    world::{FABRICS, PATIENCE, PORT, SILENCE, ask, external, node, pod, spec, tcp, world},
};

/// The Service's own port; its pods listen on [`PORT`].
const FRONT: u16 = 8000;
const NODE_PORT: u16 = 30_080;

pub(crate) fn tests() -> Vec<Test> {
    [
        ("everybody_inside_reaches_a_service", inside as fn()),
        ("a_pod_reaches_itself_through_its_service", itself),
        ("a_node_port_leads_to_the_pod", node_port),
        ("clashing_services_change_nothing", clash),
        ("the_pods_behind_a_service_come_and_go", endpoints),
    ]
    .map(|(name, test)| (format!("services::{name}"), test))
    .into()
}

fn addresses(number: u16) -> Vec<IpAddr> {
    vec![
        format!("10.96.0.{number}").parse().unwrap(),
        format!("fd00:10:96::{number}").parse().unwrap(),
    ]
}

/// A Service in front of pods and the nodes they are on.
fn service(cluster: &Cluster, name: &str, number: u16, pods: &[(&str, &str)]) -> Service {
    let endpoints = pods.iter().flat_map(|(pod, node)| {
        let addresses = cluster.pod_addresses(pod);
        addresses.into_iter().map(|address| Endpoint {
            address: SocketAddr::new(address, PORT),
            node: (*node).into(),
        })
    });
    Service {
        name: name.into(),
        cluster_ips: addresses(number),
        ports: vec![ServicePort {
            port: FRONT,
            protocol: Protocol::Tcp,
            node_port: Some(NODE_PORT + number),
            endpoints: endpoints.collect(),
        }],
        ..Service::default()
    }
}

fn inside() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let near = service(&cluster, "x/near", 1, &[("x/b", "n1")]);
        let far = service(&cluster, "y/far", 2, &[("y/c", "n2")]);
        cluster.set_services(&[near, far]).unwrap();
        for from in [
            pod("x/a"),
            pod("y/c"),
            pod("y/host"),
            node("n1"),
            node("n2"),
        ] {
            for (number, server) in [(1, "x/b"), (2, "y/c")] {
                for address in addresses(number) {
                    let answer = ask(&mut cluster, tcp(&from, address, FRONT), PATIENCE);
                    assert_eq!(
                        answer.outcome,
                        Outcome::Allowed,
                        "{from} -> {address}, {fabric:?}"
                    );
                    assert_eq!(answer.served_by.as_deref(), Some(server));
                    if from == pod("x/a") {
                        let seen = answer.source_seen.unwrap().ip();
                        assert!(cluster.pod_addresses("x/a").contains(&seen), "{seen}");
                    }
                }
            }
        }
        // Cluster addresses mean nothing outside.
        let probe = tcp(&external("internet"), addresses(1)[0], FRONT);
        assert_ne!(ask(&mut cluster, probe, SILENCE).outcome, Outcome::Allowed);
    }
}

fn itself() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let own = service(&cluster, "x/own", 1, &[("x/a", "n1")]);
        cluster.set_services(&[own]).unwrap();
        for address in addresses(1) {
            let answer = ask(&mut cluster, tcp(&pod("x/a"), address, FRONT), PATIENCE);
            assert_eq!(answer.outcome, Outcome::Allowed, "{address} on {fabric:?}");
            assert_eq!(answer.served_by.as_deref(), Some("x/a"));
        }
    }
}

fn node_port() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let far = service(&cluster, "y/far", 2, &[("y/c", "n2")]);
        cluster.set_services(&[far]).unwrap();
        for entrance in ["n1", "n2"] {
            for address in cluster.node_addresses(entrance) {
                let probe = tcp(&external("internet"), address, NODE_PORT + 2);
                let answer = ask(&mut cluster, probe, PATIENCE);
                assert_eq!(answer.outcome, Outcome::Allowed, "{address} on {fabric:?}");
                assert_eq!(answer.served_by.as_deref(), Some("y/c"));
            }
        }
    }
}

fn clash() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let good = service(&cluster, "x/good", 1, &[("x/b", "n1")]);
    let other = Service {
        name: "x/other".into(),
        ..good.clone()
    };
    cluster.set_services(std::slice::from_ref(&good)).unwrap();
    cluster.set_services(&[other, good.clone()]).unwrap_err();
    assert_eq!(cluster.services(), [good]);
    let answer = ask(
        &mut cluster,
        tcp(&pod("y/c"), addresses(1)[0], FRONT),
        PATIENCE,
    );
    assert_eq!(answer.outcome, Outcome::Allowed);
}

fn endpoints() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let first = service(&cluster, "x/web", 1, &[("x/b", "n1")]);
    cluster.set_services(&[first]).unwrap();
    cluster.remove_pod("x/b").unwrap();
    cluster
        .set_services(&[service(&cluster, "x/web", 1, &[])])
        .unwrap();
    let probe = tcp(&pod("x/a"), addresses(1)[1], FRONT);
    let none = ask(&mut cluster, probe.clone(), PATIENCE);
    assert_ne!(none.outcome, Outcome::Allowed);
    cluster.add_pod(spec("x/b2", "n2")).unwrap();
    let second = service(&cluster, "x/web", 1, &[("x/b2", "n2")]);
    cluster.set_services(&[second]).unwrap();
    let answer = ask(&mut cluster, probe, PATIENCE);
    assert_eq!(answer.served_by.as_deref(), Some("x/b2"));
}
