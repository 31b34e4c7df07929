//! One owner per address, whatever the order of events.

use enforcer::cluster::{Event, Phase, Pod};
use rstest::rstest;

use super::{mk_cluster, mk_pod, owner};

fn with(mut pod: Pod, change: impl FnOnce(&mut Pod)) -> Pod {
    change(&mut pod);
    pod
}

fn old_and_new() -> [Pod; 2] {
    let old = with(mk_pod("x/old", &["10.0.0.1"]), |pod| pod.created = 1);
    let new = with(mk_pod("y/new", &["10.0.0.1"]), |pod| pod.created = 2);
    [old, new]
}

#[rstest]
#[case::succeeded(|pod: &mut Pod| pod.phase = Phase::Succeeded)]
#[case::failed(|pod: &mut Pod| pod.phase = Phase::Failed)]
#[case::host_network(|pod: &mut Pod| pod.host_network = true)]
#[case::without_address(|pod: &mut Pod| pod.addresses.clear())]
fn some_pods_own_nothing(#[case] change: fn(&mut Pod)) {
    let pod = with(mk_pod("x/a", &["10.0.0.1"]), change);

    let cluster = mk_cluster([Event::ApplyPod(pod.clone())]);

    assert_eq!(owner(&cluster, "10.0.0.1"), None);
    assert_eq!(cluster.addresses().count(), 0);
    assert_eq!(cluster.addresses_on("n1").count(), 0);
    assert_eq!(cluster.addresses_of(&pod).count(), 0);
}

#[rstest]
#[case::pending(Phase::Pending)]
#[case::running(Phase::Running)]
#[case::unknown(Phase::Unknown)]
fn other_pods_own_their_addresses(#[case] phase: Phase) {
    let pod = with(mk_pod("x/a", &["10.0.0.1"]), |pod| pod.phase = phase);

    let cluster = mk_cluster([Event::ApplyPod(pod)]);

    assert_eq!(owner(&cluster, "10.0.0.1").as_deref(), Some("x/a"));
}

#[rstest]
#[case::the_newer_wins(|_: &mut Pod| {}, "y/new")]
#[case::but_a_running_one_first(|new: &mut Pod| new.phase = Phase::Pending, "x/old")]
#[case::and_never_a_finished_one(|new: &mut Pod| new.phase = Phase::Succeeded, "x/old")]
#[case::then_the_greater_uid(|new: &mut Pod| { new.created = 1; new.uid = "zzz".into() }, "y/new")]
#[case::or_the_other_one(|new: &mut Pod| { new.created = 1; new.uid = "aaa".into() }, "x/old")]
fn an_address_claimed_twice(#[case] change: fn(&mut Pod), #[case] expected: &str) {
    let [old, new] = old_and_new();
    let new = with(new, change);

    for order in [[old.clone(), new.clone()], [new, old]] {
        let cluster = mk_cluster(order.map(Event::ApplyPod));
        assert_eq!(owner(&cluster, "10.0.0.1").as_deref(), Some(expected));
        let owners: Vec<_> = cluster
            .addresses()
            .map(|(address, pod)| (address.to_string(), pod.reference.to_string()))
            .collect();
        assert_eq!(owners, [("10.0.0.1".to_owned(), expected.to_owned())]);
    }
}

#[test]
fn a_reused_address_changes_hands() {
    let [old, new] = old_and_new();
    let mut cluster = mk_cluster([old.clone(), new].map(Event::ApplyPod));

    cluster.handle(Event::DeletePod("y/new".parse().unwrap()));
    assert_eq!(owner(&cluster, "10.0.0.1").as_deref(), Some("x/old"));

    cluster.handle(Event::ApplyPod(with(old, |pod| pod.phase = Phase::Failed)));
    assert_eq!(owner(&cluster, "10.0.0.1"), None);
}

#[test]
fn a_node_enforces_for_the_addresses_that_its_pods_own() {
    let [old, new] = old_and_new();
    let new = with(new, |pod| pod.addresses.push("fd00::2".parse().unwrap()));
    let elsewhere = with(mk_pod("z/far", &["10.0.0.9"]), |pod| {
        pod.node = Some("n2".into());
    });
    let cluster = mk_cluster([old, new, elsewhere].map(Event::ApplyPod));

    let on_n1: Vec<_> = cluster
        .addresses_on("n1")
        .map(|(address, pod)| format!("{address} {}", pod.reference))
        .collect();

    assert_eq!(on_n1, ["10.0.0.1 y/new", "fd00::2 y/new"]);
}
