//! Connections in the background while the world changes.

use std::time::{Duration, Instant};

use netsim::{
    Cluster, Fabric, Families, Protocol,
    probe::{Outcome, Probe},
    traffic::{Tally, Traffic},
};

use crate::{
    Test,
    barrier::{let_pass, prohibit, swallow},
    world::{FABRICS, PATIENCE, PORT, pod, ports, spec, tcp, world},
};

const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];
const EVERY: Duration = Duration::from_millis(5);

pub(crate) fn tests() -> Vec<Test> {
    [
        ("every_protocol_goes_on_and_on", goes_on as fn()),
        ("an_attempt_says_what_was_when_it_was_begun", begun),
        ("a_prohibited_way_is_unreachable_at_once", prohibited),
        (
            "a_source_that_goes_is_unreachable_until_it_comes_again",
            source,
        ),
        ("a_destination_may_go_and_come_again", destination),
        ("a_listener_that_goes_refuses", listener),
        ("traffic_may_outlive_its_cluster", outlives),
        ("a_place_that_does_not_exist_is_an_error", no_place),
        ("nothing_is_denied_while_pods_come_and_go", busy),
    ]
    .map(|(name, test)| (format!("traffic::{name}"), test))
    .into()
}

fn start(cluster: &mut Cluster, probes: Vec<Probe>) -> Traffic {
    let traffic = cluster.start_traffic(probes, EVERY, Traffic::PATIENCE);
    traffic.unwrap()
}

/// The numbers of each outcome, probe by probe.
fn brief(tallies: &[Tally]) -> Vec<String> {
    let brief = |tally: &Tally| {
        let counts = tally.counts.iter();
        let counts: Vec<_> = counts
            .map(|(outcome, count)| {
                format!("{} {outcome} ({:?})", count.attempts, count.example.latency)
            })
            .collect();
        counts.join(", ")
    };
    tallies.iter().map(brief).collect()
}

/// From `x/a` to every address of `to`, by every protocol.
fn probes(cluster: &Cluster, to: &str) -> Vec<Probe> {
    let mut probes = Vec::new();
    for address in cluster.pod_addresses(to) {
        for protocol in PROTOCOLS {
            let port = if protocol == Protocol::Icmp { 0 } else { PORT };
            probes.push(Probe {
                protocol,
                ..tcp(&pod("x/a"), address, port)
            });
        }
    }
    probes
}

/// What becomes of attempts that are begun from now on: at least one of each probe, all alike.
fn become_all(traffic: &mut Traffic, expected: Outcome) {
    traffic.take().unwrap();
    let start = Instant::now();
    let mut attempts = Vec::new();
    while attempts.is_empty() || attempts.contains(&0) {
        assert!(start.elapsed() < PATIENCE * 4, "{attempts:?} attempts");
        let tallies = traffic.take().unwrap();
        attempts.resize(tallies.len(), 0);
        for (sum, tally) in attempts.iter_mut().zip(&tallies) {
            let outcomes: Vec<_> = tally.counts.keys().copied().collect();
            assert!(
                outcomes.is_empty() || outcomes == [expected],
                "{:#?}",
                brief(&tallies)
            );
            *sum += tally.attempts(expected);
        }
    }
}

fn goes_on() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let probes = probes(&cluster, "y/c");
        let mut traffic = start(&mut cluster, probes.clone());
        become_all(&mut traffic, Outcome::Allowed);
        let tallies = traffic.take().unwrap();
        assert_eq!(tallies.len(), probes.len());
        become_all(&mut traffic, Outcome::Allowed);
        traffic.stop();
    }
}

/// A route that swallows packets is there at once, so no outcome may be mixed up afterwards.
fn begun() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let to = cluster.pod_addresses("y/c");
    let probes = probes(&cluster, "y/c");
    let mut traffic = start(&mut cluster, probes);
    become_all(&mut traffic, Outcome::Allowed);
    for _ in 0..3 {
        swallow(&cluster, "n1", &to);
        let swallowed = Instant::now();
        become_all(&mut traffic, Outcome::Denied);
        // What was begun before is denied only if it met the barrier on its way.
        let late = |tally: &Tally| {
            let denied = &tally.counts[&Outcome::Denied];
            denied.last > swallowed && denied.first <= denied.last
        };
        let tallies = wait_for(&mut traffic, Outcome::Denied);
        assert!(tallies.iter().all(late));
        let_pass(&cluster, "n1", &to);
        become_all(&mut traffic, Outcome::Allowed);
    }
}

/// The next tallies in which every probe has this outcome.
fn wait_for(traffic: &mut Traffic, outcome: Outcome) -> Vec<Tally> {
    let start = Instant::now();
    loop {
        let tallies = traffic.take().unwrap();
        if tallies.iter().all(|tally| tally.attempts(outcome) > 0) {
            return tallies;
        }
        assert!(start.elapsed() < PATIENCE * 4, "{:#?}", brief(&tallies));
    }
}

