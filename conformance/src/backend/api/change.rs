//! Changes: written to the server, made in the simulated network, reported, and waited for.

use std::{collections::BTreeMap, time::Instant};

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod as PodObject, Service},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};

use super::{ApiCluster, create::is_everyones, kubelet, versions::version_of};
use crate::{
    backend::{Backend as _, BackendError, live::LiveError},
    scenario::{AgentAction, Change, Damage, ObjectName, Phase, Pod, PolicySource, World},
};

impl ApiCluster {
    /// One change after the other; every one is waited for, but policies in a row, which come
    /// without a pause.
    pub(super) fn carry_out_all(&mut self, changes: &[Change]) -> Result<(), BackendError> {
        let is_policy =
            |change: &Change| matches!(change, Change::ApplyPolicy(_) | Change::DeletePolicy(_));
        let mut begun = None;
        for (index, change) in changes.iter().enumerate() {
            let begun_at = *begun.get_or_insert_with(Instant::now);
            self.changed = Some(begun_at);
            self.carry_out(change)?;
            let next = changes.get(index + 1);
            if is_policy(change) && next.is_some_and(is_policy) {
                continue;
            }
            self.catch_up()?;
            begun = None;
            let is_of_an_object = !matches!(
                change,
                Change::Agent { .. } | Change::Damage { .. } | Change::CreateForeignTable { .. }
            );
            if is_of_an_object {
                self.server().pace.kernel(begun_at.elapsed());
            } else {
                self.changed = None;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, change: &Change) -> Result<(), BackendError> {
        let done = match change {
            Change::CreateNamespace(namespace) => self.create_namespace(namespace.object.clone()),
            Change::LabelNamespace(namespace) => self.label_namespace(&namespace.object),
            Change::DeleteNamespace(name) => self.delete_namespace(name),
            Change::LabelNode { name, labels } => self.label_node(name, labels),
            Change::CreatePod(pod) => self.create_pod(pod),
            Change::RecreatePod(pod) => {
                self.delete_pod(&pod.name)?;
                self.create_pod(pod)
            }
            Change::LabelPod(pod) => self.label_pod(pod),
            Change::StartPod(pod) => {
                self.sim.change(change)?;
                self.report_pods(std::slice::from_ref(&pod.name))
            }
            Change::FinishPod { pod, .. } => {
                self.sim.change(change)?;
                self.report_pods(std::slice::from_ref(pod))
            }
            Change::DeletePod(name) => self.delete_pod(name),
            Change::TerminatePod(name) => self.terminate_pod(name),
            Change::RestartContainers(name) => self.restart_containers(name, change),
            Change::ApplyService(service) => {
                let mut service = service.clone();
                self.remember::<Service>(&service.name);
                service.object = self.write_service(&service.object)?;
                self.sim.change(&Change::ApplyService(service))
            }
            Change::DeleteService(name) => {
                let live = &self.server().live;
                live.delete::<Service>(&name.namespace, &name.name, None)?;
                self.sim.change(change)
            }
            Change::ApplyPolicy(source) => self.apply_policy(source),
            Change::DeletePolicy(name) => self.delete_policy(name),
            Change::StorePolicy(_) => Err(BackendError::Unsupported(
                "write a policy past the server's checks".to_owned(),
            )),
            Change::Agent { node, action } => self.act_on_agent(node, *action),
            Change::Damage { node, damage } => self.damage(node, *damage),
            Change::CreateForeignTable { .. } => self.sim.change(change),
        };
        self.touched();
        done
    }

    fn create_namespace(&mut self, object: Namespace) -> Result<(), BackendError> {
        for object in self.create_namespaces(&[object])? {
            let namespace = crate::scenario::Namespace { object };
            self.sim.change(&Change::CreateNamespace(namespace))?;
        }
        Ok(())
    }

    fn label_namespace(&mut self, wanted: &Namespace) -> Result<(), BackendError> {
        let mut object = wanted.clone();
        let live = &self.server().live;
        live.run().mark(&mut object.metadata);
        let object = live.replace(&object)?;
        self.versions.note(&object);
        let namespace = crate::scenario::Namespace { object };
        self.sim.change(&Change::LabelNamespace(namespace))
    }

    /// The namespace controller's part is played here: what is inside goes first.
    fn delete_namespace(&mut self, name: &str) -> Result<(), BackendError> {
        let live = self.server().live.clone();
        if let Some(ending) = live.delete::<Namespace>("", name, None)? {
            self.versions.note(&ending);
        }
        let world = self.sim.now();
        let inside = |namespace: Option<&String>| namespace.is_some_and(|it| it == name);
        for policy in &world.policies {
            if inside(policy.metadata.namespace.as_ref()) {
                self.delete_policy(&ObjectName::of(&policy.metadata))?;
            }
        }
        for pod in &world.pods {
            if inside(pod.metadata.namespace.as_ref()) {
                self.delete_pod(&ObjectName::of(&pod.metadata))?;
            }
        }
        let before = self.versions.newest::<Namespace>();
        live.end_namespaces(&[name.to_owned()])?;
        let at = self
            .server()
            .namespaces
            .gone::<Namespace>("", name, before)?;
        self.versions.note_at::<Namespace>(at);
        self.sim.change(&Change::DeleteNamespace(name.to_owned()))
    }

    fn label_node(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), BackendError> {
        let before = self.sim.store().node(name);
        let before = before.and_then(|node| node.metadata.labels.clone());
        let live = &self.server().live;
        let mut labels = labels.clone();
        labels.extend(live.run().labels());
        let patch = relabel(before.as_ref(), &labels);
        let node: Node = live.patch("", name, &patch)?;
        self.versions.note_node(name, version_of(&node));
        let labels = node.metadata.labels.unwrap_or_default();
        let name = name.to_owned();
        self.sim.change(&Change::LabelNode { name, labels })
    }

    fn create_pod(&mut self, pod: &Pod) -> Result<(), BackendError> {
        self.remember::<PodObject>(&pod.name);
        let object = self.server().live.create(&pod.object)?;
        self.versions.note(&object);
        let pod = Pod {
            object,
            ..pod.clone()
        };
        let name = pod.name.clone();
        self.sim.change(&Change::CreatePod(Box::new(pod)))?;
        self.report_pods(&[name])
    }

    fn label_pod(&mut self, pod: &Pod) -> Result<(), BackendError> {
        let ObjectName { namespace, name } = &pod.name;
        let before = self.stored_pod(&pod.name)?;
        let patch = relabel(before.metadata.labels.as_ref(), pod.labels());
        let is_told = kubelet::is_told(before);
        let object: PodObject = self.server().live.patch(namespace, name, &patch)?;
        if is_told {
            self.versions.note(&object);
        }
        self.sim.change(&Change::LabelPod(Box::new(pod.clone())))
    }

    /// As everybody deletes a pod: it is told to end, its node takes it down and says so.
    fn delete_pod(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let is_told = kubelet::is_told(self.stored_pod(name)?);
        let ObjectName {
            namespace,
            name: own,
        } = name;
        let live = self.server().live.clone();
        let ending = live.delete::<PodObject>(namespace, own, None)?;
        if is_told {
            self.note_pod(ending.as_ref());
        }
        self.sim.change(&Change::DeletePod(name.clone()))?;
        match live.delete::<PodObject>(namespace, own, Some(0)) {
            // A pod that had ended already went with the first word.
            Err(error) if error.is_missing() => {}
            answer => {
                let last = answer?;
                if is_told {
                    self.note_pod(last.as_ref());
                }
            }
        }
        Ok(())
    }

    fn terminate_pod(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let is_told = kubelet::is_told(self.stored_pod(name)?);
        let live = &self.server().live;
        let ending = live.delete::<PodObject>(&name.namespace, &name.name, None)?;
        if is_told {
            self.note_pod(ending.as_ref());
        }
        self.sim.change(&Change::TerminatePod(name.clone()))
    }

    fn restart_containers(
        &mut self,
        name: &ObjectName,
        change: &Change,
    ) -> Result<(), BackendError> {
        self.sim.change(change)?;
        let live = self.server().live.clone();
        let object = live.get::<PodObject>(&name.namespace, &name.name)?;
        let missing = || BackendError::Missing(format!("pod {name}"));
        let mut object = object.ok_or_else(missing)?;
        kubelet::report_restart(&mut object);
        let object = live.replace_status(&object)?;
        self.note_pod(Some(&object));
        Ok(())
    }

    fn note_pod(&mut self, pod: Option<&PodObject>) {
        if let Some(pod) = pod {
            self.versions.note(pod);
        }
    }

    fn stored_pod(&self, name: &ObjectName) -> Result<&PodObject, BackendError> {
        let pod = self.sim.store().pod(&name.namespace, &name.name);
        pod.ok_or_else(|| BackendError::Missing(format!("pod {name}")))
    }

    fn apply_policy(&mut self, source: &PolicySource) -> Result<(), BackendError> {
        let policy = source.resolve(&*self).map_err(BackendError::Template)?;
        self.remember::<NetworkPolicy>(&ObjectName::of(&policy.metadata));
        let live = &self.server().live;
        let name = ObjectName::of(&policy.metadata);
        let written = match self.policies.contains(&name) {
            true => live.replace(&policy),
            false => live.create(&policy),
        };
        let stored = match written {
            Err(LiveError::Refused { errors, .. }) => return Err(BackendError::Refused(errors)),
            answer => answer?,
        };
        self.policies.insert(name);
        self.versions.note(&stored);
        self.sim.apply_policy(policy)
    }

    fn delete_policy(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let before = self.versions.newest::<NetworkPolicy>();
        let ObjectName {
            namespace,
            name: own,
        } = name;
        let server = self.server();
        server.live.delete::<NetworkPolicy>(namespace, own, None)?;
        let at = server
            .policies
            .gone::<NetworkPolicy>(namespace, own, before)?;
        self.versions.note_at::<NetworkPolicy>(at);
        self.policies.remove(name);
        self.sim.delete_policy(name)
    }

    fn act_on_agent(&mut self, node: &str, action: AgentAction) -> Result<(), BackendError> {
        let now = self.known_now(node);
        let missing = || BackendError::Missing(format!("node {node}"));
        let agent = self.agents.get_mut(node).ok_or_else(missing)?;
        agent.act(action, &self.versions, now)
    }

    fn damage(&mut self, node: &str, damage: Damage) -> Result<(), BackendError> {
        self.sim.damage_kernel(node, damage)?;
        let missing = || BackendError::Missing(format!("node {node}"));
        let agent = self.agents.get_mut(node).ok_or_else(missing)?;
        agent.note_damage()
    }
}

/// A merge patch from some labels to others.
fn relabel(before: Option<&BTreeMap<String, String>>, after: &BTreeMap<String, String>) -> Value {
    let gone = before.into_iter().flat_map(BTreeMap::keys);
    let gone = gone.filter(|key| !after.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), Value::Null));
    let new = after.iter().map(|(key, value)| (key.clone(), json!(value)));
    let labels: serde_json::Map<String, Value> = gone.chain(new).collect();
    json!({"metadata": {"labels": labels}})
}

