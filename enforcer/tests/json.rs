//! Transactions as JSON for the nft command.

mod world;

use enforcer::{
    compile::compile,
    nft::{Transaction, diff, render_json},
    options::{Deny, Established, Options, Unprogrammed},
    plan::{ConnectionId, Plan},
    policy::{Direction, Protocol, Selector},
};
use serde_json::Value;
use world::{
    allow, block, cluster, namespace, node_with_ranges, pod, pods_in, policy, port, ports,
};

#[test]
fn one_line_per_operation() {
    let cluster = cluster([
        namespace("x", &[]),
        enforcer::cluster::Event::ApplyPod(pod("x/a", "n1", &["10.0.0.1", "fd00::1"], &[])),
        policy(
            "x/allow",
            Direction::Ingress,
            Selector::EVERYTHING,
            vec![
                allow(vec![pods_in("x", Selector::EVERYTHING)], vec![]),
                allow(
                    vec![
                        block("192.0.2.0/24", &["192.0.2.128/25"]),
                        block("192.0.3.1/32", &[]),
                    ],
                    vec![port(Protocol::Tcp, 80), ports(Protocol::Udp, 1, 9)],
                ),
            ],
        ),
    ]);
    let transaction = diff(
        &Plan::default(),
        &compile(&cluster, "n1", Options::default()),
    );
    insta::assert_snapshot!("made", lines(&transaction));
    let transaction = diff(
        &compile(&cluster, "n1", Options::default()),
        &compile(&cluster, "n2", Options::default()),
    );
    insta::assert_snapshot!("unmade", lines(&transaction));
}

#[test]
fn what_options_ask_for() {
    let options = Options {
        established: Established::Revoke,
        unprogrammed: Unprogrammed::Hold,
        deny: Deny::Reject,
    };
    let cluster = cluster([node_with_ranges("n1", &[], &["10.0.0.0/24", "fd00::1/128"])]);
    let mut plan = compile(&cluster, "n1", options);
    let made = lines(&diff(&Plan::default(), &plan));
    let rules: Vec<_> = made
        .lines()
        .filter(|line| {
            ["held", "reject", "revoked", "programmed"]
                .iter()
                .any(|word| line.contains(word))
        })
        .collect();
    insta::assert_snapshot!("options", rules.join("\n"));
    let old = plan.clone();
    plan.set_revoked([1, 0x0102_0304].map(ConnectionId::new).into());
    insta::assert_snapshot!("revoked", lines(&diff(&old, &plan)));
    insta::assert_snapshot!("allowed_again", lines(&diff(&plan, &old)));
}

fn lines(transaction: &Transaction) -> String {
    let json = render_json(transaction);
    let rendered = json["nftables"].as_array().expect("a list of commands");
    assert_eq!(rendered.len(), transaction.len());
    let lines: Vec<_> = rendered.iter().map(text).collect();
    lines.join("\n")
}

/// With sorted keys: their order depends on which features other crates want of serde_json.
fn text(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", text(value)))
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(text).collect();
            format!("[{}]", values.join(","))
        }
        plain => plain.to_string(),
    }
}