fn prohibited() {
    // Of IPv4 the kernel says so only once a second for a route; for a rule as often as it happens.
    let mut cluster = world(Fabric::Routed, Families::Ipv6);
    let to = cluster.pod_addresses("y/c");
    prohibit(&cluster, "n1", &to);
    let probes = probes(&cluster, "y/c");
    let mut traffic = start(&mut cluster, probes);
    become_all(&mut traffic, Outcome::Unreachable);
}

fn source() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let probes = probes(&cluster, "y/c");
        let mut traffic = start(&mut cluster, probes);
        become_all(&mut traffic, Outcome::Allowed);
        for node in ["n2", "n1"] {
            cluster.remove_pod("x/a").unwrap();
            become_all(&mut traffic, Outcome::Unreachable);
            cluster.add_pod(spec("x/a", node)).unwrap();
            become_all(&mut traffic, Outcome::Allowed);
        }
    }
}

fn destination() {
    for fabric in FABRICS {
        for to in ["x/b", "y/c"] {
            let mut cluster = world(fabric, Families::Dual);
            let addresses = cluster.pod_addresses(to);
            let node = if to == "y/c" { "n2" } else { "n1" };
            let probes = probes(&cluster, to);
            let mut traffic = start(&mut cluster, probes);
            become_all(&mut traffic, Outcome::Allowed);
            cluster.remove_pod(to).unwrap();
            let tallies = wait_until_none(&mut traffic, Outcome::Allowed);
            assert_eq!(tallies.len(), 8);
            let again = netsim::PodSpec {
                addresses: Some(addresses),
                ..spec(to, node)
            };
            cluster.add_pod(again).unwrap();
            wait_until_only(&mut traffic, Outcome::Allowed);
        }
    }
}

fn wait_until_none(traffic: &mut Traffic, outcome: Outcome) -> Vec<Tally> {
    wait_until(traffic, |tally| {
        tally.attempts(outcome) == 0 && !tally.counts.is_empty()
    })
}

fn wait_until_only(traffic: &mut Traffic, outcome: Outcome) -> Vec<Tally> {
    wait_until(traffic, |tally| {
        tally.attempts(outcome) > 0 && tally.counts.len() == 1
    })
}

fn wait_until(traffic: &mut Traffic, test: impl Fn(&Tally) -> bool) -> Vec<Tally> {
    let start = Instant::now();
    loop {
        let tallies = traffic.take().unwrap();
        if tallies.iter().all(&test) {
            return tallies;
        }
        assert!(start.elapsed() < PATIENCE * 4, "{:#?}", brief(&tallies));
    }
}

fn listener() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let host = netsim::PodSpec {
        host_network: true,
        listen: ports(9000),
        ..spec("y/passing", "n2")
    };
    cluster.add_pod(host).unwrap();
    let mut probes = probes(&cluster, "y/passing");
    probes.retain(|probe| probe.protocol != Protocol::Icmp);
    for probe in &mut probes {
        probe.port = 9000;
    }
    let mut traffic = start(&mut cluster, probes);
    become_all(&mut traffic, Outcome::Allowed);
    cluster.remove_pod("y/passing").unwrap();
    become_all(&mut traffic, Outcome::Refused);
}

fn outlives() {
    let mut cluster = world(Fabric::Bridge, Families::Dual);
    let probes = probes(&cluster, "y/c");
    let mut traffic = start(&mut cluster, probes);
    become_all(&mut traffic, Outcome::Allowed);
    drop(cluster);
    become_all(&mut traffic, Outcome::Unreachable);
}

fn no_place() {
    let mut cluster = world(Fabric::Bridge, Families::Ipv4);
    let to = cluster.pod_addresses("y/c")[0];
    let probe = tcp(&pod("x/nobody"), to, PORT);
    let error = cluster.start_traffic(vec![probe], EVERY, Traffic::PATIENCE);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("x/nobody"), "{text}");
}

fn busy() {
    for fabric in FABRICS {
        let mut cluster = world(fabric, Families::Dual);
        let probes = probes(&cluster, "y/c");
        let mut traffic = start(&mut cluster, probes);
        for round in 0..5 {
            let specs = (0..30).map(|number| spec(&format!("x/p{round}-{number}"), "n1"));
            cluster.add_pods(specs.collect()).unwrap();
            for number in 0..30 {
                cluster.remove_pod(&format!("x/p{round}-{number}")).unwrap();
            }
        }
        let tallies = traffic.take().unwrap();
        for tally in &tallies {
            let outcomes: Vec<_> = tally.counts.keys().copied().collect();
            assert_eq!(outcomes, [Outcome::Allowed], "{:#?}", brief(&tallies));
        }
    }
}