/// The phase that an object says.
pub(super) fn phase_of(pod: &PodObject) -> Phase {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    match phase {
        Some("Pending") => Phase::Pending,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Running,
    }
}

/// Whether a world's changes contain one that cannot be made here, and why.
pub(super) fn missing_for(changes: &[Change]) -> Option<&'static str> {
    changes.iter().find_map(|change| match change {
        Change::StorePolicy(_) => {
            Some("it needs an object in the store that today's API servers refuse")
        }
        Change::Agent {
            action: AgentAction::RefuseTransactions(1..),
            ..
        } => Some(
            "it needs a kernel that refuses transactions, which cannot be made of a real one for a \
             process of its own",
        ),
        Change::LabelNamespace(namespace) | Change::CreateNamespace(namespace)
            if namespace
                .object
                .metadata
                .name
                .as_deref()
                .is_some_and(is_everyones) =>
        {
            Some("it changes a namespace that belongs to the cluster")
        }
        Change::DeleteNamespace(name) if is_everyones(name) => {
            Some("it deletes a namespace that belongs to the cluster")
        }
        _ => None,
    })
}

/// All namespaces that a scenario makes.
pub(super) fn namespaces<'a>(
    world: &'a World,
    changes: impl Iterator<Item = &'a Change>,
) -> Vec<String> {
    let created = changes.filter_map(|change| match change {
        Change::CreateNamespace(namespace) => namespace.object.metadata.name.clone(),
        _ => None,
    });
    let mut all: Vec<String> = world.namespaces.keys().cloned().chain(created).collect();
    all.retain(|name| !is_everyones(name));
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_gone_are_taken_away() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let patch = relabel(
            Some(&map(&[("a", "1"), ("b", "2")])),
            &map(&[("b", "3"), ("c", "4")]),
        );
        let labels = json!({"a": null, "b": "3", "c": "4"});
        assert_eq!(patch, json!({"metadata": {"labels": labels}}));
    }
}
