//! Nodes and their addresses.

use enforcer::cluster::Event;

use super::{mk_cluster, mk_node};

#[test]
fn a_node_comes_changes_and_goes() {
    let mut cluster = mk_cluster([Event::ApplyNode(mk_node("n1", "192.0.2.1"))]);
    assert!(!cluster.handle(Event::ApplyNode(mk_node("n1", "192.0.2.1"))));

    assert!(cluster.handle(Event::ApplyNode(mk_node("n1", "192.0.2.2"))));
    assert_eq!(cluster.node("n1"), Some(&mk_node("n1", "192.0.2.2")));

    assert!(cluster.handle(Event::DeleteNode("n1".into())));
    assert_eq!(cluster.nodes().count(), 0);
    assert!(!cluster.handle(Event::DeleteNode("n1".into())));
}

#[test]
fn a_reset_removes_what_it_does_not_name() {
    let mut cluster = mk_cluster([Event::ApplyNode(mk_node("n1", "192.0.2.1"))]);

    assert!(cluster.handle(Event::ResetNodes(vec![mk_node("n2", "192.0.2.2")])));

    assert_eq!(cluster.node("n1"), None);
    assert_eq!(cluster.nodes().count(), 1);
}
