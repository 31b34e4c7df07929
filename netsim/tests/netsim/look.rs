//! What a node shows of itself.

use netsim::{Fabric, Families};

use crate::{
    Test,
    world::{FABRICS, pod, reaches, world},
};

pub(crate) fn tests() -> Vec<Test> {
    [
        (
            "a_dump_names_links_addresses_routes_and_neighbours",
            dump as fn(),
        ),
        ("connections_are_tracked_and_can_be_forgotten", conntrack),
        ("an_unknown_node_is_an_error", unknown),
    ]
    .map(|(name, test)| (format!("look::{name}"), test))
    .into()
}

fn has(lines: &[String], parts: &[&str]) -> bool {
    lines
        .iter()
        .any(|line| parts.iter().all(|part| line.contains(part)))
}

fn dump() {
    for fabric in FABRICS {
        let cluster = world(fabric, Families::Dual);
        let a = cluster.pod_addresses("x/a");
        let dump = cluster.dump("n1").unwrap();
        let shown = dump.to_string();
        for (lines, parts) in [
            (&dump.links, vec!["eth0 up", "mac 02:00:"]),
            (&dump.links, vec!["veth", "up", "to pod x/a"]),
            (&dump.addresses, vec!["172.18.0.2/16 dev eth0"]),
            (&dump.addresses, vec!["fd00:172:18::2/64 dev eth0"]),
            (&dump.routes, vec!["10.244.4.0/22 via 172.18.0.3 dev eth0"]),
            (
                &dump.routes,
                vec!["fd00:10:244:1::/64 via fd00:172:18::3 dev eth0"],
            ),
            (&dump.routes, vec!["203.0.113.0/24 dev eth0"]),
            (&dump.neighbours, vec!["172.18.0.3 dev eth0", "permanent"]),
            (&dump.neighbours, vec![&a[0].to_string(), "permanent"]),
            (&dump.neighbours, vec![&a[1].to_string(), "permanent"]),
        ] {
            assert!(has(lines, &parts), "no {parts:?} in\n{shown}");
        }
        match fabric {
            Fabric::Bridge => {
                assert!(has(&dump.links, &["pods up"]), "{shown}");
                assert!(has(&dump.links, &["master pods", "to pod x/b"]), "{shown}");
                assert!(has(&dump.addresses, &["10.244.0.1/22 dev pods"]), "{shown}");
            }
            Fabric::Routed => {
                let route = format!("{}/32 dev veth", a[0]);
                assert!(has(&dump.routes, &[&route, "src 172.18.0.2"]), "{shown}");
                let route = format!("{}/128 dev veth", a[1]);
                assert!(has(&dump.routes, &[&route]), "{shown}");
            }
        }
    }
}

fn conntrack() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        for to in ["x/b", "y/c"] {
            for address in cluster.pod_addresses(to) {
                reaches(&mut cluster, &pod("x/a"), address);
                let known = cluster.dump("n1").unwrap().conntrack;
                let destination = format!("-> {address}");
                assert!(
                    has(&known, &["tcp", &destination, "dport 80"]),
                    "{to} on {fabric:?}: {known:#?}"
                );
            }
        }
        cluster.flush_conntrack().unwrap();
        assert_eq!(cluster.dump("n1").unwrap().conntrack, Vec::<String>::new());
    }
}

fn unknown() {
    let cluster = world(Fabric::Bridge, Families::Ipv4);
    let error = cluster.dump("n7").unwrap_err();
    assert_eq!(error.to_string(), "find node/n7: it does not exist");
}
