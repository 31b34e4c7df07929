//! The index depends on the objects, never on the way there.

use std::collections::BTreeMap;

use enforcer::cluster::{Cluster, Event, Phase, Pod, PodRef};
use proptest::{prelude::*, sample::select};

use super::{mk_namespace, mk_node, mk_policy};

/// Few names and addresses, so that pods are replaced and addresses reused.
fn pods() -> impl Strategy<Value = Pod> {
    (
        select(vec!["x/a", "x/b", "y/a", "y/b"]),
        prop::collection::vec(select(vec!["10.0.0.1", "10.0.0.2", "fd00::1"]), 0..3),
        select(vec![
            Phase::Pending,
            Phase::Running,
            Phase::Succeeded,
            Phase::Failed,
        ]),
        select(vec![None, Some("n1"), Some("n2")]),
        any::<bool>(),
        0..3i64,
        0..3u8,
    )
        .prop_map(
            |(name, mut addresses, phase, node, host_network, created, uid)| {
                addresses.sort_unstable();
                addresses.dedup();
                Pod {
                    uid: uid.to_string().into(),
                    created,
                    phase,
                    node: node.map(Into::into),
                    host_network,
                    ..super::mk_pod(name, &addresses)
                }
            },
        )
}

fn pod_events() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => pods().prop_map(Event::ApplyPod),
        2 => pods().prop_map(|pod| Event::DeletePod(pod.reference)),
        1 => prop::collection::vec(pods(), 0..4).prop_map(Event::ResetPods),
    ]
}

fn other_events() -> impl Strategy<Value = Event> {
    let name = || select(vec!["one", "two", "three"]);
    prop_oneof![
        (name(), select(vec!["a", "b"])).prop_map(|(name, team)| {
            Event::ApplyNamespace(mk_namespace(name, &[("team", team)]))
        }),
        name().prop_map(|name| Event::DeleteNamespace(name.into())),
        (name(), select(vec!["192.0.2.1", "192.0.2.2"]))
            .prop_map(|(name, address)| Event::ApplyNode(mk_node(name, address))),
        name().prop_map(|name| Event::DeleteNode(name.into())),
        name().prop_map(|name| {
            let (reference, policies) = mk_policy("x", name);
            Event::ApplyPolicy(reference, policies)
        }),
        name().prop_map(|name| Event::DeletePolicy(mk_policy("x", name).0)),
    ]
}

/// What is left of a sequence of pod events.
fn final_pods(events: &[Event]) -> BTreeMap<PodRef, Pod> {
    let mut left = BTreeMap::new();
    for event in events {
        match event {
            Event::ApplyPod(pod) => {
                left.insert(pod.reference.clone(), pod.clone());
            }
            Event::DeletePod(reference) => {
                left.remove(reference);
            }
            Event::ResetPods(pods) => {
                left = pods
                    .iter()
                    .map(|p| (p.reference.clone(), p.clone()))
                    .collect();
            }
            _ => {}
        }
    }
    left
}

fn cluster_of(events: impl IntoIterator<Item = Event>) -> Cluster {
    super::mk_cluster(events)
}

proptest! {
    #[test]
    fn the_same_final_pods_give_the_same_index(
        events in prop::collection::vec(pod_events(), 0..25),
    ) {
        let left: Vec<Pod> = final_pods(&events).into_values().collect();

        let through_history = cluster_of(events);

        let backwards = cluster_of(left.iter().rev().cloned().map(Event::ApplyPod));
        let at_once = cluster_of([Event::ResetPods(left)]);
        prop_assert_eq!(&through_history, &at_once);
        prop_assert_eq!(&through_history, &backwards);
    }

    #[test]
    fn events_of_different_resources_commute(
        pods in prop::collection::vec(pod_events(), 0..10),
        others in prop::collection::vec(other_events(), 0..10),
        turns in prop::collection::vec(any::<bool>(), 20),
    ) {
        let one_after_the_other = cluster_of(pods.iter().chain(&others).cloned());

        let mut pods = pods.into_iter();
        let mut others = others.into_iter();
        let mut interleaved = Vec::new();
        for pod_first in turns {
            interleaved.extend(if pod_first { pods.next() } else { others.next() });
        }
        interleaved.extend(others);
        interleaved.extend(pods);

        prop_assert_eq!(cluster_of(interleaved), one_after_the_other);
    }

    #[test]
    fn an_event_says_whether_it_changed_anything(
        events in prop::collection::vec(prop_oneof![pod_events(), other_events()], 0..25),
    ) {
        let mut cluster = Cluster::default();
        for event in events {
            let before = cluster.clone();
            let changed = cluster.handle(event);
            prop_assert_eq!(changed, cluster != before);
        }
    }

    #[test]
    fn every_owned_address_is_owned_by_a_pod_that_may(
        events in prop::collection::vec(pod_events(), 0..25),
    ) {
        let cluster = cluster_of(events);
        for (address, pod) in cluster.addresses() {
            prop_assert!(pod.addresses.contains(&address));
            prop_assert!(!pod.host_network && !pod.phase.is_finished());
            prop_assert_eq!(cluster.owner(address), Some(pod));
        }
        for pod in cluster.pods().filter(|pod| pod.can_own_addresses()) {
            for address in &pod.addresses {
                prop_assert!(cluster.owner(*address).is_some());
            }
        }
    }
}
