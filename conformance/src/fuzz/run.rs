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
    time::{Duration, Instant},
};

use anyhow::Context;
use enforcer::options::{Deny, Established, Options, Unprogrammed};

use super::{
    cells::cells,
    dice::Dice,
    edits::{self, Bench},
    feature::Coverage,
    generate::{self, Scale},
    kernel::{self, SETS, Stage},
    plan::{Disagreement, Ear, Judges},
    shrink::shrink,
    story::Story,
    world::World,
};
use crate::{
    backend::sim::{missing_for, usual_fabric},
    cell::Cell,
    scenario::Fabric,
};

/// About how many connections of a world are judged without packets.
const CELLS: usize = 120;
/// How long a failure is shrunk: without packets, and with them.
const SHRINKING: Duration = Duration::from_secs(10);
const SHRINKING_PACKETS: Duration = Duration::from_secs(60);

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
}

/// A case after it was played.
#[derive(Default)]
struct Played {
    connections: u64,
    denied: u64,
    edits: u64,
    tables: u64,
    slow: u64,
    failure: Option<(Story, Vec<Cell>, String)>,
}

/// The world of a case without packets, and what is asked about it.
pub fn plan_case(seed: u64, case: u64) -> (World, Vec<Cell>) {
    let mut dice = Dice::of_case(seed, case);
    let mut world = generate::world(&mut dice, Scale::PLAN);
    world.policies = generate::policies(&mut dice, &world, Scale::PLAN);
    let cells = cells(&mut dice, &world, CELLS);
    (world, cells)
}

impl Run {
    /// Plays the cases. `watch` is called now and then from several threads.
    ///
    /// # Errors
    /// If the machine cannot do what it takes; what was found until then is lost.
    pub fn go(&self, counts: &Counts, watch: &(dyn Fn() + Sync)) -> anyhow::Result<Outcome> {
        let next = AtomicU64::new(self.cases.start);
        let outcome = Mutex::new(Outcome::default());
        let work = || -> anyhow::Result<()> {
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
                    if let Some((story, cells, what)) = played.failure {
                        let found = Found {
                            mode: self.mode,
                            seed: self.seed,
                            case,
                            story,
                            cells,
                            what,
                        };
                        locked(&outcome).found.push(found);
                    }
                    watch();
                }
            }
            locked(&outcome).coverage.add(&worker.coverage);
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.found.sort_by_key(|found| found.case);
        Ok(outcome)
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

/// One thread, and what it keeps from case to case.
struct Worker<'a> {
    run: &'a Run,
    coverage: Coverage,
    bench: Option<Bench>,
    stage: Option<(u64, Stage)>,
}

impl<'a> Worker<'a> {
    fn new(run: &'a Run) -> anyhow::Result<Self> {
        let wants_bench = run.mode == Mode::Edits && run.has_namespaces;
        let bench = wants_bench.then(Bench::new).transpose();
        Ok(Self {
            run,
            coverage: Coverage::default(),
            bench: bench.context("failed to make network namespaces")?,
            stage: None,
        })
    }

    fn play(&mut self, case: u64) -> anyhow::Result<Played> {
        match self.run.mode {
            Mode::Plan => Ok(self.plan(case)),
            Mode::Kernel => self.kernel(case),
            Mode::Edits => self.edits(case),
        }
    }

    fn plan(&mut self, case: u64) -> Played {
        let (world, cells) = plan_case(self.run.seed, case);
        let mut played = Played::default();
        let judges = Judges::of(&world, Options::default(), self.run.ear);
        let mut failed: Option<Disagreement> = None;
        for cell in &cells {
            let Some(answers) = judges.ask(cell) else {
                continue;
            };
            played.connections += 1;
            played.denied += u64::from(!answers.allowed());
            if failed.is_none() {
                failed = answers.disagreement(cell);
            }
        }
        if self
            .run
            .sample
            .is_some_and(|one_in| case.is_multiple_of(one_in))
        {
            self.coverage.take(&world, &cells);
        }
        played.failure = failed.map(|disagreement| {
            let cell = disagreement.cell;
            let story = shrink_plan(&Story::still(world), &cell, self.run.ear);
            let judges = Judges::of(&story.world, Options::default(), self.run.ear);
            let what = judges
                .ask(&cell)
                .and_then(|answers| answers.disagreement(&cell));
            (
                story,
                vec![cell],
                what.as_ref().map(described).unwrap_or_default(),
            )
        });
        played
    }

