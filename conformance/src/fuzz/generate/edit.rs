//! Edits that could happen to a world now.

use super::{
    add_pod, labels_of_namespace, labels_of_pod, policy,
    words::{NAMESPACES, NODE_LABELS},
    world::{free_host, labels, next_birth},
};
use crate::fuzz::{
    dice::Dice,
    edit::{Edit, policy_name},
    world::{Life, World},
};

/// How many names policies have between them, so that edits often meet the same one.
const POLICY_NAMES: usize = 6;

/// An edit that can probably be made; [`World::edit`] knows. `odd` as for policies.
pub fn edit(dice: &mut Dice, world: &World, odd: usize) -> Option<Edit> {
    match dice.below(100) {
        0..34 => {
            let name = format!("p{}", dice.below(POLICY_NAMES));
            let policy = policy(dice, world, &name, odd);
            Some(Edit::ApplyPolicy(Box::new(policy)))
        }
        34..44 => {
            let names: Vec<String> = world.policies.iter().map(policy_name).collect();
            dice.pick_some(&names).map(Edit::DeletePolicy)
        }
        44..56 => {
            let mut after = world.clone();
            let name = add_pod(dice, &mut after)?;
            Some(Edit::CreatePod(name.clone(), after.pods[&name].clone()))
        }
        56..63 => Some(Edit::DeletePod(any_pod(dice, world)?)),
        63..72 => replace(dice, world),
        72..80 => Some(Edit::LabelPod(any_pod(dice, world)?, labels_of_pod(dice))),
        80..86 => {
            let life = *dice.pick(&[Life::Succeeded, Life::Failed, Life::Terminating]);
            let pods = world.pods.iter().filter(|(_, pod)| pod.is_running_apart());
            let names: Vec<String> = pods.map(|(name, _)| name.clone()).collect();
            Some(Edit::EndPod(dice.pick_some(&names)?, life))
        }
        86..93 => {
            let names: Vec<String> = world.namespaces.keys().cloned().collect();
            Some(Edit::LabelNamespace(
                dice.pick_some(&names)?,
                labels_of_namespace(dice),
            ))
        }
        93..95 => {
            let names: Vec<String> = world.namespaces.keys().cloned().collect();
            // One stays, for what comes next.
            let name = dice.pick_some(&names).filter(|_| names.len() > 1)?;
            Some(Edit::DeleteNamespace(name))
        }
        95..98 => {
            let name = (*dice.pick(&NAMESPACES)).to_owned();
            Some(Edit::CreateNamespace(name, labels_of_namespace(dice)))
        }
        _ => {
            let names: Vec<String> = world.nodes.keys().cloned().collect();
            Some(Edit::LabelNode(
                dice.pick_some(&names)?,
                labels(dice, &NODE_LABELS, 50),
            ))
        }
    }
}

/// The same pod on any node with a new or an old address.
fn replace(dice: &mut Dice, world: &World) -> Option<Edit> {
    let name = any_pod(dice, world)?;
    let mut pod = world.pods[&name].clone();
    if pod.host_network {
        return None;
    }
    let nodes: Vec<String> = world.nodes.keys().cloned().collect();
    pod.node = dice.pick_some(&nodes)?;
    let given_up = world
        .pods
        .values()
        .filter(|other| other.node == pod.node && other.life.is_finished() && !other.host_network);
    let given_up: Vec<u16> = given_up.map(|other| other.host).collect();
    pod.host = match dice.chance(40) {
        true => dice
            .pick_some(&given_up)
            .or_else(|| free_host(dice, world, &pod.node)),
        false => free_host(dice, world, &pod.node),
    }?;
    pod.life = Life::Running;
    pod.born = next_birth(world);
    Some(Edit::ReplacePod(name, pod))
}

fn any_pod(dice: &mut Dice, world: &World) -> Option<String> {
    let names: Vec<String> = world.pods.keys().cloned().collect();
    dice.pick_some(&names)
}
