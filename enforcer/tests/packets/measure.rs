//! What it costs to know the live connections, printed; run with `--ignored measure`.

use std::{net::UdpSocket, time::Instant};

use enforcer::{
    conntrack::{Connections, Conntrack, revoked},
    options::{Established, Options},
    policy::{Direction, Protocol},
};
use netsim::Fabric;

use crate::{
    Family, Outcome, Stage, ensure,
    world::{allow, no_policy, policy, ports, with},
};

pub(crate) fn measure() -> Outcome {
    for established in Established::ALL {
        for count in [0, 1_000, 10_000, 50_000] {
            one(established, count)?;
        }
    }
    Ok(())
}

/// So many connections, of which a policy then denies half.
#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn one(established: Established, count: u16) -> Outcome {
    let options = Options {
        established,
        ..Options::default()
    };
    let mut stage = Stage::new(Fabric::Routed, Family::V4, options)?;
    let way = stage.way("x/b", "x/a", 1)?;
    let socket = way.client.run(|| UdpSocket::bind("0.0.0.0:0"))??;
    for port in 1..=count {
        let mut destination = way.destination;
        destination.set_port(port);
        // That nobody listens is heard of later, and means nothing here.
        let _ = socket.send_to(b"hello", destination);
    }
    let deny_half = policy(
        "x/half",
        Direction::Ingress,
        with(&[("pod", "a")]),
        vec![allow(vec![], vec![ports(Protocol::Udp, 0, count / 2)])],
    );
    let time = |stage: &mut Stage, event| {
        let start = Instant::now();
        stage.tell([event]).map(|()| start.elapsed())
    };
    let there = time(&mut stage, deny_half)?;
    let cut = stage.revoked();
    ensure(
        cut == match established {
            Established::Keep => 0,
            Established::Revoke => usize::from(count - count / 2),
        },
        format!("{cut} of {count} are cut"),
    )?;
    let mut conntrack = stage.inside("node/n1")?.run(Conntrack::open)??;
    let start = Instant::now();
    let live = conntrack.live()?;
    let listed = start.elapsed();
    let start = Instant::now();
    revoked(stage.enforcer.plan(), &live);
    let judged = start.elapsed();
    let back = time(&mut stage, no_policy("x/half"))?;
    println!(
        "{established}, {count} connections: list {listed:?}, judge {judged:?}; \
         commit that cuts {cut} {there:?}, that cuts none {back:?}"
    );
    Ok(())
}
