//! Plays one scenario on one back end, step by step, and says what it saw.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use enforcer::{options::Options, yaml::Location};

use super::{
    admission::Answer,
    because,
    look::{Look, PATIENCE, SILENCE, look},
};
use crate::{
    backend::{Backend, BackendError, LongLived},
    cell::{Cell, Outcome},
    scenario::{
        Admission, Change, Expectation, NamedFlow, Scenario, Step, UseExpectation, UseFlow, When,
    },
};

/// Between two looks of an expectation that has time to become true.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A scenario being played.
pub struct Player<'a> {
    scenario: &'a Scenario,
    backend: &'a mut dyn Backend,
    flows: BTreeMap<String, Vec<OpenFlow>>,
    options: Options,
}

struct OpenFlow {
    cell: Cell,
    flow: Box<dyn LongLived>,
}

/// What a step came to.
#[derive(Debug, Default)]
pub struct StepSeen {
    /// The last look at each expectation, in their order; those whose `when` does not hold are
    /// left out.
    pub looks: Vec<ExpectationSeen>,
    /// What went wrong apart from cells: admissions, explanations, long-lived connections.
    pub problems: Vec<Problem>,
    /// How many admissions and uses of long-lived connections were checked.
    pub other_checks: usize,
}

/// What an expectation came to.
#[derive(Debug)]
pub struct ExpectationSeen {
    /// The last look.
    pub look: Look,
    /// How many looks it took to become true, or were made in vain.
    pub looks: usize,
}

/// Something a scenario says that is not so, other than the outcome of a cell.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is not so.
    pub message: String,
    /// Where the scenario says it.
    pub location: Location,
}

impl<'a> Player<'a> {
    /// Brings the scenario's world into being.
    ///
    /// # Errors
    /// If the back end cannot.
    pub fn start(
        scenario: &'a Scenario,
        backend: &'a mut dyn Backend,
    ) -> Result<Self, BackendError> {
        backend.create(&scenario.world)?;
        Ok(Self {
            scenario,
            backend,
            flows: BTreeMap::new(),
            options: scenario.options.over(Options::default()),
        })
    }

    /// The back end it plays on.
    pub fn backend(&mut self) -> &mut dyn Backend {
        self.backend
    }

    /// Before any policy, every connection of the story must be possible. A denial says nothing
    /// otherwise.
    ///
    /// # Errors
    /// If the back end fails.
    pub fn control(&mut self) -> Result<Look, BackendError> {
        look(self.backend, &self.scenario.control)
    }

    /// Policies that come with the manifests.
    ///
    /// # Errors
    /// If the back end fails.
    pub fn apply_initial_policies(&mut self) -> Result<(), BackendError> {
        for policy in &self.scenario.initial_policies {
            self.backend.change(&Change::ApplyPolicy(policy.clone()))?;
        }
        Ok(())
    }

    /// Carries out a step's changes and looks at everything it expects.
    ///
    /// # Errors
    /// If the back end fails.
    pub fn step(&mut self, step: &Step) -> Result<StepSeen, BackendError> {
        let mut seen = StepSeen::default();
        for admission in &step.admissions {
            seen.other_checks += 1;
            seen.problems.extend(self.admit(admission));
        }
        for change in &step.changes {
            self.backend.change(change)?;
        }
        for expectation in &step.expectations {
            if self.applies(expectation.when.as_ref()) {
                let expectation = self.expect(expectation)?;
                let problems = because::problems(self.backend, &step.world, &expectation.look);
                seen.problems.extend(problems);
                seen.looks.push(expectation);
            }
        }
        for flow in &step.open {
            seen.problems.extend(self.open(flow));
        }
        for used in &step.uses {
            if self.applies(used.when.as_ref()) {
                seen.other_checks += 1;
                seen.problems.extend(self.use_flow(used));
            }
        }
        for name in &step.close {
            self.flows.remove(name);
        }
        Ok(seen)
    }

    /// After the last step, without any policy: whoever came later can be reached, too.
    ///
    /// # Errors
    /// If the back end fails.
    pub fn final_control(&mut self) -> Result<Look, BackendError> {
        self.flows.clear();
        let last = self.scenario.steps.last();
        for policy in last.iter().flat_map(|step| &step.policies) {
            self.backend
                .change(&Change::DeletePolicy(policy.name.clone()))?;
        }
        look(self.backend, &self.scenario.final_control)
    }

