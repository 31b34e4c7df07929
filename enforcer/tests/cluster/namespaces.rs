//! Namespaces and their labels.

use enforcer::cluster::{Event, NAMESPACE_NAME_LABEL};

use super::{mk_cluster, mk_namespace, mk_pod};

#[test]
fn labels_change_with_the_object() {
    let mut cluster = mk_cluster([Event::ApplyNamespace(mk_namespace("x", &[("team", "a")]))]);
    assert_eq!(cluster.namespace_labels("x").get("team"), Some("a"));

    assert!(cluster.handle(Event::ApplyNamespace(mk_namespace("x", &[("team", "b")]))));
    assert_eq!(cluster.namespace_labels("x").get("team"), Some("b"));

    assert!(!cluster.handle(Event::ApplyNamespace(mk_namespace("x", &[("team", "b")]))));
}

#[test]
fn only_the_name_is_known_of_a_namespace_that_has_not_arrived() {
    let cluster = mk_cluster([Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"]))]);

    let labels = cluster.namespace_labels("x");

    assert_eq!(
        labels.iter().collect::<Vec<_>>(),
        [(NAMESPACE_NAME_LABEL, "x")]
    );
    assert_eq!(cluster.namespace("x"), None);
}

#[test]
fn a_deleted_namespace_leaves_its_pods_to_their_own_events() {
    let mut cluster = mk_cluster([
        Event::ApplyNamespace(mk_namespace("x", &[("team", "a")])),
        Event::ApplyPod(mk_pod("x/a", &["10.0.0.1"])),
    ]);

    assert!(cluster.handle(Event::DeleteNamespace("x".into())));

    assert_eq!(cluster.namespace_labels("x").get("team"), None);
    assert_eq!(cluster.pods().count(), 1);
}

#[test]
fn a_reset_removes_what_it_does_not_name() {
    let mut cluster = mk_cluster([
        Event::ApplyNamespace(mk_namespace("x", &[])),
        Event::ApplyNamespace(mk_namespace("y", &[])),
    ]);

    assert!(cluster.handle(Event::ResetNamespaces(vec![mk_namespace("y", &[])])));

    let names: Vec<_> = cluster.namespaces().map(|n| n.name.as_ref()).collect();
    assert_eq!(names, ["y"]);
    assert!(!cluster.handle(Event::ResetNamespaces(vec![mk_namespace("y", &[])])));
}
