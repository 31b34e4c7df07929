//! What the agent does when somebody else changes its table.

use std::time::Duration;

use crate::{
    deny,
    memory::{Memory, change, lost},
    thread::{PATIENCE, synced_agent},
};
use enforcer::{agent::Agent, nft::Look, options::Options};

#[test]
fn a_change_by_others_is_repaired_by_one_transaction_that_replaces_the_table() {
    let (agent, memory) = synced_agent();
    memory.change();
    agent.settle(PATIENCE).unwrap();
    let transactions = memory.transactions();
    assert_eq!(transactions.len(), 2);
    assert_eq!(transactions[1], transactions[0]);
}

#[test]
fn a_repair_is_reported() {
    let (agent, memory) = synced_agent();
    memory.change();
    agent.settle(PATIENCE).unwrap();
    let status = agent.status();
    assert_eq!(status.drifts, 1);
    let drift = &status.recent_drifts[0];
    assert_eq!(drift.changes, ["rules of chain forward deleted"]);
    assert_eq!(drift.culprits, ["nft"]);
    assert!(drift.repaired.is_some());
}

#[test]
fn changes_before_a_repair_are_one_drift() {
    let (agent, memory) = synced_agent();
    memory.refuse(1);
    memory.change();
    memory.change();
    memory.tell(lost());
    agent.settle(PATIENCE).unwrap();
    assert_eq!(agent.status().drifts, 1);
    assert_eq!(memory.count(), 2);
}

#[test]
fn lost_notices_count_as_a_change() {
    let (agent, memory) = synced_agent();
    memory.tell(lost());
    agent.settle(PATIENCE).unwrap();
    assert_eq!(memory.count(), 2);
    let status = agent.status();
    assert_eq!(
        status.recent_drifts[0].changes,
        ["notices lost: anything may have changed"]
    );
}

#[test]
fn notices_lost_by_a_commit_of_our_own_are_no_change() {
    let (agent, memory) = synced_agent();
    memory.lose_own_notices();
    agent.send(deny());
    agent.settle(PATIENCE).unwrap();
    assert_eq!(memory.count(), 2);
    assert_eq!(agent.status().drifts, 0);
}

#[test]
fn a_look_that_shows_nothing_is_no_change() {
    let (agent, memory) = synced_agent();
    memory.tell(Look::default());
    agent.settle(PATIENCE).unwrap();
    assert_eq!(memory.count(), 1);
}

#[test]
fn an_agent_that_does_not_know_everything_repairs_nothing_yet() {
    let memory = Memory::default();
    let agent = Agent::start("n1", Options::default(), memory.kernel()).unwrap();
    memory.tell(change());
    while agent.status().drifts == 0 {
        std::thread::yield_now();
    }
    assert_eq!(memory.count(), 0);
    assert_eq!(agent.status().recent_drifts[0].repaired, None);
    agent.synced();
    agent.settle(PATIENCE).unwrap();
    assert!(agent.status().recent_drifts[0].repaired.is_some());
}

#[test]
fn somebody_who_changes_the_table_again_and_again_is_not_fought_without_pause() {
    let (agent, memory) = synced_agent();
    memory.add_rival();
    memory.change();
    let patience = Duration::from_millis(300);
    agent.settle(patience).unwrap_err();
    let repairs = memory.count() - 1;
    // Waits of 0, 100, 200, 400, .. ms: eight are more than ten seconds.
    assert!((1..=8).contains(&repairs), "{repairs} repairs");
    assert!(agent.status().recent_drifts.len() >= repairs);
}

#[test]
fn an_agent_that_notices_nothing_any_more_says_so_and_goes_on() {
    let (agent, memory) = synced_agent();
    memory.blind();
    agent.send(deny());
    agent.settle(PATIENCE).unwrap();
    assert!(agent.status().blind.is_some());
    assert_eq!(memory.count(), 2);
}
