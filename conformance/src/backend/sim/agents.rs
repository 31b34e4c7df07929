//! The agents of the simulated nodes: the ones that a real node would run, each told what the API
//! server would tell it.
//!
//! An agent that runs and hears of the API server is told every change at once, and waited for.
//! Others miss it: their kernels go on with what they have, and the oracle judges their side by the
//! objects of that time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use enforcer::{
    agent::{Agent, Unsettled},
    cluster::{Cluster as Index, Event},
    plan::Plan,
    policy::{Policy, PolicyRef},
};

use super::dataplane::Openings;
use crate::{backend::BackendError, oracle, scenario::AgentAction};

/// How long an agent is waited for. It needs a few hundred microseconds; only a defect or a machine
/// that stands still makes it need more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The agent of one node, whether it runs or not.
pub(super) struct NodeAgent {
    node: String,
    openings: Openings,
    running: Option<Running>,
    /// Whether it hears of the API server, now or when it is started.
    is_cut: bool,
    /// Transactions that the kernel is still to refuse.
    refusals: Arc<AtomicU32>,
    view: View,
    /// What the agents before the one that runs have left in the kernel.
    left: Arc<Plan>,
}

struct Running {
    agent: Agent,
    /// Whether it has been told everything.
    is_synced: bool,
    /// Changes of its table by others that it must have noticed.
    damages: u64,
}

/// What the rules in a kernel are made of.
enum View {
    /// All objects as they are.
    Now,
    /// The objects as they were then; no rules if there is nothing.
    Then(Option<Arc<oracle::World>>),
}

impl NodeAgent {
    /// No agent, and no rules.
    pub(super) fn new(node: &str, openings: Openings) -> Self {
        Self {
            node: node.to_owned(),
            openings,
            running: None,
            is_cut: false,
            refusals: Arc::default(),
            view: View::Then(None),
            left: Arc::default(),
        }
    }

    /// Tells it of a change, if it is there to hear. Says whether it has to be waited for.
    pub(super) fn tell(&self, event: &Event) -> bool {
        match &self.running {
            Some(running) if !self.is_cut => {
                let is_waited_for = self.refusals.load(Ordering::Relaxed) == 0;
                running.agent.send(event.clone());
                is_waited_for
            }
            _ => false,
        }
    }

