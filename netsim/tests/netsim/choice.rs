//! Services that choose an endpoint in a particular way, and ports of nodes that lead to pods.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use netsim::{
    Cluster, Fabric, Families, HostPort, Listen, Place, PodSpec, Protocol,
    cluster::Error,
    probe::{Answer, Outcome, Probe},
    service::{Endpoint, Service, ServicePort},
};

use crate::{
    Test,
    world::{FABRICS, PATIENCE, PORT, SILENCE, ask, external, node, pod, spec, tcp, world},
};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
const FRONT: u16 = 8000;
const NODE_PORT: u16 = 30_080;
const HOST_PORT: u16 = 8081;
const LONG: Duration = Duration::from_secs(10_800);

pub(crate) fn tests() -> Vec<Test> {
    [
        ("internal_traffic_stays_on_the_node", internal_local as fn()),
        (
            "internal_local_is_not_about_node_ports",
            internal_local_outside,
        ),
        ("a_client_returns_to_its_endpoint", affinity),
        (
            "a_client_returns_while_other_endpoints_come_and_go",
            affinity_lasts,
        ),
        ("a_client_that_stays_away_is_forgotten", affinity_ends),
        ("udp_leaves_an_endpoint_that_is_gone", udp_endpoint),
        ("udp_leaves_for_a_service_that_comes", udp_service),
        ("a_host_port_leads_to_its_pod", host_port),
        ("a_host_port_goes_with_its_pod", host_port_goes),
        ("a_host_port_that_is_taken_is_an_error", host_port_taken),
        ("a_chosen_port_can_be_strange_again", forget),
    ]
    .map(|(name, test)| (format!("choice::{name}"), test))
    .into()
}

/// A Service of all protocols in front of pods and the nodes they are on.
fn service(cluster: &Cluster, pods: &[(&str, &str)]) -> Service {
    let endpoints: Vec<_> = pods
        .iter()
        .flat_map(|(pod, node)| {
            let addresses = cluster.pod_addresses(pod).into_iter();
            addresses.map(|address| Endpoint {
                address: SocketAddr::new(address, PORT),
                node: (*node).into(),
            })
        })
        .collect();
    let port = |protocol| ServicePort {
        port: FRONT,
        protocol,
        node_port: Some(NODE_PORT),
        endpoints: endpoints.clone(),
    };
    Service {
        name: "x/web".into(),
        cluster_ips: vec![
            "10.96.0.7".parse().unwrap(),
            "fd00:10:96::7".parse().unwrap(),
        ],
        ports: PROTOCOLS.map(port).into(),
        ..Service::default()
    }
}

/// What becomes of a probe of each protocol to each address.
fn ask_all(cluster: &mut Cluster, from: &Place, to: &[IpAddr], port: u16) -> Vec<Answer> {
    let mut probes = Vec::new();
    for address in to {
        for protocol in PROTOCOLS {
            probes.push(Probe {
                protocol,
                ..tcp(from, *address, port)
            });
        }
    }
    cluster.probe(&probes, SILENCE).unwrap()
}

fn outcomes(answers: &[Answer]) -> Vec<Outcome> {
    answers.iter().map(|answer| answer.outcome).collect()
}

/// Who answered, all of them together.
fn servers(answers: &[Answer]) -> BTreeSet<String> {
    let served_by = |answer: &Answer| answer.served_by.clone().unwrap_or("nobody".into());
    answers.iter().map(served_by).collect()
}

fn only(name: &str) -> BTreeSet<String> {
    [name.to_owned()].into()
}

fn internal_local() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let local = |service| Service {
            internal_local: true,
            ..service
        };
        let web = local(service(&cluster, &[("x/b", "n1"), ("y/c", "n2")]));
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        for (from, expected) in [
            (pod("x/a"), "x/b"),
            (node("n1"), "x/b"),
            (pod("y/c"), "y/c"),
            (pod("y/host"), "y/c"),
        ] {
            for _ in 0..10 {
                let answers = ask_all(&mut cluster, &from, &web.cluster_ips, FRONT);
                assert_eq!(servers(&answers), only(expected), "{from} on {fabric:?}");
            }
        }
        // None here: silence, although there is one elsewhere. None at all: refused.
        for (endpoints, expected) in [
            (&[("y/c", "n2")][..], Outcome::Denied),
            (&[][..], Outcome::Refused),
        ] {
            let web = local(service(&cluster, endpoints));
            cluster.set_services(std::slice::from_ref(&web)).unwrap();
            for from in [pod("x/a"), node("n1")] {
                let answers = ask_all(&mut cluster, &from, &web.cluster_ips, FRONT);
                assert_eq!(outcomes(&answers), [expected; 6], "{from} on {fabric:?}");
            }
        }
    }
}

