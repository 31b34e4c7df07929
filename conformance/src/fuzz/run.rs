//! Many cases on several threads until there are enough, the time is over, or too much has failed.
//!
//! A case is known by its seed and number alone, whatever the number of threads. [`Run::go`] does
//! one mode; what it finds is shrunk where it was found, by the thread that found it.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use enforcer::options::Options;

use super::{
    feature::Coverage,
    kernel::SETS,
    plan::Ear,
    story::Story,
    worker::{Played, Worker},
};
use crate::cell::Cell;

/// What is held against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Oracle, Plan and explanation.
    Plan,
    /// These and real packets.
    Kernel,
    /// What an enforcer has after edits, and what it makes of the same objects from nothing.
    Edits,
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Kernel => "kernel",
            Self::Edits => "edits",
        }
    }

    /// How many cases a thread takes at a time: those of one world together.
    fn chunk(self) -> u64 {
        match self {
            Self::Plan => 32,
            Self::Kernel => SETS,
            Self::Edits => 1,
        }
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is held against what.
    pub mode: Mode,
    /// What everything follows from.
    pub seed: u64,
    /// Which cases.
    pub cases: Range<u64>,
    /// When to stop at the latest.
    pub deadline: Option<Instant>,
    /// How many threads.
    pub jobs: usize,
    /// After how many failures to look for no more.
    pub most_failures: usize,
    /// Whether tables can be compared in the kernel.
    pub has_namespaces: bool,
    /// One case in so many is looked at for what it makes use of, if that is wanted: it takes ten
    /// times as long. Only without packets.
    pub sample: Option<u64>,
    /// What enforcers hear of policies.
    pub ear: Ear,
}

/// What has been done so far; read while threads add to it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Cases.
    pub cases: AtomicU64,
    /// Connections that were judged.
    pub connections: AtomicU64,
    /// Of these, denied ones.
    pub denied: AtomicU64,
    /// Edits.
    pub edits: AtomicU64,
    /// Tables that were compared in the kernel.
    pub tables: AtomicU64,
    /// Probes that were answered only at the second look.
    pub slow: AtomicU64,
    /// Cases in which judges do not agree.
    pub disagreements: AtomicUsize,
}

/// A failure that was boiled down.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it was found.
    pub mode: Mode,
    /// The case.
    pub seed: u64,
    /// Its number.
    pub case: u64,
    /// What the enforcers chose.
    pub options: Options,
    /// What is left of it.
    pub story: Story,
    /// What to look at.
    pub cells: Vec<Cell>,
    /// What the judges say.
    pub what: String,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Failures, in the order of their cases.
    pub found: Vec<Found>,
    /// What a sample of cases made use of.
    pub coverage: Coverage,
    /// What the machine could not do, which ended the run.
    pub trouble: Option<anyhow::Error>,
}

impl Run {
    /// Plays the cases. `watch` is called now and then from several threads.
    pub fn go(&self, counts: &Counts, watch: &(dyn Fn() + Sync)) -> Outcome {
        let next = AtomicU64::new(self.cases.start);
        let outcome = Mutex::new(Outcome::default());
        let work = || {
            let ended = self.work(&next, &outcome, counts, watch);
            if let Err(error) = ended {
                locked(&outcome).trouble.get_or_insert(error);
                // The others need not begin another case.
                next.store(self.cases.end, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.found.sort_by_key(|found| found.case);
        outcome
    }

    /// What one thread does.
    fn work(
        &self,
        next: &AtomicU64,
        outcome: &Mutex<Outcome>,
        counts: &Counts,
        watch: &(dyn Fn() + Sync),
    ) -> anyhow::Result<()> {
        let mut worker = Worker::new(self)?;
        while !self.is_over(counts) {
            let first = next.fetch_add(self.mode.chunk(), Ordering::Relaxed);
            let last = (first + self.mode.chunk()).min(self.cases.end);
            if first >= last {
                break;
            }
            for case in first..last {
                if self.is_over(counts) {
                    break;
                }
                let played = worker.play(case)?;
                count(counts, &played);
                let found = played.failure.map(|failure| Found {
                    mode: self.mode,
                    seed: self.seed,
                    case,
                    options: failure.options,
                    story: failure.story,
                    cells: failure.cells,
                    what: failure.what,
                });
                locked(outcome).found.extend(found);
                watch();
            }
        }
        locked(outcome).coverage.add(&worker.coverage);
        Ok(())
    }

    fn is_over(&self, counts: &Counts) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
            || counts.disagreements.load(Ordering::Relaxed) >= self.most_failures
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What a thread that panicked had pushed is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(counts: &Counts, played: &Played) {
    let add = |counter: &AtomicU64, more| counter.fetch_add(more, Ordering::Relaxed);
    add(&counts.cases, 1);
    add(&counts.connections, played.connections);
    add(&counts.denied, played.denied);
    add(&counts.edits, played.edits);
    add(&counts.tables, played.tables);
    add(&counts.slow, played.slow);
    if played.failure.is_some() {
        counts.disagreements.fetch_add(1, Ordering::Relaxed);
    }
}
