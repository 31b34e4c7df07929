//! How fast the simulator is: `cargo xtask bench sim`.
//!
//! Prints a table, then one line `NAME VALUE UNIT` per figure. Times are medians over rounds taken
//! in one run; what is compared is measured in turns, because machines are noisy.

use std::{
    path::PathBuf,
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
    sandbox::Sandbox,
    topology::{Fabric, Families, Listen, PodSpec, Protocol, Topology},
};

/// How long a denied probe is waited for.
const SILENCE: Duration = Duration::from_millis(250);

/// Measures the simulator.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each measurement; the median is printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print the figures as JSON instead.
    #[arg(long)]
    json: bool,
    /// Where the scenarios are.
    #[arg(long, default_value = "scenarios")]
    scenarios: PathBuf,
}

/// One measured thing.
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let _sandbox = Sandbox::enter()?;
    let mut figures = Vec::new();
    let fabrics = [Fabric::Bridge, Fabric::Routed];
    for fabric in fabrics {
        figures.extend(up_and_down(fabric, 9, arguments.rounds)?);
    }
    figures.extend(half_denied_matrix(arguments.rounds)?);
    for fabric in fabrics {
        figures.push(probes_per_second(fabric, arguments.rounds)?);
    }
    // Last: while the kernel reclaims a large cluster, everything else waits for it.
    for fabric in fabrics {
        figures.extend(up_and_down(fabric, 500, arguments.rounds)?);
    }
    reclaim();
    figures.extend(whole_library(&arguments.scenarios)?);
    show(&figures, arguments.json);
    Ok(())
}

/// Building a cluster until its listeners stand, and dropping it; the kernel reclaims what was
/// dropped in the background, and is given the time for it between rounds.
fn up_and_down(fabric: Fabric, pods: usize, rounds: usize) -> Result<Vec<Figure>> {
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
    let name = |what: &str| format!("{}-{pods}-pods-{what}", word(fabric));
    Ok(vec![
        milliseconds(name("up"), median(ups)),
        milliseconds(name("down"), median(downs)),
    ])
}

/// Time for the kernel to take dropped namespaces apart.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when the kernel is done"
)]
fn reclaim() {
    std::thread::sleep(Duration::from_secs(1));
}

/// TCP connects with an answer, among a hundred pods on two nodes over IPv4, nothing denied: 9,900 of them.
fn probes_per_second(fabric: Fabric, rounds: usize) -> Result<Figure> {
    let mut cluster = cluster(fabric, Families::Ipv4, 100)?;
    let probes = all_pairs(&cluster);
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let answers = cluster.probe(&probes, Duration::from_secs(5))?;
        rates.push(begun.elapsed());
        ensure!(
            answers.iter().all(|answer| answer.outcome == Seen::Allowed),
            "a probe that nobody denies was not answered"
        );
    }
    let seconds = median(rates).as_secs_f64();
    Ok(Figure {
        name: format!("{}-tcp-probes", word(fabric)),
        value: f64::from(u32::try_from(probes.len())?) / seconds,
        unit: "probes/s",
    })
}

/// The demo's nine pods, six of which let nobody in: 9 × 9 × 2 probes, more than half of them
/// denied.
fn half_denied_matrix(rounds: usize) -> Result<Vec<Figure>> {
    let scenario = demo::scenario()?;
    let mut sim = Sim::build(
        &scenario.world,
        SimOptions {
            fabric: Fabric::Bridge,
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
    Ok(vec![
        milliseconds("matrix-9x9x2".to_owned(), median(times)),
        count("matrix-9x9x2-connections", probes.len())?,
        count("matrix-9x9x2-denied", denied)?,
    ])
}

/// Every scenario, as `portcullis test` plays them.
fn whole_library(folder: &PathBuf) -> Result<Vec<Figure>> {
    let scenarios = library::load(std::slice::from_ref(folder), &scenario::Options::default())?;
    let plays: Vec<Play<'_>> = scenarios
        .iter()
        .map(|scenario| Play {
            scenario,
            fabric: scenario.fabric.unwrap_or(ScenarioFabric::Bridge),
        })
        .collect();
    let report = runner::run(&plays, &Simulator, Options::default(), &Silent);
    ensure!(Exit::of(&report) == Exit::Yes, "the library does not pass");
    Ok(vec![
        Figure {
            name: "library".to_owned(),
            value: report.duration.as_secs_f64(),
            unit: "s",
        },
        count("library-scenarios", report.counts().scenarios())?,
        count("library-checks", report.counts().checks)?,
    ])
}

struct Silent;

impl Observer<Sim> for Silent {
    fn started(&self, _id: &str) {}

    fn finished(&self, _play: Play<'_>, _report: &ScenarioReport, _cluster: Option<Sim>) {}
}

fn cluster(fabric: Fabric, families: Families, pods: usize) -> Result<Cluster> {
    let nodes = ["n1", "n2"];
    let mut cluster = Cluster::build(&Topology {
        families,
        fabric,
        nodes: nodes.map(Into::into).to_vec(),
        externals: Vec::new(),
    })?;
    let spec = |index: usize| PodSpec {
        name: format!("bench/p{index}"),
        node: nodes[index % nodes.len()].to_owned(),
        listen: vec![Listen {
            port: 80,
            protocol: Protocol::Tcp,
        }],
        ..PodSpec::default()
    };
    cluster.add_pods((0..pods).map(spec).collect())?;
    Ok(cluster)
}

/// Every pod to every other.
fn all_pairs(cluster: &Cluster) -> Vec<Probe> {
    let names: Vec<String> = cluster.pod_names().map(str::to_owned).collect();
    let mut probes = Vec::new();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            let to = cluster.pod_addresses(to).into_iter();
            probes.extend(to.map(|to| Probe::new(Place::Pod(from.clone()), to, 80, Protocol::Tcp)));
        }
    }
    probes
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(name: String, time: Duration) -> Figure {
    Figure {
        name,
        value: time.as_secs_f64() * 1000.0,
        unit: "ms",
    }
}

fn count(name: &str, count: usize) -> Result<Figure> {
    Ok(Figure {
        name: name.to_owned(),
        value: f64::from(u32::try_from(count)?),
        unit: "",
    })
}

fn word(fabric: Fabric) -> &'static str {
    match fabric {
        Fabric::Bridge => "bridge",
        Fabric::Routed => "routed",
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the artefact")]
fn show(figures: &[Figure], as_json: bool) {
    if as_json {
        let figures: Vec<_> = figures
            .iter()
            .map(|f| serde_json::json!({"name": f.name, "value": f.value, "unit": f.unit}))
            .collect();
        println!("{}", serde_json::Value::from(figures));
        return;
    }
    let widest = figures
        .iter()
        .map(|figure| figure.name.len())
        .max()
        .unwrap_or(0);
    for Figure { name, value, unit } in figures {
        println!("{name:<widest$} {value:>12.2} {unit}");
    }
    println!();
    for Figure { name, value, unit } in figures {
        println!("{name} {value:.2} {unit}");
    }
}
