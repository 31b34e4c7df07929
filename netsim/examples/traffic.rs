//! What traffic in the background costs: `cargo run --release -p netsim --example traffic`.

use std::{
    error::Error,
    io::{Write, stdout},
    sync::mpsc,
    time::{Duration, Instant},
};

use netsim::{
    Cluster, Families, Listen, Place, PodSpec, Protocol, Topology,
    probe::{Outcome, Probe},
    sandbox::Sandbox,
    traffic::Traffic,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

const WATCHED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    Sandbox::enter()?;
    let mut cluster = Cluster::build(&Topology {
        families: Families::Ipv4,
        nodes: vec!["n1".into(), "n2".into()],
        ..Topology::default()
    })?;
    let listen = [Protocol::Tcp, Protocol::Udp].map(|protocol| Listen { port: 80, protocol });
    let pod = |name: &str, node: &str| PodSpec {
        name: name.into(),
        node: node.into(),
        listen: listen.into(),
        ..PodSpec::default()
    };
    let addresses = cluster.add_pods(vec![pod("x/a", "n1"), pod("x/b", "n2")])?;
    let answering = addresses[1][0];
    // Of a documentation range: the last router has no way and says nothing.
    let silent = cluster.node_pod_cidrs("n2")[0]
        .hosts()
        .last()
        .unwrap_or(answering);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (what, to) in [("answered", answering), ("silent", silent)] {
            for (streams, every) in [(2, 5_000), (2, 1_000), (1, 200)] {
                let every = Duration::from_micros(every);
                let probe = Probe::new(Place::Pod("x/a".into()), to, 80, protocol);
                let mut traffic =
                    cluster.start_traffic(vec![probe; streams], every, Traffic::PATIENCE)?;
                let (start, before) = (Instant::now(), processor_time()?);
                wait(WATCHED);
                let used = processor_time()? - before;
                let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
                let tallies = traffic.take()?;
                let count = |outcome| -> usize {
                    tallies.iter().map(|tally| tally.attempts(outcome)).sum()
                };
                let all = [Outcome::Allowed, Outcome::Denied, Outcome::Unreachable].map(count);
                writeln!(
                    stdout().lock(),
                    "{protocol} {what}, {streams} every {every:?}: {:.1} % of a processor, {:?} allowed, denied, unreachable",
                    share * 100.0,
                    all
                )?;
            }
        }
    }
    Ok(())
}

fn wait(time: Duration) {
    let (_keep, nothing) = mpsc::channel::<()>();
    // Nobody sends.
    let _timeout = nothing.recv_timeout(time);
}

/// Of all threads, those of the kernel on their behalf included.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
    Ok(Duration::from_micros(
        micros.iter().sum::<i64>().try_into()?,
    ))
}
