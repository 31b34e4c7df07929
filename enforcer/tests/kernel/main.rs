//! The dataplane against a real kernel, in network namespaces of the tests' own.
//!
//! Root and ordinary users run the same tests: the latter in a user namespace, which has to be
//! entered while there is one thread. What the machine lacks makes a test ignored, with the reason.

#[path = "../world/mod.rs"]
mod world;

mod drift;
mod listing;
mod measure;
mod namespace;
mod story;

use std::process::ExitCode;

use enforcer::{
    agent::NodeEnforcer,
    nft::{
        ApplyError, Chain, Dataplane, Element, Family, Key, KeyType, Map, Netlink, NftBinary,
        Operation, Transaction, diff, remove_table,
    },
    options::Options,
    plan::{ConnectionId, Plan},
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use listing::{Listing, foreign_table};
use namespace::in_new_namespace;

type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let sandbox = namespace::enter().and_then(|()| namespace::probe());
    let needs_kernel = |name, test: fn() -> Outcome| trial(name, sandbox.clone(), test);
    let needs_nft = |name, test: fn() -> Outcome| {
        let nft = NftBinary::find().map_err(|error| format!("failed to {error}"));
        trial(name, sandbox.clone().and(nft.map(drop)), test)
    };
    let trials = vec![
        needs_kernel("every_step_is_taken", every_step_is_taken),
        needs_kernel("a_refused_operation_is_named_and_nothing_changes", refusal),
        needs_kernel("a_transaction_may_be_long", long_transaction),
        needs_kernel("many_connections_are_cut_at_once", many_revoked),
        needs_kernel("removing_twice_is_no_error", removing_twice),
        needs_nft("both_dataplanes_leave_the_same_ruleset", same_ruleset),
        needs_nft("steps_lead_where_a_new_start_leads", steps_and_new_start),
        needs_nft("random_steps_lead_where_a_new_start_leads", random_steps),
        needs_nft("a_failure_keeps_the_ruleset", failure_keeps_ruleset),
        needs_nft("nothing_is_left_and_nobody_else_is_touched", clean_removal),
        needs_nft("a_new_start_replaces_what_is_left", replaced_leftovers),
        needs_kernel("a_deleted_table_comes_back", drift::deleted_table),
        needs_kernel("removed_elements_come_back", drift::removed_elements),
        needs_kernel("an_added_rule_goes", drift::added_rule),
        needs_kernel("own_changes_are_no_drift", drift::own_changes),
        needs_kernel(
            "own_changes_beyond_the_room_for_notices_are_no_drift",
            drift::lost_own_notices,
        ),
        needs_kernel("lost_notices_are_told", drift::lost_notices),
        needs_nft("commands_of_others_are_undone", drift::commands_of_others),
        needs_nft(
            "own_changes_through_nft_are_no_drift",
            drift::own_changes_through_nft,
        ),
        needs_nft("changes_elsewhere_are_no_drift", drift::changes_elsewhere),
        needs_kernel(
            "measure (prints figures; on demand by --ignored --nocapture measure)",
            measure::measure,
        )
        .with_ignored_flag(true),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test in a network namespace of its own, or ignored.
fn trial(name: &str, possible: Result<(), String>, test: fn() -> Outcome) -> Trial {
    Trial::ignorable_test(name, move || match possible {
        Err(reason) => Ok(Completion::ignored_with(reason)),
        Ok(()) => in_new_namespace(test)?.map(|()| Completion::Completed),
    })
}

/// The story as most enforcers see it.
fn plans() -> Vec<Plan> {
    let plans = story::plans(Options::default()).into_iter();
    plans.map(|(_, plan)| plan).collect()
}

fn ensure(condition: bool, message: impl Into<Failed>) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(message.into())
    }
}

/// What the ruleset is after each step of the story.
fn tell(mut dataplane: impl Dataplane, options: Options) -> Result<Vec<Listing>, Failed> {
    let mut applied = Plan::default();
    let mut listings = Vec::new();
    for (step, plan) in story::plans(options) {
        dataplane
            .apply(&diff(&applied, &plan))
            .map_err(|error| format!("{step}, {options:?}: failed to {error}"))?;
        listings.push(Listing::of_ruleset(&format!("{step}, {options:?}"))?);
        applied = plan;
    }
    Ok(listings)
}

fn every_step_is_taken() -> Outcome {
    let mut enforcer = NodeEnforcer::new(story::NODE, Options::default(), Netlink::open()?);
    for (step, events) in story::steps() {
        for event in events {
            enforcer.handle(event);
        }
        let commit = enforcer
            .commit()
            .map_err(|error| format!("{step}: failed to {error}"))?;
        ensure(commit.operations > 0, format!("{step}: changed nothing"))?;
        let again = enforcer.commit()?;
        ensure(
            again.operations == 0,
            format!("{step}: changed something again"),
        )?;
    }
    enforcer.remove()?;
    Ok(())
}

fn same_ruleset() -> Outcome {
    for options in story::CHOICES {
        let by_netlink = in_new_namespace(|| tell(Netlink::open()?, options))??;
        let by_nft = in_new_namespace(|| tell(NftBinary::find()?, options))??;
        for (netlink, nft) in by_netlink.iter().zip(&by_nft) {
            netlink.must_read_as(nft)?;
        }
    }
    Ok(())
}

fn steps_and_new_start() -> Outcome {
    for options in story::CHOICES {
        let listings = in_new_namespace(|| tell(Netlink::open()?, options))??;
        let mut dataplane = Netlink::open()?;
        for ((_, plan), by_steps) in story::plans(options).iter().zip(&listings) {
            dataplane.apply(&diff(&Plan::default(), plan))?;
            by_steps.must_mean(&Listing::of_ruleset("new start")?)?;
        }
    }
    Ok(())
}

