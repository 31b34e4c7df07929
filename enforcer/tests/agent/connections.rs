//! Which live connections a commit cuts.

use enforcer::{
    agent::{Agent, Status},
    cluster::Event,
    conntrack::{Entry, Tuple},
    options::{Established, Options},
    plan::ConnectionId,
    policy::{Direction, PolicyRef, Selector},
};
use rstest::rstest;

use crate::{
    deny,
    memory::Memory,
    thread::PATIENCE,
    world::{allow, gone, ip, namespace, pod, pods_in, policy, with},
};

/// Somebody's connection to the pod.
fn connection(number: u32) -> Entry {
    let original = Tuple {
        source: ip("10.0.0.9"),
        destination: ip("10.0.0.1"),
        protocol: 6,
        source_port: 40_000,
        destination_port: 80,
    };
    Entry {
        id: ConnectionId::new(number),
        original,
        reply: Tuple {
            source: original.destination,
            destination: original.source,
            source_port: original.destination_port,
            destination_port: original.source_port,
            ..original
        },
        master: None,
    }
}

/// An agent with one pod that somebody is connected to.
fn agent(established: Established) -> (Agent, Memory) {
    let memory = Memory::default();
    let options = Options {
        established,
        ..Options::default()
    };
    let agent = Agent::start("n1", options, memory.kernel()).expect("there are threads");
    memory.set_live(vec![connection(7)]);
    agent.send(namespace("x", &[]));
    agent.send(Event::ApplyPod(pod("x/a", "n1", &["10.0.0.1"], &[])));
    agent.synced();
    agent.settle(PATIENCE).expect("the kernel takes everything");
    (agent, memory)
}

fn after(agent: &Agent, event: Event) -> Status {
    agent.send(event);
    agent.settle(PATIENCE).expect("the kernel takes everything");
    agent.status()
}

#[rstest]
#[case::keep(Established::Keep, 0)]
#[case::revoke(Established::Revoke, 1)]
fn a_policy_that_denies_a_live_connection(#[case] option: Established, #[case] cut: usize) {
    let (agent, _memory) = agent(option);
    assert_eq!(agent.status().revoked, 0);
    assert_eq!(after(&agent, deny()).revoked, cut);
}

#[test]
fn the_policy_and_the_cut_are_one_transaction() {
    let (agent, memory) = agent(Established::Revoke);
    let before = memory.count();
    after(&agent, deny());
    assert_eq!(memory.count(), before + 1);
}

#[test]
fn what_is_allowed_again_is_no_longer_cut() {
    let (agent, _memory) = agent(Established::Revoke);
    after(&agent, deny());
    let deleted = Event::DeletePolicy(PolicyRef::network_policy("x", "deny"));
    assert_eq!(after(&agent, deleted).revoked, 0);
}

#[test]
fn what_is_dead_is_forgotten() {
    let (agent, memory) = agent(Established::Revoke);
    after(&agent, deny());
    memory.set_live(vec![]);
    let elsewhere = Event::ApplyPod(pod("x/b", "n1", &["10.0.0.2"], &[]));
    assert_eq!(after(&agent, elsewhere).revoked, 0);
}

#[test]
fn connections_are_listed_only_where_something_may_have_to_be_cut() {
    let (agent, memory) = agent(Established::Revoke);
    memory.set_live(vec![]);
    let peers = vec![pods_in("x", with(&[("app", "client")]))];
    let rules = vec![allow(peers, vec![])];
    let clients = policy("x/clients", Direction::Ingress, Selector::EVERYTHING, rules);
    let client = |name, address| Event::ApplyPod(pod(name, "n2", &[address], &[("app", "client")]));
    after(&agent, clients);
    after(&agent, client("x/c1", "10.0.0.11"));
    let before = memory.listings();
    after(&agent, client("x/c2", "10.0.0.12"));
    after(
        &agent,
        Event::ApplyPod(pod("x/d", "n2", &["10.0.0.13"], &[])),
    );
    assert_eq!(memory.listings(), before, "another peer closes nothing");
    after(&agent, gone("x/c1"));
    assert_eq!(memory.listings(), before + 2, "a peer is gone");
    after(&agent, client("x/c3", "10.0.0.14"));
    assert_eq!(memory.listings(), before + 3, "what was on its way then");
    after(&agent, client("x/c4", "10.0.0.15"));
    assert_eq!(memory.listings(), before + 3);
}

#[test]
fn if_it_cannot_be_told_what_is_alive_the_policy_is_in_force_all_the_same() {
    let (agent, memory) = agent(Established::Revoke);
    memory.hide_live(true);
    agent.send(deny());
    while agent.status().failure.is_none() {
        std::thread::yield_now();
    }
    assert_eq!(memory.count(), 2);
    assert!(!agent.status().is_settled);
    memory.hide_live(false);
    agent.settle(PATIENCE).unwrap();
    assert_eq!(agent.status().revoked, 1);
}
