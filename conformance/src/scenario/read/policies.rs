//! `spec.policies`, and every other policy a step can name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use enforcer::{
    api::manifest,
    diagnostic::{Diagnostic, Diagnostics},
    yaml::{Document, FieldPath, Location},
};
use serde_json::Value;

use super::{Frame, Reader, imagined::Imagined, repeat};
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
    /// By key in `policies`, or by `namespace/name`; those of an entry with `repeat` by `key[0]` and
    /// so on.
    pub(super) policies: BTreeMap<String, Arc<PolicySource>>,
    /// All policies of an entry with `repeat`, by its key.
    pub(super) repeated: BTreeMap<String, Vec<Arc<PolicySource>>>,
    /// Keys of entries that could not be read, and have been reported.
    pub(super) broken: BTreeSet<String>,
}

impl Catalog {
    /// The policies of a name; none if nobody knows it.
    pub(super) fn get(&self, name: &str) -> Vec<Arc<PolicySource>> {
        match self.repeated.get(name) {
            Some(all) => all.clone(),
            None => self.policies.get(name).cloned().into_iter().collect(),
        }
    }

    /// The policies a step names; reports a name that nobody knows.
    pub(super) fn find_all(
        &self,
        reader: &mut Reader,
        path: &FieldPath,
        name: &str,
    ) -> Vec<Arc<PolicySource>> {
        match self.repeated.get(name) {
            Some(all) => all.clone(),
            None => self.find(reader, path, name).into_iter().collect(),
        }
    }

    /// The one policy a step names; reports a name that nobody knows.
    pub(super) fn find(
        &self,
        reader: &mut Reader,
        path: &FieldPath,
        name: &str,
    ) -> Option<Arc<PolicySource>> {
        if let Some(all) = self.repeated.get(name) {
            let message = format!("`{name}` is {} policies, and one is needed here", all.len());
            let problem = Diagnostic::new("scenario/object", message)
                .at(reader.at(path), "")
                .help(format!("name one of them, as in \"{name}[0]\""));
            reader.report(problem);
            return None;
        }
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
        let single = self.policies.keys().filter(|key| !key.ends_with(']'));
        single.chain(self.repeated.keys()).map(String::as_str)
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
        if key.contains(['/', '[']) || key.ends_with(".yaml") || key.ends_with(".yml") {
            let problem = Diagnostic::new(
                "scenario/name",
                format!("`{key}` would be taken for something else than a name in `policies`"),
            )
            .at(reader.at_key(&path), "")
            .help("leave out slashes, brackets and .yaml");
            reader.report(problem);
            catalog.broken.insert(key.clone());
            continue;
        }
        if value.get("repeat").is_some() {
            match repeat::read(reader, &path, key, family) {
                Some(all) => {
                    for policy in &all {
                        let policy = Arc::clone(policy);
                        catalog.policies.insert(policy.key.clone(), policy);
                    }
                    catalog.repeated.insert(key.clone(), all);
                }
                None => {
                    catalog.broken.insert(key.clone());
                }
            }
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
        if let Err(errors) = admitted(source, scope) {
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
            Wanted::FormerPod { namespace, name } => {
                let reference = ObjectName::new(namespace, name);
                let problem = Diagnostic::new(
                    code,
                    format!("{reference} has not had another address before"),
                )
                .at(location, "")
                .help("a pod that is created again gets a new address; ${ip:…} means the present one, or that of a pod that is gone");
                let has_two =
                    scope.readdressed.contains(&reference) && !scope.gone.contains(&reference);
                (!has_two).then_some(problem)
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

/// Whether the API server would take a policy whose templates have been checked.
///
/// # Errors
/// Why it would not.
pub(super) fn admitted(source: &PolicySource, scope: &Scope<'_>) -> Result<(), Diagnostics> {
    let filled = source.filled(&Imagined(scope.world))?;
    manifest::decode(&filled).map(|_| ())
}

/// What exists where a policy is applied.
pub(super) struct Scope<'a> {
    /// Everything that exists now.
    pub(super) world: &'a World,
    /// Pods that existed: their addresses are still known.
    pub(super) gone: &'a BTreeSet<ObjectName>,
    /// Pods that had another address before.
    pub(super) readdressed: &'a BTreeSet<ObjectName>,
    /// The play's families.
    pub(super) frame: &'a Frame,
}

impl Scope<'_> {
    fn has_family(&self, family: Family) -> bool {
        self.frame.has(family)
    }
}
