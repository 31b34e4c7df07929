//! `--unprogrammed`: what passes of a pod before the enforcer knows it.

use std::thread;

use enforcer::{
    cluster::{Event, Phase},
    options::{Deny, Options, Unprogrammed},
    policy::Protocol,
};
use netsim::Fabric;

use crate::{Family, Outcome, Stage, Test, calls::Awaited, stage::NODE};

pub(crate) const TESTS: &[Test] = &[
    ("a pod passes nothing until it is known", held),
    ("a pod passes everything at once where that is chosen", open),
    (
        "who asks too early is heard later and never rejected",
        patient,
    ),
    ("a connection of a pod that has gone goes on", leaving),
];

const LATE: &str = "x/late";
const CALLS: [(&str, &str); 4] = [("x/a", LATE), (LATE, "x/a"), ("y/c", LATE), (LATE, "y/c")];

fn held(fabric: Fabric, family: Family) -> Outcome {
    let mut stage = Stage::new(fabric, family, Options::default())?;
    stage.add_wires(LATE, NODE)?;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (from, to) in CALLS {
            stage.must_fail(protocol, from, to, Awaited::Silence)?;
        }
    }
    // Its own node may ask it all the time.
    stage
        .call(Protocol::Tcp, "node/n1", LATE, 80)?
        .must_live("its node")?;
    stage
        .call(Protocol::Tcp, "x/a", "x/b", 80)?
        .must_live("others")?;
    let known = stage.known(LATE, NODE);
    stage.tell([known])?;
    for (from, to) in CALLS {
        let call = stage.call(Protocol::Tcp, from, to, 80)?;
        call.must_live(&format!("{from} to {to}"))?;
    }
    Ok(())
}

fn open(fabric: Fabric, family: Family) -> Outcome {
    let options = Options {
        unprogrammed: Unprogrammed::Open,
        ..Options::default()
    };
    let mut stage = Stage::new(fabric, family, options)?;
    stage.add_wires(LATE, NODE)?;
    for (from, to) in CALLS {
        let call = stage.call(Protocol::Tcp, from, to, 80)?;
        call.must_live(&format!("{from} to {to}"))?;
    }
    Ok(())
}

fn patient(fabric: Fabric, family: Family) -> Outcome {
    let options = Options {
        deny: Deny::Reject,
        ..Options::default()
    };
    let mut stage = Stage::new(fabric, family, options)?;
    stage.add_wires(LATE, NODE)?;
    let known = stage.known(LATE, NODE);
    let way = stage.way("x/a", LATE, 80)?;
    thread::scope(|scope| {
        let early = scope.spawn(|| way.call(Protocol::Tcp, Awaited::Answer));
        // Its first packet has been sent by the time that another one was in vain.
        stage.must_fail(Protocol::Udp, "x/b", LATE, Awaited::Silence)?;
        stage.tell([known])?;
        let early = early.join().map_err(|_| "the caller panicked")?;
        early??.must_live("who asked too early")
    })
}

fn leaving(fabric: Fabric, family: Family) -> Outcome {
    let mut stage = Stage::new(fabric, family, Options::default())?;
    let call = stage.call(Protocol::Tcp, "y/c", "x/a", 80)?;
    call.must_live("before")?;
    let Event::ApplyPod(mut finished) = stage.known("x/a", NODE) else {
        return Err("a pod is not a pod".into());
    };
    finished.phase = Phase::Succeeded;
    stage.tell([Event::ApplyPod(finished)])?;
    call.must_live("afterwards")?;
    stage.must_fail(Protocol::Udp, "y/c", "x/a", Awaited::Silence)
}
