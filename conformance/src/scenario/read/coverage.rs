//! Which connections a default, a flow or a mark is about.

use std::collections::BTreeSet;

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::{Reader, change::State};
use crate::{
    cell::{Cell, Endpoint, Family, Port, Protocol},
    scenario::{
        model::Expected,
        text::{
            Spanned,
            flow::{Flow, PortSelector},
        },
        world::{Named, ObjectName, Pod, Service, World},
    },
};

/// Spells out connections at one moment.
pub(super) struct Coverage<'a> {
    /// What exists, and what has been shown.
    pub(super) state: &'a State,
    /// The families that are probed.
    pub(super) families: Vec<Family>,
    /// The only ports that count, if any are named.
    pub(super) ports: Vec<PortSelector>,
}

impl Coverage<'_> {
    /// Every running pod to every running pod, itself included, on every port it listens on; and
    /// the same between pods and `extra` endpoints.
    pub(super) fn of_all(&self, extra: &[Endpoint]) -> BTreeSet<Cell> {
        let world = self.world();
        let pods: Vec<Endpoint> = world
            .pods
            .values()
            .filter(|pod| pod.is_running())
            .map(|pod| Endpoint::Pod {
                namespace: pod.name.namespace.clone(),
                name: pod.name.name.clone(),
            })
            .collect();
        let mut cells = BTreeSet::new();
        let opens = |e: &&Endpoint| !matches!(e, Endpoint::Service { .. } | Endpoint::Localhost);
        for destination in pods.iter().chain(extra) {
            let is_pod = matches!(destination, Endpoint::Pod { .. });
            let others = extra.iter().filter(|_| is_pod).filter(opens);
            for source in pods.iter().chain(others) {
                let ports = world.matching_ports(world.dialled(source, destination), None);
                self.add(&mut cells, source, destination, &ports);
            }
        }
        cells
    }

    pub(super) fn world(&self) -> &World {
        &self.state.world
    }

    fn add(
        &self,
        cells: &mut BTreeSet<Cell>,
        source: &Endpoint,
        destination: &Endpoint,
        ports: &[Port],
    ) {
        let dialled = self.world().dialled(source, destination);
        for port in ports.iter().filter(|port| self.counts(dialled, **port)) {
            for family in &self.families {
                cells.insert(Cell {
                    source: source.clone(),
                    destination: destination.clone(),
                    port: *port,
                    family: *family,
                });
            }
        }
    }

    /// Whether a port is one of [`Self::ports`].
    fn counts(&self, destination: &Endpoint, port: Port) -> bool {
        self.ports.is_empty()
            || self
                .ports
                .iter()
                .any(|wanted| self.world().is_meant(wanted, destination, port))
    }
}

impl World {
    /// Whether a port is one that a selector means, listened on or not.
    pub(super) fn is_meant(
        &self,
        selector: &PortSelector,
        destination: &Endpoint,
        port: Port,
    ) -> bool {
        match selector {
            PortSelector::Number(number, protocol) => {
                port.number == Some(*number) && protocol.is_none_or(|p| p == port.protocol)
            }
            PortSelector::Protocol(protocol) => port.protocol == *protocol,
            PortSelector::Name(name) => self
                .listening(destination)
                .iter()
                .any(|p| p.value == port && p.name.as_ref() == Some(name)),
        }
    }
}

