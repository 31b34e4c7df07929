//! One node's enforcer: events in, kernel state out.
//!
//! [`handle`](NodeEnforcer::handle) takes events into the index, [`commit`](NodeEnforcer::commit)
//! makes the kernel's rules those of the index. The caller decides how many events make one commit.

use std::{collections::BTreeMap, io, mem, sync::Arc};

use tracing::{debug, warn};

use crate::{
    cluster::{Cluster, Event, Touched},
    compile::{Compiler, compile},
    conntrack::{Connections, may_deny_more, revoked},
    nft::{ApplyError, Dataplane, diff, remove_table},
    options::{Established, Options},
    plan::Plan,
    policy::{Policy, PolicyRef},
};

/// Enforces the policies of a cluster on one node.
pub struct NodeEnforcer<D> {
    node: Arc<str>,
    options: Options,
    dataplane: D,
    connections: Option<Box<dyn Connections>>,
    cluster: Cluster,
    /// What the index asks for, as of the last commit.
    compiler: Compiler,
    /// What events were about since.
    touched: Touched,
    /// What is in the kernel.
    applied: Arc<Plan>,
    /// Whether something changed since.
    is_stale: bool,
    /// Whether the kernel's table may differ from what was applied.
    is_in_doubt: bool,
    /// Whether there may be connections to cut that the last look at them has not shown: they were on
    /// their way, or it failed.
    has_late: bool,
    /// Why policies cannot be honoured in full.
    broken: BTreeMap<PolicyRef, Vec<Arc<str>>>,
}

/// Why a commit did not do everything.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The transaction was not applied; the kernel's rules are as before.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The rules are in force, but connections that they deny may still be alive.
    #[error("read the live connections, some of which may have to be cut")]
    Connections(#[source] io::Error),
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Transactions that the kernel took.
    pub transactions: u32,
    /// Operations that went into the kernel; 0 if there was nothing to do.
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
            connections: None,
            cluster: Cluster::default(),
            compiler: Compiler::new(node, options),
            touched: Touched::everything(),
            applied: Arc::default(),
            is_stale: true,
            is_in_doubt: false,
            has_late: false,
            broken: BTreeMap::new(),
        }
    }

    /// Lets it know the live connections; without it none is ever cut ([`Established::Revoke`]).
    #[must_use]
    pub fn with_connections(self, connections: Box<dyn Connections>) -> Self {
        Self {
            connections: Some(connections),
            ..self
        }
    }

    /// Takes an event in. Nothing is enforced before the next commit.
    pub fn handle(&mut self, event: Event) {
        match &event {
            Event::ApplyPolicy(reference, lowered) => self.note_broken(reference, lowered),
            Event::DeletePolicy(reference) => {
                self.broken.remove(reference);
            }
            Event::ResetPolicies(all) => {
                self.broken.clear();
                for (reference, lowered) in all {
                    self.note_broken(reference, lowered);
                }
            }
            _ => {}
        }
        self.is_stale |= self.cluster.handle_noting(event, &mut self.touched);
    }

    /// Says loudly which policies cannot be honoured in full: they close their own pods (semantics
    /// 227).
    fn note_broken(&mut self, reference: &PolicyRef, lowered: &[Policy]) {
        let mut reasons = Vec::new();
        for policy in lowered {
            if let Some(reason) = &policy.broken {
                warn!(
                    policy = %policy.origin,
                    direction = %policy.direction,
                    %reason,
                    "what cannot be read of a policy allows nothing"
                );
                reasons.push(Arc::clone(reason));
            }
        }
        reasons.dedup();
        if reasons.is_empty() {
            self.broken.remove(reference);
        } else {
            self.broken.insert(reference.clone(), reasons);
        }
    }

    /// Makes the kernel's rules those of the index, atomically. If nothing changed for this node,
    /// the kernel is not spoken to.
    ///
    /// # Errors
    /// See [`CommitError`]. [`NodeEnforcer::plan`] is what the kernel has, and the next commit tries
    /// again: from nothing if the kernel may know something else than we do.
    pub fn commit(&mut self) -> Result<Commit, CommitError> {
        if !self.needs_commit() {
            return Ok(Commit::default());
        }
        self.is_stale = true;
        let touched = mem::take(&mut self.touched);
        self.compiler.update(&self.cluster, &touched);
        let mut plan = self.compiler.plan().clone();
        debug_assert_eq!(
            plan,
            compile(&self.cluster, &self.node, self.options),
            "a Plan that was kept up to date is the one that is made from nothing"
        );
        // What was cut stays cut, even if it cannot be told what is alive.
        plan.set_revoked(self.applied.revoked().clone());
        let revokes = self.connections.is_some() && self.options.established == Established::Revoke;
        let closes = revokes && (self.is_in_doubt || may_deny_more(&self.applied, &plan));
        let is_revoked = if closes || self.has_late || !plan.revoked().is_empty() {
            self.revoke(&mut plan)
        } else {
            Ok(())
        };
        let mut commit = self.apply(plan)?;
        self.has_late = closes || is_revoked.is_err();
        is_revoked?;
        if closes && commit.operations > 0 {
            // What the old rules accepted while the new ones were on their way.
            let mut plan = Plan::clone(&self.applied);
            self.revoke(&mut plan)?;
            let late = self.apply(plan)?;
            commit.transactions += late.transactions;
            commit.operations += late.operations;
        }
        self.is_stale = false;
        Ok(commit)
    }

    /// Puts the live connections that a Plan denies into it.
    fn revoke(&mut self, plan: &mut Plan) -> Result<(), CommitError> {
        let Some(connections) = &mut self.connections else {
            return Ok(());
        };
        if self.options.established == Established::Revoke {
            let live = connections.live().map_err(CommitError::Connections)?;
            plan.set_revoked(revoked(plan, &live));
        }
        Ok(())
    }

    /// One transaction that makes the kernel's rules those of a Plan.
    fn apply(&mut self, plan: Plan) -> Result<Commit, ApplyError> {
        let transaction = if self.is_in_doubt {
            diff(&Plan::default(), &plan)
        } else {
            diff(&self.applied, &plan)
        };
        if let Err(error) = self.dataplane.apply(&transaction) {
            warn!(node = %self.node, %error, "the rules stay as they were");
            self.is_in_doubt |= error.casts_doubt();
            return Err(error);
        }
        self.applied = Arc::new(plan);
        self.is_in_doubt = false;
        let operations = transaction.len();
        debug!(node = %self.node, operations, "committed");
        Ok(Commit {
            transactions: u32::from(operations > 0),
            operations,
        })
    }

    /// Whether the next commit may have something to do.
    pub fn needs_commit(&self) -> bool {
        self.is_stale || self.is_in_doubt
    }

    /// Whether the kernel's table may not be what was applied.
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Says that the kernel's table may not be what was applied, because somebody else changed it.
    /// The next commit replaces all of it, in one transaction.
    pub fn doubt(&mut self) {
        self.is_in_doubt = true;
    }

    /// Removes everything of ours from the kernel. The next commit starts anew.
    ///
    /// # Errors
    /// The transaction was refused; everything is as before.
    pub fn remove(&mut self) -> Result<(), ApplyError> {
        self.dataplane.apply(&remove_table())?;
        self.applied = Arc::default();
        self.is_stale = true;
        Ok(())
    }

    /// What the last successful commit enforces.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.applied
    }

    /// Which policies cannot be honoured in full, and why.
    pub fn broken(&self) -> &BTreeMap<PolicyRef, Vec<Arc<str>>> {
        &self.broken
    }

    /// The way into the kernel.
    pub fn dataplane(&self) -> &D {
        &self.dataplane
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
