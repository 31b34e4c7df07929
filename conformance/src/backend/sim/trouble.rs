//! What scenarios do to agents and to the tables of nodes, and what must not come of it.

use std::io;

use netsim::{netns::Netns, place::Place};

use super::{Sim, agents::NodeAgent, foreign};
use crate::{
    backend::BackendError,
    scenario::{AgentAction, Damage, World},
};

impl Sim {
    /// Starts the agents that run from the beginning, all at once.
    pub(super) fn start_agents(&mut self, world: &World) -> Result<(), BackendError> {
        for (name, node) in &world.nodes {
            if node.agent
                && let Some(agent) = self.agents.get_mut(name)
            {
                agent.begin(&self.index)?;
            }
        }
        self.agents.values_mut().try_for_each(NodeAgent::catch_up)
    }

    pub(super) fn act_on_agent(
        &mut self,
        node: &str,
        action: AgentAction,
    ) -> Result<(), BackendError> {
        let now = self.now();
        let agent = self.agents.get_mut(node);
        let agent = agent.ok_or_else(|| BackendError::Missing(format!("node {node}")))?;
        agent.act(action, &self.index, &now)
    }

    pub(super) fn damage(&mut self, node: &str, damage: Damage) -> Result<(), BackendError> {
        self.damage_kernel(node, damage)?;
        self.agent(node)?.note_damage()
    }

    /// Damages the agent's table, and tells nobody.
    pub(in crate::backend) fn damage_kernel(
        &self,
        node: &str,
        damage: Damage,
    ) -> Result<(), BackendError> {
        let netns = self.node_netns(node)?;
        foreign::damage(netns, damage).map_err(|error| failed(node, error))
    }

    /// The network namespace of a node.
    pub(in crate::backend) fn node_netns(&self, node: &str) -> Result<&Netns, BackendError> {
        let netns = self.net.netns(&Place::Node(node.to_owned()));
        netns.ok_or_else(|| BackendError::Missing(format!("node {node}")))
    }

    pub(super) fn create_foreign_table(&mut self, node: &str) -> Result<(), BackendError> {
        let netns = self.node_netns(node)?;
        let created = foreign::create_table(netns).and_then(|()| foreign::listing(netns));
        let listing = created.map_err(|error| failed(node, error))?;
        self.foreign.insert(node.to_owned(), listing);
        Ok(())
    }

    /// What is wrong with agents and with the tables of others.
    pub(super) fn all_complaints(&self) -> Vec<String> {
        let agents = self.agents.values().flat_map(NodeAgent::complaints);
        let mut complaints: Vec<String> = agents.collect();
        for (node, before) in &self.foreign {
            let listing = self.node_netns(node).and_then(|netns| {
                let listing = foreign::listing(netns);
                listing.map_err(|error| failed(node, error))
            });
            match listing {
                Ok(now) if now == *before => {}
                Ok(now) => complaints.push(format!(
                    "the table of somebody else on {node} was changed: {} objects were listed, \
                     and of the {} that are listed now {} are as they were",
                    before.len(),
                    now.len(),
                    now.iter().filter(|object| before.contains(object)).count(),
                )),
                Err(error) => complaints.push(format!(
                    "the table of somebody else on {node} cannot be listed: {error}"
                )),
            }
        }
        complaints
    }
}

fn failed(node: &str, error: io::Error) -> BackendError {
    BackendError::Dataplane {
        node: node.to_owned(),
        source: error.into(),
    }
}
