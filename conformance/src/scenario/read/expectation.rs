//! `expect`: from its entries to one expectation for every connection.
//!
//! Every entry means a set of connections. Of two entries about one connection the one with the
//! smaller set holds, if its set lies within the other's; else they must agree. `default` is wider
//! than every entry.

use std::collections::{BTreeMap, BTreeSet};

use enforcer::{
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::{Frame, Reader, change::State, coverage::Coverage, policies::Catalog, probe, traffic};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome},
    scenario::{
        model::{Expectation, Expected, ExpectedCell, Origin, When},
        text::{
            endpoint,
            flow::{self, Flow, PortSelector},
            matrix::{self, Mark},
        },
        world::World,
        written::{
            expect::{Default_, Expect},
            short::{OneOrMany, ShortOrLong},
        },
    },
};

/// What an entry says of the connections it is about.
struct Entry {
    /// Nothing if they are not probed.
    expected: Option<Expected>,
    cells: BTreeSet<Cell>,
    location: Location,
}

/// Everything an expectation is read with.
pub(super) struct Context<'a> {
    pub(super) state: &'a State,
    pub(super) frame: &'a Frame,
    pub(super) catalog: &'a Catalog,
    /// `spec.probe`.
    pub(super) probe: &'a [String],
}

/// Reads all blocks of a step's `expect`.
pub(super) fn read(
    reader: &mut Reader,
    context: &Context<'_>,
    path: &FieldPath,
    written: &OneOrMany<ShortOrLong<Expect>>,
) -> Vec<Expectation> {
    let mut blocks = Vec::new();
    for (index, ShortOrLong(block)) in written.items.iter().enumerate() {
        let path = if written.is_list {
            path.index(index)
        } else {
            path.clone()
        };
        blocks.extend(read_block(reader, context, &path, block));
    }
    report_disagreeing_blocks(reader, context.frame, &blocks);
    blocks
}

fn read_block(
    reader: &mut Reader,
    context: &Context<'_>,
    path: &FieldPath,
    block: &Expect,
) -> Option<Expectation> {
    let families = families(reader, context.frame, path, block.family)?;
    let coverage = Coverage {
        state: context.state,
        families,
        ports: reader.port_filter(path, block),
    };
    let mut entries = reader.list_entries(&coverage, path, block);
    entries.extend(reader.matrix_entries(&coverage, path, block));
    let is_about_traffic = block.never.is_some() && entries.is_empty();
    if block.default.is_none() && block.matrix.is_none() && !is_about_traffic {
        let problem = Diagnostic::new(
            "scenario/expectation",
            "nothing is said of the other connections",
        )
        .at(reader.at_key(path), "")
        .help("add `default: allow` or `default: deny`, or `default: unprobed` to leave them out");
        reader.report(problem);
    }
    let mut planned = reader.resolve_entries(coverage.world(), &entries);
    reader.add_default(context, &coverage, path, block, &mut planned);
    let mut cells: Vec<ExpectedCell> = planned.into_values().flatten().collect();
    if cells.is_empty() && !is_about_traffic && reader.problems.is_empty() {
        let problem = Diagnostic::new("scenario/no-match", "this is about no connection").at(
            reader.at_key(path),
            "nobody listens on the ports it is about",
        );
        reader.report(problem);
    }
    reader.read_because(context, path, &block.because, &mut cells);
    reader.read_source_seen(context, path, &block.source_seen, &mut cells);
    reader.read_served_by(context, path, &block.served_by, &mut cells);
    let never = traffic::never(reader, context.state, path, block.never.as_ref());
    let expectation = Expectation {
        location: reader.at_key(path),
        when: block.when.map(When::from),
        within: block.within.map(|d| d.0),
        hold_for: block.r#for.map(|d| d.0),
        never,
        source_port: block.source_port,
        payload: block.payload,
        cells,
    };
    probe::check(reader, coverage.world(), path, &expectation);
    Some(expectation)
}

/// The families a block is about; nothing if it is about another family than the play.
fn families(
    reader: &mut Reader,
    frame: &Frame,
    path: &FieldPath,
    only: Option<Family>,
) -> Option<Vec<Family>> {
    let probed = frame.probed();
    let Some(only) = only else {
        return Some(probed);
    };
    if probed.contains(&only) {
        return Some(vec![only]);
    }
    if !reader.parameters.iter().any(|(name, _)| name == "family") {
        let problem = Diagnostic::new(
            "scenario/no-match",
            format!("pods have no {only} addresses in this scenario"),
        )
        .at(
            reader.at(&path.key("family")),
            "so this is about no connection",
        );
        reader.report(problem);
    }
    None
}

impl Reader {
    /// Reads the flow at a path.
    pub(super) fn flow(&mut self, path: &FieldPath, text: &str) -> Option<Flow> {
        match flow::parse(text) {
            Ok(flow) => Some(flow),
            Err(error) => {
                self.report_syntax(path, "scenario/flow", error);
                None
            }
        }
    }

