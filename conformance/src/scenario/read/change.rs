//! What a step does to the world.
//!
//! Each kind of change is read in the order in which it runs, and moves [`State`] on; so every name
//! is looked up in the world as it is at that moment. Pods are in [`pods`](super::pods), policies and
//! manifests in [`apply`](super::apply), agents in [`agents`](super::agents).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use enforcer::{
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::{
    Frame, Reader,
    agents::{Agent, agents_of},
    policies::{Catalog, Scope},
    traffic::Running,
};
use crate::{
    cell::Cell,
    scenario::{
        model::{self, Change, Expected},
        policy::PolicySource,
        world::{Namespace, Node, ObjectName, World, namespace_object},
        written::step::Step,
    },
};

/// Everything that is so at one moment of the story.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// What exists.
    pub(super) world: World,
    /// The policies in force.
    pub(super) in_force: BTreeMap<ObjectName, Arc<PolicySource>>,
    /// Pods that existed, and whose addresses are free.
    pub(super) gone: BTreeSet<ObjectName>,
    /// Pods that had another address before the one they have.
    pub(super) readdressed: BTreeSet<ObjectName>,
    /// The agents of the nodes.
    pub(super) agents: BTreeMap<String, Agent>,
    /// Nodes in whose kernel somebody else has made a table.
    pub(super) foreign_tables: BTreeSet<String>,
    /// Long-lived connections that are open.
    pub(super) flows: BTreeMap<String, Vec<Cell>>,
    /// Background traffic that runs.
    pub(super) traffic: BTreeMap<String, Running>,
    /// Connections of which a step before this one has shown that the destination refuses them.
    refused: BTreeSet<Cell>,
}

impl State {
    /// The state in which only `world` is there.
    pub(super) fn of(world: &World) -> Self {
        Self {
            world: world.clone(),
            in_force: BTreeMap::new(),
            gone: BTreeSet::new(),
            readdressed: BTreeSet::new(),
            agents: agents_of(world),
            foreign_tables: BTreeSet::new(),
            flows: BTreeMap::new(),
            traffic: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Whether a step before this one says that the destination refuses a connection: then silence
    /// is the enforcer's. That the control sees it refused is not enough, for so it sees every port
    /// that is misspelt.
    pub(super) fn was_refused(&self, cell: &Cell) -> bool {
        self.refused.contains(cell)
    }

    /// Keeps in mind what a step shows to be refused.
    pub(super) fn keep_refused(&mut self, step: &model::Step) {
        let cells = step.expectations.iter().flat_map(|block| &block.cells);
        let refused = cells.filter(|cell| cell.expected == Expected::Refused);
        self.refused.extend(refused.map(|cell| cell.cell.clone()));
    }

    pub(super) fn scope<'a>(&'a self, frame: &'a Frame) -> Scope<'a> {
        Scope {
            world: &self.world,
            gone: &self.gone,
            readdressed: &self.readdressed,
            frame,
        }
    }

    pub(super) fn has_gone(&mut self, name: &ObjectName) {
        self.gone.insert(name.clone());
        self.world.pods.remove(name);
    }
}

/// Reads the changes of one step, in the order in which they happen.
pub(super) struct Changes<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) state: &'a mut State,
    pub(super) catalog: &'a Catalog,
    pub(super) frame: &'a Frame,
    /// The path of the step.
    pub(super) path: FieldPath,
    /// Which order of `apply` this play takes.
    pub(super) order: Option<usize>,
    /// Names of policies that some step uses.
    pub(super) used: &'a mut BTreeSet<String>,
    pub(super) changes: Vec<Change>,
}

