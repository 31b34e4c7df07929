//! What kube-proxy would do: every form of Service, protocol by protocol.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    process::Command,
    time::Duration,
};

use libtest_mimic::Completion;
use netsim::{
    Cluster, Fabric, Families, Place, PodSpec, Protocol,
    probe::{Answer, Outcome, Probe},
    service::{Endpoint, Service, ServicePort},
};

use crate::{
    Test,
    world::{FABRICS, PATIENCE, PORT, SILENCE, ask, external, node, pod, ports, spec, tcp, world},
};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
const FRONT: u16 = 8000;
const NODE_PORT: u16 = 30_080;

pub(crate) fn tests() -> Vec<Test> {
    [
        ("every_protocol_is_rewritten", every_protocol as fn()),
        ("endpoints_share_the_connections", shared),
        ("each_endpoint_has_its_own_port", own_ports),
        ("without_endpoints_it_refuses", unserved),
        ("another_port_of_a_cluster_address_refuses", other_port),
        ("a_node_port_shows_the_nodes_address", node_port_cluster),
        ("a_local_node_port_shows_the_client", node_port_local),
        (
            "inside_a_local_node_port_leads_anywhere",
            node_port_local_inside,
        ),
        ("a_pod_behind_itself_sees_somebody_else", hairpin),
        ("a_flow_survives_its_service", flow),
        ("hundreds_of_services_fit_into_one_transaction", hundreds),
        ("icmp_has_no_service", icmp),
    ]
    .map(|(name, test)| (format!("proxy::{name}"), test))
    .into()
}

