//! `--deny`: how who is denied learns of it.

use enforcer::{
    options::{Deny, Options},
    policy::{Direction, Protocol, Selector},
};
use netsim::Fabric;

use crate::{Family, Outcome, Stage, Test, calls::Awaited, world::policy};

pub(crate) const TESTS: &[Test] = &[
    ("what is denied is dropped silently", |fabric, family| {
        denied(fabric, family, Deny::Drop)
    }),
    (
        "what is denied is rejected at once where that is chosen",
        |fabric, family| denied(fabric, family, Deny::Reject),
    ),
];

fn denied(fabric: Fabric, family: Family, deny: Deny) -> Outcome {
    let options = Options {
        deny,
        ..Options::default()
    };
    let awaited = match deny {
        Deny::Drop => Awaited::Silence,
        Deny::Reject => Awaited::Refusal,
    };
    let mut stage = Stage::new(fabric, family, options)?;
    stage.tell([policy(
        "x/deny",
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![],
    )])?;
    stage.tell([policy(
        "x/stay",
        Direction::Egress,
        Selector::EVERYTHING,
        vec![],
    )])?;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (from, to) in [("x/b", "x/a"), ("y/c", "x/a"), ("x/a", "y/c")] {
            stage.must_fail(protocol, from, to, awaited)?;
        }
    }
    Ok(())
}