impl Changes<'_> {
    pub(super) fn read(&mut self, step: &Step) {
        self.take_agents_away(step);
        self.create_namespaces(step);
        self.create_pods(step);
        self.label(step);
        self.unlabel(step);
        self.apply(step);
        self.store(step);
        self.replace(step);
        self.delete(step);
        self.recreate_pods(step);
        self.start_pods(step);
        self.restart_containers(step);
        self.terminate_pods(step);
        self.finish_pods(step);
        self.delete_pods(step);
        self.delete_namespaces(step);
        self.damage_and_bring_back(step);
    }

    pub(super) fn report(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        location: Location,
    ) {
        self.reader
            .report(Diagnostic::new(code, message).at(location, ""));
    }

    pub(super) fn no_change(&mut self, message: impl Into<String>, location: Location) {
        let problem = Diagnostic::new("scenario/no-change", message).at(location, "");
        self.reader.report(problem);
    }

    fn create_namespaces(&mut self, step: &Step) {
        let path = self.path.key("createNamespaces");
        let written = &step.create_namespaces;
        for (index, (name, details)) in written.entries.iter().enumerate() {
            let location = if written.is_list {
                self.reader.at(&path.index(index))
            } else {
                self.reader.at_key(&path.key(name))
            };
            self.reader.check_namespace_name(location.clone(), name);
            if self.state.world.namespaces.contains_key(name) {
                self.report(
                    "scenario/duplicate",
                    format!("there is a namespace `{name}` already"),
                    location,
                );
                continue;
            }
            let object = namespace_object(name, details.labels.clone());
            let namespace = Namespace { object };
            self.state
                .world
                .namespaces
                .insert(name.clone(), namespace.clone());
            self.changes.push(Change::CreateNamespace(namespace));
        }
    }

    fn label(&mut self, step: &Step) {
        for (target, labels) in &step.label {
            let path = self.path.key("label").key(target);
            if labels.is_empty() {
                self.no_change("no label is set", self.reader.at_key(&path));
            }
            self.relabel(&path, target, |old| {
                let mut new = old.clone();
                new.extend(labels.clone());
                new
            });
        }
    }

    fn unlabel(&mut self, step: &Step) {
        for (target, keys) in &step.unlabel {
            let path = self.path.key("unlabel").key(target);
            if keys.is_empty() {
                self.no_change("no label is removed", self.reader.at_key(&path));
            }
            self.relabel(&path, target, |old| {
                let mut new = old.clone();
                new.retain(|key, _| !keys.contains(key));
                new
            });
        }
    }

    /// Changes the labels of pods, of a namespace or of a node.
    fn relabel(
        &mut self,
        path: &FieldPath,
        target: &str,
        change: impl Fn(&BTreeMap<String, String>) -> BTreeMap<String, String>,
    ) {
        let location = self.reader.at_key(path);
        let before = self.changes.len();
        if let Some(name) = target.strip_prefix("namespace/") {
            let Some(namespace) = self.state.world.namespaces.get_mut(name) else {
                let problem = self.reader.unknown(
                    location,
                    "scenario/unknown",
                    format!("there is no namespace `{name}`"),
                    name,
                    self.state.world.namespaces.keys().map(String::as_str),
                );
                return self.reader.report(problem);
            };
            let new = change(namespace.labels());
            if new != *namespace.labels() {
                namespace.object = namespace_object(name, new);
                self.changes.push(Change::LabelNamespace(namespace.clone()));
            }
        } else if let Some(name) = target.strip_prefix("node/") {
            let Some(Node { object, .. }) = self.state.world.nodes.get_mut(name) else {
                let problem = self.reader.unknown(
                    location,
                    "scenario/unknown",
                    format!("there is no node `{name}`"),
                    name,
                    self.state.world.nodes.keys().map(String::as_str),
                );
                return self.reader.report(problem);
            };
            let old = object.metadata.labels.clone().unwrap_or_default();
            let labels = change(&old);
            if labels != old {
                object.metadata.labels = Some(labels.clone());
                let name = name.to_owned();
                self.changes.push(Change::LabelNode { name, labels });
            }
        } else {
            let pods = self
                .reader
                .select_pods(location.clone(), target, &self.state.world);
            if pods.is_empty() {
                return;
            }
            for name in pods {
                let Some(pod) = self.state.world.pods.get_mut(&name) else {
                    continue;
                };
                let new = change(pod.labels());
                if new != *pod.labels() {
                    pod.object.metadata.labels = Some(new);
                    self.changes.push(Change::LabelPod(Box::new(pod.clone())));
                }
            }
        }
        if self.changes.len() == before {
            self.no_change(format!("this changes no label of {target}"), location);
        }
    }

    fn delete_namespaces(&mut self, step: &Step) {
        for (index, name) in step.delete_namespaces.iter().enumerate() {
            let location = self
                .reader
                .at(&self.path.key("deleteNamespaces").index(index));
            self.delete_namespace(location, name);
        }
    }

    pub(super) fn delete_namespace(&mut self, location: Location, name: &str) {
        if self.state.world.namespaces.remove(name).is_none() {
            let problem = self.reader.unknown(
                location,
                "scenario/unknown",
                format!("there is no namespace `{name}`"),
                name,
                self.state.world.namespaces.keys().map(String::as_str),
            );
            return self.reader.report(problem);
        }
        let inside = |key: &ObjectName| key.namespace == name;
        let pods: Vec<_> = self
            .state
            .world
            .pods
            .keys()
            .filter(|k| inside(k))
            .cloned()
            .collect();
        for pod in pods {
            self.state.has_gone(&pod);
        }
        self.state.world.services.retain(|key, _| !inside(key));
        self.state.in_force.retain(|key, _| !inside(key));
        self.changes.push(Change::DeleteNamespace(name.to_owned()));
    }
}
