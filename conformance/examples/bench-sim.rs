//! How fast the simulator is: `cargo xtask bench sim`.
//!
//! Clusters of several sizes come and go, everybody probes many others, a half-denied matrix is asked,
//! and the whole library is played. Times are medians over rounds taken in one run.

#[path = "../../enforcer/examples/bench/plot/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod plot;
#[path = "../../enforcer/examples/bench/report.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod report;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Parser;
use conformance::{
    backend::{
        Backend, ProbeSpec,
        sim::{DataplaneKind, Sim, SimOptions},
    },
    cell::Outcome,
    demo, library,
    report::{Exit, ScenarioReport},
    runner::{self, Observer, Options, Play, Simulator},
    scenario::{self, Fabric as ScenarioFabric},
};
use netsim::{
    Cluster,
    place::Place,
    probe::{Outcome as Seen, Probe},
    sandbox::{Sandbox, SandboxError},
    topology::{Fabric, Families, Listen, PodSpec, Protocol, Topology},
};

use crate::{
    plot::{Line, Plot, Scale},
    report::{Machine, Output, Report, Table, progress, time},
};

/// How long a denied probe is waited for.
const SILENCE: Duration = Duration::from_millis(250);
/// Probes of one round, about.
const PROBES: usize = 10_000;

/// Measures the simulator.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench sim")]
struct Arguments {
    /// How many pods clusters have. [default: 9,100,500,1000]
    #[arg(long, value_delimiter = ',', value_name = "N,..", value_parser = clap::value_parser!(u32).range(2..=2_000))]
    pods: Vec<u32>,
    /// Rounds of each measurement; the median is printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Where the scenarios are.
    #[arg(long, default_value = "scenarios")]
    scenarios: PathBuf,
    #[command(flatten)]
    output: Output,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => Exit::Yes.into(),
        Err(error) => {
            progress(&format!("error: failed to {error:#}"));
            if error.is::<SandboxError>() {
                Exit::Environment.into()
            } else {
                Exit::No.into()
            }
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let machine = Machine::look();
    let _sandbox = Sandbox::enter()?;
    let quick = arguments.output.quick;
    let mut report = Report::new(arguments.output.clone());
    let rounds = if quick { 1 } else { arguments.rounds };
    let usual: &[u32] = if quick {
        &[9, 100]
    } else {
        &[9, 100, 500, 1_000]
    };
    let sizes = if arguments.pods.is_empty() {
        usual
    } else {
        &arguments.pods
    };
    let mut fabrics = vec![Fabric::Bridge, Fabric::Routed];
    if !Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() {
        fabrics.remove(0);
        report.note("Routed only: br_netfilter is not loaded (sudo modprobe br_netfilter).");
    }
    let mut table = Table::new(
        "Clusters on two nodes, with both families, and TCP probes over IPv4",
        &["", "pods", "up", "down", "probes/s"],
    );
    let mut lines = Vec::new();
    for fabric in fabrics.iter().copied() {
        let (mut ups, mut downs) = (Vec::new(), Vec::new());
        for pods in sizes.iter().copied() {
            progress(&format!("{} fabric, {pods} pods ...", word(fabric)));
            let (up, down) = up_and_down(fabric, pods, rounds)?;
            let rate = probes_per_second(fabric, pods, rounds)?;
            reclaim();
            table.row(vec![
                word(fabric).to_owned(),
                pods.to_string(),
                time(up),
                time(down),
                format!("{rate:.0}"),
            ]);
            let name = format!("sim.{}.{pods}-pods", word(fabric));
            report.figure(format!("{name}.up"), up, "ms");
            report.figure(format!("{name}.down"), down, "ms");
            report.figure(format!("{name}.probes"), rate, "1/s");
            ups.push((f64::from(pods), up));
            downs.push((f64::from(pods), down));
        }
        for (what, points) in [("up", ups), ("down", downs)] {
            let name = format!("{} {what}", word(fabric));
            lines.push(Line { name, points });
        }
    }
    report.table(&table);
    report.plot(Plot {
        title: "Simulated clusters come and go".into(),
        x: ("pods".into(), Scale::Logarithmic),
        y: ("milliseconds".into(), Scale::Logarithmic),
        lines,
    });
    half_denied_matrix(fabrics[0], rounds, &mut report)?;
    let folder = if quick {
        arguments.scenarios.join("peers")
    } else {
        arguments.scenarios.clone()
    };
    whole_library(&folder, fabrics[0], &mut report)?;
    report.finish(&machine)
}

/// Building a cluster until its listeners stand, and dropping it; the kernel reclaims what was
/// dropped in the background, and is given the time for it between rounds.
fn up_and_down(fabric: Fabric, pods: u32, rounds: u32) -> Result<(f64, f64)> {
    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let cluster = cluster(fabric, Families::Dual, pods)?;
        ups.push(begun.elapsed());
        let begun = Instant::now();
        drop(cluster);
        downs.push(begun.elapsed());
        reclaim();
    }
    Ok((median(ups), median(downs)))
}

/// Time for the kernel to take dropped namespaces apart.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when the kernel is done"
)]
fn reclaim() {
    std::thread::sleep(Duration::from_secs(1));
}

