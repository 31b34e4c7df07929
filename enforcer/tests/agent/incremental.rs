//! A Plan that was kept up to date is the one that is made from nothing, whatever happened.

use enforcer::{
    agent::NodeEnforcer,
    cluster::{Cluster, Event, Phase},
    compile::compile,
    nft::diff,
    plan::Plan,
    policy::PolicyRef,
};

use crate::{
    memory::Memory,
    world::{
        gone, namespace,
        random::{Dice, event, node_event, options},
    },
};

/// Anything that may happen to anything.
fn any_event(dice: &mut Dice, cluster: &Cluster) -> Event {
    match dice.roll(16) {
        0 => node_event(dice),
        1 => {
            let labels: &[_] = dice.any(&[&[][..], &[("team", "x")], &[("team", "y")]]);
            namespace(dice.any(&["x", "y"]), labels)
        }
        2 => Event::DeleteNamespace(dice.any(&["x", "y"]).into()),
        3 => {
            // Known again after some were missed and others came meanwhile.
            let mut pods: Vec<_> = cluster.pods().cloned().collect();
            pods.retain(|_| dice.roll(4) > 0);
            for _ in 0..2 {
                if let Event::ApplyPod(pod) = event(dice) {
                    pods.retain(|known| known.reference != pod.reference);
                    pods.push(pod);
                }
            }
            Event::ResetPods(pods)
        }
        4 => {
            let mut all = Vec::new();
            for (space, number) in [("x", 0), ("x", 1), ("y", 2), ("y", 3)] {
                let reference = PolicyRef::network_policy(space, &format!("q{number}"));
                let known = cluster.policy(&reference).to_vec();
                match event(dice) {
                    Event::ApplyPolicy(reference, policies) => {
                        all.retain(|(known, _)| *known != reference);
                        all.push((reference, policies));
                    }
                    _ if !known.is_empty() && all.iter().all(|(known, _)| *known != reference) => {
                        all.push((reference, known));
                    }
                    _ => {}
                }
            }
            Event::ResetPolicies(all)
        }
        5 | 6 => {
            // A pod ends, moves to the node's network, or changes otherwise and keeps its addresses.
            let pods: Vec<_> = cluster.pods().cloned().collect();
            if pods.is_empty() {
                return gone("x/nobody");
            }
            let mut pod = dice.any(&pods);
            match dice.roll(4) {
                0 => pod.phase = dice.any(&[Phase::Running, Phase::Failed]),
                1 => pod.host_network ^= true,
                2 => pod.node = dice.any(&[None, Some("n1".into()), Some("n2".into())]),
                _ => pod.addresses.truncate(1),
            }
            Event::ApplyPod(pod)
        }
        _ => event(dice),
    }
}

#[test]
fn a_plan_that_was_kept_up_to_date_is_the_one_made_from_nothing() {
    let (mut compared, mut changed) = (0, 0);
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let options = options(&mut dice);
        let mut enforcer = NodeEnforcer::new("n1", options, Memory::default());
        let mut last = Plan::default();
        for number in 0..80 {
            let event = any_event(&mut dice, enforcer.cluster());
            enforcer.handle(event.clone());
            if dice.roll(3) == 0 {
                continue;
            }
            let before = enforcer.plan().clone();
            enforcer.commit().unwrap();
            let kept: &Plan = enforcer.plan();
            let fresh = compile(enforcer.cluster(), "n1", options);
            assert_eq!(*kept, fresh, "seed {seed}, event {number}: {event:?}");
            // What is skipped because it is shared is the same indeed.
            assert_eq!(
                diff(&before, kept),
                diff(&last, &fresh),
                "seed {seed}, event {number}"
            );
            compared += 1;
            changed += usize::from(last != fresh);
            last = fresh;
        }
    }
    assert!(
        compared > 1_500 && changed > 500,
        "{changed} of {compared} changed something: this proves little"
    );
}
