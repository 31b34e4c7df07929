//! `start`, `stop` and `never`: background traffic, and what must not come of it once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use enforcer::{
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::{Frame, Reader, change::State, coverage::Coverage, expectation::items};
use crate::{
    cell::{Cell, Endpoint},
    scenario::{
        model::{Change, Expectation, Expected, Never, OptionsOverlay, Step, Traffic, When},
        world::{AddressChoice, ObjectName},
        written::{expect, short::ShortOrLong, step},
    },
};

/// How often a connection is opened anew where the file does not say.
const EVERY: Duration = Duration::from_millis(5);

/// More connections a second than this, of all traffic of one name, find no time.
const MOST_PER_SECOND: usize = 5_000;

/// Background traffic that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) cells: Vec<Cell>,
    /// Where it is started.
    location: Location,
    /// Whether some `never` is about it.
    watched: bool,
}

/// Reads `start`, in the world before the step.
pub(super) fn start(
    reader: &mut Reader,
    step: &step::Step,
    path: &FieldPath,
    state: &mut State,
    frame: &Frame,
) -> Vec<Traffic> {
    let mut started = Vec::new();
    for (name, ShortOrLong(written)) in &step.start {
        let path = path.key("start").key(name);
        let location = reader.at_key(&path);
        if let Some(other) = state.traffic.get(name) {
            let problem = Diagnostic::new("scenario/duplicate", format!("`{name}` runs already"))
                .at(location.clone(), "")
                .also(other.location.clone(), "started here");
            reader.report(problem);
        }
        let flow_path = reader.short_or(&path, "flow");
        let Some(flow) = reader.flow(&flow_path, &written.flow) else {
            continue;
        };
        let coverage = Coverage {
            state,
            families: frame.probed(),
            ports: Vec::new(),
        };
        let cells = reader.cells_of(&coverage, &flow_path, &flow, Some(Expected::Allow));
        let cells: Vec<Cell> = cells.into_iter().collect();
        let every = written.every.map_or(EVERY, |every| every.0);
        let millis = usize::try_from(every.as_millis()).unwrap_or(usize::MAX);
        if cells.len() * 1_000 > MOST_PER_SECOND * millis {
            let problem = Diagnostic::new(
                "scenario/probe",
                format!(
                    "{} connections every {millis}ms are too many",
                    cells.len()
                ),
            )
            .at(reader.at(&flow_path), "")
            .help(format!(
                "name fewer, or give them more time with `every`: at most {MOST_PER_SECOND} a second"
            ));
            reader.report(problem);
        }
        let running = Running {
            cells: cells.clone(),
            location: location.clone(),
            watched: false,
        };
        state.traffic.insert(name.clone(), running);
        started.push(Traffic {
            name: name.clone(),
            cells,
            every,
            location,
        });
    }
    started
}

/// Reads `stop`.
pub(super) fn stop(
    reader: &mut Reader,
    step: &step::Step,
    path: &FieldPath,
    state: &mut State,
) -> Vec<String> {
    for (index, name) in step.stop.iter().enumerate() {
        match state.traffic.remove(name) {
            Some(traffic) => check_watched(reader, name, &traffic),
            None => {
                let location = reader.at(&path.key("stop").index(index));
                report_unknown(reader, state, location, name);
            }
        }
    }
    step.stop.clone()
}

/// Traffic that runs to the end of the story.
pub(super) fn end(reader: &mut Reader, state: &State) {
    for (name, traffic) in &state.traffic {
        check_watched(reader, name, traffic);
    }
}

fn check_watched(reader: &mut Reader, name: &str, traffic: &Running) {
    if !traffic.watched {
        let problem = Diagnostic::new(
            "scenario/unused",
            format!("nothing is expected of the traffic `{name}`"),
        )
        .at(traffic.location.clone(), "")
        .help(format!(
            "say in a step that changes something what must never come of it: \
             expect: {{never: {{deny: [{name}]}}}}"
        ));
        reader.report(problem);
    }
}

fn report_unknown(reader: &mut Reader, state: &State, location: Location, name: &str) {
    let problem = reader.unknown(
        location,
        "scenario/unknown",
        format!("no traffic `{name}` runs"),
        name,
        state.traffic.keys().map(String::as_str),
    );
    reader.report(problem.help("background traffic is started by `start`"));
}

/// Reads `never` of one block.
pub(super) fn never(
    reader: &mut Reader,
    state: &State,
    path: &FieldPath,
    written: Option<&expect::Never>,
) -> Vec<Never> {
    let Some(written) = written else {
        return Vec::new();
    };
    let path = path.key("never");
    let lists = [
        ("allow", Expected::Allow, &written.allow),
        ("deny", Expected::Deny, &written.deny),
    ];
    let mut all = Vec::new();
    for (key, outcome, list) in lists {
        for (path, name) in items(&path.key(key), list) {
            let location = reader.at(&path);
            let Some(traffic) = state.traffic.get(name) else {
                report_unknown(reader, state, location, name);
                continue;
            };
            if outcome == Expected::Allow {
                check_deniable(reader, state, traffic, &location);
            }
            all.push(Never {
                traffic: name.clone(),
                outcome,
                location,
            });
        }
    }
    if all.is_empty() && reader.problems.is_empty() {
        let problem = Diagnostic::new("scenario/expectation", "`never` names no traffic")
            .at(reader.at_key(&path), "")
            .help("write never: {deny: [NAME]} for what must always pass, {allow: [NAME]} for what never may");
        reader.report(problem);
    }
    all
}

