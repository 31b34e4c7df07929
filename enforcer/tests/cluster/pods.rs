//! Pods come, change and go.

use enforcer::cluster::{Event, Phase};

use super::{mk_cluster, mk_pod, owner};

#[test]
fn a_pod_is_found_by_name_node_and_address() {
    let cluster = mk_cluster([Event::ApplyPod(mk_pod("x/a", &["10.0.0.1", "fd00::1"]))]);

    let pod = cluster.pod(&"x/a".parse().unwrap()).expect("it is there");
    assert_eq!(pod, &mk_pod("x/a", &["10.0.0.1", "fd00::1"]));
    assert_eq!(owner(&cluster, "10.0.0.1").as_deref(), Some("x/a"));
    assert_eq!(owner(&cluster, "fd00::1").as_deref(), Some("x/a"));
    assert_eq!(cluster.pods_on("n1").collect::<Vec<_>>(), [pod]);
    assert_eq!(cluster.pods_on("n2").count(), 0);
}

#[test]
fn the_same_pod_again_changes_nothing() {
    let mut cluster = mk_cluster([Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"]))]);

    assert!(!cluster.handle(Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"]))));
    assert!(!cluster.handle(Event::ResetPods(vec![mk_pod("x/a", &["10.0.0.1"])])));
}

#[test]
fn an_address_that_arrives_later_is_owned_from_then_on() {
    let mut cluster = mk_cluster([Event::ApplyPod(mk_pod("x/a", &[]))]);
    assert_eq!(cluster.addresses().count(), 0);

    assert!(cluster.handle(Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"]))));

    assert_eq!(owner(&cluster, "10.0.0.1").as_deref(), Some("x/a"));
}

#[test]
fn a_restarted_pod_leaves_its_old_address() {
    let cluster = mk_cluster([
        Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"])),
        Event::ApplyPod(mk_pod("x/a", &["10.0.0.2"])),
    ]);

    assert_eq!(owner(&cluster, "10.0.0.1"), None);
    assert_eq!(owner(&cluster, "10.0.0.2").as_deref(), Some("x/a"));
}

#[test]
fn a_new_uid_under_the_same_name_replaces_the_pod() {
    let mut second = mk_pod("x/a", &["10.0.0.2"]);
    second.uid = "another".into();
    second.node = Some("n2".into());
    let mut cluster = mk_cluster([Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"]))]);

    assert!(cluster.handle(Event::ApplyPod(second.clone())));

    assert_eq!(cluster, mk_cluster([Event::ApplyPod(second)]));
}

#[test]
fn a_deleted_pod_leaves_nothing_behind() {
    let mut cluster = mk_cluster([Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"]))]);

    assert!(cluster.handle(Event::DeletePod("x/a".parse().unwrap())));

    assert_eq!(cluster, mk_cluster([]));
    assert!(!cluster.handle(Event::DeletePod("x/a".parse().unwrap())));
}

#[test]
fn a_reset_removes_what_it_does_not_name() {
    let mut cluster = mk_cluster([
        Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"])),
        Event::ApplyPod(mk_pod("x/b", &["10.0.0.2"])),
    ]);

    assert!(cluster.handle(Event::ResetPods(vec![
        mk_pod("x/b", &["10.0.0.2"]),
        mk_pod("x/c", &["10.0.0.3"]),
    ])));

    let names: Vec<_> = cluster
        .pods()
        .map(|pod| pod.reference.to_string())
        .collect();
    assert_eq!(names, ["x/b", "x/c"]);
    assert_eq!(owner(&cluster, "10.0.0.1"), None);
}

#[test]
fn a_pod_that_is_bound_later_moves_to_its_node() {
    let mut pending = mk_pod("x/a", &[]);
    pending.node = None;
    pending.phase = Phase::Pending;
    let mut cluster = mk_cluster([Event::ApplyPod(pending)]);
    assert_eq!(cluster.pods_on("n1").count(), 0);

    cluster.handle(Event::ApplyPod(mk_pod("x/a", &[])));

    assert_eq!(cluster.pods_on("n1").count(), 1);
}