impl Reader {
    /// The connections a flow means, of which something is expected: `None` if they are not
    /// probed. The flow is a part of the string at `path`.
    pub(super) fn cells_of(
        &mut self,
        coverage: &Coverage<'_>,
        path: &FieldPath,
        flow: &Flow,
        expected: Option<Expected>,
    ) -> BTreeSet<Cell> {
        let world = coverage.world();
        let sources = self.sources(world, path, &flow.source);
        let destinations = self.destinations(world, path, &flow.destination, expected);
        let mut cells = BTreeSet::new();
        if sources.is_empty() || destinations.is_empty() {
            return cells;
        }
        let mut is_anybody_there = false;
        let pairs = destinations
            .iter()
            .flat_map(|destination| sources.iter().map(move |source| (source, destination)));
        for (source, destination) in pairs {
            let dialled = world.dialled(source, destination);
            let ports = ports_of(world, dialled, flow.port.as_ref(), expected);
            if expected == Some(Expected::Refused)
                && let Some(port) = ports.iter().find(|port| world.listens(dialled, **port))
            {
                let span = flow.port.as_ref().unwrap_or_at(&flow.destination);
                let problem = self
                    .problem_in(
                        path,
                        span,
                        "scenario/port",
                        format!("{destination} listens on {port}, so it does not refuse"),
                        "",
                    )
                    .help("name a port on which nobody listens, as in x/a -> y/b:81/tcp");
                self.report(problem);
                return BTreeSet::new();
            }
            is_anybody_there |= !ports.is_empty();
            coverage.add(&mut cells, source, destination, &ports);
        }
        if !is_anybody_there && expected == Some(Expected::Deny) {
            cells = closed_cells(coverage, &sources, &destinations, flow);
            is_anybody_there = !cells.is_empty();
        }
        if !is_anybody_there {
            if expected.is_some() {
                let problem = self.nobody_listens(world, path, flow, &destinations, expected);
                self.report(problem);
            }
            return cells;
        }
        if cells.is_empty() {
            let span = flow.source.span.start..flow.destination.span.end;
            let problem = self
                .problem_in(
                    path,
                    span,
                    "scenario/no-match",
                    "this entry is about no connection",
                    "",
                )
                .note("`ports` or `family` leave nothing of it");
            self.report(problem);
            return cells;
        }
        if expected == Some(Expected::Deny) {
            self.leave_out_what_always_passes(world, path, flow, &mut cells);
        }
        cells
    }

    /// A pattern says nothing of what no policy may stop; an exact flow must not say it is stopped.
    fn leave_out_what_always_passes(
        &mut self,
        world: &World,
        path: &FieldPath,
        flow: &Flow,
        cells: &mut BTreeSet<Cell>,
    ) {
        let (always, rest): (BTreeSet<Cell>, _) = std::mem::take(cells)
            .into_iter()
            .partition(|cell| world.is_always_allowed(cell));
        *cells = rest;
        let Some(first) = always.first() else {
            return;
        };
        if flow.is_exact() || cells.is_empty() {
            let span = flow.source.span.start..flow.destination.span.end;
            let why = if first.source == *world.dialled(&first.source, &first.destination) {
                "a pod always reaches itself (semantics 176)"
            } else if matches!(first.destination, Endpoint::Service { .. }) {
                "only the source itself, or a pod of the same node, is behind this Service"
            } else {
                "policies never stop what passes between a node and its own pods, or among nodes, \
                 hostNetwork pods and the outside (semantics 164, 165, 171, 172)"
            };
            let problem = self
                .problem_in(
                    path,
                    span,
                    "scenario/always-allowed",
                    "no policy can deny this",
                    "",
                )
                .note(why);
            self.report(problem);
        }
    }

    /// A flow to ports that nobody listens on.
    fn nobody_listens(
        &self,
        world: &World,
        path: &FieldPath,
        flow: &Flow,
        destinations: &[Endpoint],
        expected: Option<Expected>,
    ) -> Diagnostic {
        let who = match destinations {
            [one] => one.to_string(),
            _ => format!("none of `{}`", flow.destination.value),
        };
        let what = match (&flow.port, expected) {
            (_, Some(Expected::Refused)) => format!("on which port does {who} refuse?"),
            (Some(port), _) => format!("{} on {}", not_listening(&who, destinations), port.value),
            (None, _) => format!("{} at all", not_listening(&who, destinations)),
        };
        let span = flow.port.as_ref().unwrap_or_at(&flow.destination);
        let label = match expected {
            Some(Expected::Deny) => "so \"deny\" would be true for the wrong reason",
            Some(Expected::Allow) => "so \"allow\" can never be true",
            _ => "",
        };
        let mut problem = self.problem_in(path, span, "scenario/port", what, label);
        let open: BTreeSet<String> = destinations
            .iter()
            .flat_map(|d| world.listening(d))
            .map(|Named { name, value }| match name {
                Some(name) => format!("{value} ({name})"),
                None => value.to_string(),
            })
            .collect();
        if !open.is_empty() {
            let open: Vec<String> = open.into_iter().collect();
            problem = problem.note(format!("open there: {}", open.join(", ")));
        }
        match expected {
            Some(Expected::Refused) => problem.help("name it, as in x/a -> y/b:81/tcp"),
            Some(Expected::Deny) => problem
                .help("let it listen, or show in a step before this one that it is `refused`"),
            _ => problem.help("let it listen, or expect `refused`"),
        }
    }
}

