//! Edits one after the other: what an enforcer has after many commits is what it would have made
//! of the same objects from nothing, in its Plan and in the kernel's table.
//!
//! [`Bench`] holds the namespaces in which tables are compared; without one, only Plans are.
//! [`play`] plays a story on it and ends at the first difference.

use std::{collections::BTreeMap, io};

use enforcer::{
    agent::NodeEnforcer,
    cluster::{Cluster, Event},
    compile::compile,
    nft::{ApplyError, Dataplane, Netlink, Transaction, diff},
    options::Options,
    plan::Plan,
};
use netsim::netns::Netns;

use super::{
    cells::cells,
    dice::Dice,
    generate::{self, Scale},
    listing::Listing,
    objects::policy_event,
    plan::{Disagreement, Ear, Judges},
    story::Story,
    world::World,
};
use crate::cell::Cell;

/// How many edits a story has.
pub const EDITS: usize = 20;
/// How many connections are judged after each.
const CELLS: usize = 12;
/// In how many of 100 cases nothing is committed after an edit, so that the next commit is about
/// several.
const HELD_BACK: usize = 25;

/// Namespaces to compare tables in; they are used again for every story.
#[derive(Debug)]
pub struct Bench {
    /// Where tables are changed edit by edit; one per node.
    by_edits: Vec<Netns>,
    /// Where they are made from nothing.
    from_nothing: Netns,
}

impl Bench {
    /// Makes the namespaces; inside a sandbox.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            by_edits: Netns::many(generate::words::NODES.len())?,
            from_nothing: Netns::new()?,
        })
    }

    fn fresh(&self, plan: &Plan) -> Result<Listing, Trouble> {
        let transaction = diff(&Plan::default(), plan);
        self.from_nothing.run(|| {
            Netlink::open()?.apply(&transaction)?;
            Ok(Listing::read()?)
        })?
    }
}

/// The machine does not do what a bench needs. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A namespace, a socket, a listing.
    #[error("compare tables in the kernel")]
    Kernel(#[from] io::Error),
    /// A transaction from nothing was refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// What a story found.
#[derive(Clone, Debug)]
pub enum Difference {
    /// An enforcer has another Plan than one that starts anew.
    Plan(String),
    /// The kernel took a transaction only from nothing, or lists something else.
    Table(String),
    /// Oracle and Plan differ about a connection.
    Verdict(Box<Disagreement>),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plan(what) | Self::Table(what) => f.write_str(what),
            Self::Verdict(disagreement) => disagreement.fmt(f),
        }
    }
}

/// What was done while a story was played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Edits, and commits that followed.
    pub edits: u64,
    /// Connections that were judged, and how many of them were denied.
    pub connections: u64,
    /// Of these, denied ones.
    pub denied: u64,
    /// Tables that were compared in the kernel.
    pub tables: u64,
}

/// A story of this case.
pub fn story(dice: &mut Dice) -> Story {
    let scale = Scale {
        late: 0,
        ..Scale::PLAN
    };
    let mut world = generate::world(dice, scale);
    world.policies = generate::policies(dice, &world, Scale::PLAN);
    let mut story = Story::still(world.clone());
    while story.edits.len() < EDITS {
        let Some(edit) = generate::edit(dice, &world, Scale::PLAN.odd) else {
            continue;
        };
        if world.edit(&edit, super::plan::honest).is_some() {
            story.edits.push(edit);
        }
    }
    story
}

/// Plays a story: after every edit each node's enforcer is held against one that starts anew, and
/// in the end against one that heard the same in another order. `dice` decide when to commit and
/// what to ask; the same dice ask the same.
///
/// # Errors
/// See [`Trouble`].
pub fn play(
    story: &Story,
    options: Options,
    bench: Option<&Bench>,
    ear: Ear,
    dice: &mut Dice,
    done: &mut Done,
) -> Result<Option<Difference>, Trouble> {
    let mut world = story.world.clone();
    let mut heard = everything(&world, ear);
    let mut enforcers = Enforcers::start(&world, options, bench)?;
    enforcers.hear(&heard);
    if let Some(difference) = enforcers.commit(&world, done)? {
        return Ok(Some(difference));
    }
    for (index, edit) in story.edits.iter().enumerate() {
        let Some(events) = world.edit(edit, ear) else {
            return Ok(None);
        };
        done.edits += 1;
        enforcers.hear(&events);
        heard.extend(events);
        let is_last = index + 1 == story.edits.len();
        if !is_last && dice.chance(HELD_BACK) {
            continue;
        }
        let place = format!("after edit {} ({edit})", index + 1);
        if let Some(difference) = enforcers.commit(&world, done)? {
            return Ok(Some(at(&place, difference)));
        }
        if let Some(disagreement) = judge(&world, options, dice, done) {
            return Ok(Some(Difference::Verdict(Box::new(disagreement))));
        }
    }
    shuffle(dice, &mut heard);
    let mut others = Enforcers::start(&world, options, bench)?;
    for events in heard.chunks(3) {
        others.hear(events);
        if dice.chance(50) {
            others.commit_alone()?;
        }
    }
    let difference = others.commit(&world, done)?;
    Ok(difference.map(|difference| at("in another order", difference)))
}

