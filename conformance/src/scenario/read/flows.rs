//! `open`, `use` and `close`: long-lived connections.

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::{Frame, Reader, change::State, coverage::Coverage};
use crate::{
    cell::{Cell, Protocol},
    scenario::{
        model::{Expected, NamedFlow, UseExpectation, UseFlow, When},
        written::{self, short::ShortOrLong},
    },
};

/// Reads `open`, and keeps the connections in mind.
pub(super) fn open(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    state: &mut State,
    frame: &Frame,
) -> Vec<NamedFlow> {
    let mut opened = Vec::new();
    for (name, ShortOrLong(written)) in &step.open {
        let path = path.key("open").key(name);
        let flow_path = reader.short_or(&path, "flow");
        if state.flows.contains_key(name) {
            let problem =
                Diagnostic::new("scenario/duplicate", format!("`{name}` is open already"))
                    .at(reader.at_key(&path), "");
            reader.report(problem);
        }
        let Some(flow) = reader.flow(&flow_path, &written.flow) else {
            continue;
        };
        let coverage = Coverage {
            state,
            families: frame.probed(),
            ports: Vec::new(),
        };
        let expected = match written.expect {
            UseExpectation::Allow => Expected::Allow,
            UseExpectation::Deny => Expected::Deny,
            UseExpectation::Either => Expected::Either,
        };
        let cells = reader.cells_of(&coverage, &flow_path, &flow, Some(expected));
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
            .at(reader.at(&flow_path), "")
            .help("name a TCP or UDP port");
            reader.report(problem);
        }
        state.flows.insert(name.clone(), cells.clone());
        opened.push(NamedFlow {
            name: name.clone(),
            cells,
            expect: written.expect,
            location: reader.at_key(&path),
        });
    }
    opened
}

/// Reads `use`.
pub(super) fn uses(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    state: &State,
) -> Vec<UseFlow> {
    let mut uses = Vec::new();
    for (index, ShortOrLong(written)) in step.r#use.iter().enumerate() {
        let path = path.key("use").index(index);
        check_open(
            reader,
            &reader.short_or(&path, "flow"),
            &written.flow,
            state,
        );
        uses.push(UseFlow {
            name: written.flow.clone(),
            expect: written.expect,
            when: written.when.map(When::from),
            location: reader.at(&path),
        });
    }
    uses
}

/// Reads `close`, and forgets the connections.
pub(super) fn close(
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
