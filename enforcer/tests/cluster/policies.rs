//! Policies as they were lowered.

use enforcer::{cluster::Event, policy::PolicyRef};

use super::{mk_cluster, mk_policy};

fn apply((reference, policies): (PolicyRef, Vec<enforcer::policy::Policy>)) -> Event {
    Event::ApplyPolicy(reference, policies)
}

#[test]
fn policies_of_one_name_in_two_namespaces_are_two() {
    let mut cluster = mk_cluster([apply(mk_policy("x", "deny")), apply(mk_policy("y", "deny"))]);
    assert_eq!(cluster.policies().count(), 2);

    assert!(cluster.handle(Event::DeletePolicy(PolicyRef::network_policy("x", "deny"))));

    let left: Vec<_> = cluster.policies().map(|p| p.origin.to_string()).collect();
    assert_eq!(left, ["y/deny"]);
}

#[test]
fn a_change_replaces_all_directions() {
    let (reference, policies) = mk_policy("x", "deny");
    let mut cluster = mk_cluster([apply((reference.clone(), policies))]);

    assert!(cluster.handle(Event::ApplyPolicy(reference.clone(), Vec::new())));

    assert_eq!(cluster.policy(&reference), []);
    assert_eq!(cluster.policies().count(), 0);
}

#[test]
fn an_unchanged_policy_changes_nothing() {
    let mut cluster = mk_cluster([apply(mk_policy("x", "deny"))]);

    assert!(!cluster.handle(apply(mk_policy("x", "deny"))));
    assert!(!cluster.handle(Event::ResetPolicies(vec![mk_policy("x", "deny")])));
}

#[test]
fn a_reset_removes_what_it_does_not_name() {
    let mut cluster = mk_cluster([apply(mk_policy("x", "a")), apply(mk_policy("x", "b"))]);

    assert!(cluster.handle(Event::ResetPolicies(vec![mk_policy("x", "b")])));

    let left: Vec<_> = cluster.policies().map(|p| p.origin.to_string()).collect();
    assert_eq!(left, ["x/b"]);
}
