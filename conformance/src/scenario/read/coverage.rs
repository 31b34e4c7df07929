//! Which connections a default, a flow or a mark is about.

use std::collections::BTreeSet;

use enforcer::{
    diagnostic::{Diagnostic, nearest},
    yaml::{FieldPath, Location},
};

use super::Reader;
use crate::{
    cell::{Cell, Endpoint, Family, Port, Protocol},
    scenario::{
        model::Expected,
        text::{
            Spanned,
            endpoint::Selector,
            flow::{Flow, PortSelector},
        },
        world::{Named, ObjectName, Pod, Service, World},
    },
};

/// Spells out connections in one world.
pub(super) struct Coverage<'a> {
    /// What exists.
    pub(super) world: &'a World,
    /// The families that are probed.
    pub(super) families: Vec<Family>,
    /// The only ports that count, if any are named.
    pub(super) ports: Vec<PortSelector>,
}

impl Coverage<'_> {
    /// Every running pod to every running pod, itself included, on every port it listens on; and
    /// the same between pods and `extra` endpoints.
    pub(super) fn of_all(&self, extra: &[Endpoint]) -> BTreeSet<Cell> {
        let pods: Vec<Endpoint> = self
            .world
            .pods
            .values()
            .filter(|pod| pod.is_running())
            .map(|pod| Endpoint::Pod {
                namespace: pod.name.namespace.clone(),
                name: pod.name.name.clone(),
            })
            .collect();
        let mut cells = BTreeSet::new();
        for destination in pods.iter().chain(extra) {
            let ports: Vec<Port> = self.world.matching_ports(destination, None);
            let is_pod = matches!(destination, Endpoint::Pod { .. });
            for source in pods.iter().chain(extra.iter().filter(|_| is_pod)) {
                if !matches!(source, Endpoint::Service { .. }) {
                    self.add(&mut cells, source, destination, &ports);
                }
            }
        }
        cells
    }

    fn add(
        &self,
        cells: &mut BTreeSet<Cell>,
        source: &Endpoint,
        destination: &Endpoint,
        ports: &[Port],
    ) {
        for port in ports.iter().filter(|port| self.counts(destination, **port)) {
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
                .any(|wanted| self.world.is_meant(wanted, destination, port))
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
        let world = coverage.world;
        let sources = self.sources(world, path, &flow.source);
        let destinations = self.destinations(world, path, &flow.destination, expected);
        let mut cells = BTreeSet::new();
        if sources.is_empty() || destinations.is_empty() {
            return cells;
        }
        let mut is_anybody_there = false;
        for destination in &destinations {
            let ports = ports_of(world, destination, flow.port.as_ref(), expected);
            if expected == Some(Expected::Refused)
                && let Some(port) = ports.iter().find(|port| world.listens(destination, **port))
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
            for source in &sources {
                coverage.add(&mut cells, source, destination, &ports);
            }
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
            let why = if first.source == first.destination {
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

    fn sources(
        &mut self,
        world: &World,
        path: &FieldPath,
        selector: &Spanned<Selector>,
    ) -> Vec<Endpoint> {
        if let Selector::Service { .. } = selector.value {
            let problem = self.problem_in(
                path,
                selector.span.clone(),
                "scenario/endpoint",
                "a Service opens no connections",
                "only a destination can be a Service",
            );
            self.report(problem);
            return Vec::new();
        }
        self.endpoints(world, path, selector, false)
    }

    fn destinations(
        &mut self,
        world: &World,
        path: &FieldPath,
        selector: &Spanned<Selector>,
        expected: Option<Expected>,
    ) -> Vec<Endpoint> {
        let may_be_gone = matches!(
            expected,
            None | Some(Expected::Unreachable | Expected::Either)
        );
        self.endpoints(world, path, selector, may_be_gone)
    }

    fn endpoints(
        &mut self,
        world: &World,
        path: &FieldPath,
        selector: &Spanned<Selector>,
        may_be_gone: bool,
    ) -> Vec<Endpoint> {
        let all = world.select(&selector.value);
        let Some(first) = all.first().cloned() else {
            let location = self.in_text(path, selector.span.clone());
            let mut problem = self.no_endpoint(location, &selector.value, world);
            if self.is_filled(path) {
                problem = problem.note(format!("with {}", self.values()));
            }
            self.report(problem);
            return all;
        };
        if may_be_gone && selector.value.is_exact() {
            return all;
        }
        let running: Vec<Endpoint> = all.into_iter().filter(|e| world.is_running(e)).collect();
        if running.is_empty() {
            let phase = world
                .pod(&first)
                .map_or_else(String::new, |pod| format!(": it is {}", pod.phase));
            let problem = self.problem_in(
                path,
                selector.span.clone(),
                "scenario/not-running",
                format!("{first} does not run{phase}"),
                "nothing can be sent from there, and nobody answers",
            );
            self.report(problem);
        }
        running
    }

    /// A selector that means nothing.
    pub(super) fn no_endpoint(
        &self,
        location: Location,
        selector: &Selector,
        world: &World,
    ) -> Diagnostic {
        let code = "scenario/endpoint";
        match selector {
            Selector::Pods { namespace, .. } => {
                if namespace.is_exact() && !world.namespaces.contains_key(namespace.as_str()) {
                    let known = world.namespaces.keys().map(String::as_str);
                    let message = format!("there is no namespace `{namespace}`");
                    let mut problem =
                        self.unknown(location, code, message, namespace.as_str(), known);
                    if let Some(near) = self.nearest_pod(selector, world)
                        && let Some(label) = &mut problem.primary
                    {
                        label.text = format!("did you mean `{near}`?");
                    }
                    return problem;
                }
                let message = if selector.is_exact() {
                    format!("there is no pod `{selector}`")
                } else {
                    format!("no pod matches `{selector}`")
                };
                let known: Vec<String> = world.pods.keys().map(ToString::to_string).collect();
                let known = known.iter().map(String::as_str);
                self.unknown(location, code, message, &selector.to_string(), known)
            }
            Selector::Labelled { namespace, labels } => {
                let keys: BTreeSet<String> = world
                    .pods
                    .values()
                    .filter(|pod| namespace.matches(&pod.name.namespace))
                    .flat_map(|pod| pod.labels().iter().map(|(k, v)| format!("{k}={v}")))
                    .collect();
                let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                let message = format!("no pod has the labels of `{selector}`");
                let known = keys.iter().map(String::as_str);
                self.unknown(location, code, message, &wanted.join(","), known)
            }
            Selector::Node(name) => {
                let message = format!("there is no node `{name}`");
                let known = world.nodes.keys().map(String::as_str);
                self.unknown(location, code, message, name.as_str(), known)
            }
            Selector::External(name) => {
                let message = format!("there is no machine `{name}` outside the cluster");
                let known = world.externals.keys().map(String::as_str);
                self.unknown(location, code, message, name.as_str(), known)
                    .help("machines outside the cluster are named under spec.cluster.external")
            }
            Selector::Service { namespace, name } => {
                let reference = ObjectName::new(namespace.as_str(), name.as_str());
                if world.services.contains_key(&reference) {
                    return Diagnostic::new(code, format!("no pod is behind {reference}"))
                        .at(location, "a headless Service means its pods");
                }
                let message = format!("there is no Service `{reference}`");
                let known: Vec<String> = world.services.keys().map(ToString::to_string).collect();
                let known = known.iter().map(String::as_str);
                self.unknown(location, code, message, &reference.to_string(), known)
            }
            Selector::Localhost => Diagnostic::new(code, "localhost cannot stand here")
                .at(location, "only a destination can be localhost"),
        }
    }

    fn nearest_pod(&self, selector: &Selector, world: &World) -> Option<String> {
        let known: Vec<String> = world.pods.keys().map(ToString::to_string).collect();
        nearest(&selector.to_string(), known.iter().map(String::as_str)).map(str::to_owned)
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
        if expected == Some(Expected::Refused) {
            problem.help("name it, as in x/a -> y/b:81/tcp")
        } else {
            problem.help("let it listen, or expect `refused`")
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
