//! `apply`, `replace` and `delete`: policies and manifests.

use std::sync::Arc;

use enforcer::{
    api::manifest::{self, Manifest, Object},
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::{change::Changes, expand::permutation, policies};
use crate::scenario::{
    is_yaml_path,
    model::Change,
    policy::{self, PolicySource},
    text::endpoint::{self, Selector},
    world::{ObjectName, pods_of},
    written::{
        short::ShortOrLong,
        step::{Step, Subject},
    },
};

impl Changes<'_> {
    pub(super) fn apply(&mut self, step: &Step) {
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
                    let location = self.reader.at(&path);
                    for policy in self.policies(&path, name) {
                        self.apply_policy(&location, &policy);
                    }
                }
                Subject::Manifest => self.apply_manifest(&path),
            }
        }
    }

    /// The policies a step means by one name.
    fn policies(&mut self, path: &FieldPath, name: &str) -> Vec<Arc<PolicySource>> {
        self.used.insert(name.to_owned());
        self.catalog.find_all(self.reader, path, name)
    }

    /// Applies a policy that is named, or written, at `location`.
    fn apply_policy(&mut self, location: &Location, policy: &Arc<PolicySource>) {
        self.reader.admit(policy, &self.state.scope(self.frame));
        self.put_in_force(location, policy);
        self.changes.push(Change::ApplyPolicy(Arc::clone(policy)));
    }

    fn put_in_force(&mut self, location: &Location, policy: &Arc<PolicySource>) {
        let name = policy.name.clone();
        let before = self.state.in_force.insert(name, Arc::clone(policy));
        // Addresses are filled in anew.
        let is_same = |before: &Arc<PolicySource>| {
            before.document.value() == policy.document.value()
                && policy::templates(&policy.document).is_empty()
        };
        if before.as_ref().is_some_and(is_same) {
            let message = format!("{} is in force already, word for word", policy.name);
            self.no_change(message, location.clone());
        }
    }

    /// Puts policies into the store that the API server would refuse.
    pub(super) fn store(&mut self, step: &Step) {
        for (index, ShortOrLong(subject)) in step.store.iter().enumerate() {
            let path = self.path.key("store").index(index);
            let location = self.reader.at(&path);
            let found = match subject {
                Subject::Manifest => {
                    let document = self.reader.document.at(&path);
                    let source = document.and_then(|document| {
                        let key = policy::object_name(&document).to_string();
                        policies::source(self.reader, &key, document, self.frame.family)
                    });
                    source.map(Arc::new).into_iter().collect()
                }
                Subject::Name(name) => self.policies(&path, name),
            };
            for policy in found {
                let scope = self.state.scope(self.frame);
                if !self.reader.check_templates(&policy, &scope) {
                    continue;
                }
                if policies::admitted(&policy, &scope).is_ok() {
                    let problem = Diagnostic::new(
                        "scenario/object",
                        format!("the API server would take {}", policy.name),
                    )
                    .at(location.clone(), "")
                    .help("`store` is for what it would refuse: `apply` this one");
                    self.reader.report(problem);
                }
                self.put_in_force(&location, &policy);
                self.changes.push(Change::StorePolicy(policy));
            }
        }
    }

    /// A manifest inside the step.
    fn apply_manifest(&mut self, path: &FieldPath) {
        let Some(document) = self.reader.document.at(path) else {
            return;
        };
        if document.value()["kind"].as_str() == Some("NetworkPolicy") {
            let key = policy::object_name(&document).to_string();
            if let Some(source) = policies::source(self.reader, &key, document, self.frame.family) {
                let location = self.reader.at(path);
                self.apply_policy(&location, &Arc::new(source));
            }
            return;
        }
        if let Some(found) = policy::templates(&document).first() {
            let location = document.location(&found.path);
            self.report(
                "scenario/template",
                "only a single NetworkPolicy can have templates",
                location,
            );
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
                let source =
                    policies::source(self.reader, &key, document.clone(), self.frame.family);
                if let Some(source) = source {
                    let location = source.location();
                    self.apply_policy(&location, &Arc::new(source));
                }
            }
            Object::Namespace(namespace) => {
                let name = namespace.metadata.name.clone().unwrap_or_default();
                let existed = self.state.world.namespaces.contains_key(&name);
                self.reader
                    .add_cluster_object(object, document, &mut self.state.world);
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
                self.report(
                    "scenario/manifest",
                    "nodes exist from the beginning",
                    location,
                );
            }
            Object::Service(service) => {
                let name = ObjectName::of(&service.metadata);
                self.reader
                    .add_namespaced_object(object, document, &mut self.state.world);
                let service = self.state.world.services[&name].clone();
                self.changes.push(Change::ApplyService(Box::new(service)));
            }
            _ => {
                let names =
                    self.reader
                        .add_namespaced_object(object, document, &mut self.state.world);
                for name in names {
                    let mut pod = self.state.world.pods[&name].clone();
                    self.place(&mut pod);
                    self.create_pod(pod);
                }
            }
        }
    }

    pub(super) fn replace(&mut self, step: &Step) {
        for (old, new) in &step.replace {
            let path = self.path.key("replace").key(old);
            self.used.insert(new.clone());
            let Some(new_policy) = self.catalog.find(self.reader, &path, new) else {
                continue;
            };
            let location = self.reader.at_key(&path);
            for old_name in self.in_force(location, old) {
                self.apply_policy(&self.reader.at(&path), &new_policy);
                if old_name != new_policy.name {
                    self.state.in_force.remove(&old_name);
                    self.changes.push(Change::DeletePolicy(old_name));
                }
            }
        }
    }

    /// The object names of the policies that a step takes away. Reports one that is not in force.
    fn in_force(&mut self, location: Location, name: &str) -> Vec<ObjectName> {
        self.used.insert(name.to_owned());
        let named = self.catalog.get(name);
        let objects: Vec<ObjectName> = match (&named[..], name.parse()) {
            ([], Ok(object)) => vec![object],
            (named, _) => named.iter().map(|policy| policy.name.clone()).collect(),
        };
        let is_in_force = |object: &ObjectName| self.state.in_force.contains_key(object);
        if !objects.is_empty() && objects.iter().all(is_in_force) {
            return objects;
        }
        if self.catalog.broken.contains(name) {
            return Vec::new();
        }
        let known: Vec<String> = self
            .state
            .in_force
            .values()
            .flat_map(|policy| [policy.key.clone(), policy.name.to_string()])
            .collect();
        let message = if named.is_empty() {
            format!("there is no policy `{name}`")
        } else {
            format!("`{name}` is not in force")
        };
        let known = known.iter().map(String::as_str);
        let problem = self
            .reader
            .unknown(location, "scenario/unknown", message, name, known);
        self.reader.report(problem);
        Vec::new()
    }

    pub(super) fn delete(&mut self, step: &Step) {
        for (index, name) in step.delete.iter().enumerate() {
            let path = self.path.key("delete").index(index);
            let location = self.reader.at(&path);
            if is_yaml_path(name) {
                for found in self.reader.objects_of_path(&path, name) {
                    self.delete_object(&location, &found);
                }
            } else if name.starts_with("svc/") {
                self.delete_service(&path, name);
            } else {
                for name in self.in_force(location, name) {
                    self.state.in_force.remove(&name);
                    self.changes.push(Change::DeletePolicy(name));
                }
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
                    let problem = self
                        .reader
                        .no_endpoint(location, &selector, &self.state.world);
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
                for name in self.in_force(location.clone(), &name.to_string()) {
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
                    self.report(
                        "scenario/unknown",
                        format!("there is no Service `{name}`"),
                        location.clone(),
                    );
                }
            }
            Object::Node(_) => {
                self.report(
                    "scenario/manifest",
                    "nodes exist to the end",
                    location.clone(),
                );
            }
            object => {
                let nodes: Vec<&str> = self.state.world.nodes.keys().map(String::as_str).collect();
                for pod in pods_of(object, &nodes).unwrap_or_default() {
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
}
