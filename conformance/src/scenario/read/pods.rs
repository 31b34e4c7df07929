//! `createPods`, `recreatePods` and whatever else happens to pods but labels.

use enforcer::yaml::FieldPath;

use super::change::Changes;
use crate::scenario::{
    model::Change,
    world::{AddressChoice, Phase, Pod},
    written::{
        cluster,
        short::ShortOrLong,
        step::{RecreateAddress, Step},
    },
};

impl Changes<'_> {
    pub(super) fn create_pods(&mut self, step: &Step) {
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

    pub(super) fn recreate_pods(&mut self, step: &Step) {
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

    pub(super) fn start_pods(&mut self, step: &Step) {
        for (index, text) in step.start_pods.iter().enumerate() {
            let path = self.path.key("startPods").index(index);
            let location = self.reader.at(&path);
            for name in self
                .reader
                .select_pods(location.clone(), text, &self.state.world)
            {
                let Some(pod) = self.state.world.pods.get_mut(&name) else {
                    continue;
                };
                if pod.phase != Phase::Pending {
                    let message = format!("{name} is not Pending but {}", pod.phase);
                    self.no_change(message, location.clone());
                    continue;
                }
                pod.phase = Phase::Running;
                let pod = Box::new(pod.clone());
                self.changes.push(Change::StartPod(pod));
            }
        }
    }

    pub(super) fn restart_containers(&mut self, step: &Step) {
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

    pub(super) fn terminate_pods(&mut self, step: &Step) {
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

    pub(super) fn finish_pods(&mut self, step: &Step) {
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

    pub(super) fn delete_pods(&mut self, step: &Step) {
        for (index, text) in step.delete_pods.iter().enumerate() {
            let location = self.reader.at(&self.path.key("deletePods").index(index));
            for name in self.reader.select_pods(location, text, &self.state.world) {
                self.state.has_gone(&name);
                self.changes.push(Change::DeletePod(name));
            }
        }
    }
}