/// Reports traffic that must never pass, though no policy may stop it.
fn check_deniable(reader: &mut Reader, state: &State, traffic: &Running, location: &Location) {
    let world = &state.world;
    let always = |cell: &&Cell| world.is_always_allowed(cell) || world.is_sometimes_allowed(cell);
    if let Some(cell) = traffic.cells.iter().find(always) {
        let problem = Diagnostic::new(
            "scenario/always-allowed",
            format!("no policy can deny {cell}"),
        )
        .at(location.clone(), "so some of this traffic always passes")
        .also(traffic.location.clone(), "narrow the flow here");
        reader.report(problem);
    }
}

/// What `never` of a step and the rest of it say together, once the step has been read.
pub(super) fn check(reader: &mut Reader, state: &mut State, step: &Step, options: OptionsOverlay) {
    check_ends(reader, state, step);
    let nevers: Vec<(&Expectation, &Never)> = step
        .expectations
        .iter()
        .filter(|block| can_hold(block.when, options))
        .flat_map(|block| block.never.iter().map(move |never| (block, never)))
        .collect();
    // A block that holds in no play at all is reported as such.
    for never in step.expectations.iter().flat_map(|block| &block.never) {
        if let Some(traffic) = state.traffic.get_mut(&never.traffic) {
            traffic.watched = true;
        }
    }
    for (index, (block, never)) in nevers.iter().enumerate() {
        check_disagreement(reader, state, step, block, never, options);
        let other = nevers[..index].iter().find(|(other_block, other)| {
            other.traffic == never.traffic
                && other.outcome != never.outcome
                && go_together(block.when, other_block.when)
        });
        if let Some((_, other)) = other {
            let problem = Diagnostic::new(
                "scenario/contradiction",
                format!("`{}` may neither pass nor be denied", never.traffic),
            )
            .at(never.location.clone(), "")
            .also(other.location.clone(), "");
            reader.report(problem);
        }
        let lasts = step.expectations.iter().any(|e| e.hold_for.is_some());
        if step.changes.is_empty() && !lasts {
            let problem = Diagnostic::new(
                "scenario/no-change",
                "nothing happens while this is watched",
            )
            .at(never.location.clone(), "")
            .help("`never` is about the time from before the step's first change to its last look: change something in this step, or let it last with `for`");
            reader.report(problem);
        }
    }
}

/// Reports an expectation of this step that `never` rules out.
fn check_disagreement(
    reader: &mut Reader,
    state: &State,
    step: &Step,
    block: &Expectation,
    never: &Never,
    options: OptionsOverlay,
) {
    let Some(traffic) = state.traffic.get(&never.traffic) else {
        return;
    };
    let cells: BTreeSet<&Cell> = traffic.cells.iter().collect();
    let others = step
        .expectations
        .iter()
        .filter(|other| can_hold(other.when, options) && go_together(block.when, other.when));
    let expected = others
        .flat_map(|other| &other.cells)
        .find(|cell| cell.expected == never.outcome && cells.contains(&cell.cell));
    if let Some(expected) = expected {
        let mut problem = Diagnostic::new(
            "scenario/contradiction",
            format!(
                "`{}` must never be {}, and {} is expected to be",
                never.traffic, never.outcome, expected.cell
            ),
        )
        .at(never.location.clone(), "while the traffic still runs");
        if let Some(location) = expected.origin.location() {
            problem = problem.also(location.clone(), format!("{} here", expected.expected));
        }
        reader.report(problem.help("let the traffic run and stop in a step before this one"));
    }
}

fn can_hold(when: Option<When>, options: OptionsOverlay) -> bool {
    when.is_none_or(|when| when.can_hold(options))
}

fn go_together(one: Option<When>, other: Option<When>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.goes_with(other),
        _ => true,
    }
}

/// Reports traffic whose source ends while it runs, or whose destination gets another address: it
/// goes on to the one that was dialled first.
fn check_ends(reader: &mut Reader, state: &State, step: &Step) {
    let recreated: BTreeMap<&ObjectName, bool> = step
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::RecreatePod(pod) => Some((&pod.name, pod.address == AddressChoice::Fresh)),
            _ => None,
        })
        .collect();
    let moved = |end: &Endpoint| match end {
        Endpoint::Pod { namespace, name } => {
            recreated.get(&ObjectName::new(namespace, name)).copied()
        }
        _ => None,
    };
    let is_pod = |end: &Endpoint| matches!(end, Endpoint::Pod { .. });
    let ends =
        |end: &Endpoint| moved(end).is_some() || (is_pod(end) && !state.world.is_running(end));
    for (name, traffic) in &state.traffic {
        let from = traffic.cells.iter().find(|cell| ends(&cell.source));
        let to = traffic
            .cells
            .iter()
            .find(|cell| moved(&cell.destination) == Some(true));
        let message = match (from, to) {
            (Some(cell), _) => format!(
                "{} ends in this step, and `{name}` comes from it",
                cell.source
            ),
            (None, Some(cell)) => format!(
                "{} gets another address in this step, and `{name}` goes on to the one it had",
                cell.destination
            ),
            (None, None) => continue,
        };
        let problem = Diagnostic::new("scenario/not-running", message)
            .at(step.location.clone(), "")
            .also(traffic.location.clone(), "started here")
            .help("stop the traffic in a step before this one");
        reader.report(problem);
    }
}