    fn port_filter(&mut self, path: &FieldPath, block: &Expect) -> Vec<PortSelector> {
        let mut ports = Vec::new();
        for (index, port) in block.ports.iter().enumerate() {
            let path = path.key("ports").index(index);
            match flow::parse_port(&port.0) {
                Ok(port) => ports.push(port),
                Err(error) => self.report_syntax(&path, "scenario/port", error),
            }
        }
        ports
    }

    /// `allow`, `deny`, `refused`, `unreachable` and `either`.
    fn list_entries(
        &mut self,
        coverage: &Coverage<'_>,
        path: &FieldPath,
        block: &Expect,
    ) -> Vec<Entry> {
        let lists = [
            ("allow", Expected::Allow, &block.allow),
            ("deny", Expected::Deny, &block.deny),
            ("refused", Expected::Refused, &block.refused),
            ("unreachable", Expected::Unreachable, &block.unreachable),
            ("either", Expected::Either, &block.either),
        ];
        let mut entries = Vec::new();
        for (key, expected, list) in lists {
            for (path, text) in items(&path.key(key), list) {
                if let Some(flow) = self.flow(&path, text) {
                    entries.push(Entry {
                        expected: Some(expected),
                        cells: self.cells_of(coverage, &path, &flow, Some(expected)),
                        location: self.at(&path),
                    });
                }
            }
        }
        entries
    }

    fn matrix_entries(
        &mut self,
        coverage: &Coverage<'_>,
        path: &FieldPath,
        block: &Expect,
    ) -> Vec<Entry> {
        let path = path.key("matrix");
        let Some(text) = &block.matrix else {
            return Vec::new();
        };
        let places = match matrix::parse(text) {
            Ok(places) => places,
            Err(error) => {
                self.report_syntax(&path, "scenario/matrix", error);
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for place in places {
            let expected = match place.mark.value {
                Mark::Allowed => Some(Expected::Allow),
                Mark::Denied => Some(Expected::Deny),
                Mark::Refused => Some(Expected::Refused),
                Mark::Either => Some(Expected::Either),
                Mark::NotProbed => None,
            };
            let cells = self.cells_of(coverage, &path, &place.flow, expected);
            entries.push(Entry {
                expected,
                cells,
                location: self.in_text(&path, place.mark.span),
            });
        }
        entries
    }

    /// One expectation for every connection that some entry is about; none where it is not probed.
    fn resolve_entries(
        &mut self,
        world: &World,
        entries: &[Entry],
    ) -> BTreeMap<Cell, Option<ExpectedCell>> {
        // What no policy may stop says nothing about which entry is narrower: a denial leaves it out.
        let stoppable: Vec<BTreeSet<&Cell>> = entries
            .iter()
            .map(|entry| {
                let cells = entry.cells.iter();
                cells
                    .filter(|cell| !world.is_always_allowed(cell))
                    .collect()
            })
            .collect();
        let mut covering: BTreeMap<&Cell, Vec<usize>> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            for cell in &entry.cells {
                covering.entry(cell).or_default().push(index);
            }
        }
        let mut reported = BTreeSet::new();
        let mut planned = BTreeMap::new();
        for (cell, indices) in covering {
            let narrowest = *indices
                .iter()
                .min_by_key(|index| stoppable[**index].len())
                .expect("at least one entry covers it");
            let winner = &entries[narrowest];
            for index in indices {
                let other = &entries[index];
                let is_wider = stoppable[narrowest].len() < stoppable[index].len()
                    && stoppable[narrowest].is_subset(&stoppable[index]);
                if other.expected != winner.expected
                    && !is_wider
                    && reported.insert((narrowest.min(index), narrowest.max(index)))
                {
                    let problem = Diagnostic::new(
                        "scenario/contradiction",
                        format!("two entries disagree about {cell}"),
                    )
                    .at(winner.location.clone(), said(winner.expected))
                    .also(other.location.clone(), said(other.expected))
                    .note("the narrower of two entries holds, but neither of these lies within the other");
                    self.report(problem);
                }
            }
            let expected = winner.expected.map(|expected| ExpectedCell {
                cell: cell.clone(),
                expected,
                origin: Origin::Entry(winner.location.clone()),
                because: None,
                source_seen: None,
                served_by: None,
            });
            planned.insert(cell.clone(), expected);
        }
        planned
    }

    /// Adds what `default` says of every other connection.
    fn add_default(
        &mut self,
        context: &Context<'_>,
        coverage: &Coverage<'_>,
        path: &FieldPath,
        block: &Expect,
        planned: &mut BTreeMap<Cell, Option<ExpectedCell>>,
    ) {
        let expected = match block.default {
            Some(Default_::Allow) => Expected::Allow,
            Some(Default_::Deny) => Expected::Deny,
            Some(Default_::Unprobed) | None => return,
        };
        let location = self.at(&path.key("default"));
        for cell in self.universe(context, coverage) {
            let (expected, origin) = if coverage.world().is_always_allowed(&cell) {
                (Expected::Allow, Origin::Always(location.clone()))
            } else {
                (expected, Origin::Default(location.clone()))
            };
            if !planned.contains_key(&cell) {
                self.check_default(coverage, &location, &cell, expected);
            }
            planned.entry(cell.clone()).or_insert(Some(ExpectedCell {
                cell,
                expected,
                origin,
                because: None,
                source_seen: None,
                served_by: None,
            }));
        }
    }

    /// Reports what `default` says of a connection that cannot come out so.
    fn check_default(
        &mut self,
        coverage: &Coverage<'_>,
        location: &Location,
        cell: &Cell,
        expected: Expected,
    ) {
        let is_closed = coverage.world().without_policies(cell) == Some(Outcome::Refused);
        let label = match expected {
            Expected::Allow if is_closed => "so \"allow\" can never be true of it",
            Expected::Deny if is_closed && !coverage.state.was_refused(cell) => {
                "so \"deny\" would be true of it for the wrong reason"
            }
            _ => return,
        };
        let message = format!("nobody answers {cell}, which `probe` adds");
        let problem = Diagnostic::new("scenario/port", message)
            .at(location.clone(), label)
            .help(format!(
                "let somebody listen there, or say it in this block: refused: [{} -> {}:{}]",
                cell.source,
                cell.destination,
                cell.port.to_string().to_lowercase()
            ));
        self.report(problem);
    }

    /// Every connection `default` is about: all pods, and what `spec.probe` adds.
    fn universe(&mut self, context: &Context<'_>, coverage: &Coverage<'_>) -> BTreeSet<Cell> {
        let mut extra: Vec<Endpoint> = Vec::new();
        let mut cells = BTreeSet::new();
        let path = FieldPath::root().key("spec").key("probe");
        for (index, text) in context.probe.iter().enumerate() {
            let path = path.index(index);
            if text.contains("->") {
                if let Some(flow) = self.flow(&path, text) {
                    let sources = coverage.world().select(&flow.source.value);
                    let destinations = coverage.world().select(&flow.destination.value);
                    // A later step may have what this one lacks.
                    if !sources.is_empty() && !destinations.is_empty() {
                        cells.extend(self.cells_of(coverage, &path, &flow, None));
                    }
                }
                continue;
            }
            match endpoint::parse(text) {
                Ok(selector) => extra.extend(coverage.world().select(&selector)),
                Err(error) => self.report_syntax(&path, "scenario/endpoint", error),
            }
        }
        extra.retain(|e| !matches!(e, Endpoint::Pod { .. }));
        cells.extend(coverage.of_all(&extra));
        cells
    }
}

/// The entries of a list, or the one entry, with their paths.
pub(super) fn items<'a, T>(path: &FieldPath, list: &'a OneOrMany<T>) -> Vec<(FieldPath, &'a T)> {
    let path_of = |index| {
        if list.is_list {
            path.index(index)
        } else {
            path.clone()
        }
    };
    let items = list.items.iter().enumerate();
    items.map(|(index, item)| (path_of(index), item)).collect()
}

