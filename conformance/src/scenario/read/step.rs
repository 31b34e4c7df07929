//! `spec.steps`: the story, step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::{
    Frame, Reader,
    change::{Changes, State},
    cluster::Start,
    coverage::Coverage,
    expectation::{self, Context},
    policies::{self, Catalog, Scope},
};
use crate::{
    cell::{Cell, Protocol},
    scenario::{
        is_yaml_path,
        model::{
            Admission, Expected, ExpectedCell, ExpectedFailure, NamedFlow, Origin, Refusal, Step,
            UseExpectation, UseFlow, When,
        },
        policy::{self, PolicySource},
        world::World,
        written::{self, File, short::ShortOrLong, step::Subject},
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
    let mut state = State {
        world: start.world.clone(),
        in_force: BTreeMap::new(),
        gone: BTreeSet::new(),
        flows: BTreeMap::new(),
    };
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
            read_admissions(reader, written, &path, &catalog, &state, frame, &mut used);
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
        let context = Context {
            state: &state,
            frame,
            catalog: &catalog,
            probe: &file.spec.probe,
        };
        let expectations =
            expectation::read(reader, &context, &path.key("expect"), &written.expect);
        let open = read_open(reader, written, &path, &mut state, frame);
        let uses = read_uses(reader, written, &path, &state);
        let close = read_close(reader, written, &path, &mut state);
        if is_empty(written) {
            let problem = Diagnostic::new(
                "scenario/empty-step",
                "this step changes nothing and expects nothing",
            )
            .at(name_location.clone(), "");
            reader.report(problem);
        }
        steps.push(Step {
            name: written.name.clone(),
            location: name_location,
            admissions,
            start: Vec::new(),
            changes,
            world: state.world.clone(),
            policies: state.in_force.values().cloned().collect(),
            expectations,
            open,
            uses,
            close,
            stop: Vec::new(),
        });
    }
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
        let scope = Scope {
            world: &state.world,
            gone: &state.gone,
            frame,
        };
        reader.admit(&source, &scope);
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

fn read_admissions(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    catalog: &Catalog,
    state: &State,
    frame: &Frame,
    used: &mut BTreeSet<String>,
) -> Vec<Admission> {
    let mut admissions = Vec::new();
    let scope = Scope {
        world: &state.world,
        gone: &state.gone,
        frame,
    };
    for (index, refuse) in step.refuse.iter().enumerate() {
        let path = path.key("refuse").index(index);
        let found = match (&refuse.policy, &refuse.manifest) {
            (Some(name), None) => named(reader, &path.key("policy"), name, catalog, used),
            (None, Some(_)) => inline(reader, &path.key("manifest"), frame),
            _ => {
                let problem = Diagnostic::new(
                    "scenario/object",
                    "either `policy` or `manifest` says what is refused",
                )
                .at(reader.at(&path), "");
                reader.report(problem);
                None
            }
        };
        if let Some(manifest) = found
            && reader.check_templates(&manifest, &scope)
        {
            admissions.push(Admission {
                manifest,
                refused: Some(Refusal {
                    field: FieldPath::from(refuse.field.as_str()),
                    message: refuse.message.clone(),
                }),
                location: reader.at(&path),
            });
        }
    }
    for (index, ShortOrLong(subject)) in step.accept.iter().enumerate() {
        let path = path.key("accept").index(index);
        let found = match subject {
            Subject::Manifest => inline(reader, &path, frame),
            Subject::Name(file) if is_yaml_path(file) => reader
                .one_document(&path, file)
                .and_then(|document| policies::source(reader, file, document, frame.family))
                .map(Arc::new),
            Subject::Name(name) => named(reader, &path, name, catalog, used),
        };
        if let Some(manifest) = found
            && reader.check_templates(&manifest, &scope)
        {
            admissions.push(Admission {
                manifest,
                refused: None,
                location: reader.at(&path),
            });
        }
    }
    admissions
}

fn named(
    reader: &mut Reader,
    path: &FieldPath,
    name: &str,
    catalog: &Catalog,
    used: &mut BTreeSet<String>,
) -> Option<Arc<PolicySource>> {
    used.insert(name.to_owned());
    catalog.find(reader, path, name)
}

fn inline(reader: &mut Reader, path: &FieldPath, frame: &Frame) -> Option<Arc<PolicySource>> {
    let document = reader.document.at(path)?;
    let key = policy::object_name(&document).to_string();
    policies::source(reader, &key, document, frame.family).map(Arc::new)
}

fn read_open(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    state: &mut State,
    frame: &Frame,
) -> Vec<NamedFlow> {
    let mut opened = Vec::new();
    for (name, text) in &step.open {
        let path = path.key("open").key(name);
        if state.flows.contains_key(name) {
            let problem =
                Diagnostic::new("scenario/duplicate", format!("`{name}` is open already"))
                    .at(reader.at_key(&path), "");
            reader.report(problem);
        }
        let Some(flow) = reader.flow(&path, text) else {
            continue;
        };
        let coverage = Coverage {
            world: &state.world,
            families: frame.probed(),
            ports: Vec::new(),
        };
        let cells = reader.cells_of(&coverage, &path, &flow, Some(Expected::Allow));
        let cells: Vec<Cell> = cells.into_iter().collect();
        let odd = cells
            .iter()
            .find(|cell| matches!(cell.port.protocol, Protocol::Icmp | Protocol::Sctp));
        if let Some(cell) = odd {
            let problem = Diagnostic::new(
                "scenario/flow",
                format!(
                    "a long-lived connection over {} is not possible",
                    cell.port.protocol
                ),
            )
            .at(reader.at(&path), "")
            .help("name a TCP or UDP port");
            reader.report(problem);
        }
        state.flows.insert(name.clone(), cells.clone());
        opened.push(NamedFlow {
            name: name.clone(),
            cells,
            expect: UseExpectation::Allow,
            location: reader.at_key(&path),
        });
    }
    opened
}

fn read_uses(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    state: &State,
) -> Vec<UseFlow> {
    let mut uses = Vec::new();
    for (index, ShortOrLong(written)) in step.r#use.iter().enumerate() {
        let path = path.key("use").index(index);
        check_open(reader, &path, &written.flow, state);
        uses.push(UseFlow {
            name: written.flow.clone(),
            expect: written.expect,
            when: written.when.map(When::from),
            location: reader.at(&path),
        });
    }
    uses
}

