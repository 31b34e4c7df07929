//! The start with a large cluster: how long the kernel is busy with the transaction, and whether
//! anybody whose packets pass the node has to wait for it.
//!
//! A client and a server talk all the time, by new connections. The longest that one of them takes
//! while the rules go into the kernel is held against the longest in as long a time before.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use enforcer::{
    agent::NodeEnforcer,
    nft::{ApplyError, Dataplane, Netlink, Transaction},
    options::Options,
};

use super::wait;
use crate::{
    city::{City, NODE},
    packet::{Exchange, Pair, Stretch},
    report::{Report, Table, or_dash, progress, time},
    sample::{Sample, milliseconds, number},
};

/// How long is watched before.
const BEFORE: Duration = Duration::from_secs(2);
/// One connection, however long it takes.
const ONE: Stretch = Stretch {
    count: 1,
    at_most: Duration::MAX,
};

/// Says how long the kernel took.
struct Timed<D> {
    inner: D,
    /// From handing the last transaction over until it was in force, with making it.
    last: Duration,
}

impl<D: Dataplane> Dataplane for Timed<D> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let begun = Instant::now();
        let result = self.inner.apply(transaction);
        self.last = begun.elapsed();
        result
    }

    fn is_sender(&self, port: u32) -> bool {
        self.inner.is_sender(port)
    }
}

pub(super) fn run(city: City, report: &mut Report) -> Result<()> {
    let City { pods, policies, .. } = city;
    progress(&format!(
        "a start with {pods} pods, {policies} policies ..."
    ));
    let pair = Pair::new(NODE).context("build a node with two pods")?;
    let netlink = pair.node().run(Netlink::open)?.context("open netlink")?;
    let dataplane = Timed {
        inner: netlink,
        last: Duration::ZERO,
    };
    let mut enforcer = NodeEnforcer::new(NODE, Options::default(), dataplane);
    for event in city.events().chain(pair.events()) {
        enforcer.handle(event);
    }
    let (exchange, is_over) = (pair.exchange(), AtomicBool::new(false));
    let (begun, committed, commit, seen) = thread::scope(|scope| {
        let talking = scope.spawn(|| talk(exchange, &is_over));
        wait(BEFORE);
        let begun = Instant::now();
        let commit = enforcer.commit();
        let committed = begun.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let seen = talking.join().ok();
        (begun, committed, commit, seen)
    });
    let commit = commit.context("commit")?;
    let seen = seen.context("talk meanwhile")??;
    ensure!(!seen.is_empty(), "nobody could talk");
    let kernel = enforcer.dataplane().last;
    let kernel_from = begun + committed.saturating_sub(kernel);
    let before: Sample = latencies(&seen, |at| at < begun);
    let during: Sample = latencies(&seen, |at| at >= kernel_from);

    let mut table = Table::new(
        format!("A start with {pods} pods, {policies} policies, while connections pass"),
        &["", "p50", "p99", "longest", "connections"],
    );
    for (what, sample) in [
        ("before", &before),
        ("while the kernel takes the rules", &during),
    ] {
        table.row(vec![
            what.to_owned(),
            or_dash(sample.median(), time),
            or_dash(sample.percentile(99), time),
            or_dash(sample.percentile(100), time),
            sample.len().to_string(),
        ]);
    }
    report.table(&table);
    let mut table = Table::new("The start itself", &["", ""]);
    for (what, value) in [
        (
            "from the index to the kernel",
            time(milliseconds(committed)),
        ),
        ("the transaction", time(milliseconds(kernel))),
        ("its operations", commit.operations.to_string()),
    ] {
        table.row(vec![what.to_owned(), value]);
    }
    report.table(&table);
    report.figure("churn.start", milliseconds(committed), "ms");
    report.figure("churn.start.transaction", milliseconds(kernel), "ms");
    report.figure("churn.start.operations", number(commit.operations), "");
    report.figure_if("churn.start.connection.before.p50", before.median(), "ms");
    report.figure_if(
        "churn.start.connection.before.max",
        before.percentile(100),
        "ms",
    );
    report.figure_if("churn.start.connection.during.p50", during.median(), "ms");
    report.figure_if(
        "churn.start.connection.during.max",
        during.percentile(100),
        "ms",
    );
    Ok(())
}

/// When a connection stood, and how long it took to be opened.
type Seen = Vec<(Instant, Duration)>;

fn talk(exchange: &Exchange, is_over: &AtomicBool) -> std::io::Result<Seen> {
    let mut seen = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let latencies = exchange.connections(ONE)?.latencies;
        seen.extend(
            latencies
                .into_iter()
                .map(|latency| (Instant::now(), latency)),
        );
    }
    Ok(seen)
}

fn latencies(seen: &Seen, is_asked: impl Fn(Instant) -> bool) -> Sample {
    let asked = seen.iter().filter(|(stood, _)| is_asked(*stood));
    asked.map(|(_, latency)| latency).collect()
}
