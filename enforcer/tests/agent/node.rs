//! One step at a time: the enforcer that the agent runs.

use enforcer::{
    agent::NodeEnforcer,
    cluster::Event,
    nft::{ApplyError, Operation},
    options::Options,
    policy::Direction,
};

use crate::{
    deny,
    memory::Memory,
    world::{gone, namespace, pod},
};

fn enforcer() -> (NodeEnforcer<Memory>, Memory) {
    let memory = Memory::default();
    let mut enforcer = NodeEnforcer::new("n1", Options::default(), memory.clone());
    enforcer.handle(namespace("x", &[]));
    enforcer.handle(Event::ApplyPod(pod("x/a", "n1", &["10.0.0.1"], &[])));
    (enforcer, memory)
}

#[test]
fn the_first_commit_replaces_what_an_earlier_enforcer_left() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    let transactions = memory.transactions();
    assert_eq!(
        transactions[0].operations()[..3],
        [
            Operation::AddTable,
            Operation::DeleteTable,
            Operation::AddTable
        ]
    );
}

#[test]
fn without_a_change_the_kernel_is_not_spoken_to() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    enforcer.handle(Event::ApplyPod(pod("x/a", "n1", &["10.0.0.1"], &[])));
    assert_eq!(enforcer.commit().unwrap().operations, 0);
    assert_eq!(memory.count(), 1);
}

#[test]
fn a_change_elsewhere_is_no_change_here() {
    let (mut enforcer, _) = enforcer();
    enforcer.handle(deny());
    enforcer.commit().unwrap();
    enforcer.handle(Event::ApplyPod(pod("x/b", "n2", &["10.0.0.2"], &[])));
    assert_eq!(enforcer.commit().unwrap().operations, 0);
}

#[test]
fn many_events_are_one_transaction() {
    let (mut enforcer, memory) = enforcer();
    enforcer.handle(deny());
    enforcer.handle(Event::ApplyPod(pod("x/b", "n1", &["10.0.0.2"], &[])));
    enforcer.handle(gone("x/a"));
    enforcer.commit().unwrap();
    assert_eq!(memory.count(), 1);
    assert_eq!(enforcer.plan().subjects(Direction::Ingress).len(), 1);
}

#[test]
fn after_a_failure_the_plan_is_what_the_kernel_has_and_the_next_commit_tries_again() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    let before = enforcer.plan().clone();
    enforcer.handle(deny());
    memory.refuse(usize::MAX);
    enforcer.commit().unwrap_err();
    enforcer.commit().unwrap_err();
    assert_eq!(*enforcer.plan(), before);
    memory.refuse(0);
    assert!(enforcer.commit().unwrap().operations > 0);
    assert_ne!(*enforcer.plan(), before);
}

#[test]
fn removing_starts_anew() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    enforcer.remove().unwrap();
    enforcer.commit().unwrap();
    let transactions = memory.transactions();
    assert_eq!(
        transactions[1].operations(),
        [Operation::AddTable, Operation::DeleteTable]
    );
    assert_eq!(transactions[2], transactions[0]);
}

#[test]
fn a_commit_in_doubt_replaces_the_whole_table() {
    let (mut enforcer, memory) = enforcer();
    enforcer.handle(deny());
    enforcer.commit().unwrap();
    enforcer.doubt();
    assert!(enforcer.needs_commit());
    enforcer.commit().unwrap();
    let transactions = memory.transactions();
    assert_eq!(transactions[1], transactions[0]);
    assert!(!enforcer.needs_commit());
}

#[test]
fn after_an_operation_did_not_fit_the_next_commit_replaces_the_whole_table() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    enforcer.handle(deny());
    memory.refuse_as(1, || ApplyError::Refused {
        index: 0,
        total: 1,
        operation: "delete chain x".to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    });
    enforcer.commit().unwrap_err();
    enforcer.commit().unwrap();
    assert_eq!(
        memory.transactions()[1].operations()[..3],
        [
            Operation::AddTable,
            Operation::DeleteTable,
            Operation::AddTable
        ]
    );
}
