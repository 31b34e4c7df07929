//! A scenario as a runner plays it: checked, expanded, every connection spelled out.
//!
//! Nothing here needs looking up again. What is still open are addresses: policies keep their
//! templates until they are applied, see [`PolicySource::resolve`](super::PolicySource::resolve).
//!
//! | module | what is in it |
//! |---|---|
//! | `change` | what can happen in a step |
//! | `expectation` | what must come of connections |
//! | `choices` | what depends on the choices of the enforcer |

mod change;
mod choices;
mod expectation;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use enforcer::yaml::{FieldPath, Location};

pub use self::{
    change::{AgentAction, Change, Damage},
    choices::{OptionsOverlay, When},
    expectation::{Because, Expectation, Expected, ExpectedCell, Never, Origin, RuleName},
};
pub use super::written::{
    BackendName, Feature,
    cluster::{Fabric, Families},
    step::UseExpectation,
};
use super::{policy::PolicySource, text::flow::Flow, world::World};
use crate::cell::{Cell, Family};

/// One play of a scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `name[ipv4,udp]`: the file's name and the values of its parameters. Unique in the library.
    pub name: String,
    /// `metadata.name`, which all plays of a file share.
    pub base: String,
    /// The values of its parameters, by their names.
    pub parameters: Vec<(String, String)>,
    /// The claim in one line.
    pub title: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// Numbered lines of the semantics list.
    pub covers: Vec<u16>,
    /// What a back end must be able to do.
    pub requires: Vec<Feature>,
    /// Connections that are known to come out wrong somewhere.
    pub expect_failure: Vec<ExpectedFailure>,
    /// Which families pods have addresses of.
    pub families: Families,
    /// The one family that is probed, if not all, and that address templates mean.
    pub family: Option<Family>,
    /// The fabric it asks for, if it does.
    pub fabric: Option<Fabric>,
    /// The choices of the enforcer that this play is about.
    pub options: OptionsOverlay,
    /// What exists before the first step; no policy does.
    pub world: World,
    /// What must hold before any policy: every connection of [`Self::world`] that some step is
    /// about. If it does not, the scenario is inconclusive.
    pub control: Vec<ExpectedCell>,
    /// What must hold after the last step, once every policy is deleted. It shows that pods which
    /// came later could be reached at all.
    pub final_control: Vec<ExpectedCell>,
    /// Policies of `manifests:`, applied after the control and before the first step.
    pub initial_policies: Vec<Arc<PolicySource>>,
    /// The story.
    pub steps: Vec<Step>,
    /// Where it is written: the value of `metadata.name`.
    pub location: Location,
}

/// One step: background traffic starts, changes, expectations, long-lived connections, background
/// traffic stops.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it shows.
    pub name: String,
    /// Where it is written: the value of its `name`.
    pub location: Location,
    /// Objects the API server must refuse or admit, asked before the changes.
    pub admissions: Vec<Admission>,
    /// Background traffic that starts before the first change.
    pub start: Vec<Traffic>,
    /// What happens, in this order.
    pub changes: Vec<Change>,
    /// What exists after the changes.
    pub world: World,
    /// The policies in force after the changes, in the order of their names.
    pub policies: Vec<Arc<PolicySource>>,
    /// Who reaches whom after the changes. Blocks with a [`When`] that does not hold are skipped.
    pub expectations: Vec<Expectation>,
    /// Long-lived connections to open after that.
    pub open: Vec<NamedFlow>,
    /// Long-lived connections to use after that.
    pub uses: Vec<UseFlow>,
    /// Long-lived connections to close after that.
    pub close: Vec<String>,
    /// Background traffic that stops at the end.
    pub stop: Vec<String>,
}

impl Step {
    /// Every connection the step is about, in order and once.
    pub fn cells(&self) -> BTreeSet<&Cell> {
        let cells = self.expectations.iter().flat_map(|e| &e.cells);
        cells.map(|expected| &expected.cell).collect()
    }
}

/// An object the API server must refuse, or admit.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The object; its templates are still open.
    pub manifest: Arc<PolicySource>,
    /// Why it must be refused; nothing if it must be admitted.
    pub refused: Option<Refusal>,
    /// Where this is written.
    pub location: Location,
}

/// What a refusal must say.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The field it must be about.
    pub field: FieldPath,
    /// Text it must contain.
    pub message: Option<String>,
}

/// Background traffic: new connections, again and again.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The name.
    pub name: String,
    /// The connections, each opened anew every time.
    pub cells: Vec<Cell>,
    /// How often.
    pub every: Duration,
    /// Where this is written.
    pub location: Location,
}

/// Long-lived connections by a name of their own: one for every connection its flow means.
#[derive(Clone, Debug)]
pub struct NamedFlow {
    /// The name.
    pub name: String,
    /// The connections.
    pub cells: Vec<Cell>,
    /// What must come of opening them. One that is denied stays as it is, to be used later: a UDP
    /// socket as it is, a TCP connect from the same source port.
    pub expect: UseExpectation,
    /// Where this is written.
    pub location: Location,
}

/// A use of long-lived connections.
#[derive(Clone, Debug)]
pub struct UseFlow {
    /// The name that `open` gave them.
    pub name: String,
    /// What must come of each.
    pub expect: UseExpectation,
    /// The choice of the enforcer it depends on.
    pub when: Option<When>,
    /// Where this is written.
    pub location: Location,
}

/// Connections that are known to come out wrong somewhere.
#[derive(Clone, Debug)]
pub struct ExpectedFailure {
    /// Where they come out wrong.
    pub backend: BackendName,
    /// Which connections: ask [`World::select`] and [`World::matching_ports`], or
    /// [`ExpectedFailure::covers`].
    pub flow: Flow,
    /// In which step; in any if there is none.
    pub step: Option<String>,
    /// Why.
    pub reason: String,
    /// Where this is written.
    pub location: Location,
}

impl ExpectedFailure {
    /// Whether a connection of a step is known to come out wrong.
    pub fn covers(&self, step: &Step, cell: &Cell) -> bool {
        let world = &step.world;
        self.step.as_ref().is_none_or(|name| *name == step.name)
            && world.select(&self.flow.source.value).contains(&cell.source)
            && world
                .select(&self.flow.destination.value)
                .contains(&cell.destination)
            && match &self.flow.port {
                None => true,
                Some(port) => world
                    .matching_ports(&cell.destination, Some(&port.value))
                    .contains(&cell.port),
            }
    }
}
