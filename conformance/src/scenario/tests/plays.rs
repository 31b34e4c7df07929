//! One file, several plays.

use enforcer::options::{Deny, Established, Options, Unprogrammed};

use super::{DENY, changes, file, plays};
use crate::{
    cell::{Family, Outcome},
    scenario::{self, Expected, Fabric, Families, When, load_text},
};

#[test]
fn a_file_is_played_once_for_every_combination() {
    let spec = "cluster: {grid: {listen: [\"${port}/${protocol}\"]}}
forEach: {protocol: [tcp, udp], port: [80, 81], family: [ipv6], fabric: [routed]}
steps:
- {name: \"on ${port}\", expect: allow}
";
    let plays = plays(spec);
    let names: Vec<&str> = plays.iter().map(|play| play.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "s[tcp,80,ipv6,routed]",
            "s[tcp,81,ipv6,routed]",
            "s[udp,80,ipv6,routed]",
            "s[udp,81,ipv6,routed]",
        ]
    );
    let last = &plays[3];
    assert_eq!(last.steps[0].name, "on 81");
    assert_eq!(
        (last.families, last.fabric),
        (Families::Ipv6, Some(Fabric::Routed))
    );
    let cell = last.steps[0].cells().first().map(ToString::to_string);
    assert_eq!(cell.as_deref(), Some("x/a -> x/a:81/UDP over IPv6"));
}

#[test]
fn a_family_of_a_dual_stack_cluster_is_the_only_one_that_is_probed() {
    let spec = "cluster: {grid: {}, families: dual}\nforEach: {family: [ipv6]}\nsteps:\n- {name: one, expect: allow}\n";
    let play = &plays(spec)[0];
    assert_eq!(
        (play.families, play.family),
        (Families::Dual, Some(Family::Ipv6))
    );
    assert!(
        play.steps[0]
            .cells()
            .iter()
            .all(|cell| cell.family == Family::Ipv6)
    );
}

#[test]
fn the_command_line_chooses_families_where_the_file_is_silent() {
    let options = scenario::Options {
        families: Some(Families::Ipv6),
    };
    let load = |spec: &str| load_text("s.yaml", &file(spec), &options).unwrap()[0].families;
    let steps = "steps:\n- {name: one, expect: allow}\n";
    assert_eq!(
        load(&format!("cluster: {{grid: {{}}}}\n{steps}")),
        Families::Ipv6
    );
    assert_eq!(
        load(&format!("cluster: {{grid: {{}}, families: ipv4}}\n{steps}")),
        Families::Ipv4
    );
}

#[test]
fn a_play_can_make_the_choices_of_the_enforcer() {
    let spec = format!(
        "cluster: {{grid: {{}}}}
forEach: {{established: [keep, revoke], deny: [drop, reject], unprogrammed: [open]}}
{DENY}steps:
- {{name: one, expect: allow, open: {{upload: x/a -> x/b}}}}
- name: two
  apply: [deny]
  expect:
  - {{ports: [80/tcp], default: allow, deny: [\"* -> x/*\"], when: {{deny: reject}}}}
  - {{ports: [80/tcp], default: allow, deny: [\"* -> x/*\"], within: 1s, when: {{deny: drop, unprogrammed: open}}}}
  use: [{{flow: upload, when: {{established: keep}}}}, {{flow: upload, expect: deny, when: {{established: revoke}}}}]
"
    );
    let plays = plays(&spec);
    let names: Vec<&str> = plays.iter().map(|play| play.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "s[keep,drop,open]",
            "s[keep,reject,open]",
            "s[revoke,drop,open]",
            "s[revoke,reject,open]",
        ]
    );
    let options = plays[3].options.over(Options::default());
    assert_eq!(
        options,
        Options {
            established: Established::Revoke,
            unprogrammed: Unprogrammed::Open,
            deny: Deny::Reject,
        }
    );
    let step = &plays[3].steps[1];
    let holds = |when: Option<When>| when.is_none_or(|when| when.holds(options));
    let blocks: Vec<bool> = step.expectations.iter().map(|e| holds(e.when)).collect();
    assert_eq!(blocks, [true, false]);
    let uses: Vec<bool> = step.uses.iter().map(|used| holds(used.when)).collect();
    assert_eq!(uses, [false, true]);
}

#[test]
fn a_denial_is_what_the_enforcer_makes_of_it() {
    let accepted = |deny: Deny| {
        let all = [
            Outcome::Allowed,
            Outcome::Denied,
            Outcome::Refused,
            Outcome::Unreachable,
        ];
        all.map(|outcome| Expected::Deny.accepts(outcome, deny))
    };
    assert_eq!(accepted(Deny::Drop), [false, true, false, false]);
    assert_eq!(accepted(Deny::Reject), [false, true, true, true]);
}

#[test]
fn every_order_of_policies_is_played() {
    let spec = format!(
        "cluster: {{grid: {{}}}}
permute: policies
{DENY}  open: {{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{namespace: x, name: open}}, spec: {{ingress: [{{}}]}}}}
steps:
- {{name: one, apply: [deny, open], expect: allow}}
- {{name: two, delete: [open], expect: {{default: allow, deny: [\"* -> x/*\"]}}}}
"
    );
    let orders: Vec<(String, Vec<String>)> = plays(&spec)
        .iter()
        .map(|play| (play.name.clone(), changes(play, 0)))
        .collect();
    assert_eq!(
        orders,
        [
            (
                "s[order=1]".to_owned(),
                vec![
                    "apply policy x/deny".to_owned(),
                    "apply policy x/open".to_owned()
                ]
            ),
            (
                "s[order=2]".to_owned(),
                vec![
                    "apply policy x/open".to_owned(),
                    "apply policy x/deny".to_owned()
                ]
            ),
        ]
    );
}
