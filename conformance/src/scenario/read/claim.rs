//! `because`, `sourceSeen` and `servedBy`: what else is to be so of connections that are probed.

use std::{collections::BTreeSet, sync::Arc};

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::{
    Reader,
    expectation::{Context, items},
};
use crate::{
    cell::Cell,
    scenario::{
        model::{Because, Expected, ExpectedCell, RuleName},
        text::{Spanned, SyntaxError, endpoint},
        world::ObjectName,
        written::{expect, short::OneOrMany},
    },
};

impl Reader {
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
        let mut select = |selector: &Spanned<endpoint::Selector>| {
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
                    let dialled = world.dialled(&cell.source, &cell.destination);
                    world.is_meant(&port.value, dialled, cell.port)
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

    pub(super) fn read_because(
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
                    .help(
                        "add isolatedBy or nearest for what is denied, allowedBy for what passes",
                    );
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
            let known: Vec<String> = context
                .state
                .in_force
                .keys()
                .map(ToString::to_string)
                .collect();
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
            let problem =
                problem.help("rules are written as in spec.ingress[0].from[1], counted from 0");
            self.report(problem);
            return None;
        }
        Some(RuleName {
            policy,
            path: Some(field),
        })
    }

    pub(super) fn read_source_seen(
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

    pub(super) fn read_served_by(
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
            let error =
                SyntaxError::new(0..text.len(), "a Service neither answers nor sends itself");
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
