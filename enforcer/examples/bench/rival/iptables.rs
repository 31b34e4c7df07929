//! The classic shape for `ipset restore` and `iptables-restore`.

use std::fmt::Write as _;

use enforcer::policy::{Direction, Protocol};

use super::{
    MARK,
    classic::{Classic, ClassicRule, Set},
};

const WRITES: &str = "a string takes everything";
/// Members of a set, at most.
const ROOM: usize = 1 << 20;

/// What `ipset -exist restore` is told: all sets, and that they hold this and nothing else.
pub(crate) fn sets(classic: &Classic) -> String {
    let mut text = String::new();
    for (number, set) in classic.sets.iter().enumerate() {
        let name = name(number, set);
        let kind = match set {
            Set::Addresses(_) => "ip",
            Set::Ranges(..) => "net",
        };
        // Making a set that is there is no mistake if it is made the same way.
        writeln!(text, "create {name} hash:{kind} maxelem {ROOM}").expect(WRITES);
        writeln!(text, "flush {name}").expect(WRITES);
        match set {
            Set::Addresses(addresses) => {
                for address in addresses {
                    writeln!(text, "add {name} {address}").expect(WRITES);
                }
            }
            Set::Ranges(ranges, holes) => {
                for range in ranges {
                    writeln!(text, "add {name} {range}").expect(WRITES);
                }
                for hole in holes {
                    writeln!(text, "add {name} {hole} nomatch").expect(WRITES);
                }
            }
        }
    }
    text
}

/// What `iptables-restore` is told: the whole filter table.
pub(crate) fn rules(classic: &Classic) -> String {
    let mut text = String::from("*filter\n:FORWARD ACCEPT\n");
    for number in 0..classic.pods.len() {
        writeln!(text, ":POD-{number} -").expect(WRITES);
    }
    for number in 0..classic.policies.len() {
        writeln!(text, ":POLICY-{number} -").expect(WRITES);
    }
    text.push_str("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n");
    for (number, pod) in classic.pods.iter().enumerate() {
        let end = match pod.direction {
            Direction::Ingress => "-d",
            Direction::Egress => "-s",
        };
        writeln!(text, "-A FORWARD {end} {} -j POD-{number}", pod.address).expect(WRITES);
        for policy in &pod.policies {
            writeln!(text, "-A POD-{number} -j POLICY-{policy}").expect(WRITES);
        }
        writeln!(text, "-A POD-{number} -m mark ! --mark {MARK} -j DROP").expect(WRITES);
        writeln!(text, "-A POD-{number} -j MARK --set-xmark 0x0/0x10000").expect(WRITES);
    }
    for (number, policy) in classic.policies.iter().enumerate() {
        for rule in &policy.rules {
            let matches = matches(classic, rule, policy.direction, policy.subjects);
            writeln!(
                text,
                "-A POLICY-{number}{matches} -j MARK --set-xmark {MARK}"
            )
            .expect(WRITES);
            writeln!(text, "-A POLICY-{number} -m mark --mark {MARK} -j RETURN").expect(WRITES);
        }
    }
    text.push_str("COMMIT\n");
    text
}

/// A set's name; sets of one name are of one kind.
fn name(number: usize, set: &Set) -> String {
    match set {
        Set::Addresses(_) => format!("pods-{number}"),
        Set::Ranges(..) => format!("ranges-{number}"),
    }
}

fn matches(classic: &Classic, rule: &ClassicRule, direction: Direction, subjects: usize) -> String {
    let (subject_end, peer_end) = match direction {
        Direction::Ingress => ("dst", "src"),
        Direction::Egress => ("src", "dst"),
    };
    let mut text = String::new();
    // Sets come before ports, as kube-router and Weave have it.
    if let Some(peers) = rule.peers {
        let peers = name(peers, &classic.sets[peers]);
        write!(text, " -m set --match-set {peers} {peer_end}").expect(WRITES);
    }
    let subjects = name(subjects, &classic.sets[subjects]);
    write!(text, " -m set --match-set {subjects} {subject_end}").expect(WRITES);
    if let Some((protocol, ports)) = rule.ports {
        let (first, last) = (ports.first(), ports.last());
        let protocol = word(protocol);
        write!(text, " -p {protocol} -m {protocol} --dport {first}:{last}").expect(WRITES);
    }
    text
}

pub(super) fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use super::{rules, sets};
    use crate::rival::classic::sample;

    #[test]
    fn every_set_is_filled_anew() {
        insta::assert_snapshot!(sets(&sample()));
    }

    #[test]
    fn every_policy_is_walked() {
        insta::assert_snapshot!(rules(&sample()));
    }
}