/// TCP connects with an answer, nothing denied.
fn probes_per_second(fabric: Fabric, pods: u32, rounds: u32) -> Result<f64> {
    let mut cluster = cluster(fabric, Families::Ipv4, pods)?;
    let probes = probes(&cluster);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let answers = cluster.probe(&probes, Duration::from_secs(5))?;
        times.push(begun.elapsed());
        ensure!(
            answers.iter().all(|answer| answer.outcome == Seen::Allowed),
            "probe: one that nobody denies was not answered"
        );
    }
    Ok(f64::from(u32::try_from(probes.len())?) / median(times) * 1_000.0)
}

/// The demo's nine pods, six of which let nobody in: 9 × 9 × 2 probes, more than half of them
/// denied.
fn half_denied_matrix(fabric: Fabric, rounds: u32, report: &mut Report) -> Result<()> {
    let scenario = demo::scenario()?;
    let mut sim = Sim::build(
        &scenario.world,
        SimOptions {
            fabric,
            families: Families::Ipv4,
            dataplane: DataplaneKind::Netlink,
            options: enforcer::options::Options::default(),
        },
    )?;
    sim.create(&scenario.world)?;
    for namespace in ["y", "z"] {
        sim.apply_policy(serde_json::from_value(serde_json::json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": namespace, "name": "deny"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }))?)?;
    }
    let cells = scenario.steps[0].cells().into_iter().cloned();
    let probes: Vec<ProbeSpec> = cells.map(Into::into).collect();
    let mut times = Vec::new();
    let mut denied = 0;
    for _ in 0..rounds {
        let begun = Instant::now();
        let seen = sim.probe(&probes, SILENCE)?;
        times.push(begun.elapsed());
        denied = seen.iter().filter(|o| o.outcome == Outcome::Denied).count();
    }
    let asked = probes.len();
    let median = median(times);
    let mut table = Table::new("A matrix with more than half of it denied", &["", ""]);
    table.row(vec!["connections".into(), asked.to_string()]);
    table.row(vec!["denied".into(), denied.to_string()]);
    table.row(vec!["took".into(), time(median)]);
    report.table(&table);
    report.figure("sim.matrix", median, "ms");
    report.figure("sim.matrix.connections", count(asked)?, "");
    report.figure("sim.matrix.denied", count(denied)?, "");
    Ok(())
}

/// Every scenario, as `portcullis test` plays them.
fn whole_library(folder: &PathBuf, fabric: Fabric, report: &mut Report) -> Result<()> {
    let usual = match fabric {
        Fabric::Bridge => ScenarioFabric::Bridge,
        Fabric::Routed => ScenarioFabric::Routed,
    };
    let scenarios = library::load(std::slice::from_ref(folder), &scenario::Options::default())?;
    let plays: Vec<Play<'_>> = scenarios
        .iter()
        .map(|scenario| Play {
            scenario,
            fabric: scenario.fabric.unwrap_or(usual),
        })
        .collect();
    progress(&format!("{} scenarios ...", plays.len()));
    let played = runner::run(&plays, &Simulator, Options::default(), &Silent);
    ensure!(Exit::of(&played) == Exit::Yes, "pass the library");
    let seconds = played.duration.as_secs_f64();
    let scenarios = count(played.counts().scenarios())?;
    let per_minute = scenarios / seconds * 60.0;
    let mut table = Table::new("Scenarios, as `portcullis test` plays them", &["", ""]);
    table.row(vec!["scenarios".into(), format!("{scenarios:.0}")]);
    table.row(vec!["checks".into(), played.counts().checks.to_string()]);
    table.row(vec!["took".into(), time(seconds * 1_000.0)]);
    table.row(vec!["a minute".into(), format!("{per_minute:.0}")]);
    report.table(&table);
    report.figure("sim.library", seconds, "s");
    report.figure("sim.library.scenarios", scenarios, "");
    report.figure("sim.library.checks", count(played.counts().checks)?, "");
    report.figure("sim.library.scenarios-per-minute", per_minute, "1/min");
    Ok(())
}

struct Silent;

impl Observer<Sim> for Silent {
    fn started(&self, _id: &str) {}

    fn finished(&self, _play: Play<'_>, _report: &ScenarioReport, _cluster: Option<Sim>) {}
}

fn cluster(fabric: Fabric, families: Families, pods: u32) -> Result<Cluster> {
    let nodes = ["n1", "n2"];
    let mut cluster = Cluster::build(&Topology {
        families,
        fabric,
        nodes: nodes.map(Into::into).to_vec(),
        externals: Vec::new(),
    })?;
    let spec = |index: u32| PodSpec {
        name: format!("bench/p{index}"),
        node: nodes[(index % 2) as usize].to_owned(),
        listen: vec![Listen {
            port: 80,
            protocol: Protocol::Tcp,
        }],
        ..PodSpec::default()
    };
    cluster.add_pods((0..pods).map(spec).collect())?;
    Ok(cluster)
}

/// Every pod to every other, or to as many as there is room for.
fn probes(cluster: &Cluster) -> Vec<Probe> {
    let names: Vec<String> = cluster.pod_names().map(str::to_owned).collect();
    let others = (names.len() - 1).min((PROBES / names.len()).max(1));
    let mut probes = Vec::new();
    for (index, from) in names.iter().enumerate() {
        for step in 1..=others {
            let to = &names[(index + step) % names.len()];
            let to = cluster.pod_addresses(to).into_iter();
            probes.extend(to.map(|to| Probe::new(Place::Pod(from.clone()), to, 80, Protocol::Tcp)));
        }
    }
    probes
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

fn count(count: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}

fn word(fabric: Fabric) -> &'static str {
    match fabric {
        Fabric::Bridge => "bridge",
        Fabric::Routed => "routed",
    }
}
