//! The enforcer of one node around a dataplane that only remembers.

mod world;

use std::sync::{Arc, Mutex};

use enforcer::{
    agent::NodeEnforcer,
    cluster::Event,
    nft::{ApplyError, Dataplane, Operation, Transaction},
    options::Options,
    policy::{Direction, Selector},
};
use world::{gone, namespace, pod, policy};

#[derive(Clone, Default)]
struct Memory {
    transactions: Arc<Mutex<Vec<Transaction>>>,
    refuses: Arc<Mutex<bool>>,
}

impl Memory {
    fn count(&self) -> usize {
        self.transactions
            .lock()
            .expect("no test panics while it holds the lock")
            .len()
    }

    fn refuse(&self, refuses: bool) {
        *self
            .refuses
            .lock()
            .expect("no test panics while it holds the lock") = refuses;
    }
}

impl Dataplane for Memory {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        if *self
            .refuses
            .lock()
            .expect("no test panics while it holds the lock")
        {
            return Err(ApplyError::TooLong {
                total: transaction.len(),
                bytes: 2,
                limit: 1,
            });
        }
        self.transactions
            .lock()
            .expect("no test panics while it holds the lock")
            .push(transaction.clone());
        Ok(())
    }

    fn is_sender(&self, _: u32) -> bool {
        false
    }
}

fn enforcer() -> (NodeEnforcer<Memory>, Memory) {
    let memory = Memory::default();
    let mut enforcer = NodeEnforcer::new("n1", Options::default(), memory.clone());
    enforcer.handle(namespace("x", &[]));
    enforcer.handle(Event::ApplyPod(pod("x/a", "n1", &["10.0.0.1"], &[])));
    (enforcer, memory)
}

fn deny() -> Event {
    policy("x/deny", Direction::Ingress, Selector::EVERYTHING, vec![])
}

#[test]
fn the_first_commit_replaces_what_an_earlier_enforcer_left() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    let transactions = memory.transactions.lock().unwrap();
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
    memory.refuse(true);
    enforcer.commit().unwrap_err();
    enforcer.commit().unwrap_err();
    assert_eq!(*enforcer.plan(), before);
    memory.refuse(false);
    assert!(enforcer.commit().unwrap().operations > 0);
    assert_ne!(*enforcer.plan(), before);
}

#[test]
fn removing_starts_anew() {
    let (mut enforcer, memory) = enforcer();
    enforcer.commit().unwrap();
    enforcer.remove().unwrap();
    enforcer.commit().unwrap();
    let transactions = memory.transactions.lock().unwrap();
    assert_eq!(
        transactions[1].operations(),
        [Operation::AddTable, Operation::DeleteTable]
    );
    assert_eq!(transactions[2], transactions[0]);
}
