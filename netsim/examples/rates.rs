//! How fast probes are: `cargo run --release -p netsim --example rates`.
//!
//! Everybody to everybody on one node, then the matrix of nine pods with half of it denied.

use std::{
    error::Error,
    io::{Write, stdout},
    time::{Duration, Instant},
};

use netsim::{
    Cluster, Fabric, Families, Listen, Place, PodSpec, Protocol, Topology,
    probe::{Answer, Outcome, Probe},
    sandbox::Sandbox,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];

fn main() -> Result<(), Box<dyn Error>> {
    Sandbox::enter()?;
    for fabric in [Fabric::Bridge, Fabric::Routed] {
        everybody(fabric, 100)?;
        half_denied(fabric)?;
    }
    Ok(())
}

/// `pods` x (`pods` - 1) probes of each protocol, three rounds.
fn everybody(fabric: Fabric, pods: usize) -> Result<(), Box<dyn Error>> {
    let (mut cluster, addresses) = cluster(fabric, pods)?;
    for protocol in PROTOCOLS {
        let mut probes = Vec::new();
        for from in 0..pods {
            for to in (0..pods).filter(|to| *to != from) {
                probes.push(probe(from, addresses[to], protocol));
            }
        }
        for _ in 0..3 {
            let (start, busy) = (Instant::now(), processor_time()?);
            let answers = cluster.probe(&probes, Duration::from_secs(5))?;
            let (took, busy) = (start.elapsed(), processor_time()? - busy);
            let each = busy / u32::try_from(answers.len())?;
            let rate = answers.len() as f64 / took.as_secs_f64();
            let allowed = count(&answers, Outcome::Allowed);
            writeln!(
                stdout(),
                "{fabric:?} {protocol:?}: {allowed} of {} allowed in {took:.1?}: {rate:.0}/s, {each:.1?} of processor time each, slowest answer {:.1?}",
                answers.len(),
                answers
                    .iter()
                    .map(|answer| answer.latency)
                    .max()
                    .unwrap_or_default(),
            )?;
        }
    }
    Ok(())
}

/// 81 TCP and 81 UDP probes; half of them go where nobody is.
fn half_denied(fabric: Fabric) -> Result<(), Box<dyn Error>> {
    let (mut cluster, addresses) = cluster(fabric, 9)?;
    let mut probes = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for from in 0..9 {
            for (to, address) in addresses.iter().enumerate() {
                // A node that is not there: packets to it meet silence.
                let silent = [172, 18, 0, 200 + u8::try_from(to)?].into();
                let denied = (from + to) % 2 == 1;
                probes.push(probe(
                    from,
                    if denied { silent } else { *address },
                    protocol,
                ));
            }
        }
    }
    for _ in 0..3 {
        let start = Instant::now();
        let answers = cluster.probe(&probes, Duration::from_millis(250))?;
        writeln!(
            stdout(),
            "{fabric:?} matrix: {} allowed, {} denied of {} in {:.1?}",
            count(&answers, Outcome::Allowed),
            count(&answers, Outcome::Denied),
            answers.len(),
            start.elapsed(),
        )?;
    }
    Ok(())
}

/// Of all threads; what the probes cost on a machine that is busy with something else.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
    Ok(Duration::from_micros(
        micros.iter().sum::<i64>().try_into()?,
    ))
}

fn cluster(
    fabric: Fabric,
    pods: usize,
) -> Result<(Cluster, Vec<std::net::IpAddr>), Box<dyn Error>> {
    let mut cluster = Cluster::build(&Topology {
        families: Families::Ipv4,
        fabric,
        nodes: vec!["n1".into(), "n2".into()],
        externals: Vec::new(),
    })?;
    let listen = PROTOCOLS.map(|protocol| Listen { port: 80, protocol });
    let specs = (0..pods).map(|number| PodSpec {
        name: format!("x/p{number}"),
        node: "n1".into(),
        listen: listen.into(),
        ..PodSpec::default()
    });
    let addresses = cluster.add_pods(specs.collect())?;
    Ok((cluster, addresses.into_iter().flatten().collect()))
}

fn probe(from: usize, to: std::net::IpAddr, protocol: Protocol) -> Probe {
    Probe::new(Place::Pod(format!("x/p{from}")), to, 80, protocol)
}

fn count(answers: &[Answer], outcome: Outcome) -> usize {
    answers
        .iter()
        .filter(|answer| answer.outcome == outcome)
        .count()
}
