//! `spec.steps`: the story, step by step.

use std::{collections::BTreeSet, sync::Arc};

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::{
    Frame, Reader, admission,
    change::{Changes, State},
    cluster::Start,
    expectation::{self, Context},
    flows,
    policies::{self, Catalog},
    traffic,
};
use crate::{
    cell::{Cell, Outcome},
    scenario::{
        model::{Expected, ExpectedCell, ExpectedFailure, Origin, Step},
        policy::{self, PolicySource},
        text::{Spanned, endpoint, flow},
        world::World,
        written::{self, File},
    },
};

/// What the steps of a file say.
pub(super) struct Story {
    pub(super) initial_policies: Vec<Arc<PolicySource>>,
    pub(super) steps: Vec<Step>,
    pub(super) control: Vec<ExpectedCell>,
    pub(super) final_control: Vec<ExpectedCell>,
    pub(super) expect_failure: Vec<ExpectedFailure>,
}

fn steps_path() -> FieldPath {
    FieldPath::root().key("spec").key("steps")
}

/// Reads the story of one play.
pub(super) fn read(
    reader: &mut Reader,
    file: &File,
    start: &Start,
    catalog: &Catalog,
    frame: &Frame,
    order: Option<usize>,
) -> Story {
    let mut catalog = catalog.clone();
    let mut state = State::of(&start.world);
    let mut clashes = BTreeSet::new();
    reader.check_host_ports(&start.world, None, &mut clashes);
    let initial_policies = initial_policies(reader, start, &mut catalog, &mut state, frame);
    let mut used = BTreeSet::new();
    let mut steps: Vec<Step> = Vec::new();
    if file.spec.steps.is_empty() {
        let problem = Diagnostic::new("scenario/empty-step", "there are no steps")
            .at(reader.at_key(&steps_path()), "");
        reader.report(problem);
    }
    for (index, written) in file.spec.steps.iter().enumerate() {
        let path = steps_path().index(index);
        let name_location = reader.at(&path.key("name"));
        if let Some(other) = steps.iter().find(|step| step.name == written.name) {
            let problem = Diagnostic::new(
                "scenario/duplicate",
                format!("two steps are called `{}`", written.name),
            )
            .at(name_location.clone(), "")
            .also(other.location.clone(), "");
            reader.report(problem);
        }
        let admissions =
            admission::read(reader, written, &path, &catalog, &state, frame, &mut used);
        let started = traffic::start(reader, written, &path, &mut state, frame);
        let mut changes = Changes {
            reader,
            state: &mut state,
            catalog: &catalog,
            frame,
            path: path.clone(),
            order,
            used: &mut used,
            changes: Vec::new(),
        };
        changes.read(written);
        let changes = changes.changes;
        reader.check_host_ports(&state.world, Some(&name_location), &mut clashes);
        let context = Context {
            state: &state,
            frame,
            catalog: &catalog,
            probe: &file.spec.probe,
        };
        let expectations =
            expectation::read(reader, &context, &path.key("expect"), &written.expect);
        let open = flows::open(reader, written, &path, &mut state, frame);
        let uses = flows::uses(reader, written, &path, &state);
        let close = flows::close(reader, written, &path, &mut state);
        if is_empty(written) {
            let problem = Diagnostic::new(
                "scenario/empty-step",
                "this step changes nothing and expects nothing",
            )
            .at(name_location.clone(), "");
            reader.report(problem);
        }
        let mut step = Step {
            name: written.name.clone(),
            location: name_location,
            admissions,
            start: started,
            changes,
            world: state.world.clone(),
            policies: state.in_force.values().cloned().collect(),
            expectations,
            open,
            uses,
            close,
            stop: Vec::new(),
        };
        traffic::check(reader, &mut state, &step, frame.options);
        step.stop = traffic::stop(reader, written, &path, &mut state);
        state.keep_refused(&step);
        steps.push(step);
    }
    traffic::end(reader, &state);
    report_unused(reader, file, &used);
    check_probe(reader, file, start, &steps);
    let cells = controlled_cells(&steps);
    let last = steps.last().map_or(&start.world, |step| &step.world);
    Story {
        expect_failure: expected_failures(reader, file, &steps),
        control: control(&start.world, &cells),
        final_control: control(last, &cells),
        initial_policies,
        steps,
    }
}

/// The policies of `cluster.manifests`: in force before the first step, and known to steps as
/// `namespace/name`.
fn initial_policies(
    reader: &mut Reader,
    start: &Start,
    catalog: &mut Catalog,
    state: &mut State,
    frame: &Frame,
) -> Vec<Arc<PolicySource>> {
    let mut initial = Vec::new();
    for document in &start.policies {
        let key = policy::object_name(document).to_string();
        let source = policies::source(reader, &key, document.clone(), frame.family);
        let Some(source) = source.map(Arc::new) else {
            continue;
        };
        reader.admit(&source, &state.scope(frame));
        catalog.policies.insert(key, Arc::clone(&source));
        let before = state
            .in_force
            .insert(source.name.clone(), Arc::clone(&source));
        if let Some(other) = before {
            let problem = Diagnostic::new(
                "scenario/duplicate",
                format!("there are two policies {}", source.name),
            )
            .at(source.location(), "")
            .also(other.location(), "");
            reader.report(problem);
        }
        initial.push(source);
    }
    initial
}

