//! What becomes of connections while agents are in trouble.

use super::{
    CLOSE,
    report::{Steady, Trouble},
    story::Story,
    streams::Streams,
};
use crate::{
    backend::{Backend, BackendError, sim::Sim},
    process,
    scenario::{AgentAction, Change},
};

/// How often at most: the count of connections is what matters.
const MOST_ROUNDS: u32 = 10;
/// How long an agent stays as it is, in short pauses.
const PAUSES: usize = 20;

/// Something that happens to all agents.
enum Event {
    /// To the agent of every node.
    Agents(AgentAction),
    /// A step of the scenario.
    Step(&'static str),
    /// Nothing for a while.
    Pause,
}

use AgentAction::{CutApi, Kill, RefuseTransactions, Restart, RestoreApi, Start};
use Event::{Agents, Pause, Step};

/// Every kind of trouble, from beginning to end. The policy in it is about none of the connections
/// that are counted.
const KINDS: &[(&str, &[Event])] = &[
    ("agents restarted", &[Agents(Restart), Pause]),
    (
        "agents killed, then started",
        &[
            Agents(Kill),
            Step("policy created"),
            Pause,
            Agents(Start),
            Pause,
            Step("policy deleted"),
        ],
    ),
    (
        "transactions refused",
        &[
            Agents(RefuseTransactions(3)),
            Step("policy created"),
            Pause,
            // No more are refused; the agent comes round by itself.
            Agents(RefuseTransactions(0)),
            Step("policy deleted"),
        ],
    ),
    (
        "API server out of reach",
        &[
            Agents(CutApi),
            Step("policy created"),
            Pause,
            Agents(Kill),
            Agents(Start),
            Pause,
            Agents(RestoreApi),
            Step("policy deleted"),
        ],
    ),
];

/// Makes all trouble, again and again.
pub(super) fn all(
    story: &Story,
    sim: &mut Sim,
    rounds: u32,
    watch: &mut dyn FnMut(&str),
) -> Result<Vec<Trouble>, BackendError> {
    let rounds = rounds.min(MOST_ROUNDS);
    let mut streams = Streams::start(sim, story.steady(), CLOSE)?;
    let mut troubles = Vec::new();
    for (name, events) in KINDS {
        streams.take()?;
        for round in 1..=rounds {
            watch(&format!("{name} ({round} of {rounds})"));
            for event in *events {
                make(story, sim, event)?;
            }
        }
        let seen: Steady = streams.take()?;
        troubles.push(Trouble {
            what: (*name).to_owned(),
            rounds,
            seen,
        });
    }
    Ok(troubles)
}

fn make(story: &Story, sim: &mut Sim, event: &Event) -> Result<(), BackendError> {
    match event {
        Agents(action) => story.nodes().try_for_each(|node| {
            sim.change(&Change::Agent {
                node: node.to_owned(),
                action: *action,
            })
        }),
        Step(step) => story.change(sim, step),
        Pause => {
            (0..PAUSES).for_each(|_| process::short_pause());
            Ok(())
        }
    }
}
