//! The agents of the simulated nodes: processes, each behind a relay of its own.
//!
//! An agent that runs and is not cut off is waited for after every write. Others miss it: their
//! kernels go on with what they have, and the judges go by the objects of that time.

use std::{path::PathBuf, sync::Arc};

use enforcer::{options::Options, plan::Plan};
use serde_json::Value;

use super::{
    process::{Process, ProcessError, Start, end_of},
    relay::Relay,
    versions::Versions,
};
use crate::{
    backend::{BackendError, sim::DataplaneKind},
    oracle,
    scenario::AgentAction,
};

/// What an agent says of what it looks at every so often and has not looked at.
const NOT_YET: &str = "not looked at yet";

/// What the judges without packets go by.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) world: Arc<oracle::World>,
    pub(super) plan: Arc<Plan>,
}

/// The agent of one node, whether it runs or not.
pub(super) struct NodeAgent {
    pub(super) node: String,
    pub(super) netns: PathBuf,
    pub(super) program: PathBuf,
    pub(super) leash: Option<PathBuf>,
    pub(super) kubeconfig: PathBuf,
    pub(super) log: PathBuf,
    pub(super) options: Options,
    pub(super) dataplane: DataplaneKind,
    pub(super) relay: Relay,
    pub(super) running: Option<Running>,
    pub(super) is_cut: bool,
    pub(super) view: View,
}

pub(super) struct Running {
    process: Process,
    /// Whether it has been told everything.
    is_synced: bool,
    /// Changes of its table by others that it must have noticed.
    damages: u64,
}

/// What the rules in a kernel are made of.
pub(super) enum View {
    /// All objects as they are.
    Now,
    /// The objects as they were then; no rules if there is nothing.
    Then(Option<Known>),
}

impl NodeAgent {
    /// What its rules are made of, if all objects are `now`; nothing if there are no rules.
    pub(super) fn known(&self, now: impl FnOnce() -> Known) -> Option<Known> {
        match &self.view {
            View::Now => Some(now()),
            View::Then(then) => then.clone(),
        }
    }

    fn failed(&self, error: &ProcessError) -> BackendError {
        BackendError::Agent {
            node: self.node.clone(),
            what: error.to_string(),
            log: end_of(&self.log),
        }
    }

    /// From now on it may not know everything.
    fn freeze(&mut self, now: Known) {
        if matches!(self.view, View::Now) {
            self.view = View::Then(Some(now));
        }
    }

    /// Does something to the agent; all objects are `now`, at `versions`.
    pub(super) fn act(
        &mut self,
        action: AgentAction,
        versions: &Versions,
        now: Known,
    ) -> Result<(), BackendError> {
        match action {
            AgentAction::Start => self.start(versions),
            AgentAction::Stop => self.stop(now),
            AgentAction::Kill => {
                self.freeze(now);
                self.running = None;
                Ok(())
            }
            AgentAction::Restart => {
                self.stop(now)?;
                self.start(versions)
            }
            AgentAction::CutApi => {
                self.freeze(now);
                self.is_cut = true;
                self.relay.close();
                Ok(())
            }
            AgentAction::RestoreApi => {
                self.is_cut = false;
                self.relay.open();
                self.catch_up(versions)
            }
            // Nothing was ever refused here.
            AgentAction::RefuseTransactions(0) => Ok(()),
            AgentAction::RefuseTransactions(_) => Err(BackendError::Unsupported(
                "refuse the transactions of another process".to_owned(),
            )),
        }
    }

    fn start(&mut self, versions: &Versions) -> Result<(), BackendError> {
        self.begin()?;
        self.catch_up(versions)
    }

    /// Starts it; it is not waited for.
    pub(super) fn begin(&mut self) -> Result<(), BackendError> {
        if self.running.is_some() {
            return Ok(());
        }
        let start = Start {
            program: &self.program,
            leash: self.leash.as_deref(),
            node: &self.node,
            netns: self.netns.clone(),
            kubeconfig: &self.kubeconfig,
            log: self.log.clone(),
            options: self.options,
            dataplane: self.dataplane,
        };
        let process = start.start().map_err(|error| self.failed(&error))?;
        self.running = Some(Running {
            process,
            is_synced: false,
            damages: 0,
        });
        Ok(())
    }

    /// Waits until it has acted on everything, if it can.
    pub(super) fn catch_up(&mut self, versions: &Versions) -> Result<(), BackendError> {
        let query = versions.query(&self.node);
        self.wait(&query)
    }

    fn wait(&mut self, query: &str) -> Result<(), BackendError> {
        let is_cut = self.is_cut;
        let Some(running) = self.running.as_mut().filter(|_| !is_cut) else {
            return Ok(());
        };
        if let Err(error) = running.process.catch_up(query) {
            return Err(self.failed(&error));
        }
        running.is_synced = true;
        self.view = View::Now;
        Ok(())
    }

    /// Ends it in good order.
    fn stop(&mut self, now: Known) -> Result<(), BackendError> {
        self.freeze(now);
        match self.running.take() {
            Some(running) => running.process.stop().map_err(|error| self.failed(&error)),
            None => Ok(()),
        }
    }

    /// Somebody has damaged its rules. An agent that runs and knows everything puts them back;
    /// without one there are none now.
    pub(super) fn note_damage(&mut self) -> Result<(), BackendError> {
        match self.running.as_mut().filter(|running| running.is_synced) {
            Some(running) => {
                running.damages += 1;
                // It repairs by what it knows, also when it is cut off.
                let repaired = running.process.catch_up("");
                repaired.map_err(|error| self.failed(&error))
            }
            None => {
                self.view = View::Then(None);
                Ok(())
            }
        }
    }

    /// Ends it without a word; it is not waited for.
    pub(super) fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.process.kill();
        }
    }

    /// What it reports that cannot be, or does not report though it must.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let node = self.node.clone();
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        let state = match running.process.state() {
            Ok(state) => state,
            Err(error) => {
                let log = end_of(&self.log);
                return vec![format!(
                    "failed to have the agent of {node} {error}; its log ends\n{log}"
                )];
            }
        };
        let mut complaints = Vec::new();
        let drifts = state["drifts"].as_u64().unwrap_or_default();
        if drifts > running.damages {
            complaints.push(format!(
                "the agent of {node} has repaired changes that nobody made: {}",
                state["recentDrifts"]
            ));
        }
        if drifts == 0 && running.damages > 0 {
            complaints.push(format!(
                "the agent of {node} has not noticed that its table was changed"
            ));
        }
        if !self.is_cut && running.is_synced {
            let wrong = wrong(&state);
            if !wrong.is_empty() {
                complaints.push(format!("the agent of {node} is not ready: {wrong}"));
            }
        }
        complaints
    }
}

/// Why an agent is not ready; empty if it is, or will be after its first look around.
fn wrong(state: &Value) -> String {
    let checks = state["checks"].as_array().into_iter().flatten();
    let wrong = checks.filter(|check| check["ok"] != true && check["why"] != NOT_YET);
    let wrong = wrong.map(|check| format!("{}: {}", check["name"], check["why"]));
    wrong.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_that_has_just_been_started_may_still_look_around() {
        let check = |ok: bool, why: &str| json!({"name": "bridges", "ok": ok, "why": why});
        let state = |check: Value| json!({"checks": [{"name": "rules", "ok": true}, check]});
        assert_eq!(wrong(&state(check(true, ""))), "");
        assert_eq!(wrong(&state(check(false, NOT_YET))), "");
        assert_eq!(
            wrong(&state(check(false, "br0 hides its traffic"))),
            "\"bridges\": \"br0 hides its traffic\""
        );
    }
}