fn is_empty(step: &written::step::Step) -> bool {
    step.refuse.is_empty()
        && step.accept.is_empty()
        && step.start.is_empty()
        && step.stop_agents.is_empty()
        && step.kill_agents.is_empty()
        && step.cut_api.is_empty()
        && step.refuse_transactions.is_empty()
        && step.create_namespaces.entries.is_empty()
        && step.create_pods.is_empty()
        && step.label.is_empty()
        && step.unlabel.is_empty()
        && step.apply.is_empty()
        && step.store.is_empty()
        && step.replace.is_empty()
        && step.delete.is_empty()
        && step.recreate_pods.entries.is_empty()
        && step.start_pods.is_empty()
        && step.restart_containers.is_empty()
        && step.terminate_pods.is_empty()
        && step.finish_pods.is_empty()
        && step.delete_pods.is_empty()
        && step.delete_namespaces.is_empty()
        && step.damage.is_empty()
        && step.create_foreign_tables.is_empty()
        && step.start_agents.is_empty()
        && step.restart_agents.is_empty()
        && step.restore_api.is_empty()
        && step.expect.items.is_empty()
        && step.open.is_empty()
        && step.r#use.is_empty()
        && step.close.is_empty()
        && step.stop.is_empty()
}

/// Policies that no step uses would be read as if they mattered.
fn report_unused(reader: &mut Reader, file: &File, used: &BTreeSet<String>) {
    let path = FieldPath::root().key("spec").key("policies");
    for key in file.spec.policies.keys() {
        let is_used = |name: &String| name.split('[').next() == Some(key);
        if !used.iter().any(is_used) {
            let problem = Diagnostic::new(
                "scenario/unused",
                format!("no step uses the policy `{key}`"),
            )
            .at(reader.at_key(&path.key(key)), "");
            reader.report(problem);
        }
    }
}

/// Every entry of `probe` must mean something at some time.
fn check_probe(reader: &mut Reader, file: &File, start: &Start, steps: &[Step]) {
    let worlds: Vec<&World> = std::iter::once(&start.world)
        .chain(steps.iter().map(|step| &step.world))
        .collect();
    for (index, text) in file.spec.probe.iter().enumerate() {
        let path = FieldPath::root().key("spec").key("probe").index(index);
        let selectors = match flow::parse(text) {
            Ok(flow) => vec![flow.source, flow.destination],
            Err(_) => match endpoint::parse(text) {
                Ok(value) => vec![Spanned {
                    span: 0..text.len(),
                    value,
                }],
                Err(_) => Vec::new(),
            },
        };
        for selector in selectors {
            if worlds
                .iter()
                .all(|world| world.select(&selector.value).is_empty())
            {
                let location = reader.in_text(&path, selector.span);
                let problem = reader.no_endpoint(location, &selector.value, &start.world);
                reader.report(problem);
            }
        }
    }
}

/// Every connection that is probed in some step and could be allowed.
fn controlled_cells(steps: &[Step]) -> BTreeSet<Cell> {
    let expected = steps.iter().flat_map(|step| {
        let cells = step.expectations.iter().flat_map(|e| &e.cells);
        cells
            .filter(|cell| cell.expected != Expected::Unreachable)
            .map(|cell| cell.cell.clone())
    });
    let opened = steps
        .iter()
        .flat_map(|step| &step.open)
        .flat_map(|flow| flow.cells.clone());
    let started = steps
        .iter()
        .flat_map(|step| &step.start)
        .flat_map(|traffic| traffic.cells.clone());
    expected.chain(opened).chain(started).collect()
}

/// What must come of these connections while there are no policies.
fn control(world: &World, cells: &BTreeSet<Cell>) -> Vec<ExpectedCell> {
    let expected = cells.iter().filter_map(|cell| {
        let expected = match world.without_policies(cell)? {
            Outcome::Allowed => Expected::Allow,
            Outcome::Denied => Expected::Deny,
            Outcome::Refused => Expected::Refused,
            Outcome::Unreachable => Expected::Unreachable,
        };
        Some(ExpectedCell {
            cell: cell.clone(),
            expected,
            origin: Origin::Control,
            because: None,
            source_seen: None,
            served_by: None,
        })
    });
    expected.collect()
}

fn expected_failures(reader: &mut Reader, file: &File, steps: &[Step]) -> Vec<ExpectedFailure> {
    let mut failures = Vec::new();
    for (index, written) in file.spec.expect_failure.iter().enumerate() {
        let path = FieldPath::root()
            .key("spec")
            .key("expectFailure")
            .index(index);
        if let Some(name) = &written.step
            && !steps.iter().any(|step| step.name == *name)
        {
            let problem = reader.unknown(
                reader.at(&path.key("step")),
                "scenario/unknown",
                format!("there is no step `{name}`"),
                name,
                steps.iter().map(|step| step.name.as_str()),
            );
            reader.report(problem);
        }
        let Some(flow) = reader.flow(&path.key("flow"), &written.flow) else {
            continue;
        };
        let failure = ExpectedFailure {
            backend: written.backend,
            flow,
            step: written.step.clone(),
            reason: written.reason.clone(),
            location: reader.at(&path),
        };
        let is_about_something = steps.iter().any(|step| {
            step.cells()
                .into_iter()
                .any(|cell| failure.covers(step, cell))
        });
        if !is_about_something && reader.problems.is_empty() {
            let problem = Diagnostic::new("scenario/no-match", "no such connection is probed")
                .at(reader.at(&path.key("flow")), "");
            reader.report(problem);
        }
        failures.push(failure);
    }
    failures
}