    fn applies(&self, when: Option<&When>) -> bool {
        when.is_none_or(|when| when.holds(self.options))
    }

    /// Looks until it is true, for as long as it may take; then for as long as it must stay true.
    fn expect(&mut self, expectation: &Expectation) -> Result<ExpectationSeen, BackendError> {
        let begun = Instant::now();
        let mut looks = 1;
        let mut last = look(self.backend, &expectation.cells)?;
        let within = expectation.within.unwrap_or_default();
        while !last.is_as_expected() && begun.elapsed() < within {
            pause(BETWEEN_LOOKS);
            last = look(self.backend, &expectation.cells)?;
            looks += 1;
        }
        let held = Instant::now();
        let hold_for = expectation.hold_for.unwrap_or_default();
        while last.is_as_expected() && held.elapsed() < hold_for {
            pause(BETWEEN_LOOKS);
            last = look(self.backend, &expectation.cells)?;
        }
        Ok(ExpectationSeen { look: last, looks })
    }

    fn admit(&self, admission: &Admission) -> Option<Problem> {
        let object = &admission.manifest;
        let answer = match object.resolve(self.backend) {
            Ok(policy) => self
                .backend
                .admit(&policy)
                .map_err(|errors| Answer::of(&errors)),
            Err(diagnostics) => Err(Answer::unreadable(object, &diagnostics)),
        };
        let message = match (answer, &admission.refused) {
            (Ok(()), None) => return None,
            (Ok(()), Some(refusal)) => format!(
                "the API server must refuse {} for {}, and takes it",
                object.name, refusal.field
            ),
            (Err(answer), None) => format!(
                "the API server must take {}, and refuses it: {}",
                object.name, answer.text
            ),
            (Err(answer), Some(refusal)) if answer.means(object, refusal) => return None,
            (Err(answer), Some(refusal)) => format!(
                "the API server must refuse {} for {}, and refuses it otherwise: {}",
                object.name, refusal.field, answer.text
            ),
        };
        Some(Problem {
            message,
            location: admission.location.clone(),
        })
    }

    fn open(&mut self, flow: &NamedFlow) -> Vec<Problem> {
        let mut problems = Vec::new();
        for cell in &flow.cells {
            match self.backend.open_flow(cell, PATIENCE) {
                Ok(opened) => self
                    .flows
                    .entry(flow.name.clone())
                    .or_default()
                    .push(OpenFlow {
                        cell: cell.clone(),
                        flow: opened,
                    }),
                Err(outcome) => problems.push(Problem {
                    message: format!("flow {} cannot be opened: {cell} is {outcome}", flow.name),
                    location: flow.location.clone(),
                }),
            }
        }
        problems
    }

    fn use_flow(&mut self, used: &UseFlow) -> Vec<Problem> {
        let Some(flows) = self.flows.get_mut(&used.name) else {
            return vec![Problem {
                message: format!("flow {} is not open", used.name),
                location: used.location.clone(),
            }];
        };
        // Silence is the wanted answer of a denial, so it is not waited for as long.
        let deadline = match used.expect {
            UseExpectation::Allow => PATIENCE,
            UseExpectation::Deny | UseExpectation::Either => SILENCE,
        };
        let mut problems = Vec::new();
        for open in flows {
            let outcome = open.flow.exchange(deadline);
            let is_right = match used.expect {
                UseExpectation::Allow => outcome == Outcome::Allowed,
                UseExpectation::Deny => outcome != Outcome::Allowed,
                UseExpectation::Either => true,
            };
            if !is_right {
                let expected = if used.expect == UseExpectation::Allow {
                    "go on"
                } else {
                    "be cut"
                };
                problems.push(Problem {
                    message: format!(
                        "flow {} ({}) must {expected}, and is {outcome}",
                        used.name, open.cell
                    ),
                    location: used.location.clone(),
                });
            }
        }
        problems
    }
}

/// The one wait between two looks; every loop around it has a deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "a pause between two looks, inside a loop with a deadline"
)]
fn pause(duration: Duration) {
    thread::sleep(duration);
}
