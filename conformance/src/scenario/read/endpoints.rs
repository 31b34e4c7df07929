//! The two ends of a flow, looked up in the world; and what to say of a selector that means nothing.

use std::collections::BTreeSet;

use enforcer::{
    diagnostic::{Diagnostic, nearest},
    yaml::{FieldPath, Location},
};

use super::Reader;
use crate::{
    cell::Endpoint,
    scenario::{
        model::Expected,
        text::{Spanned, endpoint::Selector},
        world::{ObjectName, World},
    },
};

impl Reader {
    pub(super) fn sources(
        &mut self,
        world: &World,
        path: &FieldPath,
        selector: &Spanned<Selector>,
    ) -> Vec<Endpoint> {
        let only_a_destination = match selector.value {
            Selector::Service { .. } => Some((
                "a Service opens no connections",
                "only a destination can be a Service",
            )),
            Selector::Localhost => Some((
                "localhost is whoever opens the connection",
                "only a destination can be localhost",
            )),
            _ => None,
        };
        if let Some((message, label)) = only_a_destination {
            let span = selector.span.clone();
            let problem = self.problem_in(path, span, "scenario/endpoint", message, label);
            self.report(problem);
            return Vec::new();
        }
        self.endpoints(world, path, selector, false)
    }

    pub(super) fn destinations(
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
}