fn random_steps() -> Outcome {
    let mut dataplane = Netlink::open()?;
    let mut applied = Plan::default();
    let plans = story::random_plans(world::random::Dice::new(2));
    for (count, plan) in plans.take(60).enumerate() {
        dataplane
            .apply(&diff(&applied, &plan))
            .map_err(|error| format!("step {count}: failed to {error}"))?;
        applied = plan;
        if count % 6 == 5 {
            let by_steps = Listing::of_ruleset(&format!("random step {count}"))?;
            in_new_namespace(|| {
                Netlink::open()?.apply(&diff(&Plan::default(), &applied))?;
                by_steps.must_mean(&Listing::of_ruleset("new start")?)
            })??;
        }
    }
    Ok(())
}

/// A good operation and then one that must fail.
fn bad_transaction() -> Transaction {
    let map = Map {
        name: "self-v4".into(),
        key: KeyType::AddressPair(Family::V4),
        values: None,
        has_intervals: false,
    };
    let element = Element {
        key: Key::AddressPair(world::ip("10.99.0.1"), world::ip("10.99.0.1")),
        value: None,
        comment: None,
    };
    [
        Operation::AddElements {
            map,
            elements: vec![element],
        },
        Operation::DeleteChain(Chain {
            name: "not-there".into(),
            hook: None,
        }),
    ]
    .into_iter()
    .collect()
}

fn refusal() -> Outcome {
    let mut dataplane = Netlink::open()?;
    let plans = plans();
    dataplane.apply(&diff(&Plan::default(), &plans[0]))?;
    let error = dataplane
        .apply(&bad_transaction())
        .expect_err("the chain is not there");
    let message = error.to_string();
    ensure(
        message.contains("operation 2 of 2 (delete chain not-there): what it names does not exist"),
        message,
    )?;
    // The next step only works if everything is as before.
    dataplane.apply(&diff(&plans[0], &plans[1]))?;
    Ok(())
}

fn failure_keeps_ruleset() -> Outcome {
    for mut dataplane in [
        Box::new(Netlink::open()?) as Box<dyn Dataplane>,
        Box::new(NftBinary::find()?),
    ] {
        let plan = plans().pop().expect("the story has steps");
        dataplane.apply(&diff(&Plan::default(), &plan))?;
        let before = Listing::of_ruleset("before")?;
        match dataplane.apply(&bad_transaction()) {
            Err(ApplyError::Refused { index: 1, .. }) => {}
            Err(ApplyError::Nft { stderr, .. }) => {
                ensure(stderr.contains("No such file or directory"), stderr)?;
            }
            other => return Err(format!("{other:?}").into()),
        }
        Listing::of_ruleset("after")?.must_read_as(&before)?;
    }
    Ok(())
}

fn long_transaction() -> Outcome {
    let plan = measure::many_peers(20_000);
    let transaction = diff(&Plan::default(), &plan);
    match Netlink::open()?.apply(&transaction) {
        Ok(()) => Ok(()),
        // Without privilege there is a limit; then it has to be said, and nothing may be left.
        Err(error @ ApplyError::TooLong { .. }) if !namespace::is_privileged() => {
            let message = error.to_string();
            ensure(message.contains("net.core.wmem_max"), message)
        }
        Err(error) => Err(error.into()),
    }
}

fn many_revoked() -> Outcome {
    let mut dataplane = Netlink::open()?;
    let [_, revoking, _] = story::CHOICES;
    let (_, mut plan) = story::plans(revoking).pop().expect("the story has steps");
    dataplane.apply(&diff(&Plan::default(), &plan))?;
    for count in [20_000, 0, 1, 2, 10_000] {
        let mut next = plan.clone();
        next.set_revoked((0..count).map(ConnectionId::new).collect());
        let transaction = diff(&plan, &next);
        ensure(!transaction.is_empty(), format!("{count}: nothing to do"))?;
        dataplane
            .apply(&transaction)
            .map_err(|error| format!("{count}: failed to {error}"))?;
        plan = next;
    }
    Ok(())
}

fn removing_twice() -> Outcome {
    let mut dataplane = Netlink::open()?;
    dataplane.apply(&remove_table())?;
    dataplane.apply(&remove_table())?;
    Ok(())
}

fn clean_removal() -> Outcome {
    foreign_table()?;
    let before = Listing::of_ruleset("before")?;
    for (step, mut dataplane) in [
        ("netlink", Box::new(Netlink::open()?) as Box<dyn Dataplane>),
        ("nft", Box::new(NftBinary::find()?)),
    ] {
        for plan in plans() {
            dataplane.apply(&diff(&Plan::default(), &plan))?;
            let during = Listing::of_ruleset(step)?;
            ensure(
                during.text.contains(&before.text),
                format!("a foreign table has changed: {}", during.text),
            )?;
            dataplane.apply(&diff(&plan, &Plan::default()))?;
            Listing::of_ruleset(step)?.must_read_as(&before)?;
        }
    }
    Ok(())
}

fn replaced_leftovers() -> Outcome {
    let plans = plans();
    let plan = &plans[plans.len() / 2];
    let mut dataplane = Netlink::open()?;
    dataplane.apply(&diff(&Plan::default(), plan))?;
    let clean = Listing::of_ruleset("clean")?;
    for leftover in &plans {
        dataplane.apply(&diff(&Plan::default(), leftover))?;
        dataplane.apply(&diff(&Plan::default(), plan))?;
        Listing::of_ruleset("with leftovers")?.must_read_as(&clean)?;
    }
    Ok(())
}
