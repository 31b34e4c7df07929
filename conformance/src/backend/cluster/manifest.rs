//! The pods that are made on a cluster for those of a scenario.
//!
//! Each has the name, labels, containers and declared ports of its pod in the scenario. Its first
//! container listens on everything the pod listens on, since all containers share one network; the
//! others are there to be there. Nothing runs with a privilege that the scenario does not need:
//! ordinary pods satisfy the `restricted` Pod Security Standard.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, Container, EnvVar, ExecAction, NodeAffinity, NodeSelector,
        NodeSelectorRequirement, NodeSelectorTerm, Pod as PodObject, PodSchedulingGate,
        PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
        Sysctl,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::session::PROGRAM;
use crate::{
    cell::{Port, Protocol},
    scenario::{
        AddressChoice, ObjectName, Phase, Pod,
        world::{PodParts, pod_object},
    },
};

/// Who owns the processes of ordinary pods: nobody.
const NOBODY: i64 = 65_534;

/// What a pod is kept waiting by that shall be pending.
pub(super) const GATE: &str = "portcullis.dev/pending";

/// How long a pod may live on that is told to end and shall not, in seconds.
pub(super) const LINGERING: u32 = 600;

/// What the story of a scenario demands of its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demands {
    /// Its containers end one day, and must not be started again.
    pub(super) finishes: bool,
    /// It is told to end, and runs on.
    pub(super) lingers: bool,
    /// SCTP is spoken in the scenario.
    pub(super) sctp: bool,
}

/// Where and of what a pod is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making<'a> {
    /// The real node.
    pub(super) node: &'a str,
    /// The image of `portcullis-probe`.
    pub(super) image: &'a str,
    /// What is demanded of it.
    pub(super) demands: Demands,
}

/// What a namespace must allow for these pods, as its label `pod-security.kubernetes.io/enforce` says.
pub(super) fn security_of<'a>(pods: impl IntoIterator<Item = &'a Pod>, sctp: bool) -> &'static str {
    let needs_more = |pod: &Pod| sctp || pod.is_host_network() || !pod.host_ports().is_empty();
    if pods.into_iter().any(needs_more) {
        "privileged"
    } else {
        "restricted"
    }
}

