//! `update`: from an event to the kernel's commit, in clusters of several sizes; against the same
//! change with all rules through `nft`, and through `ipset restore` and `iptables-restore`.
//!
//! All is measured in turns in one process: a change is made in the index and committed by us, then
//! the others bring the rules of the same cluster into kernels of their own. What it takes to work
//! their rules out is not counted against them.

mod change;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enforcer::{
    agent::NodeEnforcer,
    nft::{ApplyError, Dataplane, Netlink, NftBinary, Operation, Transaction, diff},
    options::Options,
    plan::Plan,
};
use netsim::Netns;

use self::change::Change;
use crate::{
    city::{City, NODE},
    plot::{Line, Plot, Scale},
    report::{Output, Report, Table, or_dash, progress, time},
    rival::{
        classic::Classic,
        iptables,
        program::{Program, Programs},
    },
    sample::{Sample, number},
};

/// Pods on the node.
const LOCAL: usize = 110;
/// Rounds of ours, however long they take.
const AT_LEAST: usize = 3;

/// Measures from an event to the kernel's commit.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many pods clusters have. [default: 100,1000,10000,100000]
    #[arg(long, value_delimiter = ',', value_name = "N,..", value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    pods: Vec<u32>,
    /// How many policies clusters have. [default: 1000]
    #[arg(long, value_delimiter = ',', value_name = "N,..", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    policies: Vec<u32>,
    /// Measure 10, 1,000 and 10,000 policies.
    #[arg(long, conflicts_with = "policies")]
    grid: bool,
    /// How often each change is made in each cluster, if there is time.
    #[arg(long, default_value_t = 100, value_name = "N")]
    rounds: usize,
    /// How long each cluster is measured, about, for us and for each of the others.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// Measure nothing but Portcullis.
    #[arg(long)]
    ours_only: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Arguments {
    fn cities(&self) -> Vec<City> {
        let or = |chosen: &[u32], default: &[u32]| -> Vec<usize> {
            let values = if chosen.is_empty() { default } else { chosen };
            values.iter().map(|&value| value as usize).collect()
        };
        let quick = self.output.quick;
        let all_pods: &[u32] = if quick {
            &[100, 1_000]
        } else {
            &[100, 1_000, 10_000, 100_000]
        };
        let all_policies: &[u32] = match (self.grid, quick) {
            (true, _) => &[10, 1_000, 10_000],
            (false, true) => &[100],
            (false, false) => &[1_000],
        };
        let mut cities = Vec::new();
        for policies in or(&self.policies, all_policies) {
            for pods in or(&self.pods, all_pods) {
                let local = (pods / 2).min(LOCAL);
                cities.push(City {
                    pods,
                    policies,
                    local,
                });
            }
        }
        cities
    }
}

pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let programs = if arguments.ours_only {
        None
    } else {
        Some(Programs::find()?)
    };
    let patience = if arguments.output.quick {
        Duration::from_secs(1)
    } else {
        Duration::from_secs(arguments.seconds)
    };
    let mut measured = Vec::new();
    for city in arguments.cities() {
        progress(&format!(
            "{} pods, {} policies ...",
            city.pods, city.policies
        ));
        let mut stage = Stage::new(city, programs.as_ref())?;
        stage.measure(arguments.rounds, patience)?;
        tell(&stage, report);
        measured.push((city, stage.timings));
    }
    report.plot(plot(&measured));
    if programs.is_some() {
        report.note(
            "nft and iptables + ipset: all rules anew, as classic enforcers do it; \
             working their rules out is not counted.",
        );
    }
    Ok(())
}

/// One cluster in the kernels of all competitors.
struct Stage {
    city: City,
    ours: NodeEnforcer<Counting<Netlink>>,
    /// Holds what `ours` speaks to.
    _netns: Netns,
    rivals: Vec<Rival>,
    timings: Vec<Timing>,
}

/// What was measured of one change.
#[derive(Debug)]
struct Timing {
    change: Change,
    ours: Vec<Duration>,
    /// Of the last commit.
    count: Count,
    /// In the order of the rivals.
    rivals: Vec<Vec<Duration>>,
}