fn at(place: &str, difference: Difference) -> Difference {
    match difference {
        Difference::Plan(what) => Difference::Plan(format!("{place}, {what}")),
        Difference::Table(what) => Difference::Table(format!("{place}, {what}")),
        verdict @ Difference::Verdict(_) => verdict,
    }
}

fn everything(world: &World, ear: Ear) -> Vec<Event> {
    let policies = world.policies.iter().filter_map(ear);
    let mut events = world.events();
    events.extend(policies.map(|policy| policy_event(&policy)));
    events
}

fn judge(
    world: &World,
    options: Options,
    dice: &mut Dice,
    done: &mut Done,
) -> Option<Disagreement> {
    let judges = Judges::of(world, options, super::plan::honest);
    let mut asked: Vec<Cell> = cells(dice, world, 1);
    dice.shuffle(&mut asked);
    asked.truncate(CELLS);
    asked.iter().find_map(|cell| {
        done.connections += 1;
        let verdict = judges.ask(cell)?;
        done.denied += u64::from(!verdict.allowed());
        verdict.disagreement(cell)
    })
}

/// The object that an event is about; the order of events of one object matters.
fn subject(event: &Event) -> String {
    match event {
        Event::ApplyPod(pod) => format!("pod {}", pod.reference),
        Event::DeletePod(pod) => format!("pod {pod}"),
        Event::ApplyNamespace(namespace) => format!("namespace {}", namespace.name),
        Event::DeleteNamespace(name) => format!("namespace {name}"),
        Event::ApplyNode(node) => format!("node {}", node.name),
        Event::DeleteNode(name) => format!("node {name}"),
        Event::ApplyPolicy(policy, _) | Event::DeletePolicy(policy) => format!("policy {policy}"),
        // They are about all objects of a kind; there are none here.
        Event::ResetPods(_)
        | Event::ResetNamespaces(_)
        | Event::ResetNodes(_)
        | Event::ResetPolicies(_) => String::new(),
    }
}

/// Any order in which the events of each object keep theirs.
fn shuffle(dice: &mut Dice, events: &mut Vec<Event>) {
    let mut by_subject: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    let mut turns: Vec<String> = events.iter().map(subject).collect();
    for event in events.drain(..).rev() {
        by_subject.entry(subject(&event)).or_default().push(event);
    }
    dice.shuffle(&mut turns);
    let next = turns
        .iter()
        .filter_map(|turn| by_subject.get_mut(turn)?.pop());
    *events = next.collect();
}

/// Where an enforcer without a kernel puts its rules.
struct Nowhere;

impl Dataplane for Nowhere {
    fn apply(&mut self, _transaction: &Transaction) -> Result<(), ApplyError> {
        Ok(())
    }

    fn is_sender(&self, _port: u32) -> bool {
        false
    }
}

/// An enforcer per node.
struct Enforcers<'a> {
    bench: Option<&'a Bench>,
    options: Options,
    nodes: Vec<NodeEnforcer<Box<dyn Dataplane>>>,
}

impl<'a> Enforcers<'a> {
    fn start(world: &World, options: Options, bench: Option<&'a Bench>) -> Result<Self, Trouble> {
        let mut nodes = Vec::new();
        for (index, node) in world.nodes.keys().enumerate() {
            let dataplane: Box<dyn Dataplane> = match bench {
                Some(bench) => Box::new(bench.by_edits[index].run(Netlink::open)??),
                None => Box::new(Nowhere),
            };
            nodes.push(NodeEnforcer::new(node, options, dataplane));
        }
        Ok(Self {
            bench,
            options,
            nodes,
        })
    }

    fn hear(&mut self, events: &[Event]) {
        for enforcer in &mut self.nodes {
            for event in events {
                enforcer.handle(event.clone());
            }
        }
    }

    /// Commits, whatever comes of it.
    fn commit_alone(&mut self) -> Result<(), Trouble> {
        for enforcer in &mut self.nodes {
            // What is refused here is refused again when it is compared.
            drop(enforcer.commit());
        }
        Ok(())
    }

    /// Commits, and holds Plans and tables against those of a new start.
    fn commit(&mut self, world: &World, done: &mut Done) -> Result<Option<Difference>, Trouble> {
        let mut cluster = Cluster::default();
        for event in everything(world, super::plan::honest) {
            cluster.handle(event);
        }
        for (index, enforcer) in self.nodes.iter_mut().enumerate() {
            let node = enforcer.node().to_owned();
            if let Err(error) = enforcer.commit() {
                return Ok(Some(Difference::Table(format!("{node} failed to {error}"))));
            }
            let fresh = compile(&cluster, &node, self.options);
            if **enforcer.plan() != fresh {
                return Ok(Some(Difference::Plan(format!(
                    "{node} has another Plan than a new start"
                ))));
            }
            let Some(bench) = self.bench else { continue };
            let by_edits = bench.by_edits[index].run(Listing::read)??;
            let from_nothing = bench.fresh(&fresh)?;
            done.tables += 1;
            if let Some(difference) = by_edits.difference(&from_nothing) {
                return Ok(Some(Difference::Table(format!(
                    "{node} has another table than a new start: {difference}"
                ))));
            }
        }
        Ok(None)
    }
}
