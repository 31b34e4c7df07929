//! What the agent's thread does with what it is told, and when.

use std::time::Duration;

use enforcer::{
    agent::{Agent, Unsettled},
    cluster::Event,
    nft::Operation,
    options::Options,
    policy::Direction,
};

use crate::{
    deny,
    memory::Memory,
    world::{namespace, pod},
};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that knows a namespace with one pod, and the kernel that it has told so.
pub(crate) fn synced_agent() -> (Agent, Memory) {
    let (agent, memory) = new_agent();
    agent.synced();
    agent.settle(PATIENCE).expect("the kernel takes everything");
    (agent, memory)
}

/// An agent that has been told of a namespace with one pod, but not that this is all.
fn new_agent() -> (Agent, Memory) {
    let memory = Memory::default();
    let agent = Agent::start("n1", Options::default(), memory.kernel()).expect("there are threads");
    agent.send(namespace("x", &[]));
    agent.send(numbered_pod(1));
    (agent, memory)
}

fn numbered_pod(number: u8) -> Event {
    let address = format!("10.0.0.{number}");
    Event::ApplyPod(pod(&format!("x/pod-{number}"), "n1", &[&address], &[]))
}

#[test]
fn nothing_is_committed_before_everything_is_known() {
    let (agent, memory) = new_agent();
    agent.send(deny());
    assert_eq!(agent.settle(PATIENCE), Err(Unsettled::NotSynced));
    agent.synced();
    agent.settle(PATIENCE).unwrap();
    assert_eq!(memory.count(), 1);
    assert_eq!(agent.plan().subjects(Direction::Ingress).len(), 1);
}

#[test]
fn the_first_commit_replaces_what_an_earlier_agent_left() {
    let (agent, memory) = synced_agent();
    drop(agent);
    let agent = Agent::start("n1", Options::default(), memory.kernel()).unwrap();
    agent.synced();
    agent.settle(PATIENCE).unwrap();
    let transactions = memory.transactions();
    assert_eq!(transactions[1].operations()[1], Operation::DeleteTable);
}

#[test]
fn what_settles_is_in_the_kernel() {
    let (agent, memory) = synced_agent();
    for number in 2..20 {
        agent.send(numbered_pod(number));
        agent.send(deny());
        agent.settle(PATIENCE).unwrap();
        let plan = agent.plan();
        assert_eq!(plan.subjects(Direction::Ingress).len(), usize::from(number));
    }
    assert_eq!(
        agent.status().commits,
        u64::try_from(memory.count()).unwrap()
    );
    assert!(agent.status().is_settled);
}

#[test]
fn what_is_told_during_a_commit_becomes_one_more() {
    let (agent, memory) = synced_agent();
    let before = memory.count();
    memory.close();
    agent.send(deny());
    for number in 2..200 {
        agent.send(numbered_pod(number));
    }
    memory.open();
    agent.settle(PATIENCE).unwrap();
    // One that was already on its way when the first pod was told, and one for what came after. On
    // a busy machine the first may have waited for most of the rest.
    let commits = memory.count() - before;
    assert!((1..=2).contains(&commits), "{commits} commits");
    assert_eq!(agent.plan().subjects(Direction::Ingress).len(), 199);
}

#[test]
fn a_refused_transaction_is_tried_again() {
    let (agent, memory) = synced_agent();
    let (before, attempts) = (memory.count(), memory.attempts());
    memory.refuse(2);
    agent.send(deny());
    agent.settle(PATIENCE).unwrap();
    assert_eq!(memory.attempts() - attempts, 3);
    assert_eq!(memory.count() - before, 1);
    assert_eq!(agent.status().failure, None);
}

#[test]
fn a_refusal_is_reported_and_the_plan_is_what_the_kernel_has() {
    let (agent, memory) = synced_agent();
    memory.refuse(usize::MAX);
    agent.send(deny());
    let error = agent.settle(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, Unsettled::Late { .. }), "{error}");
    while agent.status().failure.is_none() {
        std::thread::yield_now();
    }
    let failure = agent.status().failure.unwrap();
    assert!(failure.attempts >= 1);
    assert!(
        failure.error.contains("send 3 nftables operations"),
        "{}",
        failure.error
    );
    assert!(!agent.status().is_settled);
    assert!(agent.plan().subjects(Direction::Ingress).is_empty());
}

#[test]
fn dropping_ends_the_thread_and_touches_no_rule() {
    let (agent, memory) = synced_agent();
    agent.send(deny());
    agent.settle(PATIENCE).unwrap();
    let before = memory.transactions();
    drop(agent);
    assert_eq!(memory.transactions(), before);
    assert_eq!(memory.owners(), 1, "the thread has given everything back");
}

#[test]
fn an_agent_that_was_not_synced_leaves_nothing_behind() {
    let (agent, memory) = new_agent();
    agent.send(deny());
    drop(agent);
    assert_eq!(memory.count(), 0);
}

#[test]
fn nobody_waits_for_a_thread_that_has_ended() {
    let (agent, memory) = synced_agent();
    memory.refuse_as(1, || panic!("a defect that this test makes"));
    agent.send(deny());
    assert_eq!(agent.settle(PATIENCE), Err(Unsettled::Ended));
}
