//! Changes of objects, carried out: in the store, in the network, in every node's enforcer.

use std::{collections::BTreeMap, net::IpAddr, time::SystemTime};

use enforcer::{
    api,
    cluster::{Event, PodRef},
    policy::PolicyRef,
};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Node, Pod as PodObject},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use netsim::{place::Place, topology::PodSpec};

use super::{Sim, translate};
use crate::{
    backend::BackendError,
    scenario::{AddressChoice, Change, ObjectName, Phase, Pod, PolicySource, World},
    store,
};

impl Sim {
    pub(super) fn create_world(&mut self, world: &World) -> Result<(), BackendError> {
        for (name, node) in &world.nodes {
            self.net
                .listen(&Place::Node(name.clone()), &translate::listen(&node.listen))?;
            self.apply_node(node.object.clone())?;
        }
        for (name, external) in &world.externals {
            self.net.listen(
                &Place::External(name.clone()),
                &translate::listen(&external.listen),
            )?;
        }
        for namespace in world.namespaces.values() {
            self.apply_namespace(namespace.object.clone())?;
        }
        let pods: Vec<&Pod> = world.pods.values().collect();
        self.create_pods(&pods)?;
        for service in world.services.values() {
            self.store
                .apply_service(service.object.clone(), self.options.families);
        }
        self.resolve_services()?;
        self.start_agents(world)
    }

    pub(super) fn carry_out(&mut self, change: &Change) -> Result<(), BackendError> {
        match change {
            Change::CreateNamespace(namespace) | Change::LabelNamespace(namespace) => {
                self.apply_namespace(namespace.object.clone())
            }
            Change::DeleteNamespace(name) => self.delete_namespace(name),
            Change::LabelNode { name, labels } => self.label_node(name, labels),
            Change::CreatePod(pod) => self.create_pods(&[pod]),
            Change::RecreatePod(pod) => {
                self.delete_pod(&pod.name)?;
                self.create_pods(&[pod])
            }
            Change::LabelPod(pod) => self.change_pod(&pod.name, |object| {
                object.metadata.labels = pod.object.metadata.labels.clone();
            }),
            Change::StartPod(pod) => self.start_pod(pod),
            Change::FinishPod { pod, phase } => self.finish_pod(pod, *phase),
            Change::DeletePod(name) => self.delete_pod(name),
            Change::ApplyService(service) => {
                self.store
                    .apply_service(service.object.clone(), self.options.families);
                self.resolve_services()
            }
            Change::DeleteService(name) => {
                self.store.delete_service(name);
                self.resolve_services()
            }
            Change::ApplyPolicy(source) => {
                let policy = source.resolve(self).map_err(BackendError::Template)?;
                self.apply_policy(policy)
            }
            Change::DeletePolicy(name) => self.delete_policy(name),
            Change::StorePolicy(source) => self.store_policy(source),
            Change::TerminatePod(name) => self.change_pod(name, |pod| {
                let now = Time(now());
                pod.metadata.deletion_timestamp = Some(now);
            }),
            Change::RestartContainers(name) => self.restart_containers(name),
            Change::Agent { node, action } => self.act_on_agent(node, *action),
            Change::Damage { node, damage } => self.damage(node, *damage),
            Change::CreateForeignTable { node } => self.create_foreign_table(node),
        }
    }

    /// Creates or replaces a policy.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if the API server would refuse it.
    pub fn apply_policy(&mut self, policy: NetworkPolicy) -> Result<(), BackendError> {
        let stored = self
            .store
            .apply_policy(policy)
            .map_err(BackendError::Refused)?;
        let event = Event::ApplyPolicy(api::policy_ref(stored), api::lower_network_policy(stored));
        self.announce(event)
    }

