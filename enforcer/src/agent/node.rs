//! One node's enforcer: events in, kernel state out.
//!
//! [`handle`](NodeEnforcer::handle) takes events into the index, [`commit`](NodeEnforcer::commit)
//! makes the kernel's rules those of the index. The caller decides how many events make one commit.

use std::sync::Arc;

use tracing::{debug, warn};

use crate::{
    cluster::{Cluster, Event},
    compile::compile,
    nft::{ApplyError, Dataplane, diff, remove_table},
    options::Options,
    plan::Plan,
    policy::Policy,
};

/// Enforces the policies of a cluster on one node.
#[derive(Debug)]
pub struct NodeEnforcer<D> {
    node: Arc<str>,
    options: Options,
    dataplane: D,
    cluster: Cluster,
    /// What is in the kernel.
    applied: Plan,
    /// Whether something changed since.
    is_stale: bool,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Operations that went into the kernel, all at once; 0 if there was nothing to do.
    pub operations: usize,
}

impl<D: Dataplane> NodeEnforcer<D> {
    /// An enforcer for `node` that has applied nothing yet. Its first commit replaces whatever an
    /// earlier one left in the kernel.
    pub fn new(node: &str, options: Options, dataplane: D) -> Self {
        Self {
            node: node.into(),
            options,
            dataplane,
            cluster: Cluster::default(),
            applied: Plan::default(),
            is_stale: true,
        }
    }

    /// Takes an event in. Nothing is enforced before the next commit.
    pub fn handle(&mut self, event: Event) {
        match &event {
            Event::ApplyPolicy(_, lowered) => warn_of_broken(lowered),
            Event::ResetPolicies(all) => {
                for (_, lowered) in all {
                    warn_of_broken(lowered);
                }
            }
            _ => {}
        }
        self.is_stale |= self.cluster.handle(event);
    }

    /// Makes the kernel's rules those of the index, atomically. If nothing changed for this node,
    /// the kernel is not spoken to.
    ///
    /// # Errors
    /// The transaction was refused. The kernel's rules and [`NodeEnforcer::plan`] are as before and
    /// the next commit tries again.
    pub fn commit(&mut self) -> Result<Commit, ApplyError> {
        if !self.is_stale {
            return Ok(Commit::default());
        }
        let plan = compile(&self.cluster, &self.node, self.options);
        let transaction = diff(&self.applied, &plan);
        if let Err(error) = self.dataplane.apply(&transaction) {
            warn!(node = %self.node, %error, "the rules stay as they were");
            return Err(error);
        }
        self.applied = plan;
        self.is_stale = false;
        let operations = transaction.len();
        debug!(node = %self.node, operations, "committed");
        Ok(Commit { operations })
    }

    /// Removes everything of ours from the kernel. The next commit starts anew.
    ///
    /// # Errors
    /// The transaction was refused; everything is as before.
    pub fn remove(&mut self) -> Result<(), ApplyError> {
        self.dataplane.apply(&remove_table())?;
        self.applied = Plan::default();
        self.is_stale = true;
        Ok(())
    }

    /// What the last successful commit enforces.
    pub fn plan(&self) -> &Plan {
        &self.applied
    }

    /// The index.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What was chosen where the specification leaves a choice.
    pub fn options(&self) -> Options {
        self.options
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }
}

/// Says loudly which policies cannot be honoured in full: they close their own pods (semantics 227).
fn warn_of_broken(lowered: &[Policy]) {
    for policy in lowered {
        if let Some(reason) = &policy.broken {
            warn!(
                policy = %policy.origin,
                direction = %policy.direction,
                %reason,
                "what cannot be read of a policy allows nothing"
            );
        }
    }
}