/// The pod to be created.
pub(super) fn pod(pod: &Pod, making: Making<'_>) -> PodObject {
    let written = pod.object.spec.clone().unwrap_or_default();
    let is_host = pod.is_host_network();
    let is_root = is_host || making.demands.sctp;
    let mut containers = written.containers.iter().enumerate();
    let main = containers
        .next()
        .map(|(_, written)| first(pod, written, making));
    let others = containers.map(|(index, written)| idle(pod, written, index, making));
    let before = written.init_containers.iter().flatten().enumerate();
    let before: Vec<_> = before
        .map(|(index, written)| match written.restart_policy.as_deref() {
            Some("Always") => Container {
                restart_policy: Some("Always".to_owned()),
                ..idle(pod, written, 1_000 + index, making)
            },
            // An ordinary one has to end before the others begin.
            _ => {
                let done = ["--version".to_owned()];
                container(pod, written, making, done, String::new())
            }
        })
        .collect();
    let is_pending = pod.phase == Phase::Pending;
    let never_again =
        making.demands.finishes || !matches!(pod.phase, Phase::Running | Phase::Pending);
    PodObject {
        metadata: ObjectMeta {
            namespace: Some(pod.name.namespace.clone()),
            name: Some(pod.name.name.clone()),
            labels: pod.object.metadata.labels.clone(),
            annotations: pod.object.metadata.annotations.clone(),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: main.into_iter().chain(others).collect(),
            init_containers: (!before.is_empty()).then_some(before),
            host_network: is_host.then_some(true),
            // A pod with a gate must not have a node; it gets this one all the same.
            node_name: (!is_pending).then(|| making.node.to_owned()),
            affinity: is_pending.then(|| only_on(making.node)),
            scheduling_gates: is_pending.then(|| {
                vec![PodSchedulingGate {
                    name: GATE.to_owned(),
                }]
            }),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            dns_policy: Some("Default".to_owned()),
            restart_policy: Some(if never_again { "Never" } else { "Always" }.to_owned()),
            termination_grace_period_seconds: Some(match making.demands.lingers {
                true => i64::from(LINGERING),
                false => 2,
            }),
            security_context: Some(pod_security(is_root, is_host)),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// A pod that stands for the processes of a node: on its network, listening on what they listen on.
pub(super) fn node(name: &ObjectName, listen: &[Port], node: &str, image: &str) -> PodObject {
    let stands_for = Pod {
        name: name.clone(),
        object: pod_object(PodParts {
            name: name.clone(),
            labels: BTreeMap::new(),
            node: node.to_owned(),
            host_network: true,
            service_account: None,
            containers: vec![("node".to_owned(), Vec::new())],
        }),
        listen: listen.to_vec(),
        phase: Phase::Running,
        terminating: false,
        address: AddressChoice::Fresh,
        workload: None,
    };
    let making = Making {
        node,
        image,
        demands: Demands::default(),
    };
    let mut object = pod(&stands_for, making);
    let containers = object.spec.iter_mut().flat_map(|spec| &mut spec.containers);
    for said in containers.flat_map(|container| container.env.iter_mut().flatten()) {
        said.value = Some(format!("node/{}", name.name));
    }
    object
}

/// The one that listens, and that others are started beside.
fn first(pod: &Pod, written: &Container, making: Making<'_>) -> Container {
    let mut arguments = match pod.phase {
        Phase::Running | Phase::Pending => vec!["serve".to_owned()],
        // These end at once, well and badly.
        Phase::Succeeded => vec!["--version".to_owned()],
        Phase::Failed => vec!["ready".to_owned()],
    };
    let serves = arguments == ["serve"];
    if serves {
        let ports: Vec<String> = pod.listen.iter().filter_map(listen).collect();
        if !ports.is_empty() {
            arguments.extend(["--listen".to_owned(), ports.join(",")]);
        }
        let flags = [
            (making.demands.sctp, "--sctp"),
            (making.demands.lingers, "--stay"),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        arguments.extend(set.map(|(_, flag)| flag.to_owned()));
    }
    Container {
        startup_probe: serves.then(|| Probe {
            exec: Some(ExecAction {
                command: Some(vec![PROGRAM.to_owned(), "ready".to_owned()]),
            }),
            period_seconds: Some(1),
            timeout_seconds: Some(5),
            failure_threshold: Some(60),
            ..Probe::default()
        }),
        ..container(pod, written, making, arguments, pod.name.to_string())
    }
}

/// One that does nothing.
fn idle(pod: &Pod, written: &Container, index: usize, making: Making<'_>) -> Container {
    let name = format!("{}#{index}", pod.name);
    let ends = matches!(pod.phase, Phase::Succeeded | Phase::Failed);
    let word = if ends { "--version" } else { "serve" };
    container(pod, written, making, [word.to_owned()], name)
}

fn container(
    pod: &Pod,
    written: &Container,
    making: Making<'_>,
    arguments: impl Into<Vec<String>>,
    name: String,
) -> Container {
    let quantity = |text: &str| Quantity(text.to_owned());
    let little = BTreeMap::from([
        ("cpu".to_owned(), quantity("1m")),
        ("memory".to_owned(), quantity("4Mi")),
    ]);
    Container {
        name: written.name.clone(),
        image: Some(making.image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![PROGRAM.to_owned()]),
        args: Some(arguments.into()),
        env: Some(vec![EnvVar {
            name: "PORTCULLIS_PROBE_NAME".to_owned(),
            value: Some(name),
            ..EnvVar::default()
        }]),
        ports: written.ports.clone(),
        resources: Some(ResourceRequirements {
            requests: Some(little),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: capabilities(pod, making),
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// On the network of a node low ports and ping are not open to everybody, and SCTP needs raw sockets
/// everywhere.
fn capabilities(pod: &Pod, making: Making<'_>) -> Option<Vec<String>> {
    let is_host = pod.is_host_network();
    let needed = [
        (is_host, "NET_BIND_SERVICE"),
        (is_host || making.demands.sctp, "NET_RAW"),
    ];
    let names = needed.into_iter().filter(|(is_needed, _)| *is_needed);
    let names: Vec<_> = names.map(|(_, name)| name.to_owned()).collect();
    (!names.is_empty()).then_some(names)
}

fn pod_security(is_root: bool, is_host: bool) -> PodSecurityContext {
    let sysctl = |name: &str, value: &str| Sysctl {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let user = if is_root { 0 } else { NOBODY };
    PodSecurityContext {
        run_as_user: Some(user),
        run_as_group: Some(user),
        run_as_non_root: (!is_root).then_some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        // Both are among those that every cluster takes to be safe. Not on the network of the node.
        sysctls: (!is_host).then(|| {
            vec![
                sysctl("net.ipv4.ip_unprivileged_port_start", "0"),
                sysctl("net.ipv4.ping_group_range", "0 2147483647"),
            ]
        }),
        ..PodSecurityContext::default()
    }
}

fn listen(port: &Port) -> Option<String> {
    let number = port.number?;
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        // The kernel answers it.
        Protocol::Icmp => return None,
    };
    Some(format!("{number}/{protocol}"))
}

/// A pod that the scheduler can put there and nowhere else.
fn only_on(node: &str) -> Affinity {
    let named = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm {
        match_fields: Some(vec![named]),
        ..NodeSelectorTerm::default()
    };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}
