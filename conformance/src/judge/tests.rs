//! Which outcomes a verdict can have.

use enforcer::options::Deny::{Drop, Reject};
use rstest::rstest;

use super::*;
use crate::cell::{
    Endpoint,
    Outcome::{Allowed, Denied, Refused, Unreachable},
    Protocol::{Sctp, Tcp, Udp},
};

/// A verdict on a connection to somebody who listens, or to nobody.
fn judged(allowed: bool, listens: bool, protocol: Protocol) -> Judged {
    let opinion = Opinion {
        allowed,
        reasons: Vec::new(),
    };
    Judged {
        route: Route {
            host: None,
            end: Endpoint::Node("n1".to_owned()),
            port: Port {
                number: Some(80),
                protocol,
            },
            hops: Vec::new(),
        },
        listens,
        oracle: opinion.clone(),
        plan: Some(opinion),
    }
}

#[rstest]
#[case::dropped(Drop, Tcp, &[Denied, Unreachable])]
#[case::dropped(Drop, Udp, &[Denied, Unreachable])]
#[case::rejected_with_a_reset(Reject, Tcp, &[Denied, Refused, Unreachable])]
#[case::rejected_with_icmp(Reject, Udp, &[Denied, Unreachable])]
#[case::rejected_with_icmp(Reject, Sctp, &[Denied, Unreachable])]
fn a_denial_can_look_like(#[case] deny: Deny, #[case] protocol: Protocol, #[case] as_: &[Outcome]) {
    for listens in [true, false] {
        assert_eq!(outcomes(&judged(false, listens, protocol), deny), as_);
    }
}

#[rstest]
#[case::nobody_but_a_listener_answers(Drop, true, Tcp, &[Allowed, Refused, Unreachable])]
#[case::nobody_listens(Drop, false, Tcp, &[Allowed, Refused, Unreachable])]
#[case::who_listens_does_not_reset(Reject, true, Tcp, &[Allowed, Unreachable])]
#[case::a_reset_of_somebody(Reject, false, Tcp, &[Allowed, Refused, Unreachable])]
#[case::who_listens_is_not_prohibited(Reject, true, Udp, &[Allowed, Refused])]
#[case::no_way_to_somebody(Reject, false, Udp, &[Allowed, Refused, Unreachable])]
fn an_allowed_connection_can_come_out_as(
    #[case] deny: Deny,
    #[case] listens: bool,
    #[case] protocol: Protocol,
    #[case] as_: &[Outcome],
) {
    assert_eq!(outcomes(&judged(true, listens, protocol), deny), as_);
}

fn outcomes(judged: &Judged, deny: Deny) -> Vec<Outcome> {
    let all = [Allowed, Denied, Refused, Unreachable];
    all.into_iter()
        .filter(|outcome| judged.explains(*outcome, deny))
        .collect()
}
