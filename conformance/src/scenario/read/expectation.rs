//! `expect`: from its entries to one expectation for every connection.
//!
//! Every entry means a set of connections. Of two entries about one connection the one with the
//! smaller set holds, if its set lies within the other's; else they must agree. `default` is wider
//! than every entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use enforcer::{
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::{Frame, Reader, change::State, coverage::Coverage, policies::Catalog};
use crate::{
    cell::{Cell, Endpoint, Family},
    scenario::{
        model::{Because, Expectation, Expected, ExpectedCell, Origin, RuleName, When},
        text::{
            SyntaxError, endpoint,
            flow::{self, Flow, PortSelector},
            matrix::{self, Mark},
        },
        world::ObjectName,
        written::{
            expect::{self, Default_, Expect},
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
        let path = if written.is_list { path.index(index) } else { path.clone() };
        blocks.extend(read_block(reader, context, &path, block));
    }
    report_disagreeing_blocks(reader, &blocks);
    blocks
}

fn read_block(
    reader: &mut Reader,
    context: &Context<'_>,
    path: &FieldPath,
    block: &Expect,
) -> Option<Expectation> {
    let before = reader.problems.len();
    let families = families(reader, context.frame, path, block.family)?;
    let coverage = Coverage {
        world: &context.state.world,
        families,
        ports: reader.port_filter(path, block),
    };
    let mut entries = reader.list_entries(&coverage, path, block);
    entries.extend(reader.matrix_entries(&coverage, path, block));
    if block.default.is_none() && block.matrix.is_none() {
        let problem = Diagnostic::new(
            "scenario/expectation",
            "nothing is said of the other connections",
        )
        .at(reader.at_key(path), "")
        .help("add `default: allow` or `default: deny`, or `default: unprobed` to leave them out");
        reader.report(problem);
    }
    let mut planned = reader.resolve_entries(&entries);
    reader.add_default(context, &coverage, path, block, &mut planned);
    let mut cells: Vec<ExpectedCell> = planned.into_values().flatten().collect();
    if cells.is_empty() && reader.problems.len() == before {
        let problem = Diagnostic::new("scenario/no-match", "this is about no connection")
            .at(reader.at_key(path), "nobody listens on the ports it is about");
        reader.report(problem);
    }
    reader.read_because(context, path, &block.because, &mut cells);
    reader.read_source_seen(context, path, &block.source_seen, &mut cells);
    reader.read_served_by(context, path, &block.served_by, &mut cells);
    Some(Expectation {
        location: reader.at_key(path),
        when: block.when,
        within: block.within.map(|d| d.0),
        hold_for: block.r#for.map(|d| d.0),
        cells,
    })
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
        .at(reader.at(&path.key("family")), "so this is about no connection");
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
    fn resolve_entries(&mut self, entries: &[Entry]) -> BTreeMap<Cell, Option<ExpectedCell>> {
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
                .min_by_key(|index| entries[**index].cells.len())
                .expect("at least one entry covers it");
            let winner = &entries[narrowest];
            for index in indices {
                let other = &entries[index];
                let is_wider = winner.cells.len() < other.cells.len()
                    && winner.cells.is_subset(&other.cells);
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
            let (expected, origin) = if coverage.world.is_always_allowed(&cell) {
                (Expected::Allow, Origin::Always(location.clone()))
            } else {
                (expected, Origin::Default(location.clone()))
            };
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

    /// Every connection `default` is about: all pods, and what `spec.probe` adds.
    fn universe(&mut self, context: &Context<'_>, coverage: &Coverage<'_>) -> BTreeSet<Cell> {
        let mut extra: Vec<Endpoint> = Vec::new();
        let mut cells = BTreeSet::new();
        let path = FieldPath::root().key("spec").key("probe");
        for (index, text) in context.probe.iter().enumerate() {
            let path = path.index(index);
            if text.contains("->") {
                if let Some(flow) = self.flow(&path, text) {
                    let sources = coverage.world.select(&flow.source.value);
                    let destinations = coverage.world.select(&flow.destination.value);
                    // A later step may have what this one lacks.
                    if !sources.is_empty() && !destinations.is_empty() {
                        cells.extend(self.cells_of(coverage, &path, &flow, None));
                    }
                }
                continue;
            }
            match endpoint::parse(text) {
                Ok(selector) => extra.extend(coverage.world.select(&selector)),
                Err(error) => self.report_syntax(&path, "scenario/endpoint", error),
            }
        }
        extra.retain(|e| !matches!(e, Endpoint::Pod { .. }));
        cells.extend(coverage.of_all(&extra));
        cells
    }

    /// The planned connections a flow means.
    fn planned<'a>(
        &mut self,
        context: &Context<'_>,
        path: &FieldPath,
        text: &str,
        cells: &'a mut [ExpectedCell],
    ) -> Vec<&'a mut ExpectedCell> {
        let Some(flow) = self.flow(path, text) else {
            return Vec::new();
        };
        let world = &context.state.world;
        let mut select = |selector: &crate::scenario::text::Spanned<endpoint::Selector>| {
            let found = world.select(&selector.value);
            if found.is_empty() {
                let location = self.in_text(path, selector.span.clone());
                let problem = self.no_endpoint(location, &selector.value, world);
                self.report(problem);
            }
            found
        };
        let sources = select(&flow.source);
        let destinations = select(&flow.destination);
        let is_meant = |cell: &Cell| {
            sources.contains(&cell.source)
                && destinations.contains(&cell.destination)
                && flow.port.as_ref().is_none_or(|port| {
                    world.is_meant(&port.value, &cell.destination, cell.port)
                })
        };
        let found: Vec<_> = cells.iter_mut().filter(|c| is_meant(&c.cell)).collect();
        if found.is_empty() && !sources.is_empty() && !destinations.is_empty() {
            let problem = Diagnostic::new("scenario/no-match", "no such connection is probed here")
                .at(self.at(path), "");
            self.report(problem);
        }
        found
    }

    fn read_because(
        &mut self,
        context: &Context<'_>,
        path: &FieldPath,
        written: &OneOrMany<expect::Because>,
        cells: &mut [ExpectedCell],
    ) {
        for (path, because) in items(&path.key("because"), written) {
            let isolated_by: BTreeSet<ObjectName> = because
                .isolated_by
                .iter()
                .enumerate()
                .filter_map(|(index, text)| {
                    let path = path.key("isolatedBy").index(index);
                    Some(self.rule_name(context, &path, text)?.policy)
                })
                .collect();
            let allowed_by: Vec<RuleName> = because
                .allowed_by
                .iter()
                .enumerate()
                .filter_map(|(index, text)| {
                    self.rule_name(context, &path.key("allowedBy").index(index), text)
                })
                .collect();
            let nearest = because
                .nearest
                .as_ref()
                .and_then(|text| self.rule_name(context, &path.key("nearest"), text));
            if because.isolated_by.is_empty()
                && because.allowed_by.is_empty()
                && because.nearest.is_none()
            {
                let problem = Diagnostic::new("scenario/expectation", "this gives no reason")
                    .at(self.at(&path), "")
                    .help("add isolatedBy or nearest for what is denied, allowedBy for what passes");
                self.report(problem);
            }
            let reason = Arc::new(Because {
                isolated_by: (!because.isolated_by.is_empty()).then_some(isolated_by),
                allowed_by,
                nearest,
                location: self.at(&path),
            });
            let mut wrong = None;
            for cell in self.planned(context, &path.key("flow"), &because.flow, cells) {
                let fits = match cell.expected {
                    Expected::Deny => because.allowed_by.is_empty(),
                    Expected::Allow => because.isolated_by.is_empty() && because.nearest.is_none(),
                    _ => false,
                };
                if !fits {
                    wrong = Some((cell.cell.clone(), cell.expected));
                }
                cell.because = Some(Arc::clone(&reason));
            }
            if let Some((cell, expected)) = wrong {
                let problem = Diagnostic::new(
                    "scenario/expectation",
                    format!("this reason is not one for {cell}, which is to be {expected}"),
                )
                .at(self.at(&path.key("flow")), "")
                .note("isolatedBy and nearest are for denied connections, allowedBy for those that pass");
                self.report(problem);
            }
        }
    }

    /// Reads `x/allow` or `x/allow spec.ingress[0].from[1]`.
    fn rule_name(
        &mut self,
        context: &Context<'_>,
        path: &FieldPath,
        text: &str,
    ) -> Option<RuleName> {
        let (name, rule) = match text.split_once(char::is_whitespace) {
            Some((name, rule)) => (name, Some(rule.trim())),
            None => (text, None),
        };
        let policy = match context.catalog.policies.get(name) {
            Some(policy) => policy.name.clone(),
            None => name.parse().unwrap_or_else(|_| ObjectName::new("", name)),
        };
        let Some(source) = context.state.in_force.get(&policy) else {
            let known: Vec<String> = context.state.in_force.keys().map(ToString::to_string).collect();
            let problem = self.unknown(
                self.in_text(path, 0..name.len()),
                "scenario/unknown",
                format!("no policy `{name}` is in force"),
                name,
                known.iter().map(String::as_str),
            );
            self.report(problem);
            return None;
        };
        let Some(rule) = rule else {
            return Some(RuleName { policy, path: None });
        };
        let field = FieldPath::from(rule);
        if source.document.at(&field).is_none() {
            let start = text.len() - rule.len();
            let problem = self.problem_in(
                path,
                start..text.len(),
                "scenario/unknown",
                format!("{policy} has no `{rule}`"),
                "",
            );
            let problem = problem.help("rules are written as in spec.ingress[0].from[1], counted from 0");
            self.report(problem);
            return None;
        }
        Some(RuleName {
            policy,
            path: Some(field),
        })
    }

    fn read_source_seen(
        &mut self,
        context: &Context<'_>,
        path: &FieldPath,
        written: &OneOrMany<expect::SourceSeen>,
        cells: &mut [ExpectedCell],
    ) {
        for (path, seen) in items(&path.key("sourceSeen"), written) {
            let Some(selector) = self.selector(context, &path.key("as"), &seen.r#as) else {
                continue;
            };
            for cell in self.planned(context, &path.key("flow"), &seen.flow, cells) {
                cell.source_seen = Some(selector.clone());
            }
        }
    }

    fn read_served_by(
        &mut self,
        context: &Context<'_>,
        path: &FieldPath,
        written: &OneOrMany<expect::ServedBy>,
        cells: &mut [ExpectedCell],
    ) {
        for (path, served) in items(&path.key("servedBy"), written) {
            let by: Vec<_> = items(&path.key("by"), &served.by)
                .into_iter()
                .filter_map(|(path, text)| self.selector(context, &path, text))
                .collect();
            for cell in self.planned(context, &path.key("flow"), &served.flow, cells) {
                cell.served_by = Some(by.clone());
            }
        }
    }

    /// Reads a selector that must mean something.
    fn selector(
        &mut self,
        context: &Context<'_>,
        path: &FieldPath,
        text: &str,
    ) -> Option<endpoint::Selector> {
        let selector = match endpoint::parse(text) {
            Ok(selector) => selector,
            Err(error) => {
                self.report_syntax(path, "scenario/endpoint", error);
                return None;
            }
        };
        if let endpoint::Selector::Service { .. } = selector {
            let error = SyntaxError::new(0..text.len(), "a Service neither answers nor sends itself");
            self.report_syntax(path, "scenario/endpoint", error);
            return None;
        }
        let world = &context.state.world;
        if world.select(&selector).is_empty() {
            let problem = self.no_endpoint(self.at(path), &selector, world);
            self.report(problem);
            return None;
        }
        Some(selector)
    }
}

/// The entries of a list, or the one entry, with their paths.
fn items<'a, T>(path: &FieldPath, list: &'a OneOrMany<T>) -> Vec<(FieldPath, &'a T)> {
    let path_of = |index| if list.is_list { path.index(index) } else { path.clone() };
    let items = list.items.iter().enumerate();
    items.map(|(index, item)| (path_of(index), item)).collect()
}

fn said(expected: Option<Expected>) -> String {
    match expected {
        Some(expected) => format!("{expected} here"),
        None => "not probed here".to_owned(),
    }
}

/// Two blocks that hold at the same time must not say different things of one connection.
fn report_disagreeing_blocks(reader: &mut Reader, blocks: &[Expectation]) {
    let mut said_before: BTreeMap<(Option<When>, &Cell), &ExpectedCell> = BTreeMap::new();
    for block in blocks {
        let mut disagreement = None;
        for cell in &block.cells {
            match said_before.get(&(block.when, &cell.cell)) {
                Some(before) if before.expected != cell.expected => {
                    disagreement.get_or_insert((*before, cell));
                }
                Some(_) => {}
                None => {
                    said_before.insert((block.when, &cell.cell), cell);
                }
            }
        }
        if let Some((before, now)) = disagreement {
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
    }
}