/// A Service of all protocols with these endpoints: pod, node, port.
fn service(cluster: &Cluster, endpoints: &[(&str, &str, u16)]) -> Service {
    let endpoints: Vec<_> = endpoints
        .iter()
        .flat_map(|(pod, node, port)| {
            let addresses = cluster.pod_addresses(pod);
            addresses.into_iter().map(|address| Endpoint {
                address: SocketAddr::new(address, *port),
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

fn probes(from: &Place, to: &[IpAddr], port: u16) -> Vec<Probe> {
    let mut probes = Vec::new();
    for address in to {
        for protocol in PROTOCOLS {
            probes.push(Probe {
                protocol,
                ..tcp(from, *address, port)
            });
        }
    }
    probes
}

/// All of them end the same; what else is true of the answers is up to the caller.
fn end(
    cluster: &mut Cluster,
    probes: &[Probe],
    expected: Outcome,
    check: impl Fn(&Cluster, &Answer) -> bool,
) {
    let patience = if expected == Outcome::Denied {
        SILENCE
    } else {
        PATIENCE
    };
    let answers = cluster.probe(probes, patience).unwrap();
    for (probe, answer) in probes.iter().zip(answers) {
        let fabric = cluster.topology().fabric;
        assert_eq!(answer.outcome, expected, "{fabric:?} {probe:?}");
        assert!(check(cluster, &answer), "{fabric:?} {probe:?}: {answer:?}");
    }
}

fn served_by(answer: &Answer, server: &str) -> bool {
    answer.served_by.as_deref() == Some(server)
}

fn seen_as(answer: &Answer, addresses: &[IpAddr]) -> bool {
    answer
        .source_seen
        .is_some_and(|seen| addresses.contains(&seen.ip()))
}

fn on_both(test: impl Fn(Cluster)) {
    for fabric in FABRICS {
        test(world(fabric, Families::Dual));
    }
}

fn every_protocol() {
    on_both(|mut cluster| {
        let web = service(&cluster, &[("y/c", "n2", PORT)]);
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        let from_pod = probes(&pod("x/a"), &web.cluster_ips, FRONT);
        end(
            &mut cluster,
            &from_pod,
            Outcome::Allowed,
            |cluster, answer| {
                served_by(answer, "y/c") && seen_as(answer, &cluster.pod_addresses("x/a"))
            },
        );
        for from in [node("n1"), node("n2"), pod("y/host")] {
            let from_node = probes(&from, &web.cluster_ips, FRONT);
            end(&mut cluster, &from_node, Outcome::Allowed, |_, answer| {
                served_by(answer, "y/c")
            });
        }
    });
}

fn shared() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    cluster.add_pod(spec("x/d", "n2")).unwrap();
    let web = service(
        &cluster,
        &[
            ("x/b", "n1", PORT),
            ("y/c", "n2", PORT),
            ("x/d", "n2", PORT),
        ],
    );
    cluster.set_services(std::slice::from_ref(&web)).unwrap();
    for probe in probes(&pod("x/a"), &web.cluster_ips, FRONT) {
        let answers = cluster.probe(&vec![probe; 300], PATIENCE).unwrap();
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        for answer in answers {
            *shares.entry(answer.served_by.unwrap()).or_default() += 1;
        }
        assert_eq!(shares.len(), 3, "{shares:?}");
        // Five standard deviations; the dice are the kernel's.
        assert!(
            shares.values().all(|share| (59..=141).contains(share)),
            "{shares:?}"
        );
    }
}

/// As a named target port does whose number is another in each pod.
fn own_ports() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let other = PodSpec {
        listen: ports(8081),
        ..spec("x/other", "n1")
    };
    cluster.add_pod(other).unwrap();
    let web = service(&cluster, &[("x/other", "n1", 8081), ("y/c", "n2", PORT)]);
    cluster.set_services(std::slice::from_ref(&web)).unwrap();
    let all: Vec<_> = (0..20)
        .flat_map(|_| probes(&pod("x/a"), &web.cluster_ips, FRONT))
        .collect();
    end(&mut cluster, &all, Outcome::Allowed, |_, answer| {
        served_by(answer, "x/other") || served_by(answer, "y/c")
    });
}

fn unserved() {
    on_both(|mut cluster| {
        let web = service(&cluster, &[]);
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        let mut all = Vec::new();
        for from in [pod("x/a"), pod("y/host"), node("n1")] {
            all.extend(probes(&from, &web.cluster_ips, FRONT));
        }
        for from in [external("internet"), pod("y/c")] {
            all.extend(probes(&from, &cluster.node_addresses("n1"), NODE_PORT));
        }
        end(&mut cluster, &all, Outcome::Refused, |_, _| true);
    });
}

fn other_port() {
    on_both(|mut cluster| {
        let web = service(&cluster, &[("y/c", "n2", PORT)]);
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        let all = probes(&pod("x/a"), &web.cluster_ips, FRONT + 1);
        end(&mut cluster, &all, Outcome::Refused, |_, _| true);
    });
}

fn node_port_cluster() {
    on_both(|mut cluster| {
        let web = service(&cluster, &[("y/c", "n2", PORT)]);
        cluster.set_services(&[web]).unwrap();
        for entrance in ["n1", "n2"] {
            let to = cluster.node_addresses(entrance);
            let all = probes(&external("internet"), &to, NODE_PORT);
            end(&mut cluster, &all, Outcome::Allowed, |cluster, answer| {
                let mut node = cluster.node_addresses(entrance);
                node.extend(cluster.gateway_addresses(entrance));
                served_by(answer, "y/c") && seen_as(answer, &node)
            });
        }
    });
}

fn node_port_local() {
    on_both(|mut cluster| {
        let web = Service {
            external_local: true,
            ..service(&cluster, &[("y/c", "n2", PORT)])
        };
        cluster.set_services(&[web]).unwrap();
        let here = probes(
            &external("internet"),
            &cluster.node_addresses("n2"),
            NODE_PORT,
        );
        end(&mut cluster, &here, Outcome::Allowed, |cluster, answer| {
            served_by(answer, "y/c") && seen_as(answer, &cluster.external_addresses("internet"))
        });
        let elsewhere = probes(
            &external("internet"),
            &cluster.node_addresses("n1"),
            NODE_PORT,
        );
        end(&mut cluster, &elsewhere, Outcome::Denied, |_, _| true);
    });
}

fn node_port_local_inside() {
    on_both(|mut cluster| {
        let web = Service {
            external_local: true,
            ..service(&cluster, &[("y/c", "n2", PORT)])
        };
        cluster.set_services(&[web]).unwrap();
        for from in [pod("x/a"), node("n1")] {
            let all = probes(&from, &cluster.node_addresses("n1"), NODE_PORT);
            end(&mut cluster, &all, Outcome::Allowed, |_, answer| {
                served_by(answer, "y/c")
            });
        }
    });
}

fn hairpin() {
    on_both(|mut cluster| {
        let web = service(&cluster, &[("x/a", "n1", PORT)]);
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        let all = probes(&pod("x/a"), &web.cluster_ips, FRONT);
        end(&mut cluster, &all, Outcome::Allowed, |cluster, answer| {
            served_by(answer, "x/a") && !seen_as(answer, &cluster.pod_addresses("x/a"))
        });
    });
}

fn flow() {
    on_both(|mut cluster| {
        let web = service(&cluster, &[("y/c", "n2", PORT)]);
        cluster.set_services(std::slice::from_ref(&web)).unwrap();
        let mut flows = Vec::new();
        for probe in probes(&pod("x/a"), &web.cluster_ips, FRONT) {
            // What becomes of UDP then is another test's.
            if probe.protocol == Protocol::Tcp {
                flows.push(cluster.open_flow(&probe, PATIENCE).unwrap());
            }
        }
        // Other endpoints, then none, then no Service at all.
        let moved = service(&cluster, &[("x/b", "n1", PORT)]);
        let empty = service(&cluster, &[]);
        for services in [vec![moved], vec![empty], Vec::new()] {
            cluster.set_services(&services).unwrap();
            for flow in &mut flows {
                assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Allowed);
            }
        }
        let probe = tcp(&pod("x/a"), web.cluster_ips[0], FRONT);
        assert_ne!(ask(&mut cluster, probe, SILENCE).outcome, Outcome::Allowed);
    });
}

fn hundreds() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let services: Vec<_> = (0..300_u16)
        .map(|number| {
            let (high, low) = (number / 250 + 1, number % 250 + 1);
            let web = service(&cluster, &[("x/b", "n1", PORT), ("y/c", "n2", PORT)]);
            let mut ports = web.ports;
            for port in &mut ports {
                port.node_port = Some(NODE_PORT + number);
            }
            Service {
                name: format!("x/web-{number}"),
                cluster_ips: vec![
                    format!("10.96.{high}.{low}").parse().unwrap(),
                    format!("fd00:10:96::{high}:{low}").parse().unwrap(),
                ],
                ports,
                ..web
            }
        })
        .collect();
    cluster.set_services(&services).unwrap();
    let mut all = Vec::new();
    for service in &services {
        all.extend(probes(&pod("x/a"), &service.cluster_ips, FRONT));
    }
    end(&mut cluster, &all, Outcome::Allowed, |_, _| true);
}

fn icmp() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let mut web = service(&cluster, &[]);
    web.ports[0].protocol = Protocol::Icmp;
    let error = cluster.set_services(&[web]).unwrap_err();
    assert!(format!("{error:?}").contains("NoPorts"), "{error:?}");
}

