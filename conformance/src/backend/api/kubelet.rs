//! What the kubelets write: the simulated nodes and what becomes of the pods on them.

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus, HostIP,
        Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, Pod, PodCondition,
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

use crate::{scenario::Phase, store};

/// A node as its kubelet registers it.
pub(super) fn node(mut node: Node, pod_cidrs: Vec<String>) -> Node {
    node.spec = Some(NodeSpec {
        pod_cidr: pod_cidrs.first().cloned(),
        pod_cidrs: Some(pod_cidrs),
        ..NodeSpec::default()
    });
    node.status = None;
    node
}

/// Says that a node is ready, and by which addresses it is known.
pub(super) fn report_node(node: &mut Node, addresses: &[IpAddr]) {
    let internal = |address: &IpAddr| NodeAddress {
        address: address.to_string(),
        type_: "InternalIP".to_owned(),
    };
    let now = now();
    node.status = Some(NodeStatus {
        addresses: Some(addresses.iter().map(internal).collect()),
        conditions: Some(vec![NodeCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: Some("Simulated".to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(now),
            ..NodeCondition::default()
        }]),
        ..NodeStatus::default()
    });
}

/// Says that a pod has reached a phase, and which addresses it has.
pub(super) fn report_pod(pod: &mut Pod, phase: Phase, own: &[IpAddr], of_node: &[IpAddr]) {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.get_or_insert_default();
    status.phase = Some(phase.to_string());
    if phase == Phase::Pending {
        return;
    }
    let is_running = phase == Phase::Running;
    if is_running {
        store::give_addresses(status, own);
    }
    status.host_ip = of_node.first().map(ToString::to_string);
    let host = |address: &IpAddr| HostIP {
        ip: address.to_string(),
    };
    status.host_ips = Some(of_node.iter().map(host).collect());
    let now = now();
    status.start_time.get_or_insert_with(|| now.clone());
    let condition = |kind: &str, is_so: bool| PodCondition {
        type_: kind.to_owned(),
        status: if is_so { "True" } else { "False" }.to_owned(),
        last_transition_time: Some(now.clone()),
        ..PodCondition::default()
    };
    status.conditions = Some(vec![
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", is_running),
        condition("Ready", is_running),
    ]);
    let before = status.container_statuses.take().unwrap_or_default();
    let containers = spec.containers.iter().map(|container| {
        let image = container.image.clone().unwrap_or_default();
        let mut known = before.iter();
        let known = known.find(|status| status.name == container.name);
        ContainerStatus {
            name: container.name.clone(),
            image_id: image.clone(),
            image,
            ready: is_running,
            started: Some(is_running),
            restart_count: known.map_or(0, |status| status.restart_count),
            state: Some(state(phase, &now)),
            ..ContainerStatus::default()
        }
    });
    status.container_statuses = Some(containers.collect());
}

/// Says that the containers of a pod have ended and begun again.
pub(super) fn report_restart(pod: &mut Pod) {
    let statuses = pod.status.get_or_insert_default();
    for status in statuses.container_statuses.iter_mut().flatten() {
        status.restart_count += 1;
        status.state = Some(state(Phase::Running, &now()));
    }
}

fn state(phase: Phase, now: &Time) -> ContainerState {
    match phase {
        Phase::Succeeded | Phase::Failed => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: i32::from(phase == Phase::Failed),
                started_at: Some(now.clone()),
                finished_at: Some(now.clone()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
        Phase::Pending | Phase::Running => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(now.clone()),
            }),
            ..ContainerState::default()
        },
    }
}

fn now() -> Time {
    // The API server keeps whole seconds.
    let seconds = Timestamp::now().as_second();
    Time(Timestamp::from_second(seconds).unwrap_or_default())
}

/// Whether agents are told of a pod: of those that have ended they are not.
pub(super) fn is_told(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}
