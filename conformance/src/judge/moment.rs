//! What the judges without packets go by, at one moment.

use std::{collections::BTreeMap, sync::Arc};

use enforcer::plan::Plan;

use crate::{backend::Backend, oracle::World, process};

/// How often a state that goes on changing is read before it is taken as it is.
const MOST_READINGS: usize = 40;

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

    /// As it is as soon as nothing is on its way. Rules and what they are made of are read one after
    /// the other: of a node that is just being written, one may be older than the other.
    pub fn settled(backend: &dyn Backend) -> Self {
        let mut last = Self::now(backend);
        for _ in 0..MOST_READINGS {
            process::short_pause();
            let next = Self::now(backend);
            if next.is_identical(&last) {
                break;
            }
            last = next;
        }
        last
    }

    fn is_identical(&self, other: &Self) -> bool {
        let same = |(one, other): (&Known, &Known)| match (&one.seen, &other.seen) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.is_same(other) && self.nodes.values().zip(other.nodes.values()).all(same)
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
