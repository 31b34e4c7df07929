//! Plays one scenario on one back end, step by step, and says what it saw.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use enforcer::{options::Options, yaml::Location};

use super::{
    admission::Answer,
    background::Background,
    because,
    flows::{Flows, Outcomes},
    look::{Look, Manner, Seen, look},
};
use crate::{
    backend::{Backend, BackendError},
    scenario::{Admission, AgentAction, Change, Expectation, Scenario, Step, When, World},
};

/// Between two looks of an expectation that has time to become true.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// How long agents that a scenario has tampered with may take to come round, once it is over.
const RECOVERY: Duration = Duration::from_secs(10);

/// A scenario being played.
pub struct Player<'a> {
    scenario: &'a Scenario,
    backend: &'a mut dyn Backend,
    flows: Flows,
    background: Background,
    options: Options,
}

/// What a step came to.
#[derive(Debug, Default)]
pub struct StepSeen {
    /// The last look at each expectation, in their order; those whose `when` does not hold are
    /// left out. Then a look at the connections of background traffic, if there is any.
    pub looks: Vec<ExpectationSeen>,
    /// What went wrong apart from cells: admissions, explanations, long-lived connections,
    /// background traffic, and what the back end complains of.
    pub problems: Vec<Problem>,
    /// What the judges do not agree about beside those in [`Self::looks`].
    pub contradictions: Vec<Seen>,
    /// How many admissions, uses of long-lived connections, and connections of background traffic
    /// were checked.
    pub other_checks: usize,
}

/// What an expectation came to.
#[derive(Debug)]
pub struct ExpectationSeen {
    /// The last look.
    pub look: Look,
    /// How many looks it took to become true, or were made in vain.
    pub looks: usize,
    /// From the first change to the look at which it was true, where it has time to become so.
    pub converged: Option<Duration>,
}

impl ExpectationSeen {
    /// One look that says it all.
    pub(super) fn once(look: Look) -> Self {
        Self {
            look,
            looks: 1,
            converged: None,
        }
    }
}

/// Something a scenario says that is not so, other than the outcome of a cell.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is not so.
    pub message: String,
    /// Where the scenario says it.
    pub location: Location,
    /// More lines.
    pub details: Vec<String>,
}

