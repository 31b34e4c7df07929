//! Where the policies of a step are written.

use enforcer::{
    explain::RuleRef,
    policy::PolicyRef,
    yaml::{FieldPath, Location},
};

use crate::{
    explanation::{Whereabouts, path_of},
    scenario::{PolicySource, Step},
};

/// The policies in force after a step.
pub(crate) struct Written<'a>(pub(crate) &'a Step);

impl Written<'_> {
    fn source(&self, policy: &PolicyRef) -> Option<&PolicySource> {
        let mut policies = self.0.policies.iter();
        policies
            .find(|source| {
                *source.name.namespace == *policy.namespace && *source.name.name == *policy.name
            })
            .map(AsRef::as_ref)
    }
}

impl Whereabouts for Written<'_> {
    fn policy(&self, policy: &PolicyRef) -> Option<Location> {
        let name = FieldPath::root().key("metadata").key("name");
        Some(self.source(policy)?.document.location(&name))
    }

    fn rule(&self, rule: &RuleRef) -> Option<Location> {
        Some(self.source(&rule.policy)?.document.location(&path_of(rule)))
    }
}

/// Where no file is at hand: before the first step, or on a cluster that was kept.
pub(crate) struct Nowhere;

impl Whereabouts for Nowhere {
    fn policy(&self, _policy: &PolicyRef) -> Option<Location> {
        None
    }

    fn rule(&self, _rule: &RuleRef) -> Option<Location> {
        None
    }
}
