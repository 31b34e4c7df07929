//! Pods and addresses come and go.

use netsim::{
    Cluster, Fabric, Families, PodSpec, Topology,
    cluster::Error,
    probe::{Outcome, Probe},
};

use crate::{
    Test,
    world::{
        FABRICS, HOST_PORT, PATIENCE, PORT, ask, misses, node, pod, ports, reaches, spec, tcp,
        world,
    },
};

pub(crate) fn tests() -> Vec<Test> {
    [
        ("a_removed_pod_does_not_answer", removed as fn()),
        ("a_new_pod_has_an_address_that_nobody_had", fresh),
        ("a_pod_comes_again_with_the_same_address", same_address),
        ("another_pod_takes_over_an_address", taken_over),
        ("a_chosen_address_is_checked", chosen),
        ("a_failed_batch_leaves_nothing", failed_batch),
        ("a_host_network_pod_goes_alone", host_network),
        ("names_and_machines_are_checked", names),
        ("a_pod_listens_on_more_later", listens_later),
        ("listeners_restart_and_connections_do_not", restarts),
        ("a_flow_goes_on_beside_others_that_go", flow),
    ]
    .map(|(name, test)| (format!("life::{name}"), test))
    .into()
}

fn removed() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let addresses = cluster.pod_addresses("x/b");
        for address in &addresses {
            reaches(&mut cluster, &pod("x/a"), *address);
        }
        cluster.remove_pod("x/b").unwrap();
        for address in addresses {
            for from in [pod("x/a"), pod("y/c"), node("n1")] {
                misses(&mut cluster, &from, address);
            }
        }
        assert!(cluster.netns(&pod("x/b")).is_none());
        assert!(cluster.pod_addresses("x/b").is_empty());
    }
}

fn fresh() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let before = cluster.pod_addresses("x/b");
    cluster.remove_pod("x/b").unwrap();
    let after = cluster.add_pod(spec("x/b", "n1")).unwrap();
    assert_eq!(after.len(), 2);
    for address in before {
        assert!(!after.contains(&address));
    }
    for address in after {
        reaches(&mut cluster, &pod("x/a"), address);
    }
}

fn same_address() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let addresses = cluster.pod_addresses("x/b");
        for _ in 0..3 {
            for address in &addresses {
                reaches(&mut cluster, &pod("x/a"), *address);
                reaches(&mut cluster, &pod("y/c"), *address);
            }
            cluster.remove_pod("x/b").unwrap();
            let again = PodSpec {
                addresses: Some(addresses.clone()),
                ..spec("x/b", "n1")
            };
            assert_eq!(cluster.add_pod(again).unwrap(), addresses);
        }
    }
}

fn taken_over() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let addresses = cluster.pod_addresses("x/b");
        for address in &addresses {
            reaches(&mut cluster, &pod("x/a"), *address);
        }
        cluster.remove_pod("x/b").unwrap();
        let heir = PodSpec {
            addresses: Some(addresses.clone()),
            ..spec("z/heir", "n1")
        };
        cluster.add_pod(heir).unwrap();
        for address in &addresses {
            for from in [pod("x/a"), pod("y/c"), node("n1"), pod("z/heir")] {
                let answer = reaches(&mut cluster, &from, *address);
                assert_eq!(answer.served_by.as_deref(), Some("z/heir"), "from {from}");
            }
        }
    }
}

fn chosen() {
    let mut cluster = world(Fabric::Routed, Families::Dual);
    let taken = cluster.pod_addresses("x/a");
    let text: Vec<_> = taken.iter().map(ToString::to_string).collect();
    for (address, reason) in [
        (text[0].as_str(), "another pod has it"),
        (text[1].as_str(), "another pod has it"),
        ("10.244.4.9", "it is not in the pod ranges of the node"),
        ("10.244.0.1", "it is reserved"),
    ] {
        let error = cluster
            .add_pod(PodSpec {
                addresses: Some(vec![address.parse().unwrap()]),
                ..spec("z/chooser", "n1")
            })
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("give pod z/chooser the address {address}: {reason}")
        );
    }
    // One family is enough, and the order is always IPv4 first.
    let one = PodSpec {
        addresses: Some(vec!["fd00:10:244::a:b".parse().unwrap()]),
        ..spec("z/one", "n1")
    };
    cluster.add_pod(one).unwrap();
    reaches(
        &mut cluster,
        &pod("y/c"),
        "fd00:10:244::a:b".parse().unwrap(),
    );
    let both = PodSpec {
        addresses: Some(vec![
            "fd00:10:244::a:c".parse().unwrap(),
            "10.244.1.200".parse().unwrap(),
        ]),
        ..spec("z/both", "n1")
    };
    let both = cluster.add_pod(both).unwrap();
    assert!(both[0].is_ipv4() && both[1].is_ipv6());
}

