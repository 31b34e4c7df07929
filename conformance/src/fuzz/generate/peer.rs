//! Entries of `from` and `to`: selectors, and ranges around addresses that somebody has.

use std::{net::IpAddr, slice};

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyPeer},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{
    selector::selector,
    words::{NAMESPACE_LABELS, NAMESPACE_NAME, NAMESPACES, POD_LABELS},
};
use crate::{
    cell::Family,
    fuzz::{
        dice::Dice,
        world::{Labels, World, address_of_pod},
    },
};

/// One peer.
pub(super) fn peer(dice: &mut Dice, world: &World) -> NetworkPolicyPeer {
    let (namespaces, pods, block) = dice.weighted(&[
        (25, (false, true, false)),
        (20, (true, false, false)),
        (20, (true, true, false)),
        (35, (false, false, true)),
    ]);
    // Both selectors look at the same pod, so that they can match together.
    let target = dice.pick_some(&world.pods.keys().cloned().collect::<Vec<_>>());
    NetworkPolicyPeer {
        namespace_selector: namespaces.then(|| namespace_selector(dice, world, target.as_deref())),
        pod_selector: pods.then(|| pods_like(dice, world, target.as_deref())),
        ip_block: block.then(|| block_of(dice, world)),
    }
}

/// A selector of pods, mostly by labels of this one.
fn pods_like(dice: &mut Dice, world: &World, target: Option<&str>) -> LabelSelector {
    match target.and_then(|name| world.pods.get(name)) {
        Some(pod) if dice.chance(75) => selector(dice, &POD_LABELS, slice::from_ref(&pod.labels)),
        _ => pod_selector(dice, world),
    }
}

/// A selector of pods, over the labels of all of them.
pub(super) fn pod_selector(dice: &mut Dice, world: &World) -> LabelSelector {
    let actual: Vec<Labels> = world.pods.values().map(|pod| pod.labels.clone()).collect();
    selector(dice, &POD_LABELS, &actual)
}

/// A selector of namespaces, mostly of the one that this pod is in.
fn namespace_selector(dice: &mut Dice, world: &World, target: Option<&str>) -> LabelSelector {
    let of_target = target.and_then(|name| name.split('/').next());
    let names: Vec<&str> = match of_target {
        Some(name) if dice.chance(75) => vec![name],
        _ => world.namespaces.keys().map(String::as_str).collect(),
    };
    if dice.chance(20) {
        let by_name = [(NAMESPACE_NAME, &NAMESPACES as &[&str])];
        let label = |name: &&str| Labels::from([(NAMESPACE_NAME.to_owned(), (*name).to_owned())]);
        let actual: Vec<Labels> = names.iter().map(label).collect();
        return selector(dice, &by_name, &actual);
    }
    let labels = names.iter().filter_map(|name| world.namespaces.get(*name));
    let actual: Vec<Labels> = labels.cloned().collect();
    selector(dice, &NAMESPACE_LABELS, &actual)
}

/// A range with any holes.
fn block_of(dice: &mut Dice, world: &World) -> IPBlock {
    let inside = some_address(dice, world);
    let cidr = range_around(dice, inside, 0);
    let except = holes(dice, world, cidr);
    IPBlock {
        cidr: cidr.to_string(),
        except: match (except.is_empty(), dice.chance(20)) {
            (true, false) => None,
            _ => Some(except.iter().map(ToString::to_string).collect()),
        },
    }
}

/// An address of a pod, mostly; of a node, a machine outside, or nobody.
fn some_address(dice: &mut Dice, world: &World) -> IpAddr {
    let family = *dice.pick(&world.families);
    // Now and then the family that nobody has.
    let family = match dice.chance(5) {
        true => *dice.pick(&[Family::Ipv4, Family::Ipv6]),
        false => family,
    };
    let of_pods = world
        .pods
        .values()
        .filter_map(|p| world.pod_address(p, family));
    let of_nodes = world
        .nodes
        .keys()
        .flat_map(|name| world.node_addresses(name));
    let mut candidates: Vec<IpAddr> = match dice.weighted(&[(75, 0), (15, 1), (10, 2)]) {
        0 => of_pods.collect(),
        1 => of_nodes.collect(),
        _ => (0..world.externals.len())
            .map(|number| crate::fuzz::world::external_address(number, family))
            .collect(),
    };
    candidates.retain(|address| address.is_ipv4() == (family == Family::Ipv4));
    if candidates.is_empty() {
        candidates.push(address_of_pod(0, 8, family));
    }
    *dice.pick(&candidates)
}

/// A range that holds an address and is longer than `above`.
fn range_around(dice: &mut Dice, address: IpAddr, above: u8) -> IpNet {
    let lengths: &[u8] = match address {
        IpAddr::V4(_) => &[
            0, 1, 8, 16, 22, 24, 28, 28, 29, 29, 30, 30, 31, 31, 32, 32, 32,
        ],
        IpAddr::V6(_) => &[
            0, 1, 32, 48, 64, 112, 124, 124, 125, 125, 126, 126, 127, 127, 128, 128, 128,
        ],
    };
    let longer: Vec<u8> = lengths.iter().copied().filter(|l| *l >= above).collect();
    let length = *dice.pick(&longer);
    let range = IpNet::new(address, length).expect("the length is one of the family's");
    range.trunc()
}

/// Holes inside a range: around addresses that somebody has, or its halves, all of which are
/// strictly smaller (semantics 240).
fn holes(dice: &mut Dice, world: &World, cidr: IpNet) -> Vec<IpNet> {
    let mut holes = Vec::new();
    if cidr.prefix_len() == cidr.max_prefix_len() || dice.chance(45) {
        return holes;
    }
    let halves = cidr.subnets(cidr.prefix_len() + 1).map(Iterator::collect);
    let halves: Vec<IpNet> = halves.unwrap_or_default();
    match dice.below(10) {
        // Both: nothing is left (71).
        0 => holes.extend(&halves),
        1 => holes.push(*dice.pick(&halves)),
        _ => {
            let families = world.families.iter();
            let everybody = world.pods.values().flat_map(|pod| {
                families
                    .clone()
                    .filter_map(|family| world.pod_address(pod, *family))
            });
            let mut inside: Vec<IpAddr> = everybody.filter(|a| cidr.contains(a)).collect();
            inside.push(cidr.addr());
            inside.push(cidr.broadcast());
            for _ in 0..dice.between(1, 3) {
                let around = *dice.pick(&inside);
                holes.push(range_around(dice, around, cidr.prefix_len() + 1));
            }
        }
    }
    holes
}