    /// Waits until it has acted on everything it was told.
    pub(super) fn settle(&self) -> Result<(), BackendError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let settled = running.agent.settle(PATIENCE);
        settled.map_err(|source| BackendError::Program {
            node: self.node.clone(),
            source,
        })
    }

    /// What its rules are made of, if all objects are `now`; nothing if there are no rules.
    pub(super) fn seen(&self, now: &Arc<oracle::World>) -> Option<Arc<oracle::World>> {
        match &self.view {
            View::Then(then) if !self.has_caught_up() => then.clone(),
            _ => Some(Arc::clone(now)),
        }
    }

    /// Whether what it does not know cannot make a difference.
    fn has_caught_up(&self) -> bool {
        let running = self.running.as_ref();
        !self.is_cut && running.is_some_and(|it| it.is_synced && it.agent.has_settled())
    }

    /// What is in the kernel.
    pub(super) fn plan(&self) -> Arc<Plan> {
        let plan = self.running.as_ref().map(|running| running.agent.plan());
        // An agent that has not committed yet leaves alone what it has found.
        plan.filter(|plan| plan.node().is_some())
            .unwrap_or_else(|| Arc::clone(&self.left))
    }

    /// From now on it may not know everything.
    fn freeze(&mut self, now: &Arc<oracle::World>) {
        self.view = View::Then(self.seen(now));
    }

    /// Does something to the agent. All objects are `index`, and `now` for the oracle.
    pub(super) fn act(
        &mut self,
        action: AgentAction,
        index: &Index,
        now: &Arc<oracle::World>,
    ) -> Result<(), BackendError> {
        match action {
            AgentAction::Start => self.start(index),
            AgentAction::Stop => {
                self.stop(now);
                Ok(())
            }
            AgentAction::Kill => {
                self.kill(now);
                Ok(())
            }
            AgentAction::Restart => {
                self.stop(now);
                self.start(index)
            }
            AgentAction::CutApi => {
                self.freeze(now);
                self.is_cut = true;
                Ok(())
            }
            AgentAction::RestoreApi => {
                self.is_cut = false;
                self.relist(index)
            }
            AgentAction::RefuseTransactions(count) => {
                self.freeze(now);
                self.refusals.store(count, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Starts it, and waits until it has acted on everything there is, if it can.
    pub(super) fn start(&mut self, index: &Index) -> Result<(), BackendError> {
        self.begin(index)?;
        self.catch_up()
    }

    /// Starts it and tells it everything.
    pub(super) fn begin(&mut self, index: &Index) -> Result<(), BackendError> {
        if self.running.is_some() {
            return Ok(());
        }
        let agent = self.openings.agent(&self.node, &self.refusals)?;
        self.running = Some(Running {
            agent,
            is_synced: false,
            damages: 0,
        });
        self.tell_everything(index);
        Ok(())
    }

    fn relist(&mut self, index: &Index) -> Result<(), BackendError> {
        self.tell_everything(index);
        self.catch_up()
    }

    /// What a new watch begins with.
    fn tell_everything(&mut self, index: &Index) {
        if self.is_cut {
            return;
        }
        let Some(running) = &mut self.running else {
            return;
        };
        for event in everything(index) {
            running.agent.send(event);
        }
        running.agent.synced();
        running.is_synced = true;
    }

    /// Waits until it knows and does what everybody knows, if it can.
    pub(super) fn catch_up(&mut self) -> Result<(), BackendError> {
        let is_synced = self.running.as_ref().is_some_and(|it| it.is_synced);
        if is_synced && !self.is_cut && self.refusals.load(Ordering::Relaxed) == 0 {
            self.settle()?;
            self.view = View::Now;
        }
        Ok(())
    }

    /// Lets it finish what it is at, if it can, and ends it.
    fn stop(&mut self, now: &Arc<oracle::World>) {
        if let Some(running) = &self.running
            && self.refusals.load(Ordering::Relaxed) == 0
        {
            // What it does not get done, it would not get done on a real node either.
            let _: Result<(), Unsettled> = running.agent.settle(PATIENCE);
        }
        self.kill(now);
    }

    fn kill(&mut self, now: &Arc<oracle::World>) {
        if let Some(running) = &mut self.running {
            let plan = running.agent.end();
            if plan.node().is_some() {
                self.left = plan;
            }
            self.freeze(now);
            self.running = None;
        }
    }

    /// Somebody has deleted or emptied the rules. An agent that runs and knows everything puts them
    /// back; without one there are none now.
    pub(super) fn note_damage(&mut self) -> Result<(), BackendError> {
        match &mut self.running {
            Some(running) if running.is_synced => {
                running.damages += 1;
                if self.refusals.load(Ordering::Relaxed) == 0 {
                    self.settle()?;
                }
            }
            _ => {
                self.left = Arc::default();
                self.view = View::Then(None);
            }
        }
        Ok(())
    }

    /// What it reports that cannot be, or does not report though it must.
    pub(super) fn complaints(&self) -> Vec<String> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let status = running.agent.status();
        let node = &self.node;
        let mut complaints = Vec::new();
        if status.drifts > running.damages {
            let drifts = status.recent_drifts.iter();
            let changes: Vec<_> = drifts.flat_map(|drift| drift.changes.clone()).collect();
            complaints.push(format!(
                "the agent of {node} has repaired changes that nobody made: {}",
                changes.join(", ")
            ));
        }
        if status.drifts == 0 && running.damages > 0 {
            complaints.push(format!(
                "the agent of {node} has not noticed that its table was changed"
            ));
        }
        if let Some(why) = status.blind {
            complaints.push(format!(
                "the agent of {node} does not notice changes by others: {why}"
            ));
        }
        complaints
    }
}

/// All objects, as a new watch lists them.
fn everything(index: &Index) -> [Event; 4] {
    let mut policies = BTreeMap::<PolicyRef, Vec<Policy>>::new();
    for policy in index.policies() {
        let of_object = policies.entry(policy.origin.clone()).or_default();
        of_object.push(policy.clone());
    }
    [
        Event::ResetNamespaces(index.namespaces().cloned().collect()),
        Event::ResetNodes(index.nodes().cloned().collect()),
        Event::ResetPods(index.pods().cloned().collect()),
        Event::ResetPolicies(policies.into_iter().collect()),
    ]
}
