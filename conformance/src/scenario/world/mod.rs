//! What exists at one moment of a scenario, as far as the file says: no addresses, no verdicts.
//!
//! The objects are the Kubernetes objects that a back end creates. The checker moves a [`World`]
//! from step to step, and so knows at every step who is there, who listens where, and what would
//! come of a connection [if there were no policies](World::without_policies): that is in `reach`.

mod kubernetes;
mod object;
mod reach;
mod workload;

use std::collections::BTreeMap;

pub(crate) use self::{
    kubernetes::{
        DeclaredPort, PodParts, namespace_object, node_object, pod_object, service_object,
    },
    object::labels_of,
};
pub use self::{
    object::{
        AddressChoice, External, Named, Namespace, Node, ObjectName, Phase, Pod, Service,
        ServicePort, target_port,
    },
    reach::Backing,
    workload::{NotAWorkload, pods_of},
};
use super::text::endpoint::Selector;
use crate::cell::Endpoint;

/// All objects a connection can depend on, except policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// By name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// By namespace and name.
    pub pods: BTreeMap<ObjectName, Pod>,
    /// By namespace and name.
    pub services: BTreeMap<ObjectName, Service>,
    /// Machines outside the cluster, by name.
    pub externals: BTreeMap<String, External>,
}

impl World {
    /// The endpoints a selector means now. Pods that do not run are among them; a headless Service
    /// is its pods (semantics 185).
    pub fn select(&self, selector: &Selector) -> Vec<Endpoint> {
        let pod = |name: &ObjectName| Endpoint::Pod {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        };
        match selector {
            Selector::Pods { namespace, name } => self
                .pods
                .iter()
                .filter(|(key, value)| {
                    namespace.matches(&key.namespace)
                        && (name.matches(&key.name)
                            || value.workload.as_deref().is_some_and(|w| name.matches(w)))
                })
                .map(|(key, _)| pod(key))
                .collect(),
            Selector::Labelled { namespace, labels } => self
                .pods
                .iter()
                .filter(|(key, value)| {
                    namespace.matches(&key.namespace)
                        && labels.iter().all(|(k, v)| value.labels().get(k) == Some(v))
                })
                .map(|(key, _)| pod(key))
                .collect(),
            Selector::Node(name) => self
                .nodes
                .keys()
                .filter(|key| name.matches(key))
                .map(|key| Endpoint::Node(key.clone()))
                .collect(),
            Selector::External(name) => self
                .externals
                .keys()
                .filter(|key| name.matches(key))
                .map(|key| Endpoint::External(key.clone()))
                .collect(),
            Selector::Service { namespace, name } => self
                .services
                .iter()
                .filter(|(key, _)| namespace.matches(&key.namespace) && name.matches(&key.name))
                .flat_map(|(key, service)| {
                    if service.is_headless() {
                        self.selected_by(service)
                            .iter()
                            .map(|it| pod(&it.name))
                            .collect()
                    } else {
                        vec![Endpoint::Service {
                            namespace: key.namespace.clone(),
                            name: key.name.clone(),
                        }]
                    }
                })
                .collect(),
            Selector::Localhost => vec![Endpoint::Localhost],
        }
    }

    /// The pod an endpoint is, if it is one.
    pub fn pod(&self, endpoint: &Endpoint) -> Option<&Pod> {
        match endpoint {
            Endpoint::Pod { namespace, name } => self.pods.get(&ObjectName::new(namespace, name)),
            _ => None,
        }
    }

    /// Whether a probe can be sent from there (and answered there): a pod must run.
    pub fn is_running(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Pod { .. } => self.pod(endpoint).is_some_and(Pod::is_running),
            Endpoint::Node(name) => self.nodes.contains_key(name),
            Endpoint::External(name) => self.externals.contains_key(name),
            Endpoint::Service { namespace, name } => self
                .services
                .contains_key(&ObjectName::new(namespace, name)),
            Endpoint::Localhost => true,
        }
    }
}
