//! `churn`: an agent under a steady stream of pod events, and the start of one with a large cluster
//! while connections pass its node.
//!
//! - the stream: the agent's own thread, as on a real node; somebody else asks it again and again how
//!   long it takes until everything told so far is in the kernel;
//! - `start`: the start, and who waits for it.

mod start;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use enforcer::{
    agent::{Agent, Kernel},
    cluster::Event,
    options::Options,
};
use netsim::Netns;

use crate::{
    city::{City, NODE},
    object::{Told as _, gone},
    plot::{Line, Plot, Scale},
    process::{memory, processor_time_of},
    report::{Output, Report, Table, or_dash, progress, time},
    sample::{Sample, milliseconds, number},
};

/// How long an agent may take to begin, or to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions how far the agent is.
const ASKED_EVERY: Duration = Duration::from_millis(5);

/// Measures an agent under a steady stream of events, and its start.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many pods the cluster has.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pods: u32,
    /// How many policies it has.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    policies: u32,
    /// Pod events in a second.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long. [default: 30]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    #[command(flatten)]
    pub(crate) output: Output,
}

pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let quick = arguments.output.quick;
    let city = City {
        pods: arguments.pods as usize,
        policies: arguments.policies as usize,
        local: 110.min(arguments.pods as usize / 2),
    };
    let lasts = Duration::from_secs(arguments.seconds.unwrap_or(if quick { 2 } else { 30 }));
    progress(&format!(
        "{} pod events a second for {lasts:?}, {} pods, {} policies ...",
        arguments.rate, city.pods, city.policies
    ));
    let stream = stream(city, arguments.rate, lasts)?;
    tell(&stream, city, arguments.rate, report);
    report.plot(plot(&stream));
    let largest = if quick {
        city
    } else {
        City {
            pods: 100_000,
            policies: 10_000,
            local: 110,
        }
    };
    start::run(largest, report)
}

/// What was seen while events streamed in.
struct Stream {
    /// When it was asked, and how long it took until everything told by then was in the kernel.
    delays: Vec<(Duration, Duration)>,
    /// Events that were told while one such question waited, at most.
    backlog: usize,
    told: usize,
    took: Duration,
    /// Processor time of the agent's thread.
    used: Duration,
    memory_before: Option<f64>,
    memory_after: Option<f64>,
    /// Until the agent had nothing left to do.
    rest: Duration,
}

fn stream(city: City, rate: u32, lasts: Duration) -> Result<Stream> {
    let netns = Netns::new().context("make a network namespace")?;
    let kernel = netns.run(Kernel::open)?.context("open the kernel")?;
    let agent = Agent::start(NODE, Options::default(), kernel).context("start an agent")?;
    for event in city.events() {
        agent.send(event);
    }
    agent.synced();
    agent.settle(PATIENCE).context("begin")?;
    // Once around, so that what is kept for later is there.
    let mut events = Visitors::new(city);
    for _ in 0..city.pods.min(3_000) {
        agent.send(events.next());
    }
    agent.settle(PATIENCE).context("warm up")?;

    let memory_before = memory();
    let used_before = processor_time_of("agent ")?;
    let told = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let backlog = AtomicUsize::new(0);
    let delays = Mutex::new(Vec::new());
    let begun = Instant::now();
    let took = thread::scope(|scope| -> Result<Duration> {
        let watching = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                let (asked, before) = (begun.elapsed(), told.load(Ordering::Relaxed));
                agent.settle(PATIENCE).context("keep up")?;
                let delay = begun.elapsed().saturating_sub(asked);
                let meanwhile = told.load(Ordering::Relaxed) - before;
                backlog.fetch_max(meanwhile, Ordering::Relaxed);
                delays.lock().expect("nobody panics").push((asked, delay));
                wait(ASKED_EVERY);
            }
            Ok(())
        });
        let between = Duration::from_secs(1) / rate;
        let mut due = Duration::ZERO;
        while due < lasts {
            wait(due.saturating_sub(begun.elapsed()));
            agent.send(events.next());
            told.fetch_add(1, Ordering::Relaxed);
            due += between;
        }
        let took = begun.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let watched = watching.join();
        ensure!(watched.is_ok(), "watch the agent");
        watched.unwrap_or(Ok(()))?;
        Ok(took)
    })?;
    agent.settle(PATIENCE).context("come to rest")?;
    let rest = begun.elapsed().saturating_sub(took);
    let failure = agent.status().failure;
    ensure!(failure.is_none(), "commit: {failure:?}");
    Ok(Stream {
        delays: delays.into_inner().expect("nobody panics"),
        backlog: backlog.into_inner(),
        told: told.into_inner(),
        took,
        used: processor_time_of("agent ")?.saturating_sub(used_before),
        memory_before,
        memory_after: memory(),
        rest,
    })
}

