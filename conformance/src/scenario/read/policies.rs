//! `spec.policies`, and every other policy a step can name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use enforcer::{
    api::manifest,
    diagnostic::Diagnostic,
    yaml::{Document, FieldPath, Location},
};
use serde_json::Value;

use super::{Frame, Reader, imagined::Imagined};
use crate::{
    cell::Family,
    scenario::{
        policy::{self, PolicySource},
        text::template::Wanted,
        world::{ObjectName, World},
        written::Spec,
    },
};

/// The policies of a file by the names that steps call them.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    /// By key in `policies`, or by `namespace/name`.
    pub(super) policies: BTreeMap<String, Arc<PolicySource>>,
    /// Keys of entries that could not be read, and have been reported.
    pub(super) broken: BTreeSet<String>,
}

impl Catalog {
    /// The policy a step names; reports a name that nobody knows.
    pub(super) fn find(
        &self,
        reader: &mut Reader,
        path: &FieldPath,
        name: &str,
    ) -> Option<Arc<PolicySource>> {
        let found = self.policies.get(name);
        if found.is_none() && !self.broken.contains(name) {
            let problem = reader.unknown(
                reader.at(path),
                "scenario/unknown",
                format!("there is no policy `{name}`"),
                name,
                self.names(),
            );
            reader.report(problem.help("policies are written under spec.policies"));
        }
        found.cloned()
    }

    /// The names steps can use.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }
}

fn policies_path() -> FieldPath {
    FieldPath::root().key("spec").key("policies")
}

/// Reads `spec.policies`; whether the API server would take them is looked at when they are
/// applied, because only then it is known which objects their addresses come from.
pub(super) fn read(reader: &mut Reader, spec: &Spec, family: Option<Family>) -> Catalog {
    let mut catalog = Catalog::default();
    for (key, value) in &spec.policies {
        let path = policies_path().key(key);
        if key.contains('/') || key.ends_with(".yaml") || key.ends_with(".yml") {
            let problem = Diagnostic::new(
                "scenario/name",
                format!("`{key}` would be taken for something else than a name in `policies`"),
            )
            .at(reader.at_key(&path), "")
            .help("leave out slashes and .yaml");
            reader.report(problem);
            catalog.broken.insert(key.clone());
            continue;
        }
        let document = match value {
            Value::String(file) => reader.one_document(&path, file),
            Value::Object(_) => reader.document.at(&path),
            _ => {
                let problem = Diagnostic::new("yaml/type", format!("`{key}` is no manifest"))
                    .at(reader.at(&path), "expected a mapping or the path of a file");
                reader.report(problem);
                None
            }
        };
        if let Some(document) = document
            && let Some(source) = source(reader, key, document, family)
        {
            catalog.policies.insert(key.clone(), Arc::new(source));
        } else {
            catalog.broken.insert(key.clone());
        }
    }
    catalog
}

/// A document as a policy source, if it says it is a NetworkPolicy with a name.
pub(super) fn source(
    reader: &mut Reader,
    key: &str,
    document: Document,
    family: Option<Family>,
) -> Option<PolicySource> {
    let kind = document.value()["kind"].as_str();
    if kind != Some("NetworkPolicy") {
        let at = document.location(&FieldPath::root().key("kind"));
        let found = kind.map_or_else(
            || "this says no kind".to_owned(),
            |kind| format!("a {kind} is no policy"),
        );
        reader.report(
            Diagnostic::new("scenario/manifest", found).at(at, "expected kind: NetworkPolicy"),
        );
        return None;
    }
    let name = policy::object_name(&document);
    Some(PolicySource {
        key: key.to_owned(),
        name,
        document,
        family,
    })
}

impl Reader {
    /// Whether the API server would take a policy, applied now. Reports what it would refuse at the
    /// field, and templates that cannot be filled.
    pub(super) fn admit(&mut self, source: &PolicySource, scope: &Scope<'_>) {
        if !self.check_templates(source, scope) {
            return;
        }
        let decoded = source
            .filled(&Imagined(scope.world))
            .and_then(|document| manifest::decode(&document));
        if let Err(errors) = decoded {
            self.problems
                .extend(errors.0.into_iter().map(|error| match error.code {
                    "manifest/refused" => {
                        error.help("to show that it does, put the policy under `refuse`")
                    }
                    _ => error,
                }));
        }
        if !scope.world.namespaces.contains_key(&source.name.namespace) {
            let path = FieldPath::root().key("metadata").key("namespace");
            let problem = self.unknown(
                source.document.location(&path),
                "scenario/unknown",
                format!(
                    "there is no namespace `{}` for this policy",
                    source.name.namespace
                ),
                &source.name.namespace,
                scope.world.namespaces.keys().map(String::as_str),
            );
            self.report(problem);
        }
    }