fn internal_local_outside() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let web = Service {
        internal_local: true,
        ..service(&cluster, &[("y/c", "n2")])
    };
    cluster.set_services(&[web]).unwrap();
    let to = cluster.node_addresses("n1");
    let answers = ask_all(&mut cluster, &external("internet"), &to, NODE_PORT);
    assert_eq!(servers(&answers), only("y/c"));
}

fn affinity() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let web = Service {
            affinity: Some(LONG),
            ..service(&cluster, &[("x/b", "n1"), ("y/c", "n2"), ("x/a", "n1")])
        };
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        let entrance = cluster.node_addresses("n1");
        for (from, to, port) in [
            (pod("x/a"), &web.cluster_ips, FRONT),
            (pod("y/c"), &web.cluster_ips, FRONT),
            (external("internet"), &entrance, NODE_PORT),
        ] {
            let first = ask_all(&mut cluster, &from, to, port);
            for _ in 0..20 {
                let again = ask_all(&mut cluster, &from, to, port);
                for (first, again) in first.iter().zip(again) {
                    assert_eq!(again.outcome, Outcome::Allowed);
                    assert_eq!(again.served_by, first.served_by, "{from} on {fabric:?}");
                }
            }
        }
    }
}

fn affinity_lasts() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let with_affinity = |service| Service {
        affinity: Some(LONG),
        ..service
    };
    let web = with_affinity(service(&cluster, &[("x/b", "n1"), ("y/c", "n2")]));
    cluster.set_services(std::slice::from_ref(&web)).unwrap();
    let to = &web.cluster_ips[..1];
    let ask = |cluster: &mut Cluster| ask_all(cluster, &pod("x/a"), to, FRONT).remove(0);
    let first = ask(&mut cluster).served_by.unwrap();
    let node_of_first = if first == "x/b" { "n1" } else { "n2" };
    for number in 0..10 {
        let other = format!("x/d{number}");
        cluster.add_pod(spec(&other, "n1")).unwrap();
        let endpoints = [(&*other, "n1"), (&*first, node_of_first)];
        let web = with_affinity(service(&cluster, &endpoints));
        cluster.set_services(&[web]).unwrap();
        assert_eq!(ask(&mut cluster).served_by.as_ref(), Some(&first));
    }
    let web = with_affinity(service(&cluster, &[("x/d0", "n1")]));
    cluster.set_services(&[web]).unwrap();
    assert_eq!(ask(&mut cluster).served_by.as_deref(), Some("x/d0"));
}

fn affinity_ends() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let web = Service {
        affinity: Some(Duration::from_millis(20)),
        ..service(&cluster, &[("x/b", "n1"), ("y/c", "n2")])
    };
    cluster.set_services(std::slice::from_ref(&web)).unwrap();
    let mut seen = BTreeSet::new();
    let start = std::time::Instant::now();
    while seen.len() < 2 {
        assert!(start.elapsed() < PATIENCE * 4, "{seen:?}");
        let to = &web.cluster_ips[..1];
        seen.extend(servers(&ask_all(&mut cluster, &pod("x/a"), to, FRONT)));
        let (_keep, nothing) = std::sync::mpsc::channel::<()>();
        nothing.recv_timeout(Duration::from_millis(60)).unwrap_err();
    }
}

/// A probe from a chosen port is the same connection again.
fn from_one_port(to: IpAddr, port: u16) -> Probe {
    Probe {
        protocol: Protocol::Udp,
        source_port: Some(4_000),
        ..tcp(&pod("x/a"), to, port)
    }
}

fn udp_endpoint() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let before = service(&cluster, &[("x/b", "n1")]);
        let after = service(&cluster, &[("y/c", "n2")]);
        let both = service(&cluster, &[("x/b", "n1"), ("y/c", "n2")]);
        for front in [before.cluster_ips[0], before.cluster_ips[1]] {
            // As long as there is the old endpoint the connection keeps to it.
            for (services, expected) in [(&before, "x/b"), (&both, "x/b"), (&after, "y/c")] {
                cluster
                    .set_services(std::slice::from_ref(services))
                    .unwrap();
                for _ in 0..3 {
                    let answer = ask(&mut cluster, from_one_port(front, FRONT), PATIENCE);
                    assert_eq!(answer.served_by.as_deref(), Some(expected));
                }
            }
        }
    }
}