/// Pods that come, are relabelled and go, all over the cluster.
struct Visitors {
    city: City,
    next: usize,
}

impl Visitors {
    fn new(city: City) -> Self {
        Self { city, next: 0 }
    }

    fn next(&mut self) -> Event {
        let (pod, step) = (self.next / 3, self.next % 3);
        self.next += 1;
        // Addresses are used again, as they are.
        let number = self.city.pods + pod % 5_000;
        match step {
            0 => self.city.pod(number).told(),
            1 => {
                let mut pod = self.city.pod(number);
                let labels = pod.metadata.labels.get_or_insert_default();
                labels.insert("app".to_owned(), format!("a{}", number % 7));
                pod.told()
            }
            _ => gone(&self.city.pod(number)),
        }
    }
}

fn tell(stream: &Stream, city: City, rate: u32, report: &mut Report) {
    let delays: Sample = stream.delays.iter().map(|(_, delay)| delay).collect();
    let share = stream.used.as_secs_f64() / stream.took.as_secs_f64() * 100.0;
    let each = milliseconds(stream.used) / number(stream.told);
    let reached = number(stream.told) / stream.took.as_secs_f64();
    let mut table = Table::new(
        format!(
            "{} pods, {} policies, {rate} pod events a second for {:.0} s",
            city.pods,
            city.policies,
            stream.took.as_secs_f64()
        ),
        &["", ""],
    );
    let megabytes = |value: f64| format!("{value:.1} MB");
    let rows = [
        ("events a second, reached", format!("{reached:.0}")),
        ("until in the kernel, p50", or_dash(delays.median(), time)),
        ("p99", or_dash(delays.percentile(99), time)),
        ("longest", or_dash(delays.percentile(100), time)),
        ("events told meanwhile, at most", stream.backlog.to_string()),
        ("processor, the agent's thread", format!("{share:.1} %")),
        ("processor time of an event", time(each)),
        ("at rest after", time(milliseconds(stream.rest))),
        ("memory before", or_dash(stream.memory_before, megabytes)),
        ("memory after", or_dash(stream.memory_after, megabytes)),
    ];
    for (what, value) in rows {
        table.row(vec![what.to_owned(), value]);
    }
    report.table(&table);
    report.figure("churn.events", reached, "1/s");
    report.figure_if("churn.delay.p50", delays.median(), "ms");
    report.figure_if("churn.delay.p99", delays.percentile(99), "ms");
    report.figure_if("churn.delay.max", delays.percentile(100), "ms");
    report.figure("churn.backlog", number(stream.backlog), "events");
    report.figure("churn.processor", share, "%");
    report.figure("churn.processor.event", each * 1_000.0, "us");
    report.figure_if("churn.memory.before", stream.memory_before, "MB");
    report.figure_if("churn.memory.after", stream.memory_after, "MB");
}

/// Delays over time.
fn plot(stream: &Stream) -> Plot {
    let percentile = |name: &str, percent| {
        let mut points = Vec::new();
        let last = stream.took.as_secs();
        for second in 0..last {
            let within = |(asked, _): &&(Duration, Duration)| asked.as_secs() == second;
            let of_second: Sample = stream
                .delays
                .iter()
                .filter(within)
                .map(|(_, d)| d)
                .collect();
            if let (Some(delay), Ok(second)) =
                (of_second.percentile(percent), u32::try_from(second))
            {
                points.push((f64::from(second), delay));
            }
        }
        Line {
            name: name.to_owned(),
            points,
        }
    };
    Plot {
        title: "Until an event is in the kernel".into(),
        x: ("seconds".into(), Scale::Linear),
        y: ("milliseconds".into(), Scale::Logarithmic),
        lines: vec![
            percentile("longest of a second", 100),
            percentile("median of a second", 50),
        ],
    }
}

/// Nobody wakes it up.
fn wait(time: Duration) {
    if time.is_zero() {
        return;
    }
    let (_keep, nothing) = mpsc::channel::<()>();
    let _timeout = nothing.recv_timeout(time);
}