fn read_close(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    state: &mut State,
) -> Vec<String> {
    for (index, name) in step.close.iter().enumerate() {
        check_open(reader, &path.key("close").index(index), name, state);
        state.flows.remove(name);
    }
    step.close.clone()
}

fn check_open(reader: &mut Reader, path: &FieldPath, name: &str, state: &State) {
    if !state.flows.contains_key(name) {
        let problem = reader.unknown(
            reader.at(path),
            "scenario/unknown",
            format!("no connection `{name}` is open"),
            name,
            state.flows.keys().map(String::as_str),
        );
        reader.report(problem.help("long-lived connections are opened by `open`"));
    }
}

fn is_empty(step: &written::step::Step) -> bool {
    step.refuse.is_empty()
        && step.accept.is_empty()
        && step.create_namespaces.entries.is_empty()
        && step.create_pods.is_empty()
        && step.label.is_empty()
        && step.unlabel.is_empty()
        && step.apply.is_empty()
        && step.replace.is_empty()
        && step.delete.is_empty()
        && step.recreate_pods.entries.is_empty()
        && step.finish_pods.is_empty()
        && step.delete_pods.is_empty()
        && step.delete_namespaces.is_empty()
        && step.expect.items.is_empty()
        && step.open.is_empty()
        && step.r#use.is_empty()
        && step.close.is_empty()
}

/// Policies that no step uses would be read as if they mattered.
fn report_unused(reader: &mut Reader, file: &File, used: &BTreeSet<String>) {
    let path = FieldPath::root().key("spec").key("policies");
    for key in file.spec.policies.keys() {
        if !used.contains(key) {
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
    use crate::scenario::text::{endpoint, flow};
    let worlds: Vec<&World> = std::iter::once(&start.world)
        .chain(steps.iter().map(|step| &step.world))
        .collect();
    for (index, text) in file.spec.probe.iter().enumerate() {
        let path = FieldPath::root().key("spec").key("probe").index(index);
        let selectors = match flow::parse(text) {
            Ok(flow) => vec![flow.source, flow.destination],
            Err(_) => match endpoint::parse(text) {
                Ok(value) => vec![crate::scenario::text::Spanned {
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
    expected.chain(opened).collect()
}

/// What must come of these connections while there are no policies.
fn control(world: &World, cells: &BTreeSet<Cell>) -> Vec<ExpectedCell> {
    let expected = cells.iter().filter_map(|cell| {
        let outcome = world.without_policies(cell)?;
        Some(ExpectedCell {
            cell: cell.clone(),
            expected: if outcome == crate::cell::Outcome::Allowed {
                Expected::Allow
            } else {
                Expected::Refused
            },
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
