//! Services in front of pods.

use crate::{
    cell::Protocol,
    fuzz::{
        dice::Dice,
        world::{Labels, Pod, Service, Target, World},
    },
};

/// The first port of nodes that leads to a Service.
const FIRST_NODE_PORT: u16 = 30_100;

/// Adds at most so many Services to a world. Each has a pod behind it that listens.
pub(super) fn add_services(dice: &mut Dice, world: &mut World, most: usize) {
    let pods: Vec<(String, Pod)> = world
        .pods
        .iter()
        .filter(|(_, pod)| pod.is_running_apart() && pod.declared().next().is_some())
        .map(|(name, pod)| (name.clone(), pod.clone()))
        .collect();
    if pods.is_empty() {
        return;
    }
    for number in 0..dice.between(0, most) {
        let (name, pod) = dice.pick(&pods);
        let labels: Vec<(String, String)> = pod.labels.clone().into_iter().collect();
        if labels.is_empty() {
            continue;
        }
        let (key, value) = dice.pick(&labels).clone();
        let declared: Vec<_> = pod.declared().cloned().collect();
        let port = dice.pick(&declared);
        let target = match &port.name {
            Some(name) if dice.chance(60) => Target::Name(name.clone()),
            _ => Target::Number(port.number),
        };
        // The simulator's nodes cannot translate SCTP.
        if port.protocol == Protocol::Sctp {
            continue;
        }
        let index = u16::try_from(number).expect("there are few Services");
        let service = Service {
            selector: Labels::from([(key, value)]),
            port: *dice.pick(&[80, 8000, 53]),
            protocol: port.protocol,
            target,
            node_port: dice.chance(40).then_some(FIRST_NODE_PORT + index),
            external_local: dice.chance(40),
            internal_local: dice.chance(25),
            is_sticky: dice.chance(25),
        };
        let namespace = name.split('/').next().unwrap_or_default();
        world
            .services
            .insert(format!("{namespace}/s{number}"), service);
    }
}
