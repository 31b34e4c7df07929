//! Entries of `ports`.

use k8s_openapi::{
    api::networking::v1::NetworkPolicyPort, apimachinery::pkg::util::intstr::IntOrString,
};

use super::words::{NOBODY, PORT_NAMES, PORTS, PROTOCOLS};
use crate::fuzz::dice::Dice;

/// One entry.
pub(super) fn port(dice: &mut Dice) -> NetworkPolicyPort {
    let protocol = dice
        .chance(70)
        .then(|| dice.weighted(&PROTOCOLS).to_string());
    let mut port = NetworkPolicyPort {
        protocol,
        ..NetworkPolicyPort::default()
    };
    match dice.below(100) {
        // Every port of the protocol, or of TCP if there is none: `ports: [{}]` (89, 90).
        0..15 => {}
        15..45 => port.port = Some(IntOrString::String(name(dice))),
        45..75 => {
            let (first, last) = range(dice);
            port.port = Some(IntOrString::Int(first.into()));
            port.end_port = Some(last.into());
        }
        _ => port.port = Some(IntOrString::Int((*dice.pick(&PORTS)).into())),
    }
    port
}

fn name(dice: &mut Dice) -> String {
    let name = if dice.chance(8) {
        NOBODY
    } else {
        dice.pick(&PORT_NAMES)
    };
    name.to_owned()
}

fn range(dice: &mut Dice) -> (u16, u16) {
    let first = *dice.pick(&PORTS);
    let last = match dice.below(5) {
        0 => first,
        1 => first.saturating_add(1),
        2 => first.saturating_add(2),
        3 => u16::MAX,
        _ => *dice.pick(&PORTS),
    };
    (first.min(last), first.max(last))
}
