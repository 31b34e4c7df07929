//! Whether what is measured is right: `cargo xtask bench oracle`.
//!
//! The published shapes that `bench compile` measures, compiled for one node, and a sample of
//! connections from and to its pods judged by the plan and by the specification.

#[path = "../../enforcer/examples/bench/city.rs"]
#[expect(
    dead_code,
    reason = "another benchmark uses it; here it is the name of the node"
)]
mod city;
#[path = "../../enforcer/examples/bench/object.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod object;
#[path = "../../enforcer/examples/bench/shape.rs"]
#[expect(dead_code, reason = "another benchmark uses more of it")]
mod shape;

use std::{net::IpAddr, process::ExitCode, time::Instant};

use clap::Parser;
use conformance::{
    cell::Protocol,
    oracle::{Connection, World, judge_on},
    report::Exit,
};
use enforcer::{
    cluster::Cluster,
    compile::compile,
    options::Options,
    plan::{Packet, Plan, Transport, Verdict},
};

use crate::{
    city::NODE,
    object::Told as _,
    shape::{LOCAL, Shape},
};

/// Holds the plans of the published shapes against the specification.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench oracle")]
struct Arguments {
    /// Only these shapes. [default: all]
    #[arg(long = "shape", value_delimiter = ',')]
    shapes: Vec<Shape>,
    /// How many connections are judged.
    #[arg(long, default_value_t = 200, value_name = "N")]
    sample: usize,
    /// Another sample.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A few seconds: one shape, few connections.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (shapes, sample): (&[Shape], _) = match (&*arguments.shapes, arguments.quick) {
        ([], true) => (&[Shape::PolicyPerPod], 20),
        ([], false) => (&Shape::ALL, arguments.sample),
        (chosen, _) => (chosen, arguments.sample),
    };
    let mut exit = Exit::Yes;
    for shape in shapes {
        if !agrees(*shape, sample, arguments.seed) {
            exit = Exit::JudgesDisagree;
        }
    }
    exit.into()
}

/// Whether plan and specification agree on a sample.
fn agrees(shape: Shape, sample: usize, seed: u64) -> bool {
    let world = World {
        namespaces: shape.namespaces().collect(),
        pods: shape.pods().collect(),
        nodes: vec![Shape::node()],
        policies: shape.policies().collect(),
    };
    let mut cluster = Cluster::default();
    cluster.handle(Shape::node().told());
    for namespace in &world.namespaces {
        cluster.handle(namespace.told());
    }
    for pod in &world.pods {
        cluster.handle(pod.told());
    }
    for policy in &world.policies {
        cluster.handle(policy.told());
    }
    let plan = compile(&cluster, NODE, Options::default());
    let begun = Instant::now();
    let (mut allowed, mut differing) = (0, Vec::new());
    for connection in connections(&cluster, sample, seed) {
        let by_plan = by_plan(&plan, &connection);
        allowed += usize::from(by_plan);
        if judge_on(&world, &connection, NODE).allowed != by_plan {
            differing.push(connection);
        }
    }
    say(&format!(
        "{shape}: {sample} connections, {allowed} of them allowed, {} judged differently ({:.1?})",
        differing.len(),
        begun.elapsed()
    ));
    for connection in differing.iter().take(5) {
        say(&format!("  {connection:?}"));
    }
    differing.is_empty()
}

/// From near and far pods to pods of the node: of its own namespace and the one beside it, so that
/// some are allowed, and of anywhere.
fn connections(cluster: &Cluster, sample: usize, seed: u64) -> Vec<Connection> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let pods: Vec<_> = cluster
        .pods()
        .flat_map(|pod| cluster.addresses_of(pod).map(move |address| (address, pod)))
        .collect();
    let local: Vec<usize> = (0..pods.len())
        .filter(|&index| pods[index].1.node.as_deref() == Some(NODE))
        .collect();
    assert_eq!(local.len(), LOCAL, "the node has its pods");
    let mut connections = Vec::new();
    for _ in 0..sample {
        let at = local[dice.usize(..local.len())];
        let near = (at + dice.usize(1..8)) % pods.len();
        let far = dice.usize(..pods.len());
        let other = if dice.bool() { near } else { far };
        let (to, from) = if dice.u8(..4) > 0 {
            (at, other)
        } else {
            (other, at)
        };
        let port = if dice.u8(..4) > 0 { 80 } else { dice.u16(1..) };
        let ((source, from), (destination, to)) = (pods[from], pods[to]);
        connections.push(Connection {
            source,
            destination,
            source_node: from.node.as_deref().map(str::to_owned),
            destination_node: to.node.as_deref().map(str::to_owned),
            protocol: Protocol::Tcp,
            port: Some(port),
        });
    }
    connections
}

fn by_plan(plan: &Plan, connection: &Connection) -> bool {
    let (source, destination): (IpAddr, IpAddr) = (connection.source, connection.destination);
    let port = connection.port.expect("all of these are TCP");
    let verdict = plan.verdict(&Packet {
        source,
        destination,
        transport: Transport::Port(enforcer::policy::Protocol::Tcp, port),
    });
    matches!(verdict, Verdict::Allowed)
}

#[expect(clippy::print_stdout, reason = "the answer is the artefact")]
fn say(line: &str) {
    println!("{line}");
}
