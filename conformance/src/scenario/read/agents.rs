//! `stopAgents` and its like, `refuseTransactions`, `damage`, `createForeignTables`: what happens to
//! the agents of nodes and to the kernel under them.

use std::collections::BTreeMap;

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::change::Changes;
use crate::scenario::{
    model::{AgentAction, Change},
    text::endpoint::Pattern,
    world::World,
    written::step::{Damage, Step},
};

/// More transactions than this are refused by stopping the agent.
const MOST_REFUSED: u32 = 1_000;

/// The agent of a node, as far as the story says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agent {
    runs: bool,
    /// Whether the API server can be reached.
    hears: bool,
    /// Whether it has been told of all objects since it runs.
    knows: bool,
    /// Whether its table is in the kernel.
    has_table: bool,
}

/// The agents of a world at its beginning.
pub(super) fn agents_of(world: &World) -> BTreeMap<String, Agent> {
    let agent = |runs| Agent {
        runs,
        hears: true,
        knows: runs,
        has_table: runs,
    };
    let nodes = world.nodes.iter();
    nodes
        .map(|(name, node)| (name.clone(), agent(node.agent)))
        .collect()
}

impl Agent {
    /// What becomes of it, or why nothing does.
    fn after(mut self, action: AgentAction) -> Result<Self, &'static str> {
        let is_running = self.runs;
        match action {
            AgentAction::Start if is_running => return Err("runs already"),
            AgentAction::Stop | AgentAction::Kill if !is_running => return Err("does not run"),
            AgentAction::Restart if !is_running => {
                return Err("does not run: `startAgents` starts it");
            }
            AgentAction::CutApi if !self.hears => return Err("is cut off already"),
            AgentAction::RestoreApi if self.hears => return Err("is not cut off"),
            AgentAction::Start => self.runs = true,
            AgentAction::Stop | AgentAction::Kill => (self.runs, self.knows) = (false, false),
            AgentAction::Restart => self.knows = false,
            AgentAction::CutApi => self.hears = false,
            AgentAction::RestoreApi => self.hears = true,
            AgentAction::RefuseTransactions(_) => {}
        }
        self.knows |= self.runs && self.hears;
        self.has_table |= self.knows;
        Ok(self)
    }
}

impl Changes<'_> {
    /// What comes before the changes of objects.
    pub(super) fn take_agents_away(&mut self, step: &Step) {
        self.agents("stopAgents", &step.stop_agents, AgentAction::Stop);
        self.agents("killAgents", &step.kill_agents, AgentAction::Kill);
        self.agents("cutApi", &step.cut_api, AgentAction::CutApi);
        self.refuse_transactions(step);
    }

    /// What comes after the changes of objects.
    pub(super) fn damage_and_bring_back(&mut self, step: &Step) {
        self.damage(step);
        self.create_foreign_tables(step);
        self.agents("startAgents", &step.start_agents, AgentAction::Start);
        self.agents("restartAgents", &step.restart_agents, AgentAction::Restart);
        self.agents("restoreApi", &step.restore_api, AgentAction::RestoreApi);
    }

    /// The nodes that a name or pattern means.
    fn nodes(&mut self, location: enforcer::yaml::Location, text: &str) -> Vec<String> {
        let pattern = Pattern::from(text);
        let nodes = self.state.world.nodes.keys();
        let found: Vec<String> = nodes.filter(|n| pattern.matches(n)).cloned().collect();
        if found.is_empty() {
            let mut problem = self.reader.unknown(
                location,
                "scenario/unknown",
                format!("there is no node `{text}`"),
                text,
                self.state.world.nodes.keys().map(String::as_str),
            );
            if let Some(name) = text.strip_prefix("node/") {
                problem = problem.help(format!("only nodes stand here: write {name}"));
            }
            self.reader.report(problem);
        }
        found
    }

    fn agents(&mut self, key: &str, written: &[String], action: AgentAction) {
        for (index, text) in written.iter().enumerate() {
            let location = self.reader.at(&self.path.key(key).index(index));
            let mut why_not = None;
            let mut is_changed = false;
            for node in self.nodes(location.clone(), text) {
                match self.state.agents[&node].after(action) {
                    Ok(agent) => {
                        is_changed = true;
                        self.state.agents.insert(node.clone(), agent);
                        self.changes.push(Change::Agent { node, action });
                    }
                    Err(why) => why_not = Some(format!("the agent of {node} {why}")),
                }
            }
            if let Some(why_not) = why_not
                && !is_changed
            {
                self.no_change(why_not, location);
            }
        }
    }

    fn refuse_transactions(&mut self, step: &Step) {
        for (text, count) in &step.refuse_transactions {
            let path = self.path.key("refuseTransactions").key(text);
            if !(1..=MOST_REFUSED).contains(count) {
                let location = self.reader.at(&path);
                let message = format!("{count} transactions cannot be refused");
                let problem = Diagnostic::new("scenario/object", message)
                    .at(location, format!("expected 1 to {MOST_REFUSED}"));
                self.reader.report(problem);
            }
            let location = self.reader.at_key(&path);
            for node in self.nodes(location, text) {
                let action = AgentAction::RefuseTransactions(*count);
                self.changes.push(Change::Agent { node, action });
            }
        }
    }

    fn damage(&mut self, step: &Step) {
        for (text, damage) in &step.damage {
            let location = self.reader.at_key(&self.path.key("damage").key(text));
            let mut without = None;
            let mut is_changed = false;
            for node in self.nodes(location.clone(), text) {
                let agent = self.state.agents.get_mut(&node);
                let agent = agent.expect("every node has an entry");
                if !agent.has_table {
                    without = Some(node);
                    continue;
                }
                is_changed = true;
                // One that knows what belongs there puts it back.
                agent.has_table = agent.knows || *damage != Damage::DeleteTable;
                let damage = *damage;
                self.changes.push(Change::Damage { node, damage });
            }
            if let Some(node) = without
                && !is_changed
            {
                self.no_change(format!("{node} has no table to be damaged"), location);
            }
        }
    }

    fn create_foreign_tables(&mut self, step: &Step) {
        let path: FieldPath = self.path.key("createForeignTables");
        for (index, text) in step.create_foreign_tables.iter().enumerate() {
            let location = self.reader.at(&path.index(index));
            for node in self.nodes(location.clone(), text) {
                if !self.state.foreign_tables.insert(node.clone()) {
                    let message = format!("{node} has a foreign table already");
                    self.report("scenario/duplicate", message, location.clone());
                    continue;
                }
                self.changes.push(Change::CreateForeignTable { node });
            }
        }
    }
}
