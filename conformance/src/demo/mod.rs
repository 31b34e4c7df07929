//! The first thing to try: nine pods, two policies, and why one connection is denied.
//!
//! It plays a scenario like any other and tells what it sees.

mod files;
mod tell;

use std::time::{Duration, Instant};

use enforcer::{diagnostic::Diagnostics, options::Options};

pub use self::{files::write, tell::Story};
use crate::{
    backend::{
        Backend, BackendError,
        sim::{DataplaneKind, Sim, SimOptions, sim_fabric, sim_families, usual_fabric},
    },
    cell::{Cell, Endpoint, Family, Port, Protocol},
    explanation,
    report::CellFailure,
    runner::{
        Written, failure,
        look::Seen,
        player::{Player, StepSeen},
    },
    scenario::{self, Scenario, Step},
};

/// The scenario, as `--write` leaves it.
pub const SCENARIO: &str = include_str!("demo.yaml");

/// What it is called in explanations.
const FILE: &str = "demo.yaml";

/// What one step came to.
#[derive(Debug)]
pub struct Chapter {
    /// The step's name.
    pub name: String,
    /// Every connection.
    pub cells: Vec<Seen>,
    /// Those about which the judges disagree.
    pub disagreeing: Vec<CellFailure>,
    /// How long it took to apply and to probe.
    pub duration: Duration,
}

/// Everything there is to tell.
#[derive(Debug)]
pub struct Told {
    /// Pods in the cluster.
    pub pods: usize,
    /// Nodes in the cluster.
    pub nodes: usize,
    /// How long it took to build.
    pub building: Duration,
    /// One per step.
    pub chapters: Vec<Chapter>,
    /// The denied connection that is explained.
    pub denied: Cell,
    /// Why it is denied.
    pub why: Vec<String>,
}

/// The scenario of the demo.
///
/// # Errors
/// Never, as long as `demo.yaml` is right; a test keeps it so.
pub fn scenario() -> Result<Scenario, Diagnostics> {
    let mut scenarios = scenario::load_text(FILE, SCENARIO, &scenario::Options::default())?;
    Ok(scenarios.remove(0))
}

/// Builds the cluster, whose enforcers choose this way, and plays the story.
///
/// # Errors
/// If the simulator fails.
pub fn play(scenario: &Scenario, choices: Options) -> Result<Told, BackendError> {
    let begun = Instant::now();
    let options = SimOptions {
        fabric: sim_fabric(usual_fabric()),
        families: sim_families(scenario.families),
        dataplane: DataplaneKind::default(),
        options: scenario.options.over(choices),
    };
    let mut sim = Sim::build(&scenario.world, options)?;
    let mut player = Player::start(scenario, &mut sim)?;
    let building = begun.elapsed();
    let mut chapters = Vec::new();
    for step in &scenario.steps {
        let begun = Instant::now();
        let seen = player.step(step)?;
        chapters.push(chapter(player.backend(), step, seen, begun.elapsed()));
    }
    let denied = denied();
    let last = scenario.steps.last().expect("the demo has steps");
    let why = explanation::explain(player.backend(), &denied)
        .iter()
        .flat_map(|explanation| explanation::render(explanation, &denied, &Written(last)))
        .collect();
    Ok(Told {
        pods: scenario.world.pods.len(),
        nodes: scenario.world.nodes.len(),
        building,
        chapters,
        denied,
        why,
    })
}

fn chapter(backend: &dyn Backend, step: &Step, seen: StepSeen, duration: Duration) -> Chapter {
    let looks = seen.looks.into_iter();
    let cells: Vec<Seen> = looks.flat_map(|seen| seen.look.cells).collect();
    let disagreeing = cells.iter().filter(|seen| !seen.judges_agree());
    Chapter {
        name: step.name.clone(),
        disagreeing: disagreeing
            .map(|seen| failure(backend, &Written(step), seen))
            .collect(),
        cells,
        duration,
    }
}

/// A connection that both policies leave denied.
fn denied() -> Cell {
    let pod = |namespace: &str, name: &str| Endpoint::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Cell {
        source: pod("z", "c"),
        destination: pod("y", "a"),
        port: Port {
            number: Some(80),
            protocol: Protocol::Tcp,
        },
        family: Family::Ipv4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_a_scenario_without_mistakes() {
        let scenario = scenario().unwrap();
        assert_eq!(scenario.world.pods.len(), 9);
        assert_eq!(scenario.steps.len(), 3);
    }
}