impl Stage {
    fn new(city: City, programs: Option<&Programs>) -> Result<Self> {
        let netns = Netns::new().context("make a network namespace")?;
        let netlink = netns.run(Netlink::open)?.context("open netlink")?;
        let mut ours = NodeEnforcer::new(NODE, Options::default(), Counting::new(netlink));
        for event in city.events().chain(change::residents()) {
            ours.handle(event);
        }
        ours.commit().context("commit what there is at first")?;
        let mut rivals = Vec::new();
        if let Some(programs) = programs {
            rivals.push(Rival::new(Way::Nft(NftBinary::find()?))?);
            let restore = Way::Restore(programs.ipset.clone(), programs.iptables.clone());
            rivals.push(Rival::new(restore)?);
        }
        let timings = Change::ALL.into_iter().map(|change| Timing {
            change,
            ours: Vec::new(),
            count: Count::default(),
            rivals: vec![Vec::new(); rivals.len()],
        });
        Ok(Self {
            city,
            ours,
            _netns: netns,
            timings: timings.collect(),
            rivals,
        })
    }

    fn measure(&mut self, rounds: usize, patience: Duration) -> Result<()> {
        let mut spent = Duration::ZERO;
        for round in 0..rounds.max(AT_LEAST) {
            if round >= AT_LEAST && spent > patience {
                break;
            }
            for index in 0..self.timings.len() {
                let change = self.timings[index].change;
                let event = change.event(round);
                let begun = Instant::now();
                self.ours.handle(event);
                self.ours
                    .commit()
                    .with_context(|| format!("commit: {change}"))?;
                let took = begun.elapsed();
                spent += took;
                let timing = &mut self.timings[index];
                timing.ours.push(took);
                timing.count = self.ours.dataplane().last;
                if change.is_for_rivals() {
                    self.rivals_follow(index, patience);
                }
            }
        }
        Ok(())
    }

    /// The others bring the cluster as it is now into their kernels, while they have time.
    fn rivals_follow(&mut self, index: usize, patience: Duration) {
        for (number, rival) in self.rivals.iter_mut().enumerate() {
            if rival.failure.is_none() && rival.spent <= patience {
                match rival.follow(&self.ours) {
                    Ok(took) => self.timings[index].rivals[number].push(took),
                    // Without root the messages of nft are limited.
                    Err(error) => rival.failure = Some(format!("{error:#}")),
                }
            }
        }
    }
}

/// Somebody else, with a kernel of its own.
struct Rival {
    way: Way,
    netns: Netns,
    spent: Duration,
    /// Why it cannot.
    failure: Option<String>,
}

enum Way {
    /// Our table, all of it, through `nft`.
    Nft(NftBinary),
    /// The classic shape, all of it, through `ipset restore` and `iptables-restore`.
    Restore(Program, Program),
}

impl Rival {
    fn new(way: Way) -> Result<Self> {
        Ok(Self {
            way,
            netns: Netns::new().context("make a network namespace")?,
            spent: Duration::ZERO,
            failure: None,
        })
    }

    fn follow<D: Dataplane>(&mut self, ours: &NodeEnforcer<D>) -> Result<Duration> {
        let took = match &mut self.way {
            Way::Nft(nft) => {
                let all = diff(&Plan::default(), ours.plan());
                self.netns.run(|| -> Result<_> {
                    let begun = Instant::now();
                    nft.apply(&all)?;
                    Ok(begun.elapsed())
                })??
            }
            Way::Restore(ipset, iptables) => {
                let classic = Classic::of(ours.cluster(), ours.node());
                let (sets, rules) = (iptables::sets(&classic), iptables::rules(&classic));
                self.netns.run(|| -> Result<_> {
                    let begun = Instant::now();
                    ipset.run(&sets)?;
                    iptables.run(&rules)?;
                    Ok(begun.elapsed())
                })??
            }
        };
        self.spent += took;
        Ok(took)
    }
}

/// Counts what goes into the kernel.
struct Counting<D> {
    inner: D,
    last: Count,
}

/// What went into the kernel in one transaction.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    operations: usize,
    elements: usize,
}

impl<D> Counting<D> {
    fn new(inner: D) -> Self {
        let last = Count::default();
        Self { inner, last }
    }
}