    /// Whether every address a policy asks for is to be had.
    pub(super) fn check_templates(&mut self, source: &PolicySource, scope: &Scope<'_>) -> bool {
        let before = self.problems.len();
        for found in policy::templates(&source.document) {
            let template = found.template;
            let whole = source.document.location(&found.path);
            let text = super::text_at(&source.document, &found.path).unwrap_or_default();
            let location = super::place::within(&whole, &text, found.span).unwrap_or(whole);
            let Some(family) = template.family.or(source.family) else {
                let problem = Diagnostic::new(
                    "scenario/template",
                    format!("{} could be IPv4 or IPv6", template.wanted),
                )
                .at(location, "which family is meant?")
                .help("write 4 or 6 after the word, as in ${ip4:x/a}, or play the scenario for each family: forEach: {family: [ipv4, ipv6]}");
                self.report(problem);
                continue;
            };
            if !scope.has_family(family) {
                let problem = Diagnostic::new(
                    "scenario/template",
                    format!("pods have no {family} addresses in this scenario"),
                )
                .at(location, "");
                self.report(problem);
                continue;
            }
            if let Some(problem) = self.missing(scope, &template.wanted, location) {
                self.report(problem);
            }
        }
        self.problems.len() == before
    }

    /// Why an address cannot be had.
    fn missing(
        &self,
        scope: &Scope<'_>,
        wanted: &Wanted,
        location: Location,
    ) -> Option<Diagnostic> {
        let world = scope.world;
        let code = "scenario/template";
        match wanted {
            Wanted::PodCidr | Wanted::ServiceCidr | Wanted::HostBits => None,
            Wanted::Pod { namespace, name } => {
                let reference = ObjectName::new(namespace, name);
                if world.pods.contains_key(&reference) || scope.gone.contains(&reference) {
                    return None;
                }
                let known: Vec<String> = world.pods.keys().map(ToString::to_string).collect();
                let message = format!("there is no pod `{reference}`");
                let known = known.iter().map(String::as_str);
                Some(self.unknown(location, code, message, &reference.to_string(), known))
            }
            Wanted::Node(name) | Wanted::NodePodCidr(name) => {
                let message = format!("there is no node `{name}`");
                let known = world.nodes.keys().map(String::as_str);
                (!world.nodes.contains_key(name))
                    .then(|| self.unknown(location, code, message, name, known))
            }
            Wanted::External(name) => {
                let message = format!("there is no machine `{name}` outside the cluster");
                let known = world.externals.keys().map(String::as_str);
                (!world.externals.contains_key(name))
                    .then(|| self.unknown(location, code, message, name, known))
            }
            Wanted::Service { namespace, name } => {
                let reference = ObjectName::new(namespace, name);
                match world.services.get(&reference) {
                    Some(service) if service.is_headless() => Some(
                        Diagnostic::new(
                            code,
                            format!("{reference} is headless: it has no ClusterIP"),
                        )
                        .at(location, ""),
                    ),
                    Some(_) => None,
                    None => {
                        let known: Vec<String> =
                            world.services.keys().map(ToString::to_string).collect();
                        let message = format!("there is no Service `{reference}`");
                        let known = known.iter().map(String::as_str);
                        Some(self.unknown(location, code, message, &reference.to_string(), known))
                    }
                }
            }
        }
    }
}

/// What exists where a policy is applied.
pub(super) struct Scope<'a> {
    /// Everything that exists now.
    pub(super) world: &'a World,
    /// Pods that existed: their addresses are still known.
    pub(super) gone: &'a BTreeSet<ObjectName>,
    /// The play's families.
    pub(super) frame: &'a Frame,
}

impl Scope<'_> {
    fn has_family(&self, family: Family) -> bool {
        self.frame.has(family)
    }
}
