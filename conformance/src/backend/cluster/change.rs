//! Changes of objects, carried out by the cluster and waited for: what the server says in the end is
//! what the oracle judges by.

use std::collections::BTreeMap;

use enforcer::{
    api,
    cluster::{Event, PodRef},
    policy::PolicyRef,
};
use k8s_openapi::api::{
    core::v1::{Namespace as NamespaceObject, Pod as PodObject, Service as ServiceObject},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};

use super::{
    Cluster, ability,
    address::NODES,
    manifest::{self, LINGERING},
    starting::{State, restarts},
};
use crate::{
    backend::{BackendError, live::LiveError},
    endpoints,
    scenario::{Change, ObjectName, Phase, Pod, PolicySource, Service, World},
};

impl Cluster {
    pub(super) fn create_world(&mut self, world: &World) -> Result<(), BackendError> {
        for (name, node) in &world.nodes {
            let Some(real) = self.nodes.get(name) else {
                return Err(BackendError::Missing(format!("a node for {name}")));
            };
            let ranges = real.pod_cidrs.iter().map(ToString::to_string).collect();
            let stored = self
                .store
                .apply_node(node.object.clone(), &real.addresses, ranges);
            let event = Event::ApplyNode(api::node(stored));
            self.note(event);
        }
        for (name, namespace) in &world.namespaces {
            if ability::is_clusters_own(name) {
                // Nothing is in it, here as there.
                self.store.apply_namespace(namespace.object.clone());
                self.note(Event::ApplyNamespace(api::namespace(&namespace.object)));
            } else {
                self.apply_namespace(namespace.object.clone())?;
            }
        }
        let mut wanted: Vec<(PodObject, State)> = world
            .pods
            .values()
            .map(|pod| (self.object(pod), state_of(pod.phase)))
            .collect();
        let mut namespaces: std::collections::BTreeSet<String> =
            world.namespaces.keys().cloned().collect();
        let nodes = self.node_pods(world);
        if !nodes.is_empty() {
            let own = NamespaceObject {
                metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                    name: Some(NODES.to_owned()),
                    ..Default::default()
                },
                ..NamespaceObject::default()
            };
            self.ground().namespace(own, "privileged")?;
            namespaces.insert(NODES.to_owned());
            wanted.extend(nodes);
        }
        self.ground().place(wanted, &namespaces)?;
        for pod in world.pods.values() {
            self.adopt(pod)?;
        }
        for service in world.services.values() {
            self.apply_service(service)?;
        }
        Ok(())
    }

    /// The pods that stand for processes of nodes.
    fn node_pods(&self, world: &World) -> Vec<(PodObject, State)> {
        let speaking = self.speaking.iter();
        let pods = speaking.filter_map(|name| {
            let (real, node) = (self.nodes.get(name)?, world.nodes.get(name)?);
            let pod = manifest::node(
                &ObjectName::new(NODES, name),
                &node.listen,
                &real.name,
                &self.settings.image,
            );
            Some((pod, State::Running))
        });
        pods.collect()
    }

    pub(super) fn carry_out(&mut self, change: &Change) -> Result<(), BackendError> {
        match change {
            Change::CreateNamespace(namespace) | Change::LabelNamespace(namespace) => {
                self.apply_namespace(namespace.object.clone())
            }
            Change::DeleteNamespace(name) => self.delete_namespace(name),
            Change::CreatePod(pod) => self.create_pod(pod),
            Change::RecreatePod(pod) => {
                self.delete_pod(&pod.name)?;
                self.create_pod(pod)
            }
            Change::LabelPod(pod) => self.label_pod(pod),
            Change::StartPod(pod) => self.start_pod(pod),
            Change::FinishPod { pod, phase } => self.finish_pod(pod, *phase),
            Change::DeletePod(name) => self.delete_pod(name),
            Change::ApplyService(service) => self.apply_service(service),
            Change::DeleteService(name) => self.delete_service(name),
            Change::ApplyPolicy(source) => self.apply_policy(source),
            Change::DeletePolicy(name) => self.delete_policy(name),
            Change::TerminatePod(name) => {
                self.ground().tell_to_end(name, LINGERING)?;
                self.refresh(name)
            }
            Change::RestartContainers(name) => self.restart_containers(name),
            // Scenarios with these are skipped before they begin.
            Change::LabelNode { .. }
            | Change::StorePolicy(_)
            | Change::Agent { .. }
            | Change::Damage { .. }
            | Change::CreateForeignTable { .. } => {
                Err(BackendError::Unsupported(change.to_string()))
            }
        }
    }

    fn apply_namespace(&mut self, namespace: NamespaceObject) -> Result<(), BackendError> {
        let created = self.ground().namespace(namespace, self.security)?;
        let event = Event::ApplyNamespace(api::namespace(&created));
        self.store.apply_namespace(created);
        self.note(event);
        Ok(())
    }

    fn delete_namespace(&mut self, name: &str) -> Result<(), BackendError> {
        self.ground().delete_namespace(name)?;
        let emptied = self.store.delete_namespace(name);
        for policy in &emptied.policies {
            self.policies.remove(policy);
            self.note(Event::DeletePolicy(policy_ref(policy)));
        }
        for pod in &emptied.pods {
            self.note(Event::DeletePod(PodRef::new(&pod.namespace, &pod.name)));
        }
        self.note(Event::DeleteNamespace(name.into()));
        Ok(())
    }

    fn object(&self, pod: &Pod) -> PodObject {
        manifest::pod(pod, self.making(pod))
    }

    fn create_pod(&mut self, pod: &Pod) -> Result<(), BackendError> {
        let wanted = (self.object(pod), state_of(pod.phase));
        self.ground().create(&[wanted])?;
        self.adopt(pod)
    }

    /// Takes over what has become of a pod: the object as the scenario has it, on its node there, with
    /// the addresses that it has here.
    fn adopt(&mut self, pod: &Pod) -> Result<(), BackendError> {
        let ground = self.ground();
        let Some(placed) = ground.pod(&pod.name) else {
            return Err(BackendError::Missing(format!("pod {}", pod.name)));
        };
        let addresses = placed.addresses();
        let uid = placed.object.metadata.uid.clone();
        let terminating = placed.object.metadata.deletion_timestamp.clone();
        drop(ground);
        let mut object = pod.object.clone();
        object.metadata.uid = uid;
        object.metadata.deletion_timestamp = terminating;
        let phase = pod.phase.to_string();
        self.store.create_pod(object, &addresses, &phase);
        if let Some(before) = self.former.insert(pod.name.clone(), addresses) {
            self.before.insert(pod.name.clone(), before);
        }
        self.announce_pod(&pod.name)
    }

    fn announce_pod(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let Some(pod) = self.store.pod(&name.namespace, &name.name) else {
            return Err(BackendError::Missing(format!("pod {name}")));
        };
        let event = Event::ApplyPod(api::pod(pod));
        self.note(event);
        Ok(())
    }

    /// Takes over the server's idea of a pod's state.
    fn refresh(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let placed = self.ground().pod(name).map(|placed| placed.object.clone());
        let Some(placed) = placed else {
            return Err(BackendError::Missing(format!("pod {name}")));
        };
        let addresses: Vec<_> = endpoints::addresses(&placed).collect();
        self.store.change_pod(name, |pod| {
            pod.metadata.deletion_timestamp = placed.metadata.deletion_timestamp;
            pod.metadata.labels = placed.metadata.labels;
            let phase = placed.status.and_then(|status| status.phase);
            let status = pod.status.get_or_insert_default();
            status.phase = phase;
            crate::store::give_addresses(status, &addresses);
        });
        if !addresses.is_empty() {
            self.former.insert(name.clone(), addresses);
        }
        self.announce_pod(name)
    }

    fn label_pod(&mut self, pod: &Pod) -> Result<(), BackendError> {
        let old = self.store.pod(&pod.name.namespace, &pod.name.name);
        let old = old.and_then(|pod| pod.metadata.labels.clone());
        let patch = labels_patch(&old.unwrap_or_default(), pod.labels());
        self.ground().patch(&pod.name, &patch)?;
        self.refresh(&pod.name)
    }

    /// A pod that was kept waiting.
    fn start_pod(&mut self, pod: &Pod) -> Result<(), BackendError> {
        let mut ground = self.ground();
        ground.patch(&pod.name, &json!({"spec": {"schedulingGates": []}}))?;
        ground.await_state(&pod.name, State::Running)?;
        drop(ground);
        self.refresh(&pod.name)
    }

    fn finish_pod(&mut self, name: &ObjectName, phase: Phase) -> Result<(), BackendError> {
        let code = u8::from(phase == Phase::Failed);
        let mut ground = self.ground();
        ground.end_containers(name, code)?;
        ground.await_state(name, state_of(phase))?;
        drop(ground);
        self.refresh(name)
    }

    /// The containers of a pod end and begin again; its network stays.
    fn restart_containers(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let mut ground = self.ground();
        let before = ground
            .pod(name)
            .map_or(0, |placed| restarts(&placed.object));
        ground.end_containers(name, 0)?;
        ground.await_state(name, State::Restarted(before + 1))?;
        drop(ground);
        self.refresh(name)
    }

    fn delete_pod(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        if !self.store.delete_pod(name) {
            return Err(BackendError::Missing(format!("pod {name}")));
        }
        self.ground().delete(std::slice::from_ref(name))?;
        self.note(Event::DeletePod(PodRef::new(&name.namespace, &name.name)));
        Ok(())
    }

    fn apply_service(&mut self, service: &Service) -> Result<(), BackendError> {
        let mut object = service.object.clone();
        let spec = object.spec.get_or_insert_default();
        if spec.type_.as_deref() != Some("ExternalName") {
            // Scenarios dial Services over every family that their cluster has.
            spec.ip_family_policy
                .get_or_insert_with(|| "PreferDualStack".to_owned());
        }
        let stored = self.live.apply::<ServiceObject>(&object)?;
        let families = crate::backend::sim::sim_families(self.facts.families);
        self.store.apply_service(stored, families);
        self.seen.take();
        Ok(())
    }

    fn delete_service(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        self.live
            .delete::<ServiceObject>(&name.namespace, &name.name, None)?;
        self.store.delete_service(name);
        self.seen.take();
        Ok(())
    }

    fn apply_policy(&mut self, source: &PolicySource) -> Result<(), BackendError> {
        let policy = source.resolve(self).map_err(BackendError::Template)?;
        match self.live.apply(&policy) {
            Ok(_) => {}
            Err(LiveError::Refused { errors, .. }) => return Err(BackendError::Refused(errors)),
            Err(error) => return Err(error.into()),
        }
        self.policies.insert(ObjectName::of(&policy.metadata));
        // The server has taken it, so it is taken.
        let stored = self.store.store_policy(policy);
        let event = Event::ApplyPolicy(api::policy_ref(stored), api::lower_network_policy(stored));
        self.note(event);
        Ok(())
    }

    fn delete_policy(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        if !self.store.delete_policy(name) {
            return Err(BackendError::Missing(format!("policy {name}")));
        }
        self.live
            .delete::<NetworkPolicy>(&name.namespace, &name.name, None)?;
        self.policies.remove(name);
        self.note(Event::DeletePolicy(policy_ref(name)));
        Ok(())
    }
}

fn policy_ref(name: &ObjectName) -> PolicyRef {
    PolicyRef::network_policy(&name.namespace, &name.name)
}

fn state_of(phase: Phase) -> State {
    match phase {
        Phase::Pending => State::Pending,
        Phase::Running => State::Running,
        Phase::Succeeded => State::Succeeded,
        Phase::Failed => State::Failed,
    }
}

/// A merge patch from labels to labels.
fn labels_patch(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Value {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), Value::Null));
    let set = new.iter().map(|(key, value)| (key.clone(), json!(value)));
    let labels: serde_json::Map<String, Value> = gone.chain(set).collect();
    json!({"metadata": {"labels": labels}})
}