fn said(expected: Option<Expected>) -> String {
    match expected {
        Some(expected) => format!("{expected} here"),
        None => "not probed here".to_owned(),
    }
}

/// Two blocks that hold at the same time must not say different things of one connection that is
/// tried in the same way.
fn report_disagreeing_blocks(reader: &mut Reader, frame: &Frame, blocks: &[Expectation]) {
    let can_hold = |block: &&Expectation| block.when.is_none_or(|w| w.can_hold(frame.options));
    let blocks: Vec<&Expectation> = blocks.iter().filter(can_hold).collect();
    for (index, block) in blocks.iter().enumerate() {
        let said: BTreeMap<&Cell, &ExpectedCell> =
            block.cells.iter().map(|cell| (&cell.cell, cell)).collect();
        for before in &blocks[..index] {
            let is_same_probe =
                (before.source_port, before.payload) == (block.source_port, block.payload);
            let hold_together = match (before.when, block.when) {
                (Some(one), Some(other)) => one.goes_with(other),
                _ => true,
            };
            let disagreement = before.cells.iter().find_map(|before| {
                let now = said.get(&before.cell)?;
                (before.expected != now.expected).then_some((before, *now))
            });
            if let Some((before, now)) = disagreement
                && is_same_probe
                && hold_together
            {
                report_disagreement(reader, before, now);
                break;
            }
        }
    }
}

fn report_disagreement(reader: &mut Reader, before: &ExpectedCell, now: &ExpectedCell) {
    let mut problem = Diagnostic::new(
        "scenario/contradiction",
        format!("two blocks disagree about {}", now.cell),
    );
    if let Some(location) = now.origin.location() {
        problem = problem.at(location.clone(), said(Some(now.expected)));
    }
    if let Some(location) = before.origin.location() {
        problem = problem.also(location.clone(), said(Some(before.expected)));
    }
    reader.report(problem.help("`ports` and `family` say which connections a block is about"));
}
