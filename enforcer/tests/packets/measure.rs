//! What it costs to know the live connections, printed; run with `--ignored measure`. In processor
//! time, which a busy machine changes little.

use std::{net::UdpSocket, time::Duration};

use enforcer::{
    conntrack::{Connections, Conntrack, revoked},
    options::{Established, Options},
    policy::{Direction, Protocol},
};
use libtest_mimic::Failed;
use netsim::Fabric;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

use crate::{
    Family, Outcome, Stage,
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
    let (result, there) = timed(|| stage.tell([deny_half]))?;
    result?;
    let cut = stage.revoked();
    let mut conntrack = stage.inside("node/n1")?.run(Conntrack::open)??;
    let (live, listed) = timed(|| conntrack.live())?;
    let live = live?;
    let (_, judged) = timed(|| revoked(stage.enforcer.plan(), &live))?;
    let (result, back) = timed(|| stage.tell([no_policy("x/half")]))?;
    result?;
    println!(
        "{established}, {} connections: list {listed:?}, judge {judged:?}; \
         commit that cuts {cut} {there:?}, that cuts none {back:?}",
        live.len()
    );
    Ok(())
}

/// With the processor time it took this thread, in the kernel or not.
fn timed<T>(body: impl FnOnce() -> T) -> Result<(T, Duration), Failed> {
    let used = || -> Result<Duration, Failed> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        let of = |time: TimeVal| {
            let (seconds, micros) = (
                time.tv_sec().cast_unsigned(),
                time.tv_usec().cast_unsigned(),
            );
            Duration::from_secs(seconds) + Duration::from_micros(micros)
        };
        Ok(of(usage.user_time()) + of(usage.system_time()))
    };
    let before = used()?;
    let result = body();
    Ok((result, used()?.saturating_sub(before)))
}
