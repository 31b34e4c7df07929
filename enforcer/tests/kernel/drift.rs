//! What others do to the table of a running agent, and what it makes of it.

use std::time::Duration;

use enforcer::{
    agent::{Agent, Kernel},
    cluster::Event,
    nft::{
        Dataplane, Netlink, NetlinkWatch, NftBinary, Operation, Rule, Statement, Target, Watch,
        diff, remove_table,
    },
    options::Options,
    plan::Plan,
    policy::{Direction, Selector},
};
use libtest_mimic::Failed;

use crate::{
    Outcome, ensure,
    listing::{Listing, foreign_table, nft},
    story,
    world::{allow, namespace, pod, pods_in, policy},
};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that has been told the beginning of the story; pods are isolated.
fn agent() -> Result<Agent, Failed> {
    told(Kernel::open()?, 4)
}

fn told(kernel: Kernel, steps: usize) -> Result<Agent, Failed> {
    let agent = Agent::start(story::NODE, Options::default(), kernel)?;
    agent.synced();
    for (_, events) in story::steps().into_iter().take(steps) {
        for event in events {
            agent.send(event);
        }
        agent.settle(PATIENCE)?;
    }
    Ok(agent)
}

fn kernel_through_nft() -> Result<Kernel, Failed> {
    Ok(Kernel {
        dataplane: Box::new(NftBinary::find()?),
        ..Kernel::open()?
    })
}

/// The agent has seen one change and undone it.
fn must_have_repaired(agent: &Agent, what: &str) -> Outcome {
    agent.settle(PATIENCE)?;
    let status = agent.status();
    let changes: Vec<_> = status
        .recent_drifts
        .iter()
        .filter(|drift| drift.repaired.is_some())
        .flat_map(|drift| drift.changes.clone())
        .collect();
    ensure(status.drifts == 1, format!("{} drifts", status.drifts))?;
    ensure(changes == [what], format!("{changes:?}"))?;
    // Only a table that is as the plan says takes the step to the next.
    let (_, first) = &story::plans(Options::default())[0];
    Netlink::open()?.apply(&diff(&agent.plan(), first))?;
    Ok(())
}

pub(crate) fn deleted_table() -> Outcome {
    let agent = agent()?;
    Netlink::open()?.apply(&remove_table())?;
    must_have_repaired(&agent, "the table deleted")
}

pub(crate) fn removed_elements() -> Outcome {
    let agent = agent()?;
    let everything = diff(&Plan::default(), &agent.plan());
    let subjects = everything
        .operations()
        .iter()
        .find_map(|operation| match operation {
            Operation::AddElements { map, elements } if &*map.name == "ingress-v4" => {
                Some(Operation::DeleteElements {
                    map: map.clone(),
                    elements: elements[..1].to_vec(),
                })
            }
            _ => None,
        });
    let removal = subjects.ok_or("the story isolates pods")?;
    Netlink::open()?.apply(&[removal].into_iter().collect())?;
    must_have_repaired(&agent, "elements of set ingress-v4 deleted")
}

pub(crate) fn added_rule() -> Outcome {
    let agent = agent()?;
    let rule = Rule {
        statement: Statement::Go(Target::Return),
        comment: None,
    };
    let added = Operation::AddRule {
        chain: "denied-ingress".into(),
        rule,
    };
    Netlink::open()?.apply(&[added].into_iter().collect())?;
    must_have_repaired(&agent, "rules of chain denied-ingress added or changed")
}

/// By hand, and back to what every character was before.
pub(crate) fn commands_of_others() -> Outcome {
    foreign_table()?;
    for (command, change) in [
        (
            "flush chain inet portcullis forward",
            "rules of chain forward deleted",
        ),
        (
            "insert rule inet portcullis forward accept",
            "rules of chain forward added or changed",
        ),
        (
            "flush map inet portcullis ingress-v4",
            "elements of set ingress-v4 deleted",
        ),
        (
            "add chain inet portcullis mine",
            "chain mine added or changed",
        ),
        ("delete table inet portcullis", "the table deleted"),
    ] {
        let agent = agent()?;
        // From nothing, as a repair does.
        Netlink::open()?.apply(&diff(&Plan::default(), &agent.plan()))?;
        agent.settle(PATIENCE)?;
        let before = Listing::of_ruleset(command)?;
        nft(&command.split(' ').collect::<Vec<_>>())?;
        agent.settle(PATIENCE)?;
        Listing::of_ruleset(command)?.must_mean(&before)?;
        let status = agent.status();
        let last = status.recent_drifts.back().ok_or("nothing was noticed")?;
        ensure(
            last.changes == [change] && last.culprits == ["nft"],
            format!("{command}: {last:?}"),
        )?;
    }
    Ok(())
}

pub(crate) fn own_changes() -> Outcome {
    let agent = told(Kernel::open()?, usize::MAX)?;
    no_drift(&agent)
}

pub(crate) fn own_changes_through_nft() -> Outcome {
    let agent = told(kernel_through_nft()?, usize::MAX)?;
    no_drift(&agent)?;
    nft(&["flush", "chain", "inet", "portcullis", "forward"])?;
    must_have_repaired(&agent, "rules of chain forward deleted")
}

pub(crate) fn changes_elsewhere() -> Outcome {
    let agent = agent()?;
    foreign_table()?;
    nft(&["add", "table", "ip", "portcullis"])?;
    agent.settle(PATIENCE)?;
    no_drift(&agent)
}

/// A kernel that keeps no more than a page or two of notices.
fn kernel_with_little_room() -> Result<Kernel, Failed> {
    let watch = NetlinkWatch::open()?;
    watch.set_room(4096)?;
    Ok(Kernel {
        watch: Box::new(watch),
        ..Kernel::open()?
    })
}

/// An agent with hundreds of isolated pods.
fn agent_with_many_pods(kernel: Kernel) -> Result<Agent, Failed> {
    let agent = Agent::start(story::NODE, Options::default(), kernel)?;
    agent.synced();
    agent.send(namespace("x", &[]));
    agent.send(policy(
        "x/allow",
        Direction::Ingress,
        Selector::EVERYTHING,
        vec![allow(vec![pods_in("x", Selector::EVERYTHING)], vec![])],
    ));
    let pods = (0..500).map(|number| {
        let address = format!("10.0.{}.{}", number / 250, number % 250);
        pod(&format!("x/pod-{number}"), story::NODE, &[&address], &[])
    });
    agent.send(Event::ResetPods(pods.collect()));
    agent.settle(PATIENCE)?;
    Ok(agent)
}

pub(crate) fn lost_own_notices() -> Outcome {
    let agent = agent_with_many_pods(kernel_with_little_room()?)?;
    no_drift(&agent)
}

pub(crate) fn lost_notices() -> Outcome {
    let mut watch = NetlinkWatch::open()?;
    watch.set_room(4096)?;
    let agent = agent_with_many_pods(Kernel::open()?)?;
    let look = watch.look(&|_| false)?;
    ensure(look.is_incomplete, format!("{look:?}"))?;
    let look = watch.look(&|_| false)?;
    ensure(look.is_harmless(), format!("{look:?}"))?;
    no_drift(&agent)
}

fn no_drift(agent: &Agent) -> Outcome {
    let drifts = agent.status().recent_drifts;
    ensure(drifts.is_empty(), format!("{drifts:?}"))
}
