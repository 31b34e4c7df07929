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
    cells::{cells, through_services},
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
    judge::{Moment, Verdicts},
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
    /// Who is there, as scenarios say it.
    places: scenario::World,
    world: World,
    /// Probes that were answered only at the second look.
    slow: u64,
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

/// What the enforcers of a world choose.
pub fn options(seed: u64, case: u64) -> Options {
    let number = u64::MAX / 2 - case / SETS;
    generate::options(&mut Dice::of_case(seed, number))
}

/// The policies of a case and what to ask about them.
pub fn case(seed: u64, case: u64, world: &World) -> (World, Vec<Cell>) {
    let mut dice = Dice::of_case(seed, case);
    let mut world = world.clone();
    world.policies = generate::policies(&mut dice, &world, Scale::KERNEL);
    let mut asked = cells(&mut dice, &world, CELLS);
    asked.extend(through_services(&mut dice, &world));
    (world, asked)
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
        let mut scenarios = scenarios.map_err(Trouble::Scenario)?;
        let scenario = scenarios.swap_remove(0);
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
        let places = scenario
            .steps
            .into_iter()
            .last()
            .map_or(scenario.world, |step| step.world);
        let mut stage = Self {
            sim,
            places,
            world,
            slow: 0,
        };
        let seen = stage.look(asked)?;
        let stopped = seen.iter().find(|(_, _, seen)| !is_through(seen.outcome));
        match stopped {
            Some((cell, _, seen)) => Err(Trouble::Control(format!("{cell} is {}", seen.outcome))),
            None => Ok(stage),
        }
    }

    /// Puts the policies of `world` into force, asks about `cells`, and takes them away again.
    /// `world` is this stage's in everything else.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn play(&mut self, world: &World, cells: &[Cell], ear: Ear) -> Result<Seen, Trouble> {
        let judges = Judges::of(world, self.sim.options(), super::plan::honest);
        let heard: Vec<NetworkPolicy> = world.policies.iter().filter_map(ear).collect();
        for policy in &heard {
            self.sim.change(&put(policy))?;
        }
        let mut seen = Seen::default();
        for (cell, verdicts, observed) in self.look(cells.to_vec())? {
            seen.connections += 1;
            let mut routes = verdicts.routes.iter();
            seen.denied += u64::from(routes.any(|route| !route.oracle.allowed));
            // Our own judges know nothing of Services.
            let answers = judges
                .ask(&cell)
                .filter(|_| !self.world.is_through_service(&cell));
            if let Some(told) = disagreement(answers, &cell, &verdicts, &observed) {
                seen.disagreements.push(told);
            }
        }
        for policy in &heard {
            let name = ObjectName::of(&policy.metadata);
            self.sim.change(&Change::DeletePolicy(name))?;
        }
        seen.slow = std::mem::take(&mut self.slow);
        Ok(seen)
    }

    /// Probes all at once; those that should have been answered and were not get the time that a
    /// busy machine may need. What cannot be dialled is left out.
    fn look(&mut self, cells: Vec<Cell>) -> Result<Vec<Look>, Trouble> {
        let moment = Moment::now(&self.sim);
        let verdicts = |cell: Cell| {
            let verdicts = Verdicts::of(&self.sim, &self.places, &moment, &cell);
            (!verdicts.routes.is_empty()).then_some((cell, verdicts))
        };
        let asked: Vec<(Cell, Verdicts)> = cells.into_iter().filter_map(verdicts).collect();
        let probe = |(cell, _): &(Cell, Verdicts)| ProbeSpec::from(cell.clone());
        let probes: Vec<ProbeSpec> = asked.iter().map(probe).collect();
        let mut seen = self.sim.probe(&probes, SILENCE)?;
        let is_silent = |index: &usize| {
            let mut routes = asked[*index].1.routes.iter();
            seen[*index].outcome == Outcome::Denied && routes.all(|route| route.oracle.allowed)
        };
        let silent: Vec<usize> = (0..probes.len()).filter(is_silent).collect();
        if !silent.is_empty() {
            let again: Vec<ProbeSpec> = silent.iter().map(|i| probes[*i].clone()).collect();
            for (index, answer) in silent.into_iter().zip(self.sim.probe(&again, PATIENCE)?) {
                self.slow += u64::from(answer.outcome != Outcome::Denied);
                seen[index] = answer;
            }
        }
        let asked = asked.into_iter().zip(seen);
        Ok(asked
            .map(|((cell, verdicts), seen)| (cell, verdicts, seen))
            .collect())
    }

    /// The world without policies.
    pub fn world(&self) -> &World {
        &self.world
    }
}

/// A connection, what the judges without packets say, and what came of it.
type Look = (Cell, Verdicts, Observation);

/// What is to be told if somebody disagrees: the judges of the back end by the objects in its store
/// and its nodes' Plans, the kernel, or our own by the world that was drawn.
fn disagreement(
    answers: Option<Answers>,
    cell: &Cell,
    verdicts: &Verdicts,
    observed: &Observation,
) -> Option<Disagreement> {
    let is_same = answers.as_ref().is_none_or(|answers| {
        let mut routes = verdicts.routes.iter();
        routes.all(|route| route.oracle.allowed == answers.allowed())
    });
    if !verdicts.agree_with(observed) || !is_same {
        let told = answers.map(|answers| answers.told(cell, Some(observed.outcome)));
        return Some(told.unwrap_or_else(|| told_of(cell, verdicts, observed)));
    }
    answers?.disagreement(cell)
}

/// What is to be told of a connection through a Service.
fn told_of(cell: &Cell, verdicts: &Verdicts, observed: &Observation) -> Disagreement {
    let routes = &verdicts.routes;
    let answered = observed.served_by.as_ref();
    let answered = answered.map(|place| format!("answered by {place}"));
    Disagreement {
        cell: cell.clone(),
        oracle: routes.iter().all(|route| route.oracle.allowed),
        plan: routes
            .iter()
            .filter_map(|route| route.plan.as_ref())
            .all(|plan| plan.allowed),
        explained: routes.iter().all(|route| route.oracle.allowed),
        kernel: Some(observed.outcome),
        reasons: routes
            .iter()
            .flat_map(|route| {
                let end = format!("{}: {}", route.route.end, route.oracle.allowed);
                std::iter::once(end).chain(route.oracle.reasons.iter().cloned())
            })
            .chain(answered)
            .collect(),
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
