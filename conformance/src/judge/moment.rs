//! What the judges without packets go by, at one moment.

use std::{collections::BTreeMap, sync::Arc};

use enforcer::plan::Plan;

use crate::{backend::Backend, oracle::World};

/// Per node, what its rules are made of and what they are.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    nodes: BTreeMap<String, Known>,
}

/// What is known of one node.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The objects as its agent had seen them; nothing if none ever wrote rules there.
    pub(super) seen: Option<Arc<World>>,
    /// What is in its kernel.
    pub(super) plan: Arc<Plan>,
}

impl Moment {
    /// As it is now.
    pub fn now(backend: &dyn Backend) -> Self {
        let known = |(node, plan): (String, Arc<Plan>)| {
            let seen = backend.seen_by(&node);
            (node, Known { seen, plan })
        };
        Self {
            nodes: backend.plans().into_iter().map(known).collect(),
        }
    }

    pub(super) fn of(&self, node: &str) -> Option<&Known> {
        self.nodes.get(node)
    }

    /// Whether the same rules were in every kernel.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Known, &Known)| {
            Arc::ptr_eq(&one.plan, &other.plan) || one.plan == other.plan
        };
        self.nodes.len() == other.nodes.len()
            && self.nodes.values().zip(other.nodes.values()).all(same)
    }
}
