//! `--established`: what becomes of connections when policies no longer allow them.

use enforcer::{
    cluster::Event,
    options::{Deny, Established, Options, Unprogrammed},
    policy::{Direction, Protocol, Selector},
};
use netsim::Fabric;

use crate::{
    Family, Outcome, Stage, Test,
    calls::Awaited,
    ensure,
    world::{allow, no_policy, pod, pods_in, policy, port, with},
};

pub(crate) const TESTS: &[Test] = &[
    (
        "exactly what is no longer allowed is cut: tcp",
        |fabric, family| exactly(fabric, family, Protocol::Tcp),
    ),
    (
        "exactly what is no longer allowed is cut: udp",
        |fabric, family| exactly(fabric, family, Protocol::Udp),
    ),
    ("what egress denies is cut", egress),
    ("what came through a service is cut", through_service),
    ("a cut connection can be rejected", rejected),
    ("what goes on is kept unless it is to be revoked", kept),
    ("what is dead is forgotten", forgotten),
];

const REVOKE: Options = Options {
    established: Established::Revoke,
    unprogrammed: Unprogrammed::Hold,
    deny: Deny::Drop,
};

const NAME: &str = "x/some";

fn exactly(fabric: Fabric, family: Family, protocol: Protocol) -> Outcome {
    let mut stage = Stage::new(fabric, family, REVOKE)?;
    let open = |from, to, port| stage.call(protocol, from, to, port);
    let cut = open("x/b", "x/a", 80)?;
    let cut_from_afar = open("y/c", "x/a", 82)?;
    let goes_on = [
        ("another port", open("x/b", "x/a", 81)?),
        ("another client", open("y/c", "x/a", 84)?),
        ("the other way", open("x/a", "x/b", 80)?),
        ("nobody's business", open("x/b", "y/c", 80)?),
        ("a probe of its node", open("node/n1", "x/a", 83)?),
    ];
    let all_live = || {
        goes_on
            .iter()
            .try_for_each(|(who, call)| call.must_live(who))
    };
    cut.must_live("what will be cut")?;
    cut_from_afar.must_live("what will be cut from afar")?;
    all_live()?;

    stage.tell([policy(
        NAME,
        Direction::Ingress,
        with(&[("pod", "a")]),
        vec![
            allow(
                vec![pods_in("x", Selector::EVERYTHING)],
                vec![port(protocol, 81)],
            ),
            allow(
                vec![pods_in("y", Selector::EVERYTHING)],
                vec![port(protocol, 84)],
            ),
        ],
    )])?;
    ensure(stage.revoked() == 2, format!("{} are cut", stage.revoked()))?;
    cut.must_be_silent("what is cut")?;
    cut_from_afar.must_be_silent("what is cut from afar")?;
    all_live()?;

    // A change that has nothing to do with it.
    stage.tell([Event::ApplyPod(pod("y/new", "n2", &["192.0.2.9"], &[]))])?;
    stage.tell([policy(
        "y/other",
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![],
    )])?;
    ensure(stage.revoked() == 2, format!("{} are cut", stage.revoked()))?;
    cut.must_be_silent("what stays cut")?;
    all_live()?;

    stage.tell([no_policy(NAME)])?;
    ensure(
        stage.revoked() == 0,
        "something is cut that is allowed again",
    )?;
    cut.must_live("what is allowed again")?;
    cut_from_afar.must_live("what is allowed again from afar")?;
    all_live()
}

fn egress(fabric: Fabric, family: Family) -> Outcome {
    let mut stage = Stage::new(fabric, family, REVOKE)?;
    let out = stage.call(Protocol::Tcp, "x/a", "y/c", 80)?;
    let near = stage.call(Protocol::Udp, "x/a", "x/b", 80)?;
    let incoming = stage.call(Protocol::Tcp, "x/b", "x/a", 80)?;
    stage.tell([policy(
        NAME,
        Direction::Egress,
        with(&[("pod", "a")]),
        vec![],
    )])?;
    out.must_be_silent("what it opened")?;
    near.must_be_silent("what it sends to a neighbour")?;
    incoming.must_live("what it was asked")
}

/// What was asked of a Service is judged by the pod and the port that it chose.
fn through_service(fabric: Fabric, family: Family) -> Outcome {
    let mut stage = Stage::new(fabric, family, REVOKE)?;
    let to = |number| {
        policy(
            NAME,
            Direction::Ingress,
            with(&[("pod", "a")]),
            vec![allow(vec![], vec![port(Protocol::Tcp, number)])],
        )
    };
    for client in ["x/b", "y/c"] {
        let way = stage.way_through_service(client, "x/a", 80)?;
        let call = way.call(Protocol::Tcp, Awaited::Answer)??;
        call.must_live(client)?;
        stage.tell([to(80)])?;
        call.must_live(&format!("{client}, to the pod's port"))?;
        stage.tell([to(8080)])?;
        call.must_be_silent(&format!("{client}, to the Service's port"))?;
        stage.tell([no_policy(NAME)])?;
    }
    Ok(())
}

fn rejected(fabric: Fabric, family: Family) -> Outcome {
    let options = Options {
        deny: Deny::Reject,
        ..REVOKE
    };
    let mut stage = Stage::new(fabric, family, options)?;
    let near = stage.call(Protocol::Tcp, "x/b", "x/a", 80)?;
    let far = stage.call(Protocol::Tcp, "y/c", "x/a", 81)?;
    let udp = stage.call(Protocol::Udp, "y/c", "x/a", 80)?;
    stage.tell([policy(
        NAME,
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![],
    )])?;
    for (who, call) in [("near", near), ("far", far), ("udp", udp)] {
        call.server.must_be_refused(&format!("{who}, server"))?;
        call.client.must_be_refused(&format!("{who}, client"))?;
    }
    Ok(())
}

fn kept(fabric: Fabric, family: Family) -> Outcome {
    let mut stage = Stage::new(fabric, family, Options::default())?;
    let tcp = stage.call(Protocol::Tcp, "x/b", "x/a", 80)?;
    let udp = stage.call(Protocol::Udp, "y/c", "x/a", 80)?;
    // What has not been answered yet is no accepted connection.
    tcp.must_live("tcp")?;
    udp.must_live("udp")?;
    stage.tell([policy(
        NAME,
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![],
    )])?;
    tcp.must_live("tcp that goes on")?;
    udp.must_live("udp that goes on")?;
    ensure(stage.revoked() == 0, "something is cut")
}

fn forgotten(fabric: Fabric, family: Family) -> Outcome {
    let mut stage = Stage::new(fabric, family, REVOKE)?;
    let call = stage.call(Protocol::Udp, "x/b", "x/a", 80)?;
    stage.tell([policy(
        NAME,
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![],
    )])?;
    call.must_be_silent("what is cut")?;
    ensure(stage.revoked() == 1, format!("{} are cut", stage.revoked()))?;
    stage.forget_connections()?;
    stage.tell([policy(
        "x/more",
        Direction::Egress,
        with(&[("pod", "b")]),
        vec![],
    )])?;
    ensure(stage.revoked() == 0, format!("{} are cut", stage.revoked()))
}
