//! A world that comes into being: objects first, then networks, then what kubelets report, then
//! agents.

use k8s_openapi::api::core::v1::{
    Namespace as NamespaceObject, Node, Pod, Service, ServiceAccount,
};
use kube::ResourceExt as _;

use super::{ApiCluster, kubelet};
use crate::{
    backend::{
        Backend as _, BackendError,
        live::{LiveError, Object},
    },
    cell::Family,
    scenario::{ObjectName, World},
};

/// Whether every cluster has a namespace of this name. Scenarios are guests there.
pub(super) fn is_everyones(namespace: &str) -> bool {
    matches!(
        namespace,
        "default" | "kube-node-lease" | "kube-public" | "kube-system"
    )
}

impl ApiCluster {
    pub(super) fn create_world(&mut self, world: &World) -> Result<(), BackendError> {
        let mut stored = world.clone();
        self.create_nodes(&mut stored)?;
        let objects: Vec<NamespaceObject> = world
            .namespaces
            .values()
            .map(|namespace| namespace.object.clone())
            .collect();
        for object in self.create_namespaces(&objects)? {
            if let Some(namespace) = stored.namespaces.get_mut(&object.name_any()) {
                namespace.object = object;
            }
        }
        for service in stored.services.values_mut() {
            self.remember::<Service>(&service.name);
            service.object = self.write_service(&service.object)?;
        }
        world
            .pods
            .keys()
            .for_each(|name| self.remember::<Pod>(name));
        let pods: Vec<Pod> = world.pods.values().map(|pod| pod.object.clone()).collect();
        for object in self.server().live.create_all(&pods)? {
            self.versions.note(&object);
            if let Some(pod) = stored.pods.get_mut(&ObjectName::of(&object.metadata)) {
                pod.object = object;
            }
        }
        self.sim.create(&stored)?;
        let names: Vec<ObjectName> = world.pods.keys().cloned().collect();
        self.report_pods(&names)?;
        self.start_agents(world)
    }

    fn create_nodes(&mut self, world: &mut World) -> Result<(), BackendError> {
        for (name, node) in &mut world.nodes {
            let cidrs = self.sim.pod_cidrs_of(name);
            let cidrs = cidrs.iter().map(ToString::to_string).collect();
            let mut object = kubelet::node(node.object.clone(), cidrs);
            let live = &self.server().live;
            live.run().mark(&mut object.metadata);
            let live = live.clone();
            self.remains.add::<Node>(name);
            let mut object = live.create(&object)?;
            kubelet::report_node(&mut object, &self.sim.node_addresses(name));
            let object = live.replace_status(&object)?;
            self.versions
                .note_node(name, super::versions::version_of(&object));
            node.object = object;
        }
        Ok(())
    }

    /// Creates namespaces, and in each the service account that pods need.
    pub(super) fn create_namespaces(
        &mut self,
        objects: &[NamespaceObject],
    ) -> Result<Vec<NamespaceObject>, BackendError> {
        let live = self.server().live.clone();
        let (everyones, own): (Vec<_>, Vec<_>) = objects
            .iter()
            .cloned()
            .partition(|object| is_everyones(&object.name_any()));
        let mut marked = own;
        for object in &mut marked {
            live.run().mark(&mut object.metadata);
            self.remains.add_namespace(&object.name_any());
        }
        let mut created = live.create_all(&marked)?;
        for object in &created {
            self.versions.note(object);
        }
        for namespace in everyones {
            let found = live.get("", &namespace.name_any())?;
            created.push(found.unwrap_or(namespace));
        }
        let accounts = created.iter().map(|object| {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some("default".to_owned());
            account.metadata.namespace = Some(object.name_any());
            account
        });
        // Where there is a controller, it may be faster.
        live.create_missing(&accounts.collect::<Vec<_>>())?;
        Ok(created)
    }

    /// An object in a namespace that stays is removed by its name.
    pub(super) fn remember<K: Object>(&mut self, name: &ObjectName) {
        if is_everyones(&name.namespace) {
            self.remains.add_guest::<K>(&name.namespace, &name.name);
        }
    }

    /// Writes a Service, for the families of this cluster, and returns it as the server has it: with
    /// addresses and node ports.
    pub(super) fn write_service(&self, service: &Service) -> Result<Service, LiveError> {
        let mut service = service.clone();
        let spec = service.spec.get_or_insert_default();
        if spec.type_.as_deref() != Some("ExternalName") && spec.ip_families.is_none() {
            let families = self.sim.families();
            let names = [(Family::Ipv4, "IPv4"), (Family::Ipv6, "IPv6")];
            let wanted = names.into_iter().filter(|(family, _)| match family {
                Family::Ipv4 => families.has_v4(),
                Family::Ipv6 => families.has_v6(),
            });
            let wanted: Vec<String> = wanted.map(|(_, name)| name.to_owned()).collect();
            let policy = match wanted.len() {
                2 => "RequireDualStack",
                _ => "SingleStack",
            };
            spec.ip_family_policy = Some(policy.to_owned());
            spec.ip_families = Some(wanted);
        }
        self.server().live.apply(&service)
    }

    /// Writes what the kubelets say of pods, from what the simulator has made of them.
    pub(super) fn report_pods(&mut self, names: &[ObjectName]) -> Result<(), BackendError> {
        let mut reported = Vec::new();
        for name in names {
            let Some(pod) = self.sim.store().pod(&name.namespace, &name.name) else {
                continue;
            };
            let mut pod = pod.clone();
            let phase = super::change::phase_of(&pod);
            let spec = pod.spec.clone().unwrap_or_default();
            let of_node = self.sim.node_addresses(&spec.node_name.unwrap_or_default());
            let own: Vec<_> = crate::endpoints::addresses(&pod).collect();
            kubelet::report_pod(&mut pod, phase, &own, &of_node);
            reported.push(pod);
        }
        let stored = self.server().live.replace_status_of_all(&reported)?;
        for pod in &stored {
            self.versions.note(pod);
        }
        self.touched();
        Ok(())
    }

    /// Starts the agents that run from the beginning, and waits for them all.
    fn start_agents(&mut self, world: &World) -> Result<(), BackendError> {
        for (name, node) in &world.nodes {
            if let Some(agent) = self.agents.get_mut(name).filter(|_| node.agent) {
                agent.begin()?;
            }
        }
        self.touched();
        self.catch_up()
    }
}
