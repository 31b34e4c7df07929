//! What a step does to the world.
//!
//! Each kind of change is read in the order in which it runs, and moves [`State`] on; so every name
//! is looked up in the world as it is at that moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use enforcer::{
    api::manifest::{self, Manifest, Object},
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::{
    Frame, Reader,
    expand::permutation,
    policies::{self, Catalog, Scope},
};
use crate::{
    cell::Cell,
    scenario::{
        is_yaml_path,
        model::Change,
        policy::{self, PolicySource},
        text::endpoint::{self, Selector},
        world::{AddressChoice, Namespace, Node, ObjectName, Phase, Pod, World, namespace_object},
        written::{
            short::ShortOrLong,
            step::{RecreateAddress, Step, Subject},
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
    /// Long-lived connections that are open.
    pub(super) flows: BTreeMap<String, Vec<Cell>>,
}

impl State {
    fn scope<'a>(&'a self, frame: &'a Frame) -> Scope<'a> {
        Scope {
            world: &self.world,
            gone: &self.gone,
            frame,
        }
    }

    fn has_gone(&mut self, name: &ObjectName) {
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
        self.create_namespaces(step);
        self.create_pods(step);
        self.label(step);
        self.unlabel(step);
        self.apply(step);
        self.replace(step);
        self.delete(step);
        self.recreate_pods(step);
        self.finish_pods(step);
        self.delete_pods(step);
        self.delete_namespaces(step);
    }

    fn report(&mut self, code: &'static str, message: impl Into<String>, location: Location) {
        self.reader.report(Diagnostic::new(code, message).at(location, ""));
    }

    fn no_change(&mut self, message: impl Into<String>, location: Location) {
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
                self.report("scenario/duplicate", format!("there is a namespace `{name}` already"), location);
                continue;
            }
            let object = namespace_object(name, details.labels.clone());
            let namespace = Namespace { object };
            self.state.world.namespaces.insert(name.clone(), namespace.clone());
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
            self.reader.check_namespace_of(&name, location.clone(), &self.state.world);
            if self.state.world.pods.contains_key(&name) {
                self.report("scenario/duplicate", format!("there is a pod {name} already"), location);
                continue;
            }
            let written = written.clone().unwrap_or_default();
            let mut pod = self.reader.pod(&path, &name, &written, None, &self.state.world);
            self.check_address(&path, &pod);
            self.place(&mut pod);
            self.state.gone.remove(&name);
            self.state.world.pods.insert(name, pod.clone());
            self.changes.push(Change::CreatePod(Box::new(pod)));
        }
    }

    /// Puts a pod that has no node yet on the one with the fewest pods.
    fn place(&self, pod: &mut Pod) {
        if !pod.node().is_empty() {
            return;
        }
        let pods_on = |node: &str| {
            self.state.world.pods.values().filter(|pod| pod.node() == node).count()
        };
        let node = self.state.world.nodes.keys().min_by_key(|node| pods_on(node));
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
            self.report("scenario/object", format!("{other} still has its addresses"), location);
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
            let pods = self.reader.select_pods(location.clone(), target, &self.state.world);
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
            self.no_change(format!("{target} has these labels already"), location);
        }
    }

    fn apply(&mut self, step: &Step) {
        let order = permutation(step.apply.len(), self.order.unwrap_or(0));
        for index in order {
            let ShortOrLong(subject) = &step.apply[index];
            let path = self.path.key("apply").index(index);
            match subject {
                Subject::Name(name) if is_yaml_path(name) => {
                    for found in self.reader.objects_of_path(&path, name) {
                        self.apply_object(&found);
                    }
                }
                Subject::Name(name) => {
                    if let Some(policy) = self.policy(&path, name) {
                        self.apply_policy(&policy);
                    }
                }
                Subject::Manifest => self.apply_manifest(&path),
            }
        }
    }

    /// The policy a step names.
    pub(super) fn policy(&mut self, path: &FieldPath, name: &str) -> Option<Arc<PolicySource>> {
        self.used.insert(name.to_owned());
        let found = self.catalog.policies.get(name);
        if found.is_none() {
            let problem = self.reader.unknown(
                self.reader.at(path),
                "scenario/unknown",
                format!("there is no policy `{name}`"),
                name,
                self.catalog.names(),
            );
            self.reader.report(problem.help("policies are written under spec.policies"));
        }
        found.cloned()
    }

    fn apply_policy(&mut self, policy: &Arc<PolicySource>) {
        self.reader.admit(policy, &self.state.scope(self.frame));
        self.state.in_force.insert(policy.name.clone(), Arc::clone(policy));
        self.changes.push(Change::ApplyPolicy(Arc::clone(policy)));
    }

    /// A manifest inside the step.
    fn apply_manifest(&mut self, path: &FieldPath) {
        let Some(document) = self.reader.document.at(path) else {
            return;
        };
        if document.value()["kind"].as_str() == Some("NetworkPolicy") {
            let key = policy::object_name(&document).to_string();
            if let Some(source) = policies::source(self.reader, &key, document, self.frame.family) {
                self.apply_policy(&Arc::new(source));
            }
            return;
        }
        if let Some((path, _)) = policy::templates(&document).first() {
            let location = document.location(path);
            self.report("scenario/template", "only a single NetworkPolicy can have templates", location);
            return;
        }
        match manifest::decode(&document) {
            Ok(objects) => {
                for found in objects {
                    self.apply_object(&found);
                }
            }
            Err(errors) => self.reader.problems.extend(errors.0),
        }
    }

    fn apply_object(&mut self, found: &Manifest) {
        let Manifest { object, document } = found;
        match object {
            Object::NetworkPolicy(_) => {
                let key = policy::object_name(document).to_string();
                let source = policies::source(self.reader, &key, document.clone(), self.frame.family);
                if let Some(source) = source {
                    self.apply_policy(&Arc::new(source));
                }
            }
            Object::Namespace(namespace) => {
                let name = namespace.metadata.name.clone().unwrap_or_default();
                let existed = self.state.world.namespaces.contains_key(&name);
                self.reader.add_cluster_object(object, document, &mut self.state.world);
                let now = self.state.world.namespaces[&name].clone();
                self.changes.push(if existed {
                    Change::LabelNamespace(now)
                } else {
                    Change::CreateNamespace(now)
                });
            }
            Object::Node(_) => {
                let path = FieldPath::root().key("kind");
                let location = document.location(&path);
                self.report("scenario/manifest", "nodes exist from the beginning", location);
            }
            Object::Service(service) => {
                let name = ObjectName::of(&service.metadata);
                self.reader.add_namespaced_object(object, document, &mut self.state.world);
                let service = self.state.world.services[&name].clone();
                self.changes.push(Change::ApplyService(Box::new(service)));
            }
            _ => {
                let names = self
                    .reader
                    .add_namespaced_object(object, document, &mut self.state.world);
                for name in names {
                    let mut pod = self.state.world.pods[&name].clone();
                    self.place(&mut pod);
                    self.state.gone.remove(&name);
                    self.state.world.pods.insert(name, pod.clone());
                    self.changes.push(Change::CreatePod(Box::new(pod)));
                }
            }
        }
    }

    fn replace(&mut self, step: &Step) {
        for (old, new) in &step.replace {
            let path = self.path.key("replace").key(old);
            let Some(new_policy) = self.policy(&path, new) else {
                continue;
            };
            let Some(old_name) = self.in_force(self.reader.at_key(&path), old) else {
                continue;
            };
            self.apply_policy(&new_policy);
            if old_name != new_policy.name {
                self.state.in_force.remove(&old_name);
                self.changes.push(Change::DeletePolicy(old_name));
            }
        }
    }

    /// The object name of a policy that a step takes away. Reports it if it is not in force.
    fn in_force(&mut self, location: Location, name: &str) -> Option<ObjectName> {
        self.used.insert(name.to_owned());
        let object = match self.catalog.policies.get(name) {
            Some(policy) => Some(policy.name.clone()),
            None => name.parse().ok(),
        };
        if let Some(object) = &object
            && self.state.in_force.contains_key(object)
        {
            return Some(object.clone());
        }
        let known: Vec<String> = self
            .state
            .in_force
            .values()
            .flat_map(|policy| [policy.key.clone(), policy.name.to_string()])
            .collect();
        let message = if self.catalog.policies.contains_key(name) {
            format!("`{name}` is not in force")
        } else {
            format!("there is no policy `{name}`")
        };
        let known = known.iter().map(String::as_str);
        let problem = self.reader.unknown(location, "scenario/unknown", message, name, known);
        self.reader.report(problem);
        None
    }

    fn delete(&mut self, step: &Step) {
        for (index, name) in step.delete.iter().enumerate() {
            let path = self.path.key("delete").index(index);
            let location = self.reader.at(&path);
            if is_yaml_path(name) {
                for found in self.reader.objects_of_path(&path, name) {
                    self.delete_object(&location, &found);
                }
            } else if name.starts_with("svc/") {
                self.delete_service(&path, name);
            } else if let Some(name) = self.in_force(location, name) {
                self.state.in_force.remove(&name);
                self.changes.push(Change::DeletePolicy(name));
            }
        }
    }

    fn delete_service(&mut self, path: &FieldPath, text: &str) {
        match endpoint::parse(text) {
            Ok(selector @ Selector::Service { .. }) if selector.is_exact() => {
                let Selector::Service { namespace, name } = &selector else {
                    return;
                };
                let name = ObjectName::new(namespace.as_str(), name.as_str());
                if self.state.world.services.remove(&name).is_some() {
                    self.changes.push(Change::DeleteService(name));
                } else {
                    let location = self.reader.at(path);
                    let problem = self.reader.no_endpoint(location, &selector, &self.state.world);
                    self.reader.report(problem);
                }
            }
            Ok(_) => {
                let location = self.reader.at(path);
                self.report("scenario/endpoint", "one Service is needed here", location);
            }
            Err(error) => self.reader.report_syntax(path, "scenario/endpoint", error),
        }
    }

    fn delete_object(&mut self, location: &Location, found: &Manifest) {
        match &found.object {
            Object::NetworkPolicy(policy) => {
                let name = ObjectName::of(&policy.metadata);
                if let Some(name) = self.in_force(location.clone(), &name.to_string()) {
                    self.state.in_force.remove(&name);
                    self.changes.push(Change::DeletePolicy(name));
                }
            }
            Object::Namespace(namespace) => {
                let name = namespace.metadata.name.clone().unwrap_or_default();
                self.delete_namespace(location.clone(), &name);
            }
            Object::Service(service) => {
                let name = ObjectName::of(&service.metadata);
                if self.state.world.services.remove(&name).is_some() {
                    self.changes.push(Change::DeleteService(name));
                } else {
                    self.report("scenario/unknown", format!("there is no Service `{name}`"), location.clone());
                }
            }
            Object::Node(_) => {
                self.report("scenario/manifest", "nodes exist to the end", location.clone());
            }
            object => {
                let nodes: Vec<&str> = self.state.world.nodes.keys().map(String::as_str).collect();
                for pod in crate::scenario::world::pods_of(object, &nodes).unwrap_or_default() {
                    if self.state.world.pods.contains_key(&pod.name) {
                        self.state.has_gone(&pod.name);
                        self.changes.push(Change::DeletePod(pod.name));
                    } else {
                        let message = format!("there is no pod `{}`", pod.name);
                        self.report("scenario/unknown", message, location.clone());
                    }
                }
            }
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
                pod.address = match details.address {
                    RecreateAddress::New => AddressChoice::Fresh,
                    RecreateAddress::Same => AddressChoice::Of(name.clone()),
                };
                if let Some(listen) = &details.listen {
                    let written = crate::scenario::written::cluster::Pod {
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
                    self.reader.check_node(&path.key("node"), node, &self.state.world);
                    pod.object.spec.get_or_insert_default().node_name = Some(node.clone());
                }
                self.state.world.pods.insert(name, pod.clone());
                self.changes.push(Change::RecreatePod(Box::new(pod)));
            }
        }
    }

    fn finish_pods(&mut self, step: &Step) {
        for (index, ShortOrLong(finish)) in step.finish_pods.iter().enumerate() {
            let path = self.path.key("finishPods").index(index);
            let text = if self.reader.document.at(&path).is_some_and(|d| d.value().is_string()) {
                path.clone()
            } else {
                path.key("pod")
            };
            let location = self.reader.at(&text);
            if !matches!(finish.phase, Phase::Succeeded | Phase::Failed) {
                let location = self.reader.at(&path.key("phase"));
                self.report("scenario/object", "a finished pod has Succeeded or Failed", location);
            }
            for name in self.reader.select_pods(location.clone(), &finish.pod, &self.state.world) {
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
            let location = self.reader.at(&self.path.key("deleteNamespaces").index(index));
            self.delete_namespace(location, name);
        }
    }

    fn delete_namespace(&mut self, location: Location, name: &str) {
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
        let pods: Vec<_> = self.state.world.pods.keys().filter(|k| inside(k)).cloned().collect();
        for pod in pods {
            self.state.has_gone(&pod);
        }
        self.state.world.services.retain(|key, _| !inside(key));
        self.state.in_force.retain(|key, _| !inside(key));
        self.changes.push(Change::DeleteNamespace(name.to_owned()));
    }
}
