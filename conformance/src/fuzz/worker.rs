//! One case after the other, on one thread.
//!
//! [`Worker::play`] draws a case, plays it, and boils down what failed.

use std::time::{Duration, Instant};

use anyhow::Context;
use enforcer::options::Options;

use super::{
    cells::{cells, with_strangers},
    dice::Dice,
    edits::{self, Bench},
    feature::Coverage,
    generate::{self, Scale},
    kernel::{self, SETS, Stage},
    plan::{Disagreement, Judges},
    run::{Mode, Run},
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
/// With how many addresses that nobody has.
const STRANGERS: usize = 12;
/// How long a failure is shrunk: without packets, and with them.
const SHRINKING: Duration = Duration::from_secs(10);
const SHRINKING_PACKETS: Duration = Duration::from_secs(60);

/// A case after it was played.
#[derive(Default)]
pub(super) struct Played {
    pub(super) connections: u64,
    pub(super) denied: u64,
    pub(super) edits: u64,
    pub(super) tables: u64,
    pub(super) slow: u64,
    pub(super) failure: Option<Failure>,
}

/// What is left of a case that failed.
pub(super) struct Failure {
    pub(super) options: Options,
    pub(super) story: Story,
    pub(super) cells: Vec<Cell>,
    pub(super) what: String,
}

/// A case without packets.
#[derive(Clone, Debug)]
pub struct PlanCase {
    /// The world with its policies.
    pub world: World,
    /// What is asked about it.
    pub cells: Vec<Cell>,
    /// What the enforcers choose.
    pub options: Options,
}

impl PlanCase {
    /// The case of this number.
    pub fn draw(seed: u64, case: u64) -> Self {
        let mut dice = Dice::of_case(seed, case);
        let mut world = generate::world(&mut dice, Scale::PLAN);
        world.policies = generate::policies(&mut dice, &world, Scale::PLAN);
        let mut asked = cells(&mut dice, &world, CELLS);
        asked.extend(with_strangers(&mut dice, &world, STRANGERS));
        Self {
            options: generate::options(&mut dice),
            world,
            cells: asked,
        }
    }
}

/// What a thread keeps from case to case.
pub(super) struct Worker<'a> {
    run: &'a Run,
    /// What the cases of the sample made use of.
    pub(super) coverage: Coverage,
    bench: Option<Bench>,
    /// The world that neighbouring cases share, with its number.
    stage: Option<(u64, Stage)>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(run: &'a Run) -> anyhow::Result<Self> {
        let wants_bench = run.mode == Mode::Edits && run.has_namespaces;
        let bench = wants_bench.then(Bench::new).transpose();
        Ok(Self {
            run,
            coverage: Coverage::default(),
            bench: bench.context("failed to make network namespaces")?,
            stage: None,
        })
    }

    pub(super) fn play(&mut self, case: u64) -> anyhow::Result<Played> {
        let played = match self.run.mode {
            Mode::Plan => Ok(self.plan(case)),
            Mode::Kernel => self.kernel(case),
            Mode::Edits => self.edits(case),
        };
        played.with_context(|| format!("case {case} of seed {}", self.run.seed))
    }

    fn plan(&mut self, case: u64) -> Played {
        let ear = self.run.ear;
        let PlanCase {
            world,
            cells,
            options,
        } = PlanCase::draw(self.run.seed, case);
        let judges = Judges::of(&world, options, ear);
        let mut played = Played::default();
        let mut failed: Option<Cell> = None;
        for cell in &cells {
            let Some(answers) = judges.ask(cell) else {
                continue;
            };
            played.connections += 1;
            played.denied += u64::from(!answers.allowed());
            if failed.is_none() && answers.disagreement(cell).is_some() {
                failed = Some(cell.clone());
            }
        }
        let is_sampled = |one_in| case.is_multiple_of(one_in);
        if self.run.sample.is_some_and(is_sampled) {
            self.coverage.take(&world, &cells);
        }
        played.failure = failed.map(|cell| {
            let ask = |story: &Story| {
                let judges = Judges::of(&story.world, options, ear);
                judges.ask(&cell)?.disagreement(&cell)
            };
            let deadline = Instant::now() + SHRINKING;
            let story = shrink(&Story::still(world), deadline, |s| ask(s).is_some());
            Failure {
                what: format!(
                    "{}\nwith {}",
                    ask(&story).as_ref().map(described).unwrap_or_default(),
                    choices(options)
                ),
                options,
                story,
                cells: vec![cell],
            }
        });
        played
    }

    fn kernel(&mut self, case: u64) -> anyhow::Result<Played> {
        let (seed, ear) = (self.run.seed, self.run.ear);
        let number = case / SETS;
        let options = kernel::options(seed, case);
        let fabric = fabric(number);
        // Two clusters at a time would need twice the namespaces.
        self.stage.take_if(|(known, _)| *known != number);
        let stage = match &mut self.stage {
            Some((_, stage)) => stage,
            none => {
                let world = kernel::world(seed, case);
                let stage = Stage::build(&world, fabric, options).context("failed to build")?;
                &mut none.insert((number, stage)).1
            }
        };
        let (world, cells) = kernel::case(seed, case, stage.world());
        let seen = stage.play(&world, &cells, ear).context("failed to play")?;
        let failure = seen.disagreements.first().map(|disagreement| {
            let cell = &disagreement.cell;
            let fails = |story: &Story| {
                let asked = std::slice::from_ref(cell);
                let seen = Stage::build(&story.world, fabric, options)
                    .and_then(|mut stage| stage.play(&story.world, asked, ear));
                seen.is_ok_and(|seen| !seen.disagreements.is_empty())
            };
            let deadline = Instant::now() + SHRINKING_PACKETS;
            Failure {
                options,
                story: shrink(&Story::still(world), deadline, fails),
                cells: vec![cell.clone()],
                what: format!(
                    "{}\non the {fabric} fabric with {}",
                    described(disagreement),
                    choices(options)
                ),
            }
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
        let options = generate::options(&mut dice);
        let (bench, ear) = (self.bench.as_ref(), self.run.ear);
        let play = |story: &Story, done: &mut edits::Done| {
            edits::play(story, options, bench, ear, &mut dice.clone(), done)
        };
        let mut done = edits::Done::default();
        let difference = play(&story, &mut done).context("failed to play")?;
        let failure = difference.map(|_| {
            let found = |story: &Story| {
                let played = play(story, &mut edits::Done::default());
                played.ok().flatten()
            };
            let deadline = Instant::now() + SHRINKING;
            let story = shrink(&story, deadline, |story| found(story).is_some());
            let what = found(&story).map(|difference| difference.to_string());
            let worlds = story.worlds().unwrap_or_default();
            Failure {
                what: format!("{}\nwith {}", what.unwrap_or_default(), choices(options)),
                cells: worlds
                    .last()
                    .map_or_else(Vec::new, |world| cells(&mut dice.clone(), world, 1)),
                options,
                story,
            }
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

fn described(disagreement: &Disagreement) -> String {
    let mut text = disagreement.to_string();
    for reason in &disagreement.reasons {
        text += &format!("\nthe oracle says: {reason}");
    }
    text
}

fn choices(options: Options) -> String {
    format!(
        "--established={} --unprogrammed={} --deny={}",
        options.established, options.unprogrammed, options.deny
    )
}

/// Worlds take turns on the fabrics that the machine has.
fn fabric(number: u64) -> Fabric {
    match missing_for(Fabric::Bridge) {
        None if number.is_multiple_of(2) => Fabric::Bridge,
        None => Fabric::Routed,
        Some(_) => usual_fabric(),
    }
}