impl Problem {
    /// One that a sentence says.
    pub(super) fn new(message: impl Into<String>, location: &Location) -> Self {
        Self {
            message: message.into(),
            location: location.clone(),
            details: Vec::new(),
        }
    }
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
            options: backend.options(),
            backend,
            flows: Flows::default(),
            background: Background::default(),
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
        let begun = Instant::now();
        loop {
            let manner = Manner::plain(&self.scenario.world);
            let look = look(self.backend, manner, &self.scenario.control)?;
            if look.is_as_expected() || begun.elapsed() >= self.backend.patience() {
                return Ok(look);
            }
            pause(BETWEEN_LOOKS);
        }
    }

    /// Policies that come with the manifests.
    ///
    /// # Errors
    /// If the back end fails.
    pub fn apply_initial_policies(&mut self) -> Result<(), BackendError> {
        let policies = self.scenario.initial_policies.iter().cloned();
        let changes: Vec<_> = policies.map(Change::ApplyPolicy).collect();
        self.backend.change_all(&changes)
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
        self.background.start(self.backend, &step.start)?;
        let changing = Instant::now();
        self.backend.change_all(&step.changes)?;
        for expectation in self.expect_all(step, changing)? {
            let problems = because::problems(self.backend, &step.world, &expectation.look);
            seen.problems.extend(problems);
            seen.looks.push(expectation);
        }
        self.use_flows(step, &mut seen)?;
        self.count_traffic(step, changing, &mut seen)?;
        self.background.stop(&step.stop);
        let complaints = self.backend.complaints();
        let problem = |complaint: String| Problem::new(complaint, &step.location);
        seen.problems.extend(complaints.into_iter().map(problem));
        Ok(seen)
    }

    /// After the last step, without any policy: whoever came later can be reached, too.
    ///
    /// # Errors
    /// If the back end fails.
    pub fn final_control(&mut self) -> Result<Look, BackendError> {
        self.flows.clear();
        self.background.clear();
        let was_tampered_with = self.repair_agents()?;
        let last = self.scenario.steps.last();
        let policies = last.iter().flat_map(|step| &step.policies);
        let deletions: Vec<_> = policies
            .map(|policy| Change::DeletePolicy(policy.name.clone()))
            .collect();
        self.backend.change_all(&deletions)?;
        let world = last.map_or(&self.scenario.world, |step| &step.world);
        let begun = Instant::now();
        loop {
            let look = look(
                self.backend,
                Manner::plain(world),
                &self.scenario.final_control,
            )?;
            let patience = match was_tampered_with {
                true => RECOVERY,
                false => self.backend.patience(),
            };
            let is_over = begun.elapsed() >= patience;
            if is_over || look.is_as_expected() {
                return Ok(look);
            }
            pause(BETWEEN_LOOKS);
        }
    }

    /// Starts every agent that the scenario has left stopped or cut off: the final control is about
    /// connections, not about them. Says whether there was any meddling at all.
    fn repair_agents(&mut self) -> Result<bool, BackendError> {
        let changes = self.scenario.steps.iter().flat_map(|step| &step.changes);
        let mut meddling = BTreeMap::<&str, Vec<AgentAction>>::new();
        for change in changes {
            if let Change::Agent { node, action } = change {
                meddling.entry(node).or_default().push(*action);
            }
        }
        for (node, actions) in &meddling {
            for action in repairs(actions) {
                let node = (*node).to_owned();
                self.backend.change(&Change::Agent { node, action })?;
            }
        }
        Ok(!meddling.is_empty())
    }

    fn applies(&self, when: Option<&When>) -> bool {
        when.is_none_or(|when| when.holds(self.options))
    }

    /// Looks at everything that a step expects, in its order. Where some of it became true only after
    /// a while, what was looked at before that is looked at again: it may have been true of what was
    /// there before the change.
    fn expect_all(
        &mut self,
        step: &Step,
        changing: Instant,
    ) -> Result<Vec<ExpectationSeen>, BackendError> {
        let expectations = step.expectations.iter();
        let applying: Vec<&Expectation> = expectations
            .filter(|it| self.applies(it.when.as_ref()))
            .collect();
        let mut all = Vec::with_capacity(applying.len());
        for expectation in &applying {
            all.push(self.expect(&step.world, expectation, changing)?);
        }
        let turned = all.iter().filter(|seen| seen.looks > 1);
        let Some(turned) = turned.map(|seen| seen.look.begun).max() else {
            return Ok(all);
        };
        if !self.backend.settling().is_zero() {
            for (seen, expectation) in all.iter_mut().zip(applying) {
                if seen.look.begun < turned && seen.look.is_as_expected() {
                    *seen = self.expect(&step.world, expectation, changing)?;
                }
            }
        }
        Ok(all)
    }

    /// Looks until it is true, for as long as it may take; then for as long as it must stay true.
    /// Looks that come too soon to show the change do not count.
    fn expect(
        &mut self,
        world: &World,
        expectation: &Expectation,
        changing: Instant,
    ) -> Result<ExpectationSeen, BackendError> {
        let manner = Manner {
            world,
            source_port: expectation.source_port,
            payload: expectation.payload,
        };
        let begun = Instant::now();
        let mut looks = 1;
        let mut last = look(self.backend, manner, &expectation.cells)?;
        let patience = self.backend.patience();
        let within = expectation.within.unwrap_or(patience);
        let settled = changing + self.backend.settling();
        loop {
            if last.is_as_expected() && last.begun < settled {
                pause(settled.saturating_duration_since(Instant::now()));
                last = look(self.backend, manner, &expectation.cells)?;
            } else if !last.is_as_expected() && begun.elapsed() < within {
                pause(BETWEEN_LOOKS);
                last = look(self.backend, manner, &expectation.cells)?;
                looks += 1;
            } else {
                break;
            }
        }
        let may_take_time = expectation.within.is_some() || !patience.is_zero();
        let became_true = last.is_as_expected() && may_take_time;
        let converged = became_true.then(|| last.begun.saturating_duration_since(changing));
        let held = Instant::now();
        let hold_for = expectation.hold_for.unwrap_or_default();
        while last.is_good() && held.elapsed() < hold_for {
            pause(BETWEEN_LOOKS);
            last = look(self.backend, manner, &expectation.cells)?;
        }
        Ok(ExpectationSeen {
            look: last,
            looks,
            converged,
        })
    }

    fn use_flows(&mut self, step: &Step, seen: &mut StepSeen) -> Result<(), BackendError> {
        let mut all = Vec::new();
        for flow in &step.open {
            all.push(self.flows.open(self.backend, &step.world, flow)?);
        }
        for used in &step.uses {
            if self.applies(used.when.as_ref()) {
                seen.other_checks += 1;
                all.push(self.flows.exchange(self.backend, &step.world, used)?);
            }
        }
        for Outcomes {
            problems,
            contradictions,
        } in all
        {
            seen.problems.extend(problems);
            seen.contradictions.extend(contradictions);
        }
        for name in &step.close {
            self.flows.close(name);
        }
        Ok(())
    }

    fn count_traffic(
        &mut self,
        step: &Step,
        changing: Instant,
        seen: &mut StepSeen,
    ) -> Result<(), BackendError> {
        let Some(rest) = self.background.count(self.backend, step)? else {
            return Ok(());
        };
        for expectation in &step.expectations {
            if self.applies(expectation.when.as_ref()) {
                for never in &expectation.never {
                    seen.other_checks += rest.counted.cells(never);
                    let problems = rest.counted.problems(self.backend, step, never, changing);
                    seen.problems.extend(problems);
                }
            }
        }
        seen.looks.push(rest.look);
        seen.contradictions.extend(rest.contradictions);
        Ok(())
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
        Some(Problem::new(message, &admission.location))
    }
}

/// What undoes what was done to an agent.
fn repairs(actions: &[AgentAction]) -> Vec<AgentAction> {
    let (mut is_down, mut is_cut, mut is_refused) = (false, false, false);
    for action in actions {
        match action {
            AgentAction::Start | AgentAction::Restart => is_down = false,
            AgentAction::Stop | AgentAction::Kill => is_down = true,
            AgentAction::CutApi => is_cut = true,
            AgentAction::RestoreApi => is_cut = false,
            AgentAction::RefuseTransactions(count) => is_refused = *count > 0,
        }
    }
    let mut repairs = Vec::new();
    repairs.extend(is_refused.then_some(AgentAction::RefuseTransactions(0)));
    repairs.extend(is_down.then_some(AgentAction::Start));
    repairs.extend(is_cut.then_some(AgentAction::RestoreApi));
    repairs
}

/// The one wait between two looks; every loop around it has a deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "a pause between two looks, inside a loop with a deadline"
)]
fn pause(duration: Duration) {
    thread::sleep(duration);
}
