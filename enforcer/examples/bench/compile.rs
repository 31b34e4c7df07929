//! `compile`: the published shapes of clusters, from objects to the plan of one node, and from
//! nothing to rules in the kernel.
//!
//! Every measurement is a process of its own, because memory that was once given back to a process's
//! own allocator is memory it still has. Objects are made one by one and dropped when they are told,
//! as an agent reads them; making them is not timed.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use enforcer::{
    agent::NodeEnforcer, cluster::Event, compile::compile, nft::Netlink, options::Options,
    policy::Direction,
};
use netsim::Netns;
use nix::sys::resource::UsageWho;
use serde::{Deserialize, Serialize};

use crate::{
    city::NODE,
    object::Told,
    plot::{Line, Plot, Scale},
    process::{peak_memory, processor_time},
    report::{Output, Report, Table, or_dash, progress, time},
    rival::program::again,
    sample::{Sample, milliseconds, number},
    shape::{LOCAL, Shape},
};

/// Measures the published shapes, from objects to rules.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these shapes. [default: all]
    #[arg(long = "shape", value_delimiter = ',')]
    shapes: Vec<Shape>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Measure one shape in this process.
    #[arg(long, hide = true)]
    child: Option<Shape>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What one process measured, in milliseconds and megabytes.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    /// Objects into the index.
    index: f64,
    /// The index to the plan.
    compile: f64,
    /// The processor's part of both: on a busy machine the rest is waiting for a turn.
    processor: f64,
    /// The most memory until then.
    memory: Option<f64>,
    /// The plan into the kernel, with making it.
    commit: f64,
    /// The most memory until then.
    memory_with_kernel: Option<f64>,
    operations: usize,
    isolated: usize,
}

pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    if let Some(shape) = arguments.child {
        let measured = measure(shape)?;
        report.answer(&serde_json::to_string(&measured)?);
        return Ok(());
    }
    let quick = arguments.output.quick;
    let shapes: &[Shape] = match (&*arguments.shapes, quick) {
        ([], true) => &[Shape::PolicyPerPod],
        ([], false) => &Shape::ALL,
        (chosen, _) => chosen,
    };
    let rounds = if quick { 1 } else { arguments.rounds };
    let mut all: Vec<(Shape, Vec<Measured>)> = Vec::new();
    // In turns: whatever else the machine does is spread evenly.
    for round in 1..=rounds {
        for (index, shape) in shapes.iter().enumerate() {
            progress(&format!("{shape}, round {round} of {rounds} ..."));
            let answer = again(&["compile", "--child", shape.name()])?;
            let measured = serde_json::from_str(&answer).context("read what was measured")?;
            match all.get_mut(index) {
                Some((_, of_shape)) => of_shape.push(measured),
                None => all.push((*shape, vec![measured])),
            }
        }
    }
    tell(&all, report);
    report.plot(plot(&all));
    report.note(format!(
        "For one node with {LOCAL} of the pods. Published: Antrea, in one process, for all of the cluster; \
         from NetworkPolicies on to the plan is the like of it."
    ));
    Ok(())
}

fn measure(shape: Shape) -> Result<Measured> {
    let netns = Netns::new().context("make a network namespace")?;
    let netlink = netns.run(Netlink::open)?.context("open netlink")?;
    let mut enforcer = NodeEnforcer::new(NODE, Options::default(), netlink);
    let mut index = Duration::ZERO;
    let used = || -> io::Result<Duration> { processor_time(UsageWho::RUSAGE_SELF) };
    let mut processor = Duration::ZERO;
    let mut tell = |object: &dyn Told| {
        let (begun, before) = (Instant::now(), used()?);
        let event: Event = object.told();
        enforcer.handle(event);
        index += begun.elapsed();
        processor += used()?.saturating_sub(before);
        Ok::<_, io::Error>(())
    };
    tell(&Shape::node())?;
    shape
        .namespaces()
        .try_for_each(|namespace| tell(&namespace))?;
    shape.pods().try_for_each(|pod| tell(&pod))?;
    shape.policies().try_for_each(|policy| tell(&policy))?;

    let (begun, before) = (Instant::now(), used()?);
    let plan = compile(enforcer.cluster(), NODE, Options::default());
    let compiled = begun.elapsed();
    processor += used()?.saturating_sub(before);
    let memory = peak_memory();
    let isolated = plan.subjects(Direction::Ingress).len();
    drop(plan);

    let begun = Instant::now();
    let commit = enforcer.commit().context("commit")?;
    let committed = begun.elapsed();
    Ok(Measured {
        index: milliseconds(index),
        compile: milliseconds(compiled),
        processor: milliseconds(processor),
        memory,
        commit: milliseconds(committed),
        memory_with_kernel: peak_memory(),
        operations: commit.operations,
        isolated,
    })
}

