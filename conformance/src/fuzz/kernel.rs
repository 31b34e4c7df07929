//! Oracle and Plan against real packets: one simulated world, many sets of policies on it.
//!
//! [`Stage::build`] makes a world real, [`Stage::play`] puts policies on it, asks about many
//! connections at once, and takes the policies away again.

use std::sync::Arc;

use enforcer::{
    options::Options,
    yaml::{self, Source},
};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::{
    cells::cells,
    dice::Dice,
    generate::{self, Scale},
    plan::{Answers, Disagreement, Ear, Judges},
    scenario::{Note, text},
    shrink::is_odd,
    story::Story,
    world::World,
};
use crate::{
    backend::{
        Backend, BackendError, Observation, ProbeSpec,
        sim::{DataplaneKind, Sim, SimOptions, sim_fabric, sim_families},
    },
    cell::{Cell, Outcome},
    runner::look::{PATIENCE, SILENCE},
    scenario::{self, Change, Fabric, ObjectName, PolicySource},
};

/// How many sets of policies are played on one world.
pub const SETS: u64 = 25;
/// About how many connections are asked about at once.
pub const CELLS: usize = 300;

/// A world that exists.
pub struct Stage {
    sim: Sim,
    world: World,
}

/// A world could not be played on. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The simulator failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The world cannot be said as a scenario.
    #[error("read the scenario of a random world\n{0}")]
    Scenario(enforcer::diagnostic::Diagnostics),
    /// The network does not carry what no policy stops, so that nothing can be learnt from it.
    #[error("probe the world before the first policy: {0}")]
    Control(String),
}

/// What was seen while a set of policies was in force.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections that were probed.
    pub connections: u64,
    /// Of these, denied ones.
    pub denied: u64,
    /// Probes that were answered only at the second look.
    pub slow: u64,
    /// Connections about which kernel, Plan and oracle do not agree.
    pub disagreements: Vec<Disagreement>,
}

/// The world of a case, without policies. Neighbouring cases share theirs.
pub fn world(seed: u64, case: u64) -> World {
    // No case has this number.
    let number = u64::MAX - case / SETS;
    generate::world(&mut Dice::of_case(seed, number), Scale::KERNEL)
}

/// The policies of a case and what to ask about them.
pub fn case(seed: u64, case: u64, world: &World) -> (World, Vec<Cell>) {
    let mut dice = Dice::of_case(seed, case);
    let mut world = world.clone();
    world.policies = generate::policies(&mut dice, &world, Scale::KERNEL);
    let cells = cells(&mut dice, &world, CELLS);
    (world, cells)
}

impl Stage {
    /// Builds everything of a world but its policies.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn build(world: &World, fabric: Fabric, options: Options) -> Result<Self, Trouble> {
        let world = World {
            policies: Vec::new(),
            ..world.clone()
        };
        // Every pair, on ports that are open.
        let mut dice = Dice::of_case(0, 0);
        let asked = cells(&mut dice, &world, 1);
        let story = Story::still(world.clone());
        let note = Note {
            name: "fuzz".to_owned(),
            ..Note::default()
        };
        let text = text(&story, &asked, &note);
        let scenarios = scenario::load_text("fuzz.yaml", &text, &scenario::Options::default());
        let scenarios = scenarios.map_err(Trouble::Scenario)?;
        let scenario = scenarios.first().expect("a file is at least one play");
        let options = SimOptions {
            fabric: sim_fabric(fabric),
            families: sim_families(scenario.families),
            dataplane: DataplaneKind::Netlink,
            options,
        };
        let mut sim = Sim::build(&scenario.world, options)?;
        sim.create(&scenario.world)?;
        for change in scenario.steps.iter().flat_map(|step| &step.changes) {
            sim.change(change)?;
        }
        let mut stage = Self { sim, world };
        let control = stage.look(&asked, &vec![true; asked.len()])?.0;
        let stopped = asked
            .iter()
            .zip(&control)
            .find(|(_, seen)| !is_through(seen.outcome));
        match stopped {
            Some((cell, seen)) => Err(Trouble::Control(format!("{cell} is {}", seen.outcome))),
            None => Ok(stage),
        }
    }

    /// Puts the policies of `world` into force, asks about `cells`, and takes them away again.
    /// `world` is this stage's in everything else.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn play(&mut self, world: &World, cells: &[Cell], ear: Ear) -> Result<Seen, Trouble> {
        let judges = Judges::of(world, Options::default(), super::plan::honest);
        let asked: Vec<(&Cell, Answers)> = cells
            .iter()
            .filter_map(|cell| Some((cell, judges.ask(cell)?)))
            .collect();
        let heard: Vec<NetworkPolicy> = world.policies.iter().filter_map(ear).collect();
        for policy in &heard {
            self.sim.change(&put(policy))?;
        }
        let probed: Vec<Cell> = asked.iter().map(|(cell, _)| (*cell).clone()).collect();
        let allowed: Vec<bool> = asked.iter().map(|(_, answers)| answers.allowed()).collect();
        let (observations, slow) = self.look(&probed, &allowed)?;
        for policy in &heard {
            let name = ObjectName::of(&policy.metadata);
            self.sim.change(&Change::DeletePolicy(name))?;
        }
        let mut seen = Seen {
            connections: observations.len() as u64,
            denied: allowed.iter().filter(|allowed| !**allowed).count() as u64,
            slow,
            ..Seen::default()
        };
        for ((cell, answers), observed) in asked.into_iter().zip(observations) {
            let agrees = is_through(observed.outcome) == answers.allowed()
                && observed.outcome != Outcome::Unreachable;
            let told = if agrees {
                answers.disagreement(cell)
            } else {
                Some(answers.told(cell, Some(observed.outcome)))
            };
            seen.disagreements.extend(told);
        }
        Ok(seen)
    }

    /// Probes all at once; those that should have been answered and were not get the time that a
    /// busy machine may need.
    fn look(
        &mut self,
        cells: &[Cell],
        allowed: &[bool],
    ) -> Result<(Vec<Observation>, u64), Trouble> {
        let probes: Vec<ProbeSpec> = cells.iter().cloned().map(ProbeSpec::from).collect();
        let mut seen = self.sim.probe(&probes, SILENCE)?;
        let is_silent = |index: &usize| allowed[*index] && !is_through(seen[*index].outcome);
        let silent: Vec<usize> = (0..probes.len()).filter(is_silent).collect();
        if silent.is_empty() {
            return Ok((seen, 0));
        }
        let again: Vec<ProbeSpec> = silent.iter().map(|i| probes[*i].clone()).collect();
        let mut slow = 0;
        for (index, answer) in silent.into_iter().zip(self.sim.probe(&again, PATIENCE)?) {
            slow += u64::from(is_through(answer.outcome));
            seen[index] = answer;
        }
        Ok((seen, slow))
    }

    /// The world without policies.
    pub fn world(&self) -> &World {
        &self.world
    }
}

fn is_through(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Allowed | Outcome::Refused)
}

/// The change that brings a policy into the store, past the API server if it has to be.
fn put(policy: &NetworkPolicy) -> Change {
    let json = serde_json::to_string(policy).expect("a policy is JSON");
    let documents = yaml::parse(&Source::new("policy", &json));
    let document = documents
        .ok()
        .and_then(|documents| documents.into_iter().next())
        .expect("JSON is YAML");
    let source = PolicySource {
        key: String::new(),
        name: ObjectName::of(&policy.metadata),
        document,
        family: None,
    };
    if is_odd(policy) {
        Change::StorePolicy(Arc::new(source))
    } else {
        Change::ApplyPolicy(Arc::new(source))
    }
}
