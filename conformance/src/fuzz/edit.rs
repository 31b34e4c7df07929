//! Single edits of a world: what can happen to one object.

use std::fmt;

use enforcer::cluster::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::{Deserialize, Serialize};

use super::{
    objects::{no_pod_event, no_policy_event, policy_event},
    plan::Ear,
    world::{Labels, Life, Pod, World},
};
use crate::scenario::ObjectName;

/// Something that happens to one object. Pods are named `namespace/name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    /// A policy is created or changed.
    ApplyPolicy(Box<NetworkPolicy>),
    /// A policy is deleted.
    DeletePolicy(String),
    /// A pod is created.
    CreatePod(String, Pod),
    /// A pod is deleted.
    DeletePod(String),
    /// A pod is deleted, and created again elsewhere, or with another address.
    ReplacePod(String, Pod),
    /// These are a pod's labels now.
    LabelPod(String, Labels),
    /// A pod ends, or is told to.
    EndPod(String, Life),
    /// A namespace is created.
    CreateNamespace(String, Labels),
    /// These are a namespace's labels now.
    LabelNamespace(String, Labels),
    /// A namespace is deleted with everything in it.
    DeleteNamespace(String),
    /// These are a node's labels now.
    LabelNode(String, Labels),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApplyPolicy(policy) => write!(f, "apply {}", ObjectName::of(&policy.metadata)),
            Self::DeletePolicy(name) => write!(f, "delete {name}"),
            Self::CreatePod(name, _) => write!(f, "create pod {name}"),
            Self::DeletePod(name) => write!(f, "delete pod {name}"),
            Self::ReplacePod(name, pod) => write!(f, "put pod {name} on {}", pod.node),
            Self::LabelPod(name, _) => write!(f, "label pod {name}"),
            Self::EndPod(name, Life::Terminating) => write!(f, "terminate pod {name}"),
            Self::EndPod(name, _) => write!(f, "finish pod {name}"),
            Self::CreateNamespace(name, _) => write!(f, "create namespace {name}"),
            Self::LabelNamespace(name, _) => write!(f, "label namespace {name}"),
            Self::DeleteNamespace(name) => write!(f, "delete namespace {name}"),
            Self::LabelNode(name, _) => write!(f, "label node {name}"),
        }
    }
}

/// The name of a policy as its edits name it.
pub fn policy_name(policy: &NetworkPolicy) -> String {
    ObjectName::of(&policy.metadata).to_string()
}

/// What an edit of a world is to an enforcer: its events, in order. The world is as after the edit.
pub type Events = Vec<Event>;

impl World {
    /// Makes an edit and says what an enforcer hears of it; nothing if it cannot be made, or would
    /// change nothing.
    pub fn edit(&mut self, edit: &Edit, ear: Ear) -> Option<Events> {
        let before = self.clone();
        let events = self
            .make(edit, ear)
            .filter(|_| *self != before && self.is_sound());
        if events.is_none() {
            *self = before;
        }
        events
    }

    fn make(&mut self, edit: &Edit, ear: Ear) -> Option<Events> {
        Some(match edit {
            Edit::ApplyPolicy(policy) => {
                let name = policy_name(policy);
                self.policies.retain(|other| policy_name(other) != name);
                self.policies.push((**policy).clone());
                ear(policy).iter().map(policy_event).collect()
            }
            Edit::DeletePolicy(name) => {
                self.policies.retain(|other| policy_name(other) != *name);
                vec![no_policy_event(&name.parse().ok()?)]
            }
            Edit::CreatePod(name, pod) => {
                let taken = self.pods.insert(name.clone(), pod.clone());
                taken.is_none().then(|| vec![self.pod_event(name)])?
            }
            Edit::DeletePod(name) => {
                self.pods.remove(name)?;
                vec![no_pod_event(name)]
            }
            Edit::ReplacePod(name, pod) => {
                self.pods.insert(name.clone(), pod.clone())?;
                vec![no_pod_event(name), self.pod_event(name)]
            }
            Edit::LabelPod(name, labels) => {
                self.pods.get_mut(name)?.labels.clone_from(labels);
                vec![self.pod_event(name)]
            }
            Edit::EndPod(name, life) => {
                let pod = self.pods.get_mut(name)?;
                let is_later = pod.life == Life::Running
                    || (pod.life == Life::Terminating && life.is_finished());
                is_later.then_some(())?;
                pod.life = *life;
                vec![self.pod_event(name)]
            }
            Edit::CreateNamespace(name, labels) => {
                let taken = self.namespaces.insert(name.clone(), labels.clone());
                taken.is_none().then(|| vec![self.namespace_event(name)])?
            }
            Edit::LabelNamespace(name, labels) => {
                self.namespaces.get_mut(name)?.clone_from(labels);
                vec![self.namespace_event(name)]
            }
            Edit::DeleteNamespace(name) => self.delete_namespace(name)?,
            Edit::LabelNode(name, labels) => {
                self.nodes.get_mut(name)?.clone_from(labels);
                vec![self.node_event(name)]
            }
        })
    }

    fn delete_namespace(&mut self, name: &str) -> Option<Events> {
        self.namespaces.remove(name)?;
        let prefix = format!("{name}/");
        let policies = self.policies.iter().map(policy_name);
        let policies: Vec<String> = policies.filter(|p| p.starts_with(&prefix)).collect();
        let pods = self.pods.keys().filter(|pod| pod.starts_with(&prefix));
        let pods: Vec<String> = pods.cloned().collect();
        self.policies
            .retain(|policy| !policy_name(policy).starts_with(&prefix));
        self.pods.retain(|pod, _| !pod.starts_with(&prefix));
        self.services.retain(|name, _| !name.starts_with(&prefix));
        let no_policies = policies.iter().filter_map(|p| p.parse().ok());
        let mut events: Events = no_policies.map(|name| no_policy_event(&name)).collect();
        events.extend(pods.iter().map(|pod| no_pod_event(pod)));
        events.push(Event::DeleteNamespace(name.into()));
        Some(events)
    }
}