    fn kernel(&mut self, case: u64) -> anyhow::Result<Played> {
        let seed = self.run.seed;
        let number = case / SETS;
        let fabric = fabric(number);
        let stage = match self.stage.take() {
            Some((known, stage)) if known == number => stage,
            other => {
                // Two clusters at a time would need twice the namespaces.
                drop(other);
                let world = kernel::world(seed, case);
                Stage::build(&world, fabric, Options::default())
                    .with_context(|| format!("case {case} of seed {seed}: failed to build it"))?
            }
        };
        let (number, stage) = self.stage.insert((number, stage));
        let _ = number;
        let (world, cells) = kernel::case(seed, case, stage.world());
        let seen = stage
            .play(&world, &cells, self.run.ear)
            .with_context(|| format!("case {case} of seed {seed}: failed to play it"))?;
        let failure = seen.disagreements.first().map(|disagreement| {
            let story = shrink_kernel(
                &Story::still(world),
                &disagreement.cell,
                fabric,
                self.run.ear,
            );
            let what = described(disagreement);
            (
                story,
                vec![disagreement.cell.clone()],
                format!("{what}\non the {fabric} fabric"),
            )
        });
        Ok(Played {
            connections: seen.connections,
            denied: seen.denied,
            slow: seen.slow,
            failure,
            ..Played::default()
        })
    }

    fn edits(&mut self, case: u64) -> anyhow::Result<Played> {
        let mut dice = Dice::of_case(self.run.seed, case);
        let story = edits::story(&mut dice);
        let options = options(&mut dice);
        let mut done = edits::Done::default();
        let bench = self.bench.as_ref();
        let ear = self.run.ear;
        let difference = edits::play(&story, options, bench, ear, &mut dice.clone(), &mut done)
            .with_context(|| format!("case {case}: failed to play it"))?;
        let failure = difference.map(|_| {
            let fails = |story: &Story| {
                let mut done = edits::Done::default();
                let played = edits::play(story, options, bench, ear, &mut dice.clone(), &mut done);
                played.ok().flatten()
            };
            let deadline = Instant::now() + SHRINKING;
            let story = shrink(&story, deadline, |story| fails(story).is_some());
            let what = fails(&story).map(|difference| difference.to_string());
            let what = format!("{}\nwith {options:?}", what.unwrap_or_default());
            let cells = story.worlds().and_then(|worlds| {
                worlds
                    .last()
                    .map(|world| cells(&mut dice.clone(), world, 1))
            });
            (story, cells.unwrap_or_default(), what)
        });
        Ok(Played {
            connections: done.connections,
            denied: done.denied,
            edits: done.edits,
            tables: done.tables,
            failure,
            ..Played::default()
        })
    }
}

fn shrink_plan(story: &Story, cell: &Cell, ear: Ear) -> Story {
    shrink(story, Instant::now() + SHRINKING, |story| {
        let judges = Judges::of(&story.world, Options::default(), ear);
        let answers = judges.ask(cell);
        answers
            .and_then(|answers| answers.disagreement(cell))
            .is_some()
    })
}

fn shrink_kernel(story: &Story, cell: &Cell, fabric: Fabric, ear: Ear) -> Story {
    shrink(story, Instant::now() + SHRINKING_PACKETS, |story| {
        let Ok(mut stage) = Stage::build(&story.world, fabric, Options::default()) else {
            return false;
        };
        let seen = stage.play(&story.world, std::slice::from_ref(cell), ear);
        seen.is_ok_and(|seen| !seen.disagreements.is_empty())
    })
}

fn described(disagreement: &Disagreement) -> String {
    let mut text = disagreement.to_string();
    for reason in &disagreement.reasons {
        text += &format!("\nthe oracle says: {reason}");
    }
    text
}

/// Worlds take turns on the fabrics that the machine has.
fn fabric(number: u64) -> Fabric {
    match missing_for(Fabric::Bridge) {
        None if number.is_multiple_of(2) => Fabric::Bridge,
        None => Fabric::Routed,
        Some(_) => usual_fabric(),
    }
}

/// Any choice that an enforcer leaves to its user.
fn options(dice: &mut Dice) -> Options {
    Options {
        established: *dice.pick(&Established::ALL),
        unprogrammed: *dice.pick(&Unprogrammed::ALL),
        deny: *dice.pick(&Deny::ALL),
    }
}
