//! Rough figures, printed; run with `--ignored measure`.

use std::time::{Duration, Instant};

use enforcer::{
    agent::{Agent, Kernel},
    cluster::{Cluster, Event},
    compile::compile,
    nft::{Dataplane, Netlink, NetlinkWatch, NftBinary, Watch, diff, render_json},
    options::Options,
    plan::Plan,
    policy::{Direction, PolicyRef, Protocol, Selector},
};
use libtest_mimic::Failed;

use crate::{
    drift::PATIENCE,
    story::NODE,
    world::{allow, namespace, pod, pods_in, policy, port, with},
};

/// Isolated pods, and a policy that lets this many pods in.
fn many(servers: u8, count: u32) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.handle(namespace("x", &[]));
    for number in 1..=servers {
        let (name, address) = (format!("x/server-{number}"), format!("10.0.0.{number}"));
        cluster.handle(Event::ApplyPod(pod(&name, NODE, &[&address], &[])));
    }
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
    compile(&many(1, count), NODE, Options::default())
}

pub(crate) fn measure() -> Result<(), Failed> {
    for (servers, count) in [(1, 10_000), (110, 10_000), (1, 100_000)] {
        one_world(servers, count)?;
    }
    for count in [10, 10_000] {
        an_agent(count)?;
    }
    being_watched()
}

/// What the agent's thread adds to a commit.
#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn an_agent(count: u32) -> Result<(), Failed> {
    let cluster = many(1, count);
    let (mut starting, mut adding) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let start = Instant::now();
        let agent = Agent::start(NODE, Options::default(), Kernel::open()?)?;
        agent.synced();
        agent.settle(PATIENCE)?;
        starting.push(start.elapsed());
    }
    let agent = Agent::start(NODE, Options::default(), Kernel::open()?)?;
    agent.send(Event::ResetPods(cluster.pods().cloned().collect()));
    let policies = cluster.policies().cloned().collect();
    agent.send(Event::ApplyPolicy(
        PolicyRef::network_policy("x", "allow"),
        policies,
    ));
    agent.synced();
    agent.settle(PATIENCE)?;
    for number in 0..100 {
        let (time, result) = timed(|| {
            agent.send(peer(count + number));
            agent.settle(PATIENCE)
        });
        result?;
        adding.push(time);
    }
    println!("an agent with {count} peers:");
    println!("  start {:?} (without peers)", median(starting));
    println!("  one pod, from event to kernel: {:?}", median(adding));
    Ok(())
}

/// What it costs a transaction that its notices have to be written.
#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn being_watched() -> Result<(), Failed> {
    let all = diff(&Plan::default(), &many_peers(20_000));
    let mut netlink = Netlink::open()?;
    let mut apply = || -> Result<Duration, Failed> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let (time, result) = timed(|| netlink.apply(&all));
            result?;
            times.push(time);
        }
        Ok(median(times))
    };
    let alone = apply()?;
    let mut watch = NetlinkWatch::open()?;
    let watched = apply()?;
    let (looked, look) = timed(|| watch.look(&|_| true));
    println!("20000 elements: {alone:?} without and {watched:?} with a watch, which looks");
    println!(
        "  {looked:?} long at five times of it (lost: {})",
        look?.is_incomplete
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn one_world(servers: u8, count: u32) -> Result<(), Failed> {
    let mut cluster = many(servers, count);
    let (compiled, old) = timed(|| compile(&cluster, NODE, Options::default()));
    cluster.handle(peer(count));
    let new = compile(&cluster, NODE, Options::default());
    let (differing, forth) = timed(|| diff(&old, &new));
    let back = diff(&new, &old);
    let (built, all) = timed(|| diff(&Plan::default(), &old));
    let mut netlink = Netlink::open()?;
    let (applied, result) = timed(|| netlink.apply(&all));
    result?;
    println!("{servers} isolated pods, {count} peers:");
    println!("  compile {compiled:?}, build {built:?}, apply {applied:?} by netlink");
    println!("  one of them more: compare {differing:?}");
    let (mut adding, mut deleting) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        for (transaction, times) in [(&forth, &mut adding), (&back, &mut deleting)] {
            let (time, result) = timed(|| netlink.apply(transaction));
            result?;
            times.push(time);
        }
    }
    let (adding, deleting) = (median(adding), median(deleting));
    println!("  one element: add {adding:?}, delete {deleting:?} by netlink");
    if let Ok(mut nft) = NftBinary::find() {
        let mut times = Vec::new();
        for transaction in [&forth, &back].repeat(5) {
            let (time, result) = timed(|| nft.apply(transaction));
            result?;
            times.push(time);
        }
        let (applied, result) = timed(|| nft.apply(&all));
        result?;
        let length = render_json(&all).to_string().len();
        println!(
            "  by nft: one element {:?}, all {applied:?} ({length} bytes of JSON)",
            median(times)
        );
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed<T>(body: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = body();
    (start.elapsed(), result)
}
