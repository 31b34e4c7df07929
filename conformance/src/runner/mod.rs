//! Plays scenarios: several at a time, each on a back end of its own.
//!
//! - [`player`] plays a scenario step by step and says what it saw;
//! - [`look`] is one look at many connections: packets and the other two judges;
//! - [`venue`] is where they are played: it makes the back ends;
//! - `flows` and `background` are connections that outlive a step;
//! - `because` checks what a scenario says about reasons;
//! - `play` turns what was seen into a report.

mod admission;
mod background;
mod because;
mod failure;
mod flows;
pub mod look;
mod play;
pub mod player;
#[cfg(test)]
mod tests;
pub mod venue;
mod whereabouts;

use std::{
    cmp::Reverse,
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub(crate) use self::venue::sim_options;
pub use self::venue::{Simulator, Venue};
pub(crate) use self::{
    failure::failure,
    whereabouts::{Nowhere, Written},
};
use crate::{
    backend::sim::DataplaneKind,
    report::{Conclusion, Environment, RunReport, ScenarioReport},
    scenario::{Fabric, Families, Scenario, Step},
};

/// How to play.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How rules reach the kernel.
    pub dataplane: DataplaneKind,
    /// How many scenarios at a time.
    pub workers: usize,
    /// Whether a scenario ends with the first step that fails, so that its cluster shows it.
    pub stop_at_failure: bool,
    /// What the enforcers choose where neither the specification nor the scenario says.
    pub enforcer: enforcer::options::Options,
    /// Whether the report lists every connection, not only those that failed.
    pub all_cells: bool,
}

impl Default for Options {
    /// As many at a time as make good use of the machine, all of each.
    fn default() -> Self {
        Self {
            dataplane: DataplaneKind::default(),
            workers: usual_workers(),
            stop_at_failure: false,
            enforcer: enforcer::options::Options::default(),
            all_cells: false,
        }
    }
}

/// How many scenarios at a time make good use of this machine: nine tenths of a scenario's time is
/// waiting for probes that must not be answered. Each takes some hundred descriptors, so there are
/// never too many.
pub fn usual_workers() -> usize {
    const PER_PROCESSOR: usize = 12;
    const MOST: usize = 96;
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    (processors * PER_PROCESSOR).min(MOST)
}

/// One scenario on one fabric.
#[derive(Clone, Copy, Debug)]
pub struct Play<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The fabric.
    pub fabric: Fabric,
}

impl Play<'_> {
    /// How long it takes, very roughly and in no unit: whatever takes long had better begin early.
    pub fn effort(&self) -> usize {
        /// Background traffic keeps a processor busy for a whole step.
        const TRAFFIC: usize = 1_000;
        let effort = |step: &Step| {
            let cells: usize = step.expectations.iter().map(|e| e.cells.len()).sum();
            (cells + step.changes.len()) * step.policies.len().max(1) + TRAFFIC * step.start.len()
        };
        self.scenario.steps.iter().map(effort).sum()
    }
}

/// What happens while scenarios are played on back ends `B`; called from several threads.
pub trait Observer<B>: Sync {
    /// A scenario begins.
    fn started(&self, id: &str);

    /// A scenario has ended, and leaves its cluster if it had one.
    fn finished(&self, play: Play<'_>, report: &ScenarioReport, cluster: Option<B>);
}

/// Plays them all, the longest first; the reports are in the order of the plays.
pub fn run<V: Venue>(
    plays: &[Play<'_>],
    venue: &V,
    options: Options,
    observer: &dyn Observer<V::Backend>,
) -> RunReport {
    let begun = Instant::now();
    let mut report = RunReport::begin(environment(venue.name(), options));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(plays.len()));
    let mut queue: Vec<(usize, Play<'_>)> = plays.iter().copied().enumerate().collect();
    queue.sort_by_cached_key(|(_, one)| (venue.kin(*one), Reverse(one.effort())));
    let work = || {
        loop {
            let next = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(index, one)) = queue.get(next) else {
                break;
            };
            let report = run_one(one, venue, options, observer);
            let mut done = done
                .lock()
                .expect("no worker panics while it holds the list");
            done.push((index, report));
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.workers.clamp(1, plays.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("every worker has ended");
    done.sort_by_key(|(index, _)| *index);
    report.duration = begun.elapsed();
    report.scenarios = done.into_iter().map(|(_, report)| report).collect();
    report
}

/// Plays one scenario on a back end of its own.
pub fn run_one<V: Venue>(
    one: Play<'_>,
    venue: &V,
    options: Options,
    observer: &dyn Observer<V::Backend>,
) -> ScenarioReport {
    let mut report = blank(one, options);
    if !venue.has_fabrics() {
        report.fabric = None;
    }
    observer.started(&report.id);
    if let Some(reason) = venue.missing_for(one) {
        report.conclusion = Conclusion::Skipped { reason };
        observer.finished(one, &report, None);
        return report;
    }
    let begun = Instant::now();
    match venue.build(one, options) {
        Ok(mut backend) => {
            play::play(one.scenario, options, &mut backend, &mut report);
            report.duration = begun.elapsed();
            observer.finished(one, &report, Some(backend));
        }
        Err(error) => {
            report.conclusion = play::error_conclusion(&error);
            report.duration = begun.elapsed();
            observer.finished(one, &report, None);
        }
    }
    report
}

fn blank(one: Play<'_>, options: Options) -> ScenarioReport {
    let scenario = one.scenario;
    let family = match (scenario.family, scenario.families) {
        (Some(family), _) => family.to_string().to_lowercase(),
        (None, Families::Ipv4) => "ipv4".to_owned(),
        (None, Families::Ipv6) => "ipv6".to_owned(),
        (None, Families::Dual) => "dual".to_owned(),
    };
    ScenarioReport {
        id: scenario.name.clone(),
        title: scenario.title.clone().unwrap_or_default(),
        file: scenario.location.source.name.clone(),
        line: scenario.location.line(),
        tags: scenario.tags.clone(),
        covers: scenario.covers.clone(),
        requires: scenario
            .requires
            .iter()
            .map(|it| it.name().to_owned())
            .collect(),
        fabric: Some(one.fabric.to_string()),
        family,
        options: scenario.options.over(options.enforcer),
        conclusion: Conclusion::Passed,
        duration: Duration::ZERO,
        steps: Vec::new(),
        look: Vec::new(),
    }
}

/// What this run can depend on beside the scenarios.
fn environment(backend: &str, options: Options) -> Environment {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.release().to_string_lossy().into_owned(),
    );
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backend: backend.to_owned(),
        kernel,
        workers: options.workers,
        root: nix::unistd::geteuid().is_root(),
    }
}
