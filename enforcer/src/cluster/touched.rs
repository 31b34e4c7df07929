//! What events were about.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::Pod;
use crate::policy::Policy;

/// Everything that events were about since somebody looked last: enough to find whatever a verdict
/// could be different about. It says where to look again, not what is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    /// Whether it is easier to look at everything.
    pub(crate) everything: bool,
    /// Addresses of pods, before and after.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Namespaces, by name.
    pub(crate) namespaces: BTreeSet<Arc<str>>,
    /// Nodes, by name.
    pub(crate) nodes: BTreeSet<Arc<str>>,
    /// What policies were lowered to, before and after.
    pub(crate) policies: Vec<Arc<[Policy]>>,
}

impl Touched {
    /// All there is.
    pub(crate) fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    pub(super) fn pod(&mut self, pod: &Pod) {
        if !self.everything {
            self.addresses.extend(&pod.addresses);
        }
    }

    pub(super) fn namespace(&mut self, name: &Arc<str>) {
        if !self.everything {
            self.namespaces.insert(Arc::clone(name));
        }
    }

    pub(super) fn node(&mut self, name: &Arc<str>) {
        if !self.everything {
            self.nodes.insert(Arc::clone(name));
        }
    }

    pub(super) fn policy(&mut self, lowered: &Arc<[Policy]>) {
        if !self.everything {
            self.policies.push(Arc::clone(lowered));
        }
    }
}