/// People look at the table with nft, which must understand all of it.
#[expect(clippy::disallowed_methods, reason = "what people would type")]
pub(crate) fn listed() -> Completion {
    let cluster_of = |services: bool| {
        let mut cluster = world(Fabric::Bridge, Families::Dual);
        if services {
            let local = Service {
                external_local: true,
                name: "x/local".into(),
                cluster_ips: vec![
                    "10.96.0.8".parse().unwrap(),
                    "fd00:10:96::8".parse().unwrap(),
                ],
                ..service(&cluster, &[("x/a", "n1", PORT)])
            };
            let mut local = local;
            for port in &mut local.ports {
                port.node_port = Some(NODE_PORT + 1);
            }
            let empty = Service {
                name: "x/empty".into(),
                cluster_ips: vec![
                    "10.96.0.9".parse().unwrap(),
                    "fd00:10:96::9".parse().unwrap(),
                ],
                ports: vec![ServicePort {
                    port: FRONT,
                    protocol: Protocol::Tcp,
                    node_port: Some(NODE_PORT + 2),
                    endpoints: Vec::new(),
                }],
                ..Service::default()
            };
            let mut loyal = Service {
                affinity: Some(Duration::from_secs(10_800)),
                internal_local: true,
                name: "x/loyal".into(),
                cluster_ips: vec![
                    "10.96.0.10".parse().unwrap(),
                    "fd00:10:96::10".parse().unwrap(),
                ],
                ..service(&cluster, &[("x/b", "n1", PORT), ("y/c", "n2", PORT)])
            };
            for port in &mut loyal.ports {
                port.node_port = None;
            }
            let web = service(&cluster, &[("x/b", "n1", PORT), ("y/c", "n2", PORT)]);
            cluster.set_services(&[web, local, empty, loyal]).unwrap();
        }
        cluster
    };
    for services in [false, true] {
        let cluster = cluster_of(services);
        let netns = cluster.netns(&node("n1")).unwrap();
        let output = netns.run(|| {
            Command::new("nft")
                .args(["list", "table", "inet", "services"])
                .output()
        });
        let output = match output.unwrap() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Completion::ignored_with("nft is not installed");
            }
            output => output.unwrap(),
        };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{text}"
        );
        let expected: &[&str] = if services { &LISTED } else { &LISTED[..2] };
        for expected in expected {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
    }
    Completion::Completed
}

const LISTED: [&str; 8] = [
    "type nat hook prerouting priority dstnat",
    "ct state new goto unserved",
    "10.96.0.7 . tcp . 8000 : goto cluster/x/web/tcp/8000/ipv4",
    "numgen random mod 2 0 dnat ip to",
    "fib saddr type local",
    "masquerade",
    "update @affinity/x/loyal/tcp/8000/ipv4/10.244.0.3/80/10800s { ip saddr }",
    "reject",
];
