//! Rough figures, printed; run with `--ignored measure`.

use std::time::{Duration, Instant};

use enforcer::{
    cluster::{Cluster, Event},
    compile::compile,
    nft::{Dataplane, Netlink, NftBinary, diff, render_json},
    plan::Plan,
    policy::{Direction, Protocol, Selector},
};
use libtest_mimic::Failed;

use crate::{
    story::NODE,
    world::{allow, namespace, pod, pods_in, policy, port, with},
};

/// One isolated pod, and a policy that lets this many pods in.
fn many(count: u32) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.handle(namespace("x", &[]));
    cluster.handle(Event::ApplyPod(pod("x/server", NODE, &["10.0.0.1"], &[])));
    for number in 0..count {
        cluster.handle(peer(number));
    }
    cluster.handle(policy(
        "x/allow",
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![allow(
            vec![pods_in("x", with(&[("app", "client")]))],
            vec![port(Protocol::Tcp, 80)],
        )],
    ));
    cluster
}

fn peer(number: u32) -> Event {
    let [_, a, b, c] = (number + 1).to_be_bytes();
    let address = format!("11.{a}.{b}.{c}");
    let name = format!("x/client-{number}");
    Event::ApplyPod(pod(&name, "n2", &[&address], &[("app", "client")]))
}

pub(crate) fn many_peers(count: u32) -> Plan {
    compile(&many(count), NODE)
}

#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
pub(crate) fn measure() -> Result<(), Failed> {
    let mut cluster = many(10_000);
    let (compiled, old) = timed(|| compile(&cluster, NODE));
    cluster.handle(peer(10_000));
    let new = compile(&cluster, NODE);
    let (differing, forth) = timed(|| diff(&old, &new));
    let back = diff(&new, &old);
    let (built, all) = timed(|| diff(&Plan::default(), &old));
    let mut netlink = Netlink::open()?;
    let (applied, result) = timed(|| netlink.apply(&all));
    result?;
    println!("10,000 peers: compile {compiled:?}, build {built:?}, apply {applied:?} by netlink");
    println!("one of them more: compare {differing:?}");
    println!(
        "one element: {:?} by netlink",
        median(500, |round| {
            netlink.apply(if round % 2 == 0 { &forth } else { &back })
        })?
    );
    if let Ok(mut nft) = NftBinary::find() {
        println!(
            "one element: {:?} by nft",
            median(20, |round| {
                nft.apply(if round % 2 == 0 { &forth } else { &back })
            })?
        );
        let (applied, result) = timed(|| nft.apply(&all));
        result?;
        let length = render_json(&all).to_string().len();
        println!("10,000 peers: apply {applied:?} by nft, {length} bytes of JSON");
    }
    Ok(())
}

fn timed<T>(body: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = body();
    (start.elapsed(), result)
}

fn median<E>(rounds: u32, mut body: impl FnMut(u32) -> Result<(), E>) -> Result<Duration, E> {
    let mut times = Vec::new();
    for round in 0..rounds {
        let (time, result) = timed(|| body(round));
        result?;
        times.push(time);
    }
    times.sort();
    Ok(times[times.len() / 2])
}
