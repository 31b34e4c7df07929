//! Nodes for the API server of tests: they run the pods that are bound to them.
//!
//! A pod is a network namespace of the simulator, and a process of the real `portcullis-probe` in it
//! for each of its containers. Policies are enforced by the simulator's agents, if at all: what the
//! back end sees is what it sees on a cluster. Where nothing changes, it looks again after a moment,
//! as a kubelet does that polls.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use conformance::{
    backend::{
        Backend as _,
        sim::{Sim, SimOptions},
    },
    cell::Endpoint,
    endpoints,
    scenario::{AddressChoice, Change, Namespace, Node, ObjectName, Phase, Pod, Service, World},
};
use k8s_openapi::api::{core::v1 as core, networking::v1::NetworkPolicy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    apiserver::{ADMIN, ApiServer},
    front::{Doors, Inside, start},
};

/// Between two looks.
const MOMENT: Duration = Duration::from_millis(10);

/// An image that nobody can pull.
pub(crate) const NOWHERE: &str = "nowhere.invalid/probe:1";

/// Both nodes, until it is dropped.
pub(crate) struct Kubelet {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Kubelet {
    /// Whether it has given up.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread
            .as_ref()
            .is_none_or(thread::JoinHandle::is_finished)
    }

    /// Starts two nodes; whether somebody enforces policies there.
    pub(crate) fn start(
        server: Arc<ApiServer>,
        doors: Doors,
        program: PathBuf,
        is_enforced: bool,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut machine = Machine::new(server, doors, program, is_enforced);
            while !stopped.load(Ordering::Relaxed) {
                machine.look();
                pause();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "between two looks of a kubelet")]
fn pause() {
    thread::sleep(MOMENT);
}

struct Machine {
    server: Arc<ApiServer>,
    doors: Doors,
    program: PathBuf,
    sim: Sim,
    namespaces: BTreeMap<String, Value>,
    policies: BTreeMap<ObjectName, Value>,
    services: BTreeMap<ObjectName, Value>,
    pods: BTreeMap<ObjectName, Running>,
}

/// A pod that has its network.
struct Running {
    uid: Value,
    labels: Value,
    containers: Vec<Contained>,
}

struct Contained {
    name: String,
    arguments: Vec<String>,
    process: Option<Child>,
    restarts: i32,
    ended: Option<i32>,
}

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

fn name_of(object: &Value) -> ObjectName {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    ObjectName::new(text("namespace"), text("name"))
}

impl Machine {
    fn new(server: Arc<ApiServer>, doors: Doors, program: PathBuf, is_enforced: bool) -> Self {
        let node = |name: &str| {
            let object = json!({"metadata": {"name": name}});
            let node = Node {
                object: read(&object),
                listen: Vec::new(),
                pod_mtu: None,
                agent: is_enforced,
            };
            (name.to_owned(), node)
        };
        // What else there is on a cluster, it has of its API server.
        let world = World {
            nodes: ["n1", "n2"].map(node).into(),
            ..World::default()
        };
        let options = SimOptions {
            fabric: netsim::Fabric::Routed,
            families: netsim::Families::Dual,
            dataplane: conformance::backend::sim::DataplaneKind::Netlink,
            options: enforcer::options::Options::default(),
        };
        let mut sim = Sim::build(&world, options).unwrap();
        sim.create(&world).unwrap();
        for name in world.nodes.keys() {
            let mut node = serde_json::to_value(sim.store().node(name).unwrap()).unwrap();
            node["apiVersion"] = json!("v1");
            node["kind"] = json!("Node");
            node["status"]["conditions"] = json!([{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": null, "lastTransitionTime": null,
            }]);
            server.create(&node);
        }
        Self {
            server,
            doors,
            program,
            sim,
            namespaces: BTreeMap::new(),
            policies: BTreeMap::new(),
            services: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    /// Does what has to be done by now.
    fn look(&mut self) {
        self.look_at_namespaces();
        self.look_at_pods();
        self.look_at_services();
        self.look_at_policies();
    }

    fn look_at_namespaces(&mut self) {
        for object in self.server.all("namespaces", "") {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let labels = object["metadata"]["labels"].clone();
            if self.namespaces.get(&name) != Some(&labels) {
                let object: core::Namespace = read(&object);
                let change = Change::CreateNamespace(Namespace { object });
                self.sim.change(&change).unwrap();
                self.namespaces.insert(name, labels);
            }
        }
    }

    fn look_at_policies(&mut self) {
        let all = self.server.all("networkpolicies", "");
        let gone: Vec<ObjectName> = self
            .policies
            .keys()
            .filter(|name| !all.iter().any(|object| name_of(object) == **name))
            .cloned()
            .collect();
        for name in gone {
            self.policies.remove(&name);
            self.sim.delete_policy(&name).unwrap();
        }
        for object in all {
            let (name, spec) = (name_of(&object), object["spec"].clone());
            if self.policies.get(&name) != Some(&spec) {
                self.sim
                    .apply_policy(read::<NetworkPolicy>(&object))
                    .unwrap();
                self.policies.insert(name, spec);
            }
        }
    }

    fn look_at_services(&mut self) {
        let all = self.server.all("services", "");
        let gone: Vec<ObjectName> = self
            .services
            .keys()
            .filter(|name| !all.iter().any(|object| name_of(object) == **name))
            .cloned()
            .collect();
        for name in gone {
            self.services.remove(&name);
            self.sim.change(&Change::DeleteService(name)).unwrap();
        }
        for object in all {
            let (name, spec) = (name_of(&object), object["spec"].clone());
            if self.services.get(&name) != Some(&spec) {
                let service = Service {
                    name: name.clone(),
                    object: read(&object),
                };
                let change = Change::ApplyService(Box::new(service));
                self.sim.change(&change).unwrap();
                self.services.insert(name, spec);
            }
        }
    }

    fn look_at_pods(&mut self) {
        let all = self.server.all("pods", "");
        let gone: Vec<ObjectName> = self
            .pods
            .iter()
            .filter(|(name, running)| {
                let mut same = all.iter().filter(|object| name_of(object) == **name);
                !same.any(|object| object["metadata"]["uid"] == running.uid)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.take_away(&name);
        }
        for object in all {
            let name = name_of(&object);
            if !object["metadata"]["deletionTimestamp"].is_null() {
                self.end(&name);
            } else if !self.pods.contains_key(&name) {
                self.begin(&name, &object);
            } else {
                self.watch_over(&name, &object);
            }
        }
    }

    /// Gives a pod its network and starts what runs in it.
    fn begin(&mut self, name: &ObjectName, object: &Value) {
        let read: core::Pod = read(object);
        let spec = read.spec.clone().unwrap();
        if spec.node_name.is_none() {
            return;
        }
        let containers: Vec<Contained> = spec
            .containers
            .iter()
            .map(|container| Contained {
                name: container.name.clone(),
                arguments: container.args.clone().unwrap_or_default(),
                process: None,
                restarts: 0,
                ended: None,
            })
            .collect();
        if spec
            .containers
            .iter()
            .any(|it| it.image.as_deref() == Some(NOWHERE))
        {
            self.tell_of_no_image(name, object, &containers);
            return;
        }
        let pod = Pod {
            name: name.clone(),
            object: core::Pod {
                status: None,
                ..read
            },
            // The program does.
            listen: Vec::new(),
            phase: Phase::Running,
            terminating: false,
            address: AddressChoice::Fresh,
            workload: None,
        };
        self.sim.change(&Change::CreatePod(Box::new(pod))).unwrap();
        let endpoint = Endpoint::Pod {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        };
        let netns = self.sim.netns_path(&endpoint).unwrap();
        let mut doors = self.doors.lock().unwrap();
        for (index, container) in spec.containers.iter().enumerate() {
            let environment = container.env.iter().flatten();
            let inside = Inside {
                netns: netns.clone(),
                environment: environment
                    .map(|it| (it.name.clone(), it.value.clone().unwrap_or_default()))
                    .collect(),
            };
            let door = |container: &str| {
                let (namespace, pod) = (name.namespace.clone(), name.name.clone());
                (namespace, pod, container.to_owned())
            };
            if index == 0 {
                doors.insert(door(""), inside.clone());
            }
            doors.insert(door(&container.name), inside);
        }
        drop(doors);
        let running = Running {
            uid: object["metadata"]["uid"].clone(),
            labels: object["metadata"]["labels"].clone(),
            containers,
        };
        self.pods.insert(name.clone(), running);
        self.start_containers(name);
        self.report(name, object, "Running");
    }

    /// Starts the containers that do not run, and waits for those that say when they do.
    fn start_containers(&mut self, name: &ObjectName) {
        let doors = self.doors.lock().unwrap().clone();
        let Some(running) = self.pods.get_mut(name) else {
            return;
        };
        for container in &mut running.containers {
            if container.process.is_some() || container.ended.is_some() {
                continue;
            }
            let (namespace, pod) = (name.namespace.clone(), name.name.clone());
            let inside = &doors[&(namespace, pod, container.name.clone())];
            container.process = Some(start(&self.program, &container.arguments, inside));
            if container.arguments.first().map(String::as_str) == Some("serve") {
                let ready = ["ready".to_owned()];
                while !start(&self.program, &ready, inside)
                    .wait()
                    .unwrap()
                    .success()
                {
                    let process = container.process.as_mut().unwrap();
                    if process.try_wait().unwrap().is_some() {
                        break;
                    }
                    pause();
                }
            }
        }
    }

    /// Notices what has become of a pod.
    fn watch_over(&mut self, name: &ObjectName, object: &Value) {
        let labels = object["metadata"]["labels"].clone();
        let running = self.pods.get_mut(name).unwrap();
        if running.labels != labels {
            running.labels = labels;
            let new: core::Pod = read(object);
            let labels = new.metadata.labels;
            self.sim
                .change_pod(name, |pod| pod.metadata.labels = labels)
                .unwrap();
        }
        let running = self.pods.get_mut(name).unwrap();
        let mut has_changed = false;
        for container in &mut running.containers {
            let Some(process) = &mut container.process else {
                continue;
            };
            if let Some(ended) = process.try_wait().unwrap() {
                container.ended = ended.code().or(ended.signal());
                container.process = None;
                has_changed = true;
            }
        }
        if !has_changed {
            return;
        }
        if object["spec"]["restartPolicy"] == "Always" {
            for container in &mut running.containers {
                if container.ended.take().is_some() {
                    container.restarts += 1;
                }
            }
            self.start_containers(name);
            self.report(name, object, "Running");
            return;
        }
        let codes: Option<Vec<i32>> = running.containers.iter().map(|it| it.ended).collect();
        let Some(codes) = codes else { return };
        let phase = match codes.iter().all(|code| *code == 0) {
            true => Phase::Succeeded,
            false => Phase::Failed,
        };
        let pod = name.clone();
        self.sim.change(&Change::FinishPod { pod, phase }).unwrap();
        self.report(name, object, &phase.to_string());
    }

    /// A pod was told to end: so are its containers, and when they have, it is gone.
    fn end(&mut self, name: &ObjectName) {
        let containers = self.pods.get_mut(name).into_iter();
        let containers = containers.flat_map(|running| &mut running.containers);
        let mut runs = false;
        for container in containers {
            let stays = container
                .arguments
                .iter()
                .any(|argument| argument == "--stay");
            if let Some(process) = &mut container.process {
                runs |= stays && process.try_wait().unwrap().is_none();
            }
        }
        if !runs {
            self.take_away(name);
            let at_once = json!({"gracePeriodSeconds": 0});
            self.ask("DELETE", name, "", &at_once);
        }
    }

    fn take_away(&mut self, name: &ObjectName) {
        let Some(running) = self.pods.remove(name) else {
            return;
        };
        for process in running.containers.into_iter().filter_map(|it| it.process) {
            kill(process);
        }
        let mut doors = self.doors.lock().unwrap();
        doors.retain(|(namespace, pod, _), _| *namespace != name.namespace || *pod != name.name);
        drop(doors);
        self.sim.change(&Change::DeletePod(name.clone())).unwrap();
    }

    fn report(&self, name: &ObjectName, object: &Value, phase: &str) {
        let mut object = object.clone();
        let pod = self.sim.store().pod(&name.namespace, &name.name).unwrap();
        let ips: Vec<Value> = endpoints::addresses(pod)
            .map(|ip| json!({"ip": ip}))
            .collect();
        let ready = if phase == "Running" { "True" } else { "False" };
        let containers = self.pods[name].containers.iter().map(|container| {
            json!({
                "name": container.name, "image": "", "imageID": "",
                "ready": phase == "Running", "restartCount": container.restarts,
            })
        });
        object["status"] = json!({
            "phase": phase,
            "podIP": ips.first().map(|ip| ip["ip"].clone()),
            "podIPs": ips,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": containers.collect::<Vec<_>>(),
        });
        self.tell(name, object);
    }

    /// Writes the status of a pod.
    fn tell(&self, name: &ObjectName, mut object: Value) {
        // Whoever has changed it meanwhile has not changed the status.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        self.ask("PUT", name, "/status", &object);
    }

    /// Asks the server for something about a pod. If it is gone by then, there is nothing to be done.
    fn ask(&self, method: &str, name: &ObjectName, subresource: &str, body: &Value) {
        let (body, namespace, pod) = (body.to_string(), &name.namespace, &name.name);
        let request = format!(
            "{method} /api/v1/namespaces/{namespace}/pods/{pod}{subresource} HTTP/1.1\r\n\
             host: kubelet\r\nconnection: close\r\nauthorization: Bearer {ADMIN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let code = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["200", "404", "409"].contains(&code), "{request}\n{answer}");
    }

    fn tell_of_no_image(&self, name: &ObjectName, object: &Value, containers: &[Contained]) {
        if object["status"]["containerStatuses"].is_array() {
            return;
        }
        let mut object = object.clone();
        let waiting = |container: &Contained| {
            json!({
                "name": container.name, "image": NOWHERE, "imageID": "", "ready": false,
                "restartCount": 0,
                "state": {"waiting": {
                    "reason": "ErrImagePull",
                    "message": format!("failed to pull {NOWHERE}: no such host"),
                }},
            })
        };
        let statuses: Vec<_> = containers.iter().map(waiting).collect();
        object["status"] = json!({"phase": "Pending", "containerStatuses": statuses});
        self.tell(name, object);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for (_, running) in std::mem::take(&mut self.pods) {
            for process in running.containers.into_iter().filter_map(|it| it.process) {
                kill(process);
            }
        }
    }
}

fn kill(mut process: Child) {
    drop(process.kill());
    drop(process.wait());
}