fn udp_service() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let none = service(&cluster, &[]);
    let some = service(&cluster, &[("y/c", "n2")]);
    let front = none.cluster_ips[0];
    for (services, expected) in [
        (vec![], None),
        (vec![none], None),
        (vec![some], Some("y/c")),
        (vec![], None),
    ] {
        cluster.set_services(&services).unwrap();
        let answer = ask(&mut cluster, from_one_port(front, FRONT), SILENCE);
        assert_eq!(answer.served_by.as_deref(), expected, "{services:?}");
    }
}

fn with_host_ports(name: &str) -> PodSpec {
    PodSpec {
        host_ports: PROTOCOLS
            .map(|protocol| HostPort {
                port: HOST_PORT,
                protocol,
                pod_port: PORT,
            })
            .into(),
        ..spec(name, "n2")
    }
}

fn host_port() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        cluster.add_pod(with_host_ports("x/web")).unwrap();
        let to = cluster.node_addresses("n2");
        for from in [
            pod("x/a"),
            pod("y/c"),
            pod("x/web"),
            node("n1"),
            node("n2"),
            external("internet"),
        ] {
            let answers = ask_all(&mut cluster, &from, &to, HOST_PORT);
            assert_eq!(servers(&answers), only("x/web"), "{from} on {fabric:?}");
            // A pod that reaches itself sees its node; nobody else is masqueraded.
            let own: Vec<IpAddr> = match &from {
                Place::Pod(name) => cluster.pod_addresses(name),
                Place::External(name) => cluster.external_addresses(name),
                Place::Node(_) => continue,
            };
            for answer in answers {
                let seen = answer.source_seen.unwrap().ip();
                assert_eq!(own.contains(&seen), from != pod("x/web"), "{from}: {seen}");
            }
        }
        // Other nodes have no such port.
        let to = cluster.node_addresses("n1");
        let answers = ask_all(&mut cluster, &external("internet"), &to, HOST_PORT);
        assert_eq!(outcomes(&answers), [Outcome::Refused; 6]);
    }
}

fn host_port_goes() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let to = cluster.node_addresses("n2");
    for name in ["x/web", "x/heir"] {
        cluster.add_pod(with_host_ports(name)).unwrap();
        for address in &to {
            // Also of UDP, although the kernel remembers the pod before.
            let answer = ask(&mut cluster, from_one_port(*address, HOST_PORT), PATIENCE);
            assert_eq!(answer.served_by.as_deref(), Some(name));
        }
        let answers = ask_all(&mut cluster, &pod("x/a"), &to, HOST_PORT);
        assert_eq!(servers(&answers), only(name));
        cluster.remove_pod(name).unwrap();
        let answers = ask_all(&mut cluster, &pod("x/a"), &to, HOST_PORT);
        assert_eq!(outcomes(&answers), [Outcome::Refused; 6]);
    }
}

fn host_port_taken() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    cluster.add_pod(with_host_ports("x/web")).unwrap();
    let before: Vec<_> = cluster.pod_names().map(str::to_owned).collect();
    let error = cluster.add_pod(with_host_ports("x/other")).unwrap_err();
    assert!(matches!(error, Error::Service(_)), "{error:?}");
    assert_eq!(cluster.pod_names().collect::<Vec<_>>(), before);
    // It shares the ports of its node: there is nothing to lead to it.
    let host = PodSpec {
        host_network: true,
        listen: vec![Listen {
            port: 9_000,
            protocol: Protocol::Tcp,
        }],
        ..with_host_ports("x/host")
    };
    cluster.add_pod(host).unwrap();
    let to = cluster.node_addresses("n2");
    let answers = ask_all(&mut cluster, &pod("x/a"), &to, HOST_PORT);
    assert_eq!(servers(&answers), only("x/web"));
}

fn forget() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let to = cluster.pod_addresses("y/c")[0];
    let probe = from_one_port(to, PORT);
    let other = Probe {
        source_port: Some(4_001),
        ..probe.clone()
    };
    for probe in [&probe, &other] {
        let answer = ask(&mut cluster, probe.clone(), PATIENCE);
        assert_eq!(answer.outcome, Outcome::Allowed);
    }
    let known = |cluster: &Cluster, port: &str| {
        let known = cluster.dump("n1").unwrap().conntrack;
        known.iter().any(|line| line.contains(port))
    };
    assert!(known(&cluster, "sport 4000"));
    cluster.forget_connections(&[probe]).unwrap();
    assert!(!known(&cluster, "sport 4000"));
    assert!(known(&cluster, "sport 4001"));
}
