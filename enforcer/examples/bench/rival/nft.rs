//! The classic shape line by line in nftables, as a script for `nft -f`.

use std::fmt::Write as _;

use enforcer::policy::Direction;

use super::{
    classic::{Classic, ClassicRule, Set},
    iptables::word,
};

const WRITES: &str = "a string takes everything";

/// A script that replaces the whole table.
pub(crate) fn script(classic: &Classic) -> String {
    let mut text = String::from("table ip classic\ndelete table ip classic\ntable ip classic {\n");
    for (number, set) in classic.sets.iter().enumerate() {
        self::set(&mut text, number, set);
    }
    for (number, policy) in classic.policies.iter().enumerate() {
        writeln!(text, "chain policy-{number} {{").expect(WRITES);
        for rule in &policy.rules {
            let matches = matches(rule, policy.direction, policy.subjects);
            writeln!(text, "{matches}meta mark set meta mark or 0x10000").expect(WRITES);
            writeln!(text, "meta mark and 0x10000 == 0x10000 return").expect(WRITES);
        }
        text.push_str("}\n");
    }
    for (number, pod) in classic.pods.iter().enumerate() {
        writeln!(text, "chain pod-{number} {{").expect(WRITES);
        for policy in &pod.policies {
            writeln!(text, "jump policy-{policy}").expect(WRITES);
        }
        text.push_str("meta mark and 0x10000 == 0 drop\n");
        text.push_str("meta mark set meta mark and 0xfffeffff\n}\n");
    }
    text.push_str("chain forward {\ntype filter hook forward priority 0;\n");
    text.push_str("ct state established,related accept\n");
    for (number, pod) in classic.pods.iter().enumerate() {
        let end = match pod.direction {
            Direction::Ingress => "daddr",
            Direction::Egress => "saddr",
        };
        writeln!(text, "ip {end} {} jump pod-{number}", pod.address).expect(WRITES);
    }
    text.push_str("}\n}\n");
    text
}

fn set(text: &mut String, number: usize, set: &Set) {
    let (flags, elements): (_, Vec<String>) = match set {
        Set::Addresses(addresses) => ("", addresses.iter().map(ToString::to_string).collect()),
        // Holes would need a second set and a rule of its own.
        Set::Ranges(ranges, _) => (
            "flags interval; ",
            ranges.iter().map(ToString::to_string).collect(),
        ),
    };
    write!(text, "set s{number} {{ type ipv4_addr; {flags}").expect(WRITES);
    if !elements.is_empty() {
        write!(text, "elements = {{ {} }}; ", elements.join(", ")).expect(WRITES);
    }
    text.push_str("}\n");
}

fn matches(rule: &ClassicRule, direction: Direction, subjects: usize) -> String {
    let (subject_end, peer_end) = match direction {
        Direction::Ingress => ("daddr", "saddr"),
        Direction::Egress => ("saddr", "daddr"),
    };
    let mut text = String::new();
    if let Some(peers) = rule.peers {
        write!(text, "ip {peer_end} @s{peers} ").expect(WRITES);
    }
    write!(text, "ip {subject_end} @s{subjects} ").expect(WRITES);
    if let Some((protocol, ports)) = rule.ports {
        let (first, last) = (ports.first(), ports.last());
        write!(text, "{} dport {first}-{last} ", word(protocol)).expect(WRITES);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::script;
    use crate::rival::classic::sample;

    #[test]
    fn it_is_the_classic_shape_line_by_line() {
        insta::assert_snapshot!(script(&sample()));
    }
}