    /// Writes a policy past the API server's checks, as an older or a newer server let it through.
    fn store_policy(&mut self, source: &PolicySource) -> Result<(), BackendError> {
        let document = source.filled(self).map_err(BackendError::Template)?;
        let json = document.as_kubectl_reads_it();
        let (policy, unknown) = api::network_policy_from_json(json.value());
        let stored = self.store.store_policy(policy);
        let lowered = api::lower_stored_network_policy(stored, &unknown);
        let event = Event::ApplyPolicy(api::policy_ref(stored), lowered);
        self.announce(event)
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// [`BackendError::Missing`] if there is none of that name.
    pub fn delete_policy(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        if !self.store.delete_policy(name) {
            return Err(BackendError::Missing(format!("policy {name}")));
        }
        self.announce(Event::DeletePolicy(PolicyRef::network_policy(
            &name.namespace,
            &name.name,
        )))
    }

    /// Changes a pod's object in place and tells everyone.
    ///
    /// # Errors
    /// [`BackendError::Missing`] if there is none of that name.
    pub fn change_pod(
        &mut self,
        name: &ObjectName,
        change: impl FnOnce(&mut PodObject),
    ) -> Result<(), BackendError> {
        if !self.store.change_pod(name, change) {
            return Err(BackendError::Missing(format!("pod {name}")));
        }
        self.announce_pod(name)?;
        self.resolve_services()
    }

    fn announce_pod(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let Some(pod) = self.store.pod(&name.namespace, &name.name) else {
            return Err(BackendError::Missing(format!("pod {name}")));
        };
        let event = Event::ApplyPod(api::pod(pod));
        self.announce(event)
    }

    fn create_pods(&mut self, pods: &[&Pod]) -> Result<(), BackendError> {
        let has_network = |pod: &&&Pod| pod.phase == Phase::Running;
        let specs: Vec<PodSpec> = pods
            .iter()
            .filter(has_network)
            .map(|pod| self.pod_spec(pod))
            .collect();
        let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let mut addresses: BTreeMap<String, Vec<IpAddr>> =
            names.into_iter().zip(self.net.add_pods(specs)?).collect();
        for pod in pods {
            let name = pod.name.to_string();
            let own = addresses.remove(&name).unwrap_or_default();
            self.store
                .create_pod(pod.object.clone(), &own, &pod.phase.to_string());
            if let Some(before) = self.former.insert(name.clone(), own) {
                self.before.insert(name, before);
            }
            self.announce_pod(&pod.name)?;
        }
        self.resolve_services()
    }

    /// A pod that was there before its address.
    fn start_pod(&mut self, pod: &Pod) -> Result<(), BackendError> {
        let own = self.net.add_pods(vec![self.pod_spec(pod)])?;
        let own: Vec<IpAddr> = own.into_iter().flatten().collect();
        self.former.insert(pod.name.to_string(), own.clone());
        self.change_pod(&pod.name, |object| {
            let status = object.status.get_or_insert_default();
            status.phase = Some(Phase::Running.to_string());
            store::give_addresses(status, &own);
        })
    }

    fn pod_spec(&self, pod: &Pod) -> PodSpec {
        PodSpec {
            name: pod.name.to_string(),
            node: pod.node().to_owned(),
            host_network: pod.is_host_network(),
            addresses: match &pod.address {
                AddressChoice::Fresh => None,
                AddressChoice::Chosen(addresses) => Some(addresses.clone()),
                AddressChoice::Of(other) => self.former.get(&other.to_string()).cloned(),
            },
            listen: translate::listen(&pod.listen),
            host_ports: translate::host_ports(pod),
        }
    }

    fn delete_pod(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        if !self.store.delete_pod(name) {
            return Err(BackendError::Missing(format!("pod {name}")));
        }
        self.unplug(name)?;
        self.announce(Event::DeletePod(PodRef::new(&name.namespace, &name.name)))?;
        self.resolve_services()
    }

    /// Takes a pod's network away, if it still has one.
    fn unplug(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let name = name.to_string();
        if self.net.pod_names().any(|pod| pod == name) {
            self.net.remove_pod(&name)?;
        }
        Ok(())
    }

    /// The containers of a pod end and begin again; its network stays.
    fn restart_containers(&mut self, name: &ObjectName) -> Result<(), BackendError> {
        let place = Place::Pod(name.to_string());
        self.net.restart_listeners(&place)?;
        Ok(())
    }

    fn finish_pod(&mut self, name: &ObjectName, phase: Phase) -> Result<(), BackendError> {
        self.unplug(name)?;
        self.change_pod(name, |pod| {
            pod.status.get_or_insert_default().phase = Some(phase.to_string());
        })
    }

    fn apply_namespace(&mut self, namespace: Namespace) -> Result<(), BackendError> {
        let event = Event::ApplyNamespace(api::namespace(&namespace));
        self.store.apply_namespace(namespace);
        self.announce(event)
    }

    fn delete_namespace(&mut self, name: &str) -> Result<(), BackendError> {
        let emptied = self.store.delete_namespace(name);
        for policy in &emptied.policies {
            self.announce(Event::DeletePolicy(PolicyRef::network_policy(
                &policy.namespace,
                &policy.name,
            )))?;
        }
        for pod in &emptied.pods {
            self.unplug(pod)?;
            self.announce(Event::DeletePod(PodRef::new(&pod.namespace, &pod.name)))?;
        }
        self.announce(Event::DeleteNamespace(name.into()))?;
        self.resolve_services()
    }

    fn apply_node(&mut self, node: Node) -> Result<(), BackendError> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let cidrs = self.net.node_pod_cidrs(&name);
        let cidrs = cidrs.iter().map(ToString::to_string).collect();
        let node = self
            .store
            .apply_node(node, &self.net.node_addresses(&name), cidrs);
        let event = Event::ApplyNode(api::node(node));
        self.announce(event)
    }

    fn label_node(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), BackendError> {
        let Some(node) = self.store.node(name) else {
            return Err(BackendError::Missing(format!("node {name}")));
        };
        let mut node = node.clone();
        node.metadata.labels = Some(labels.clone());
        self.apply_node(node)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default()
}
