//! From the index to a Plan: pure, and the only place where policies become tables.
//!
//! For each isolated local pod the policies that select it are its profile; the profile's rules in
//! canonical form (`rules`) name its tables. The peers that tables name (`peer`) put addresses into
//! classes (`class`); a table has an answer per class. What depends on policies only (port sets,
//! ranges) is named by its content; a table of peers by its rules and a class by its peers, so that
//! the names stay while pods come and go.
//!
//! [`Compiler`] keeps a Plan up to date. What events touched ([`Touched`]) says where to look again,
//! and each step hands what it changed to the next:
//!
//! | step | looks at | finds |
//! |---|---|---|
//! | `subject` | local addresses that were touched, or that a touched policy is or was about | profiles and tables that come or go, and with them peers |
//! | `table`, first | addresses that were touched, or that a peer matches which comes or goes | classes that come or go |
//! | `table`, then | tables that come, and those that name a peer of a class which comes or goes | answers, and port sets that come or go (`grant`) |
//!
//! Whatever is not looked at cannot have changed:
//!
//! - the profile of a local address depends on its owner, on the labels of the owner's namespace, and
//!   on the policies that select the owner;
//! - the class of an address depends on its owner, on the labels of the owner's namespace, and on the
//!   peers and names of ports that tables of this node name;
//! - an answer depends on the table's rules and on the class, which both have names of their content;
//! - a port set is there for as long as an answer, a range or a profile leads to it.
//!
//! [`compile`] does the same from nothing: it looks at everything. That both come to the same Plan
//! is asserted at every commit of a debug build.
//!
//! Start at [`Compiler::update`]. What must never happen: a policy that opens more because something
//! in it is unknown. An unknown namespace, name of a port or pod matches nothing.

mod block;
mod class;
mod grant;
mod intern;
mod peer;
mod rules;
mod subject;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;

use self::{class::Classes, peer::Peers, table::Table};
use crate::{
    cluster::{Cluster, Pod, Touched},
    options::{Options, Unprogrammed},
    plan::{Id, Plan},
    policy::{Direction, NamespaceScope, Policy},
};

/// What `node` has to enforce.
pub fn compile(cluster: &Cluster, node: &str, options: Options) -> Plan {
    let mut compiler = Compiler::new(node, options);
    compiler.update(cluster, &Touched::everything());
    compiler.plan
}

/// Keeps the Plan of a node up to date.
pub(crate) struct Compiler {
    node: Arc<str>,
    options: Options,
    plan: Plan,
    /// What the tables of peers in the Plan are made of.
    tables: BTreeMap<Id, Table>,
    peers: Peers,
    classes: Classes,
    /// How many answers, ranges and profiles lead to a port set in a direction.
    uses: BTreeMap<(Direction, Id), usize>,
}

impl Compiler {
    /// For a cluster of which nothing is known yet. The first update has to be about everything.
    pub(crate) fn new(node: &str, options: Options) -> Self {
        Self {
            node: node.into(),
            options,
            plan: Plan {
                node: Some(node.into()),
                options,
                ..Plan::default()
            },
            tables: BTreeMap::new(),
            peers: Peers::default(),
            classes: Classes::default(),
            uses: BTreeMap::new(),
        }
    }

    /// What the node has to enforce, as of the last update.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Makes the Plan that of `cluster`. `touched` is what all events since the last update were
    /// about.
    pub(crate) fn update(&mut self, cluster: &Cluster, touched: &Touched) {
        self.update_programmed(cluster, touched);
        let new_tables = self.update_subjects(cluster, touched);
        self.update_classes(cluster, touched);
        self.update_answers(&new_tables);
    }

    /// Which addresses of the node's ranges pods are known to have. Pods of other nodes count:
    /// network plug-ins with an address management of their own pay no heed to the ranges of nodes,
    /// and what another node has programmed waits for nothing.
    fn update_programmed(&mut self, cluster: &Cluster, touched: &Touched) {
        if touched.everything || touched.nodes.contains(&self.node) {
            let ranges = pod_ranges(cluster, &self.node, self.options);
            let programmed = ranges.iter().flat_map(|range| cluster.addresses_in(range));
            self.plan.programmed = programmed.collect();
            self.plan.pod_ranges = ranges;
        }
        let ranges = &self.plan.pod_ranges;
        for address in &touched.addresses {
            if !ranges.iter().any(|range| range.contains(address)) {
                continue;
            }
            if cluster.owner(*address).is_some() {
                self.plan.programmed.insert(*address);
            } else {
                self.plan.programmed.remove(address);
            }
        }
    }
}

/// Whether `policy` is about `pod`.
pub(crate) fn selects(policy: &Policy, pod: &Pod, cluster: &Cluster) -> bool {
    let namespace = pod.reference.namespace.as_ref();
    let is_in_scope = match &policy.subject.namespaces {
        NamespaceScope::Named(name) => name.as_ref() == namespace,
        NamespaceScope::Matching(selector) => cluster
            .namespace(namespace)
            .is_some_and(|namespace| selector.matches(&namespace.labels)),
    };
    is_in_scope && policy.subject.pods.matches(&pod.labels)
}

/// The ranges of which only programmed pods may use addresses. Without a node object, or one
/// without ranges, nothing is known to wait for a pod, so nothing is held.
fn pod_ranges(cluster: &Cluster, node: &str, options: Options) -> BTreeSet<IpNet> {
    match options.unprogrammed {
        Unprogrammed::Open => BTreeSet::new(),
        Unprogrammed::Hold => cluster
            .node(node)
            .map(|node| IpNet::aggregate(&node.pod_cidrs).into_iter().collect())
            .unwrap_or_default(),
    }
}
