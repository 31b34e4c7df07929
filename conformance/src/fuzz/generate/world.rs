//! Namespaces, nodes, pods and machines outside.

use super::{
    Scale,
    words::{
        EXTERNALS, NAMESPACE_LABELS, NAMESPACES, NODE_LABELS, NODES, PODS, PORT_NAMES, PORTS,
        PROTOCOLS,
    },
};
use crate::{
    cell::Family,
    fuzz::{
        dice::Dice,
        world::{Declared, Labels, Life, Pod, World},
    },
};

/// The host numbers that pods get: few and side by side, so that ranges end among them.
const HOSTS: (usize, usize) = (6, 18);

/// A world without policies.
pub fn world(dice: &mut Dice, scale: Scale) -> World {
    let families = dice.weighted(&[
        (3, &[Family::Ipv4] as &[_]),
        (3, &[Family::Ipv6]),
        (4, &[Family::Ipv4, Family::Ipv6]),
    ]);
    let mut world = World {
        families: families.to_vec(),
        ..World::default()
    };
    let nodes = dice.weighted(&[(3, 1), (5, 2), (2, 3)]);
    for name in &NODES[..nodes] {
        world
            .nodes
            .insert((*name).to_owned(), labels(dice, &NODE_LABELS, 40));
    }
    let namespaces = dice.weighted(&[(2, 1), (5, 2), (3, 3)]);
    for name in &NAMESPACES[..namespaces] {
        world
            .namespaces
            .insert((*name).to_owned(), labels_of_namespace(dice));
    }
    let externals = dice.weighted(&[(3, 0), (5, 1), (2, 2)]);
    world.externals = EXTERNALS[..externals]
        .iter()
        .map(ToString::to_string)
        .collect();
    for _ in 0..dice.between(scale.pods.0, scale.pods.1) {
        add_pod(dice, &mut world);
    }
    if dice.chance(25) {
        reuse_an_address(dice, &mut world);
    }
    if dice.chance(scale.late) {
        claim_an_address_twice(dice, &mut world);
    }
    if scale.services > 0 {
        super::service::add_services(dice, &mut world, scale.services);
    }
    world
}

/// Adds a pod of any kind; none if there is no room for one. Returns its name.
pub fn add_pod(dice: &mut Dice, world: &mut World) -> Option<String> {
    let name = free_name(dice, world)?;
    let nodes: Vec<String> = world.nodes.keys().cloned().collect();
    let node = dice.pick(&nodes).clone();
    let host = free_host(dice, world, &node)?;
    let has_host_pod = world
        .pods
        .values()
        .any(|pod| pod.host_network && pod.node == node);
    let host_network = dice.chance(7) && !has_host_pod;
    let life = dice.weighted(&[
        (90, Life::Running),
        (4, Life::Terminating),
        (2, Life::Pending),
        (2, Life::Succeeded),
        (2, Life::Failed),
    ]);
    let born = next_birth(world);
    let pod = Pod {
        labels: labels_of_pod(dice),
        node,
        host,
        host_network,
        life: if host_network { Life::Running } else { life },
        containers: containers(dice),
        born,
        created: None,
    };
    world.pods.insert(name.clone(), pod);
    Some(name)
}

/// The number of the pod that is created next.
pub(in crate::fuzz) fn next_birth(world: &World) -> u32 {
    world
        .pods
        .values()
        .map(|pod| pod.born + 1)
        .max()
        .unwrap_or(1)
}

/// Ends a pod and gives its address to another (semantics 39, 158).
fn reuse_an_address(dice: &mut Dice, world: &mut World) {
    let apart: Vec<String> = running_apart(world);
    if apart.len() < 2 {
        return;
    }
    let old = dice.pick(&apart).clone();
    let new = dice.pick(&apart).clone();
    if old == new {
        return;
    }
    let (node, host) = (world.pods[&old].node.clone(), world.pods[&old].host);
    if let Some(pod) = world.pods.get_mut(&old) {
        pod.life = *dice.pick(&[Life::Succeeded, Life::Failed]);
    }
    let born = next_birth(world);
    if let Some(pod) = world.pods.get_mut(&new) {
        (pod.node, pod.host, pod.born) = (node, host, born);
    }
}

/// Lets a pod have the address of another that runs (158, 159).
fn claim_an_address_twice(dice: &mut Dice, world: &mut World) {
    let apart = running_apart(world);
    let (Some(old), Some(new)) = (dice.pick_some(&apart), dice.pick_some(&apart)) else {
        return;
    };
    let (node, host) = (world.pods[&old].node.clone(), world.pods[&old].host);
    for name in [old, new] {
        if let Some(pod) = world.pods.get_mut(&name) {
            (pod.node, pod.host) = (node.clone(), host);
            pod.created = *dice.pick(&[None, Some(1), Some(2)]);
        }
    }
    world.is_late = true;
}

fn running_apart(world: &World) -> Vec<String> {
    let pods = world.pods.iter().filter(|(_, pod)| pod.is_running_apart());
    pods.map(|(name, _)| name.clone()).collect()
}

fn free_name(dice: &mut Dice, world: &World) -> Option<String> {
    let all = world
        .namespaces
        .keys()
        .flat_map(|namespace| PODS.iter().map(move |name| format!("{namespace}/{name}")));
    let free: Vec<String> = all.filter(|name| !world.pods.contains_key(name)).collect();
    (!free.is_empty()).then(|| dice.pick(&free).clone())
}

/// A host number that nobody on the node has, now or from earlier days.
pub(in crate::fuzz) fn free_host(dice: &mut Dice, world: &World, node: &str) -> Option<u16> {
    let is_free = |host: &u16| {
        !world
            .pods
            .values()
            .any(|p| p.node == node && p.host == *host)
    };
    let all = (HOSTS.0..=HOSTS.1).filter_map(|host| u16::try_from(host).ok());
    let free: Vec<u16> = all.filter(is_free).collect();
    (!free.is_empty()).then(|| *dice.pick(&free))
}

fn containers(dice: &mut Dice) -> Vec<Vec<Declared>> {
    let count = dice.weighted(&[(2, 0), (6, 1), (3, 2)]);
    (0..count).map(|_| container(dice)).collect()
}

fn container(dice: &mut Dice) -> Vec<Declared> {
    let mut ports: Vec<Declared> = Vec::new();
    for _ in 0..dice.between(0, 3) {
        let name = dice
            .chance(80)
            .then(|| (*dice.pick(&PORT_NAMES)).to_owned());
        let port = Declared {
            number: *dice.pick(&PORTS),
            protocol: dice.weighted(&PROTOCOLS),
            name,
        };
        // The API server wants names and ports once per container.
        let clashes = |other: &Declared| {
            (other.name.is_some() && other.name == port.name) || other.port() == port.port()
        };
        if !ports.iter().any(clashes) {
            ports.push(port);
        }
    }
    ports
}

/// Labels that a pod may have.
pub fn labels_of_pod(dice: &mut Dice) -> Labels {
    labels(dice, &super::words::POD_LABELS, 55)
}

/// Labels that a namespace may have, without its name.
pub fn labels_of_namespace(dice: &mut Dice) -> Labels {
    labels(dice, &NAMESPACE_LABELS, 55)
}

pub(in crate::fuzz) fn labels(
    dice: &mut Dice,
    words: &[(&str, &[&str])],
    percent: usize,
) -> Labels {
    let mut labels = Labels::new();
    for (key, values) in words {
        if dice.chance(percent) {
            labels.insert((*key).to_owned(), (*dice.pick(values)).to_owned());
        }
    }
    labels
}
