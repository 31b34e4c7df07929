//! Policies that no API server of today takes.
//!
//! Older ones stored ranges with host bits or leading zeros (semantics 78, 79, 245), and an object
//! of a newer server may have values that nobody here can read: those close their own pods and
//! open nothing (227).

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::words::POD_LABELS;
use crate::fuzz::dice::Dice;

/// What is odd about a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A range as older servers took it.
    LegacyRange,
    /// A range that is none.
    NoRange,
    /// A peer with too few or too many fields.
    Peer,
    /// A port that cannot be.
    Port,
    /// A selector with an operator or values that nobody knows.
    Selector,
    /// The selector of the subjects likewise.
    Subject,
    /// A policy type that nobody knows.
    Type,
}

/// Makes something of a policy odd, if there is something to make so.
pub(super) fn make(dice: &mut Dice, policy: &mut NetworkPolicy) {
    let oddity = dice.weighted(&[
        (8, Oddity::LegacyRange),
        (2, Oddity::NoRange),
        (3, Oddity::Peer),
        (4, Oddity::Port),
        (3, Oddity::Selector),
        (2, Oddity::Subject),
        (1, Oddity::Type),
    ]);
    let Some(spec) = &mut policy.spec else { return };
    match oddity {
        Oddity::Subject => spec.pod_selector = Some(bad_selector(dice)),
        Oddity::Type => {
            let types = spec.policy_types.get_or_insert_default();
            types.truncate(1);
            types.push("Both".to_owned());
        }
        Oddity::LegacyRange => {
            if let Some(block) = some_block(dice, policy) {
                legacy(dice, block);
            }
        }
        Oddity::NoRange => {
            if let Some(block) = some_block(dice, policy) {
                let text = (*dice.pick(&["10.244.0.0", "10.244.0.0/33", "all", ""])).to_owned();
                match block.except.as_mut().and_then(|holes| holes.first_mut()) {
                    Some(hole) if !text.is_empty() && dice.chance(50) => *hole = text,
                    _ => block.cidr = text,
                }
            }
        }
        Oddity::Peer => {
            if let Some(peer) = some_peer(dice, policy) {
                bad_peer(dice, peer);
            }
        }
        Oddity::Selector => {
            if let Some(peer) = some_peer(dice, policy) {
                *peer = NetworkPolicyPeer {
                    pod_selector: Some(bad_selector(dice)),
                    namespace_selector: peer.namespace_selector.take(),
                    ip_block: None,
                };
            }
        }
        Oddity::Port => {
            if let Some(port) = some_port(dice, policy) {
                bad_port(dice, port);
            }
        }
    }
}

fn peers(policy: &mut NetworkPolicy) -> Vec<&mut NetworkPolicyPeer> {
    let Some(spec) = &mut policy.spec else {
        return Vec::new();
    };
    let ingress = spec.ingress.iter_mut().flatten().map(|rule| &mut rule.from);
    let egress = spec.egress.iter_mut().flatten().map(|rule| &mut rule.to);
    ingress.chain(egress).flatten().flatten().collect()
}

fn some_peer<'a>(
    dice: &mut Dice,
    policy: &'a mut NetworkPolicy,
) -> Option<&'a mut NetworkPolicyPeer> {
    one_of(dice, peers(policy))
}

fn some_block<'a>(dice: &mut Dice, policy: &'a mut NetworkPolicy) -> Option<&'a mut IPBlock> {
    let blocks = peers(policy)
        .into_iter()
        .filter_map(|peer| peer.ip_block.as_mut());
    one_of(dice, blocks.collect())
}

fn some_port<'a>(
    dice: &mut Dice,
    policy: &'a mut NetworkPolicy,
) -> Option<&'a mut NetworkPolicyPort> {
    let spec = policy.spec.as_mut()?;
    let ingress = spec
        .ingress
        .iter_mut()
        .flatten()
        .map(|rule| &mut rule.ports);
    let egress = spec.egress.iter_mut().flatten().map(|rule| &mut rule.ports);
    one_of(dice, ingress.chain(egress).flatten().flatten().collect())
}

fn one_of<'a, T>(dice: &mut Dice, mut list: Vec<&'a mut T>) -> Option<&'a mut T> {
    (!list.is_empty()).then(|| list.swap_remove(dice.below(list.len())))
}

/// Host bits, leading zeros, or an IPv4-mapped range.
fn legacy(dice: &mut Dice, block: &mut IPBlock) {
    let Some((address, length)) = block.cidr.split_once('/') else {
        return;
    };
    let is_ipv4 = !address.contains(':');
    let mapped = length.parse::<u8>().unwrap_or_default() + 96;
    block.cidr = match dice.below(3) {
        0 if is_ipv4 => {
            let octets: Vec<String> = address.split('.').map(|o| format!("{o:0>3}")).collect();
            format!("{}/{length}", octets.join("."))
        }
        1 if is_ipv4 && block.except.is_none() => format!("::ffff:{address}/{mapped}"),
        _ if is_ipv4 => {
            let (front, last) = address.rsplit_once('.').unwrap_or_default();
            let last: u8 = last.parse().unwrap_or_default();
            format!("{front}.{}/{length}", last | 1)
        }
        _ => format!("{}/{length}", address.replace("::", "::0")),
    };
}

fn bad_selector(dice: &mut Dice) -> LabelSelector {
    let (key, values) = dice.pick(&POD_LABELS);
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    let (operator, values) = match dice.below(4) {
        0 => ("In", None),
        1 => ("NotIn", Some(Vec::new())),
        2 => ("Exists", Some(values)),
        _ => ("Gt", Some(values)),
    };
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: (*key).to_owned(),
            operator: operator.to_owned(),
            values,
        }]),
        match_labels: None,
    }
}

fn bad_peer(dice: &mut Dice, peer: &mut NetworkPolicyPeer) {
    if dice.chance(50) {
        *peer = NetworkPolicyPeer::default();
    } else {
        peer.pod_selector.get_or_insert_default();
        peer.ip_block.get_or_insert_with(|| IPBlock {
            cidr: "0.0.0.0/0".to_owned(),
            except: None,
        });
    }
}

fn bad_port(dice: &mut Dice, port: &mut NetworkPolicyPort) {
    match dice.below(7) {
        0 => port.protocol = Some("tcp".to_owned()),
        1 => port.protocol = Some("ICMP".to_owned()),
        2 => port.port = Some(IntOrString::Int(0)),
        3 => port.port = Some(IntOrString::Int(65_536)),
        4 => {
            port.port = None;
            port.end_port = Some(90);
        }
        5 => {
            port.port = Some(IntOrString::Int(90));
            port.end_port = Some(80);
        }
        _ => {
            port.port = Some(IntOrString::String("http".to_owned()));
            port.end_port = Some(443);
        }
    }
}