fn not_listening(who: &str, destinations: &[Endpoint]) -> String {
    match destinations {
        [Endpoint::Service { .. }] => format!("no pod behind {who} listens"),
        [_] => format!("{who} does not listen"),
        _ => format!("{who} listens"),
    }
}

/// Connections to a port on which nobody listens, and of which it has been shown that they are
/// refused: if nothing comes back now, it is because they are denied.
fn closed_cells(
    coverage: &Coverage<'_>,
    sources: &[Endpoint],
    destinations: &[Endpoint],
    flow: &Flow,
) -> BTreeSet<Cell> {
    let mut cells = BTreeSet::new();
    let Some(PortSelector::Number(number, protocol)) = flow.port.as_ref().map(|port| &port.value)
    else {
        return cells;
    };
    let port = Port {
        number: Some(*number),
        protocol: protocol.unwrap_or(Protocol::Tcp),
    };
    for destination in destinations {
        // What refuses for a Service is its client's node.
        if matches!(destination, Endpoint::Service { .. }) {
            continue;
        }
        for source in sources {
            coverage.add(&mut cells, source, destination, &[port]);
        }
    }
    if cells.iter().all(|cell| coverage.state.was_refused(cell)) {
        cells
    } else {
        BTreeSet::new()
    }
}

/// The ports of a destination that a flow means, given what is expected of it.
fn ports_of(
    world: &World,
    destination: &Endpoint,
    port: Option<&Spanned<PortSelector>>,
    expected: Option<Expected>,
) -> Vec<Port> {
    let wanted = port.map(|port| &port.value);
    let is_service = matches!(destination, Endpoint::Service { .. });
    if is_service && wanted == Some(&PortSelector::Protocol(Protocol::Icmp)) {
        return Vec::new();
    }
    let mut ports = match expected {
        Some(Expected::Refused) if wanted.is_none() && !is_service => Vec::new(),
        _ => world.matching_ports(destination, wanted),
    };
    let may_be_closed = matches!(
        expected,
        None | Some(Expected::Refused | Expected::Unreachable | Expected::Either)
    );
    if !ports.is_empty() || !may_be_closed {
        return ports;
    }
    match (wanted, destination) {
        (Some(PortSelector::Number(number, protocol)), _) => ports.push(Port {
            number: Some(*number),
            protocol: protocol.unwrap_or(Protocol::Tcp),
        }),
        (None, Endpoint::Service { namespace, name }) => {
            let service = world.services.get(&ObjectName::new(namespace, name));
            ports.extend(service.into_iter().flat_map(Service::ports).map(|p| p.port));
        }
        (_, Endpoint::Pod { .. }) if expected != Some(Expected::Refused) => {
            let pod = world.pod(destination).filter(|pod| !pod.is_running());
            let listen = pod.into_iter().flat_map(Pod::listening);
            let meant = listen.filter(|p| match wanted {
                Some(PortSelector::Name(name)) => p.name.as_ref() == Some(name),
                Some(wanted) => world.is_meant(wanted, destination, p.value),
                None => true,
            });
            ports.extend(meant.map(|p| p.value));
        }
        _ => {}
    }
    ports
}

/// Where the port stands, or the destination if there is none.
trait SpanOr {
    fn unwrap_or_at<T>(self, other: &Spanned<T>) -> std::ops::Range<usize>;
}

impl SpanOr for Option<&Spanned<PortSelector>> {
    fn unwrap_or_at<T>(self, other: &Spanned<T>) -> std::ops::Range<usize> {
        self.map_or_else(|| other.span.clone(), |port| port.span.clone())
    }
}