fn tell(all: &[(Shape, Vec<Measured>)], report: &mut Report) {
    let mut table = Table::new(
        "From objects to the plan, and to rules in the kernel",
        &[
            "shape",
            "index",
            "compile",
            "plan after",
            "spread",
            "processor",
            "peak",
            "published",
            "",
            "kernel after",
            "peak",
            "isolated",
        ],
    );
    for (shape, rounds) in all {
        let median = |value: fn(&Measured) -> Option<f64>| -> Option<f64> {
            rounds.iter().filter_map(value).collect::<Sample>().median()
        };
        let plan: Sample = rounds.iter().map(|m| m.index + m.compile).collect();
        let (memory, with_kernel) = (median(|m| m.memory), median(|m| m.memory_with_kernel));
        let start = median(|m| Some(m.index + m.commit));
        let megabytes = |value: f64| format!("{value:.0} MB");
        let published = shape.published();
        table.row(vec![
            shape.to_string(),
            or_dash(median(|m| Some(m.index)), time),
            or_dash(median(|m| Some(m.compile)), time),
            or_dash(plan.median(), time),
            or_dash(plan.percentile(0), |least| {
                let most = plan.percentile(100).unwrap_or(least);
                format!("{} to {}", time(least), time(most))
            }),
            or_dash(median(|m| Some(m.processor)), time),
            or_dash(memory, megabytes),
            or_dash(published.map(|(seconds, _)| seconds * 1_000.0), time),
            or_dash(published.map(|(_, memory)| memory), megabytes),
            or_dash(start, time),
            or_dash(with_kernel, megabytes),
            or_dash(median(|m| Some(number(m.isolated))), |n| format!("{n:.0}")),
        ]);
        let name = format!("compile.{}", shape.name());
        report.figure_if(format!("{name}.index"), median(|m| Some(m.index)), "ms");
        report.figure_if(format!("{name}.compile"), median(|m| Some(m.compile)), "ms");
        report.figure_if(format!("{name}.plan"), plan.median(), "ms");
        let processor = median(|m| Some(m.processor));
        report.figure_if(format!("{name}.plan.processor"), processor, "ms");
        report.figure_if(format!("{name}.plan.peak"), memory, "MB");
        report.figure_if(format!("{name}.start"), start, "ms");
        report.figure_if(format!("{name}.start.peak"), with_kernel, "MB");
        let operations = median(|m| Some(number(m.operations)));
        report.figure_if(format!("{name}.operations"), operations, "");
    }
    report.table(&table);
}

/// Time against memory: down and left is better.
fn plot(all: &[(Shape, Vec<Measured>)]) -> Plot {
    let point = |name: String, memory: Option<f64>, milliseconds: Option<f64>| Line {
        name,
        points: memory
            .zip(milliseconds.map(|ms| ms / 1_000.0))
            .into_iter()
            .collect(),
    };
    let mut lines = Vec::new();
    for (shape, rounds) in all {
        let plan: Sample = rounds.iter().map(|m| m.index + m.compile).collect();
        let memory: Sample = rounds.iter().filter_map(|m| m.memory).collect();
        lines.push(point(
            shape.name().to_owned(),
            memory.median(),
            plan.median(),
        ));
    }
    for (shape, _) in all {
        if let Some((seconds, memory)) = shape.published() {
            let name = format!("Antrea: {}", shape.name());
            lines.push(point(name, Some(memory), Some(seconds * 1_000.0)));
        }
    }
    Plot {
        title: "From objects to a plan".into(),
        x: ("peak memory, MB".into(), Scale::Logarithmic),
        y: ("seconds".into(), Scale::Logarithmic),
        lines,
    }
}
