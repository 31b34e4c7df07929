//! Policies as the file has them: manifests whose address templates are still open.

use std::ops::Range;

use enforcer::{
    diagnostic::{Diagnostic, Diagnostics},
    yaml::{Document, FieldPath, Location},
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;

use super::{
    text::template::{self, Piece, Template, Wanted},
    world::ObjectName,
};
use crate::cell::Family;

/// Whoever knows the addresses of a cluster.
pub trait Resolve {
    /// What stands for a template now, in the form a policy needs: an address such as `10.244.0.5`,
    /// a range such as `10.244.0.0/16`. Its family is always set, and [`Wanted::HostBits`] is never
    /// asked for. A pod that is gone has the address it had last.
    fn resolve(&self, template: &Template) -> Option<String>;
}

/// A policy of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySource {
    /// How steps call it: its key in `policies:`, or `namespace/name` where it comes from
    /// elsewhere.
    pub key: String,
    /// The object's own name.
    pub name: ObjectName,
    /// The manifest, rooted at the object: `document.location(path)` is where a field of it is
    /// written. Templates are still open.
    pub document: Document,
    /// The family that templates mean which do not say one.
    pub family: Option<Family>,
}

impl PolicySource {
    /// The policy with addresses in place of templates; neither defaulted nor validated.
    ///
    /// # Errors
    /// If an address is not to be had, or the manifest has wrong types or fields that nobody knows:
    /// then the API server would refuse it too.
    pub fn resolve(&self, addresses: &dyn Resolve) -> Result<NetworkPolicy, Diagnostics> {
        network_policy(&self.filled(addresses)?)
    }

    /// The manifest with addresses in place of templates.
    ///
    /// # Errors
    /// If an address is not to be had.
    pub fn filled(&self, addresses: &dyn Resolve) -> Result<Document, Diagnostics> {
        let mut problems = Vec::new();
        let document = fill(&self.document, &mut |path, _, template| {
            let template = Template {
                family: template.family.or(self.family),
                ..template.clone()
            };
            let found = match (&template.wanted, template.family) {
                (Wanted::HostBits, Some(Family::Ipv4)) => Some("32".to_owned()),
                (Wanted::HostBits, Some(Family::Ipv6)) => Some("128".to_owned()),
                (_, None) => None,
                _ => addresses.resolve(&template),
            };
            if found.is_none() {
                problems.push(
                    Diagnostic::new(
                        "scenario/template",
                        format!("{} is not known now", template.wanted),
                    )
                    .at(self.document.location(path), ""),
                );
            }
            found
        });
        Diagnostics::check(problems)?;
        Ok(document)
    }

    /// Where the object begins.
    pub fn location(&self) -> Location {
        self.document.key_location(&FieldPath::root())
    }
}

/// Reads a document that has no templates any more, without asking whether the API server would
/// take it.
fn network_policy(document: &Document) -> Result<NetworkPolicy, Diagnostics> {
    document.as_kubectl_reads_it().decode()
}

/// The name an unread manifest gives itself.
pub(crate) fn object_name(document: &Document) -> ObjectName {
    let metadata = &document.value()["metadata"];
    let text = |key: &str| metadata[key].as_str().map(str::to_owned);
    ObjectName {
        namespace: text("namespace").unwrap_or_else(|| "default".to_owned()),
        name: text("name").unwrap_or_default(),
    }
}

/// An address template, and where it stands.
pub(crate) struct Found {
    /// The path of its string.
    pub(crate) path: FieldPath,
    /// The bytes of the string, braces included.
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) template: Template,
}

/// Every address template of a document. What is no template is passed over: it has been reported
/// before.
pub(crate) fn templates(document: &Document) -> Vec<Found> {
    let mut found = Vec::new();
    fill(document, &mut |path, span, template| {
        found.push(Found {
            path: path.clone(),
            span: span.clone(),
            template: template.clone(),
        });
        None
    });
    found
}

/// Answers a template at a path and a span of its string.
trait Answer: FnMut(&FieldPath, &Range<usize>, &Template) -> Option<String> {}

impl<F: FnMut(&FieldPath, &Range<usize>, &Template) -> Option<String>> Answer for F {}

/// The document with the answers of `answer` in place of its templates; a template without an
/// answer stays.
fn fill(document: &Document, answer: &mut impl Answer) -> Document {
    let value = fill_value(document.value(), &FieldPath::root(), answer);
    document.with_value(value)
}

fn fill_value(value: &Value, path: &FieldPath, answer: &mut impl Answer) -> Value {
    match value {
        Value::String(text) => match template::split(text) {
            Ok(pieces) => Value::String(fill_text(&pieces, path, answer)),
            Err(_) => value.clone(),
        },
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| fill_value(item, &path.index(index), answer))
            .collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), fill_value(value, &path.key(key), answer)))
            .collect(),
        _ => value.clone(),
    }
}

fn fill_text(pieces: &[Piece<'_>], path: &FieldPath, answer: &mut impl Answer) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Template(inner, span) => {
                let filled = template::parse(inner)
                    .ok()
                    .and_then(|t| answer(path, span, &t));
                text.push_str(&filled.unwrap_or_else(|| format!("${{{inner}}}")));
            }
        }
    }
    text
}
