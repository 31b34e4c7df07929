//! What a step does to the world.
//!
//! Each kind of change is read in the order in which it runs, and moves [`State`] on; so every name
//! is looked up in the world as it is at that moment. Policies and manifests are in
//! [`apply`](super::apply).

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
    cell::{Cell, Outcome},
    scenario::{
        model::{self, Change, Expected},
        policy::PolicySource,
        world::{AddressChoice, Namespace, Node, ObjectName, Phase, Pod, World, namespace_object},
        written::{
            cluster,
            short::ShortOrLong,
            step::{RecreateAddress, Step},
        },
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
    /// What existed before the first step.
    start: World,
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
            start: world.clone(),
            refused: BTreeSet::new(),
        }
    }

    /// Whether the control, or a step before this one, shows that the destination refuses a
    /// connection: then silence is the enforcer's.
    pub(super) fn was_refused(&self, cell: &Cell) -> bool {
        self.start.without_policies(cell) == Some(Outcome::Refused) || self.refused.contains(cell)
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

    fn create_pods(&mut self, step: &Step) {
        for (key, written) in &step.create_pods {
            let path = self.path.key("createPods").key(key);
            let Some(name) = self.reader.pod_key(&path, key) else {
                continue;
            };
            let location = self.reader.at_key(&path);
            self.reader
                .check_namespace_of(&name, location.clone(), &self.state.world);
            if self.state.world.pods.contains_key(&name) {
                self.report(
                    "scenario/duplicate",
                    format!("there is a pod {name} already"),
                    location,
                );
                continue;
            }
            let written = written.clone().unwrap_or_default();
            let mut pod = self
                .reader
                .pod(&path, &name, &written, None, &self.state.world);
            self.check_address(&path, &pod);
            self.place(&mut pod);
            self.create_pod(pod);
        }
    }

    /// Adds a pod that does not exist.
    pub(super) fn create_pod(&mut self, pod: Pod) {
        let name = pod.name.clone();
        if self.state.gone.remove(&name) && pod.address != AddressChoice::Of(name.clone()) {
            self.state.readdressed.insert(name.clone());
        }
        self.state.world.pods.insert(name, pod.clone());
        self.changes.push(Change::CreatePod(Box::new(pod)));
    }

    /// Puts a pod that has no node yet on the one with the fewest pods.
    pub(super) fn place(&self, pod: &mut Pod) {
        if !pod.node().is_empty() {
            return;
        }
        let pods_on = |node: &str| {
            self.state
                .world
                .pods
                .values()
                .filter(|pod| pod.node() == node)
                .count()
        };
        let node = self
            .state
            .world
            .nodes
            .keys()
            .min_by_key(|node| pods_on(node));
        pod.object.spec.get_or_insert_default().node_name = node.cloned();
    }

    /// Reports a pod that takes over addresses that are not free.
    fn check_address(&mut self, path: &FieldPath, pod: &Pod) {
        let AddressChoice::Of(other) = &pod.address else {
            return;
        };
        let finished = self
            .state
            .world
            .pods
            .get(other)
            .is_some_and(|p| matches!(p.phase, Phase::Succeeded | Phase::Failed));
        if self.state.gone.contains(other) || finished {
            return;
        }
        let location = self.reader.at(&path.key("addressesOf"));
        if self.state.world.pods.contains_key(other) {
            self.report(
                "scenario/object",
                format!("{other} still has its addresses"),
                location,
            );
            return;
        }
        let known: Vec<String> = self.state.gone.iter().map(ToString::to_string).collect();
        let problem = self.reader.unknown(
            location,
            "scenario/unknown",
            format!("there was no pod `{other}`"),
            &other.to_string(),
            known.iter().map(String::as_str),
        );
        self.reader.report(problem);
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

    fn recreate_pods(&mut self, step: &Step) {
        let written = &step.recreate_pods;
        for (index, (key, details)) in written.entries.iter().enumerate() {
            let path = self.path.key("recreatePods");
            let (location, path) = if written.is_list {
                (self.reader.at(&path.index(index)), path.index(index))
            } else {
                (self.reader.at_key(&path.key(key)), path.key(key))
            };
            for name in self.reader.select_pods(location, key, &self.state.world) {
                let old = &self.state.world.pods[&name];
                let mut pod = old.clone();
                pod.phase = Phase::Running;
                pod.terminating = false;
                pod.address = match details.address {
                    RecreateAddress::New => {
                        self.state.readdressed.insert(name.clone());
                        AddressChoice::Fresh
                    }
                    RecreateAddress::Same => AddressChoice::Of(name.clone()),
                };
                if let Some(listen) = &details.listen {
                    let written = cluster::Pod {
                        listen: Some(listen.clone()),
                        ..Default::default()
                    };
                    let world = &self.state.world;
                    let fresh = self.reader.pod(&path, &name, &written, Some(&pod), world);
                    pod.listen = fresh.listen;
                    pod.object = fresh.object;
                }
                if let Some(labels) = &details.labels {
                    pod.object.metadata.labels = Some(labels.clone());
                }
                if let Some(node) = &details.node {
                    self.reader
                        .check_node(&path.key("node"), node, &self.state.world);
                    pod.object.spec.get_or_insert_default().node_name = Some(node.clone());
                }
                self.state.world.pods.insert(name, pod.clone());
                self.changes.push(Change::RecreatePod(Box::new(pod)));
            }
        }
    }

    fn restart_containers(&mut self, step: &Step) {
        for (index, text) in step.restart_containers.iter().enumerate() {
            let path = self.path.key("restartContainers").index(index);
            let location = self.reader.at(&path);
            for name in self
                .reader
                .select_pods(location.clone(), text, &self.state.world)
            {
                let pod = &self.state.world.pods[&name];
                if !pod.is_running() {
                    let message = format!("{name} does not run: it is {}", pod.phase);
                    self.report("scenario/not-running", message, location.clone());
                } else if pod.is_host_network() {
                    let message = format!(
                        "{name} shares the network of its node, whose processes are not restarted"
                    );
                    self.report("scenario/object", message, location.clone());
                } else {
                    self.changes.push(Change::RestartContainers(name));
                }
            }
        }
    }

    fn terminate_pods(&mut self, step: &Step) {
        for (index, text) in step.terminate_pods.iter().enumerate() {
            let path = self.path.key("terminatePods").index(index);
            let location = self.reader.at(&path);
            for name in self
                .reader
                .select_pods(location.clone(), text, &self.state.world)
            {
                let Some(pod) = self.state.world.pods.get_mut(&name) else {
                    continue;
                };
                if pod.terminating {
                    self.no_change(format!("{name} is to end already"), location.clone());
                    continue;
                }
                pod.terminating = true;
                self.changes.push(Change::TerminatePod(name));
            }
        }
    }

    fn finish_pods(&mut self, step: &Step) {
        for (index, ShortOrLong(finish)) in step.finish_pods.iter().enumerate() {
            let path = self.path.key("finishPods").index(index);
            let location = self.reader.at(&self.reader.short_or(&path, "pod"));
            if !matches!(finish.phase, Phase::Succeeded | Phase::Failed) {
                let location = self.reader.at(&path.key("phase"));
                self.report(
                    "scenario/object",
                    "a finished pod has Succeeded or Failed",
                    location,
                );
            }
            for name in self
                .reader
                .select_pods(location.clone(), &finish.pod, &self.state.world)
            {
                let Some(pod) = self.state.world.pods.get_mut(&name) else {
                    continue;
                };
                if !pod.is_running() {
                    let message = format!("{name} does not run: it is {}", pod.phase);
                    self.no_change(message, location.clone());
                    continue;
                }
                pod.phase = finish.phase;
                self.changes.push(Change::FinishPod {
                    pod: name,
                    phase: finish.phase,
                });
            }
        }
    }

    fn delete_pods(&mut self, step: &Step) {
        for (index, text) in step.delete_pods.iter().enumerate() {
            let location = self.reader.at(&self.path.key("deletePods").index(index));
            for name in self.reader.select_pods(location, text, &self.state.world) {
                self.state.has_gone(&name);
                self.changes.push(Change::DeletePod(name));
            }
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
