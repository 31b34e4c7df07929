//! A node's state as text.

use enforcer::plan::Plan;
use netsim::place::Place;

use super::{Sim, agents::NodeAgent};
use crate::process;

impl Sim {
    pub(super) fn state_of(&self, node: &str) -> String {
        let network = match self.net.dump(node) {
            Ok(dump) => dump.to_string(),
            Err(error) => format!("failed to {error}\n"),
        };
        format!("{network}\n{}", self.ruleset(node))
    }

    /// The kernel's own listing, where the `nft` binary is there to ask for it; else what the
    /// enforcer has put into the kernel.
    fn ruleset(&self, node: &str) -> String {
        let netns = self.net.netns(&Place::Node(node.to_owned()));
        let listed = netns.and_then(|netns| netns.run(process::list_ruleset).ok().flatten());
        if let Some(text) = listed {
            return format!("ruleset\n{text}");
        }
        let plan = self.agents.get(node).map(NodeAgent::plan);
        let sent = plan.map(|plan| enforcer::nft::diff(&Plan::default(), &plan).to_string());
        format!(
            "ruleset, as it was sent (with nft installed, this is the kernel's own listing)\n{}",
            sent.unwrap_or_default()
        )
    }
}
