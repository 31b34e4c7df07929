//! Real clusters as a place to play: one after the other, since namespaces have the names that the
//! scenarios give them.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use enforcer::{cluster::Cluster as Index, options};

use super::{
    Cluster, Facts, ability,
    ground::Ground,
    locked,
    manifest::{self, Demands},
};
use crate::{
    backend::{
        BackendError,
        live::{Live, LiveError, Right, was_interrupted},
    },
    runner::{Options, Play, Venue},
    scenario::{Change, ObjectName, Scenario},
    store::Store,
};

/// What a run must be allowed to do.
pub const RIGHTS: [Right; 7] = [
    Right {
        group: "",
        resource: "namespaces",
        verbs: &["get", "list", "watch", "create", "update", "delete"],
    },
    Right {
        group: "",
        resource: "pods",
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
    },
    // Streams are asked for by GET, and since Kubernetes 1.35 they need `create` all the same.
    Right {
        group: "",
        resource: "pods/exec",
        verbs: &["get", "create"],
    },
    Right {
        group: "",
        resource: "services",
        verbs: &["get", "list", "create", "update", "delete"],
    },
    Right {
        group: "",
        resource: "nodes",
        verbs: &["list"],
    },
    Right {
        group: "",
        resource: "events",
        verbs: &["list"],
    },
    Right {
        group: "networking.k8s.io",
        resource: "networkpolicies",
        verbs: &["get", "list", "create", "update", "delete"],
    },
];

/// How to play on a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image of `portcullis-probe`.
    pub image: String,
    /// What the cluster's enforcer chooses where the specification leaves a choice.
    pub options: options::Options,
    /// Whether nobody enforces policies there, so that the oracle expects nothing to be denied.
    pub is_unenforced: bool,
}

/// A cluster to play on.
pub struct Clusters {
    ground: Arc<Mutex<Ground>>,
    live: Live,
    facts: Arc<Facts>,
    settings: Settings,
    named: Arc<AtomicU64>,
    is_kept: AtomicBool,
}

impl Clusters {
    /// Asks whether we may play there, and what there is. Nothing is made yet.
    ///
    /// # Errors
    /// Rights are missing, or the cluster does not answer.
    pub fn new(live: &Live, settings: Settings) -> Result<Self, LiveError> {
        live.check_rights(&RIGHTS)?;
        let facts = Facts::ask(live)?;
        Ok(Self {
            ground: Arc::new(Mutex::new(Ground::new(live))),
            live: live.clone(),
            facts: Arc::new(facts),
            settings,
            named: Arc::default(),
            is_kept: AtomicBool::new(false),
        })
    }

    /// What the cluster is like.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Removes everything that was made, and returns when it is gone.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove(&self) -> Result<(), LiveError> {
        if self.is_kept.load(Ordering::Relaxed) {
            return Ok(());
        }
        locked(&self.ground).remove()
    }

    /// Leaves everything as it is, and plays nothing more.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
        locked(&self.ground).keep();
    }
}

impl Venue for Clusters {
    type Backend = Cluster;

    fn name(&self) -> &'static str {
        "cluster"
    }

    fn missing_for(&self, play: Play<'_>) -> Option<String> {
        if self.is_kept.load(Ordering::Relaxed) {
            return Some("the objects of a scenario that failed are kept".to_owned());
        }
        if was_interrupted() {
            return Some("it was interrupted".to_owned());
        }
        if locked(&self.ground).lacks_image() {
            let image = &self.settings.image;
            return Some(format!("the image {image} cannot be had, as said before"));
        }
        ability::missing_for(play.scenario, &self.facts, self.settings.options)
    }

    fn has_fabrics(&self) -> bool {
        false
    }

    /// What its pods are: those that are just so can stay.
    fn kin(&self, play: Play<'_>) -> String {
        let pods = play.scenario.world.pods.values();
        let pods = pods.map(|pod| format!("{} {:?} {:?}", pod.name, pod.listen, pod.labels()));
        pods.collect::<Vec<_>>().join("; ")
    }

    fn build(&self, play: Play<'_>, _options: Options) -> Result<Cluster, BackendError> {
        let scenario = play.scenario;
        let spaces = namespaces(scenario);
        locked(&self.ground).claim(&spaces)?;
        let real = self.facts.nodes.iter().cycle();
        let names = scenario.world.nodes.keys().cloned();
        let sctp = ability::speaks_sctp(scenario);
        Ok(Cluster {
            ground: self.ground.clone(),
            live: self.live.clone(),
            facts: self.facts.clone(),
            settings: Settings {
                options: scenario.options.over(self.settings.options),
                ..self.settings.clone()
            },
            nodes: names.zip(real.cloned()).collect(),
            speaking: ability::speaking_nodes(scenario),
            demands: demands(scenario, sctp),
            sctp,
            security: security(scenario, sctp),
            store: Store::new(self.facts.service_cidrs.clone()),
            index: Index::default(),
            seen: OnceCell::new(),
            former: BTreeMap::new(),
            before: BTreeMap::new(),
            policies: BTreeSet::new(),
            named: self.named.clone(),
            is_kept: false,
        })
    }
}

/// Every namespace that there is at some time.
fn namespaces(scenario: &Scenario) -> BTreeSet<String> {
    let worlds = ability::worlds(scenario);
    worlds
        .flat_map(|world| world.namespaces.keys())
        .filter(|name| !ability::is_clusters_own(name))
        .cloned()
        .collect()
}

/// What its namespaces must allow for the pods that there are at some time.
fn security(scenario: &Scenario, sctp: bool) -> &'static str {
    let pods = ability::worlds(scenario).flat_map(|world| world.pods.values());
    manifest::security_of(pods, sctp)
}

/// What the story demands of its pods.
fn demands(scenario: &Scenario, sctp: bool) -> BTreeMap<ObjectName, Demands> {
    let mut demands = BTreeMap::<_, Demands>::new();
    for change in scenario.steps.iter().flat_map(|step| &step.changes) {
        let (name, finishes, lingers) = match change {
            Change::FinishPod { pod, .. } => (pod, true, false),
            Change::TerminatePod(pod) => (pod, false, true),
            _ => continue,
        };
        let of_pod = demands.entry(name.clone()).or_default();
        of_pod.sctp = sctp;
        of_pod.finishes |= finishes;
        of_pod.lingers |= lingers;
    }
    demands
}
