//! NetworkPolicies as people write them and API servers store them.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{
    odd,
    peer::{peer, pod_selector},
    port::port,
    words::POD_LABELS,
};
use crate::fuzz::{
    dice::Dice,
    world::{Labels, World},
};

/// One policy of this name in any namespace; of 100, `odd` are none that a server of today takes.
pub fn policy(dice: &mut Dice, world: &World, name: &str, odd: usize) -> NetworkPolicy {
    let namespace = namespace(dice, world);
    let types = types(dice);
    let mut policy = NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(namespace.clone()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: subject(dice, world, &namespace),
            ingress: list(dice, 75, |dice| {
                let (from, ports) = rule(dice, world);
                NetworkPolicyIngressRule { from, ports }
            }),
            // Rules of a direction that is not meant are ignored, so they are rarer (14, 15).
            egress: list(
                dice,
                if is_about_egress(types.as_deref()) {
                    80
                } else {
                    25
                },
                |dice| {
                    let (to, ports) = rule(dice, world);
                    NetworkPolicyEgressRule { to, ports }
                },
            ),
            policy_types: types,
        }),
    };
    if dice.chance(odd) {
        odd::make(dice, &mut policy);
    }
    policy
}

/// A namespace, rather one with pods.
fn namespace(dice: &mut Dice, world: &World) -> String {
    let of_pods = world.pods.keys().filter_map(|name| name.split('/').next());
    let names: Vec<&str> = of_pods
        .chain(world.namespaces.keys().map(String::as_str))
        .collect();
    (*dice.pick(&names)).to_owned()
}

/// `podSelector`: absent or empty for everybody, or by labels.
fn subject(dice: &mut Dice, world: &World, namespace: &str) -> Option<LabelSelector> {
    match dice.below(10) {
        0 => None,
        1 => Some(LabelSelector::default()),
        2..=8 => {
            let inside = world
                .pods
                .iter()
                .filter(|(name, _)| name.split('/').next() == Some(namespace));
            let actual: Vec<Labels> = inside.map(|(_, pod)| pod.labels.clone()).collect();
            Some(super::selector::selector(dice, &POD_LABELS, &actual))
        }
        _ => Some(pod_selector(dice, world)),
    }
}

fn types(dice: &mut Dice) -> Option<Vec<String>> {
    let types: &[&str] = match dice.below(100) {
        0..25 => return None,
        25..30 => &[],
        30..50 => &["Ingress"],
        50..68 => &["Egress"],
        68..92 => &["Ingress", "Egress"],
        92..95 => &["Egress", "Ingress"],
        95..98 => &["Ingress", "Ingress"],
        _ => &["Egress", "Egress"],
    };
    Some(types.iter().map(ToString::to_string).collect())
}

fn is_about_egress(types: Option<&[String]>) -> bool {
    types.is_some_and(|types| types.iter().any(|t| t == "Egress"))
}

/// One rule: its peers and its ports.
fn rule(
    dice: &mut Dice,
    world: &World,
) -> (
    Option<Vec<NetworkPolicyPeer>>,
    Option<Vec<NetworkPolicyPort>>,
) {
    let peers = list(dice, 82, |dice| peer(dice, world));
    let ports = list(dice, 75, port);
    (peers, ports)
}

/// A list with something in it in so many of 100 cases, else an empty or absent one, which are the
/// same (semantics 3, 4, 43, 84).
fn list<T>(dice: &mut Dice, percent: usize, mut one: impl FnMut(&mut Dice) -> T) -> Option<Vec<T>> {
    if !dice.chance(percent) {
        return dice.chance(40).then(Vec::new);
    }
    let count = dice.weighted(&[(70, 1), (22, 2), (6, 3), (1, 4), (1, 17)]);
    Some((0..count).map(|_| one(dice)).collect())
}