impl<D: Dataplane> Dataplane for Counting<D> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let elements = transaction
            .operations()
            .iter()
            .map(|operation| match operation {
                Operation::AddElements { elements, .. }
                | Operation::DeleteElements { elements, .. } => elements.len(),
                _ => 0,
            });
        self.last = Count {
            operations: transaction.len(),
            elements: elements.sum(),
        };
        self.inner.apply(transaction)
    }

    fn is_sender(&self, port: u32) -> bool {
        self.inner.is_sender(port)
    }
}

fn tell(stage: &Stage, report: &mut Report) {
    let City {
        pods,
        policies,
        local,
    } = stage.city;
    let relabelled = stage.city.relabelled();
    let mut table = Table::new(
        format!(
            "{pods} pods ({local} of them on the node), {policies} policies, a namespace of {relabelled} pods"
        ),
        &[
            "change",
            "p50",
            "p99",
            "rounds",
            "operations",
            "elements",
            "nft",
            "",
            "iptables+ipset",
            "",
        ],
    );
    for timing in &stage.timings {
        let ours: Sample = timing.ours.iter().collect();
        let mut row = vec![
            timing.change.to_string(),
            or_dash(ours.median(), time),
            or_dash(ours.percentile(99), time),
            ours.len().to_string(),
            timing.count.operations.to_string(),
            timing.count.elements.to_string(),
        ];
        let name = format!("update.{pods}x{policies}.{}", timing.change.name());
        report.figure_if(format!("{name}.p50"), ours.median(), "ms");
        report.figure_if(format!("{name}.p99"), ours.percentile(99), "ms");
        report.figure(
            format!("{name}.operations"),
            number(timing.count.operations),
            "",
        );
        report.figure(
            format!("{name}.elements"),
            number(timing.count.elements),
            "",
        );
        for (rival, word) in timing.rivals.iter().zip(["nft", "iptables"]) {
            let theirs: Sample = rival.iter().collect();
            let ratio = theirs
                .median()
                .zip(ours.median())
                .map(|(their, our)| their / our);
            row.push(or_dash(theirs.median(), time));
            row.push(
                ratio
                    .map(|ratio| format!("{ratio:.0} x"))
                    .unwrap_or_default(),
            );
            report.figure_if(format!("{name}.{word}.p50"), theirs.median(), "ms");
            report.figure_if(format!("{name}.{word}.ratio"), ratio, "x");
        }
        table.row(row);
    }
    report.table(&table);
    for failure in stage
        .rivals
        .iter()
        .filter_map(|rival| rival.failure.as_ref())
    {
        report.note(format!(
            "Left out with {pods} pods and {policies} policies: failed to {failure}"
        ));
    }
}

/// Against pods, for the number of policies that was measured first.
fn plot(measured: &[(City, Vec<Timing>)]) -> Plot {
    let policies = measured.first().map_or(0, |(city, _)| city.policies);
    let of_that = || {
        measured
            .iter()
            .filter(|(city, _)| city.policies == policies)
    };
    let line = |name: &str, change: Change, times: fn(&Timing) -> Sample| Line {
        name: name.to_owned(),
        points: of_that()
            .filter_map(|(city, timings)| {
                let timing = timings.iter().find(|timing| timing.change == change)?;
                Some((number(city.pods), times(timing).median()?))
            })
            .collect(),
    };
    let ours = |timing: &Timing| timing.ours.iter().collect();
    Plot {
        title: format!("From event to kernel, {policies} policies"),
        x: ("pods in the cluster".into(), Scale::Logarithmic),
        y: ("milliseconds (median)".into(), Scale::Logarithmic),
        lines: vec![
            line("Portcullis: a pod", Change::PodAdded, ours),
            line("iptables + ipset", Change::PodAdded, |timing| {
                nth(timing, 1)
            }),
            line("Portcullis: a policy", Change::PolicyChanged, ours),
            line("nft, all rules", Change::PodAdded, |timing| nth(timing, 0)),
        ],
    }
}

/// What one of the others took.
fn nth(timing: &Timing, rival: usize) -> Sample {
    timing.rivals.get(rival).into_iter().flatten().collect()
}