fn failed_batch() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let wanted = "10.244.0.100".parse().unwrap();
    let good = PodSpec {
        addresses: Some(vec![wanted]),
        ..spec("z/good", "n1")
    };
    // The port is taken by the node's own process.
    let bad = PodSpec {
        host_network: true,
        ..spec("z/bad", "n2")
    };
    let error = cluster.add_pods(vec![good.clone(), bad]).unwrap_err();
    assert!(matches!(error, Error::Listen(_)), "{error:?}");
    assert!(cluster.netns(&pod("z/good")).is_none());
    misses(&mut cluster, &pod("x/a"), wanted);
    cluster.add_pod(good).unwrap();
    reaches(&mut cluster, &pod("x/a"), wanted);
}

fn host_network() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let address = cluster.node_addresses("n2")[0];
    assert_eq!(cluster.pod_addresses("y/host")[0], address);
    let answer = ask(&mut cluster, tcp(&pod("x/a"), address, HOST_PORT), PATIENCE);
    assert_eq!(answer.served_by.as_deref(), Some("y/host"));
    cluster.remove_pod("y/host").unwrap();
    let answer = ask(&mut cluster, tcp(&pod("x/a"), address, HOST_PORT), PATIENCE);
    assert_eq!(answer.outcome, Outcome::Refused);
    // The node itself is still there.
    reaches(&mut cluster, &pod("x/a"), address);
}

fn names() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    for (error, text) in [
        (
            cluster.add_pod(spec("x/a", "n1")).unwrap_err(),
            "make x/a: it exists already",
        ),
        (
            cluster
                .add_pods(vec![spec("z/q", "n1"), spec("z/q", "n2")])
                .unwrap_err(),
            "make z/q: it exists already",
        ),
        (
            cluster.add_pod(spec("z/q", "n3")).unwrap_err(),
            "find node/n3: it does not exist",
        ),
        (
            cluster.remove_pod("z/q").unwrap_err(),
            "find z/q: it does not exist",
        ),
        (
            cluster.listen(&node("n9"), &[]).unwrap_err(),
            "find node/n9: it does not exist",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let twice = Topology {
        nodes: vec!["n1".into(), "n1".into()],
        ..Topology::default()
    };
    assert_eq!(
        Cluster::build(&twice).unwrap_err().to_string(),
        "make node/n1: it exists already"
    );
    let many = Topology {
        nodes: (0..65).map(|number| format!("n{number}").into()).collect(),
        ..Topology::default()
    };
    assert_eq!(
        Cluster::build(&many).unwrap_err().to_string(),
        "make 65 nodes: there is room for 64"
    );
}

fn listens_later() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let address = cluster.pod_addresses("x/b")[0];
    let probe = tcp(&pod("x/a"), address, 5432);
    let before = ask(&mut cluster, probe.clone(), PATIENCE);
    assert_eq!(before.outcome, Outcome::Refused);
    cluster.listen(&pod("x/b"), &ports(5432)).unwrap();
    let after = ask(&mut cluster, probe, PATIENCE);
    assert_eq!(after.outcome, Outcome::Allowed);
    reaches(&mut cluster, &pod("x/a"), address);
}

fn restarts() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    cluster.listen(&pod("x/b"), &ports(5432)).unwrap();
    let address = cluster.pod_addresses("x/b")[0];
    let flows = [PORT, 5432].map(|port| {
        let probe = tcp(&pod("x/a"), address, port);
        cluster.open_flow(&probe, PATIENCE).unwrap()
    });
    cluster.restart_listeners(&pod("x/b")).unwrap();
    for mut flow in flows {
        assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Refused);
    }
    for port in [PORT, 5432] {
        for listen in ports(port) {
            let probe = Probe {
                protocol: listen.protocol,
                ..tcp(&pod("x/a"), address, port)
            };
            let answer = ask(&mut cluster, probe, PATIENCE);
            assert_eq!(answer.outcome, Outcome::Allowed, "{listen}");
        }
    }
    let error = cluster.restart_listeners(&pod("x/nobody")).unwrap_err();
    assert_eq!(error.to_string(), "find x/nobody: it does not exist");
}

fn flow() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let address = cluster.pod_addresses("y/c")[0];
        let probe = tcp(&pod("x/a"), address, PORT);
        let mut flow = cluster.open_flow(&probe, PATIENCE).unwrap();
        cluster.remove_pod("x/b").unwrap();
        cluster.add_pod(spec("x/b", "n2")).unwrap();
        assert_eq!(flow.exchange(PATIENCE).unwrap(), Outcome::Allowed);
        cluster.remove_pod("y/c").unwrap();
        assert_ne!(
            flow.exchange(std::time::Duration::from_millis(100))
                .unwrap(),
            Outcome::Allowed
        );
    }
}
