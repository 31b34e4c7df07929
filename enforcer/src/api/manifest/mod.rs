//! Manifests: the Kubernetes objects that people write, decoded strictly.
//!
//! [`decode`] turns a YAML document into typed [`Object`]s, one per item if it is a list. It refuses
//! what `kubectl apply` or the API server would refuse: misspelt fields, wrong types, unknown kinds
//! and versions, bad names and labels, and NetworkPolicies that do not validate; each error points
//! at the line and column of the value, with the server's own text.
//!
//! Objects of kinds that no verdict depends on, such as ConfigMaps, are passed over, so that people
//! can use the files they ship.

mod kind;
mod refusal;

use serde_json::Value;

pub use self::kind::Object;
use self::kind::{Kind, PASSED_OVER};
use crate::{
    api::{FieldError, admit_network_policy},
    diagnostic::{Diagnostic, Diagnostics, nearest},
    yaml::{Document, FieldPath},
};

/// The namespace of objects that name none, as for kubectl.
pub const DEFAULT_NAMESPACE: &str = "default";

/// An object and the place where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object as written, but for the namespace: where there is none it is
    /// [`DEFAULT_NAMESPACE`]. Other defaults are not filled in.
    pub object: Object,
    /// Where it was written; paths are relative to the object.
    pub document: Document,
}

impl Manifest {
    /// The error that the API server refuses this object for `error`, at the exact value.
    pub fn refusal(&self, error: &FieldError) -> Diagnostic {
        refusal::refusal(&self.document, self.object.kind(), error)
    }
}

/// Decodes the object of a document, or all objects if it is a List or a typed list. No object
/// comes of a kind that no verdict depends on.
///
/// # Errors
///
/// Everything for which the API server would refuse an object of it.
pub fn decode(document: &Document) -> Result<Vec<Manifest>, Diagnostics> {
    decode_object(&document.as_kubectl_reads_it(), None)
}

/// The kind that an item of a typed list has without saying so.
type ListOf = Option<&'static Kind>;

fn decode_object(document: &Document, list_of: ListOf) -> Result<Vec<Manifest>, Diagnostics> {
    let kind_name = text_field(document, "kind", list_of.map(|kind| kind.name))?;
    let api_version = text_field(document, "apiVersion", list_of.map(|kind| kind.api_version))?;

    if let Some(list_of) = list_kind(&kind_name) {
        let expected = list_of.map_or("v1", |kind| kind.api_version);
        check_version(document, &kind_name, &api_version, expected)?;
        return decode_items(document, list_of);
    }
    if PASSED_OVER.contains(&kind_name.as_str()) {
        return Ok(Vec::new());
    }
    let kind = Kind::find(&kind_name).ok_or_else(|| unknown_kind(document, &kind_name))?;
    check_version(document, &kind_name, &api_version, kind.api_version)?;

    let mut object = (kind.decode)(document)?;
    let metadata = object.metadata_mut();
    if kind.is_namespaced && metadata.namespace.as_deref().is_none_or(str::is_empty) {
        metadata.namespace = Some(DEFAULT_NAMESPACE.to_owned());
    }
    let manifest = Manifest {
        object,
        document: document.clone(),
    };
    let errors = validate(&manifest.object, kind);
    Diagnostics::check(errors.iter().map(|error| manifest.refusal(error)).collect())?;
    Ok(vec![manifest])
}

fn validate(object: &Object, kind: &Kind) -> Vec<FieldError> {
    match object {
        Object::NetworkPolicy(policy) => admit_network_policy((**policy).clone())
            .err()
            .unwrap_or_default(),
        other => {
            super::metadata::validate_metadata(other.metadata(), kind.is_namespaced, kind.name_rule)
        }
    }
}

/// `List` is a list of anything, `PodList` one of pods.
fn list_kind(name: &str) -> Option<ListOf> {
    match name.strip_suffix("List")? {
        "" => Some(None),
        item => Kind::find(item).map(Some),
    }
}

fn decode_items(document: &Document, list_of: ListOf) -> Result<Vec<Manifest>, Diagnostics> {
    const FIELDS: [&str; 4] = ["apiVersion", "kind", "metadata", "items"];
    let mut errors: Vec<_> = document
        .keys(&FieldPath::root())
        .into_iter()
        .filter(|key| !FIELDS.contains(key))
        .map(|key| {
            let label = nearest(key, FIELDS).map(|near| format!("did you mean `{near}`?"));
            Diagnostic::new("yaml/unknown-field", format!("unknown field `{key}`")).at(
                document.key_location(&FieldPath::root().key(key)),
                label.unwrap_or_default(),
            )
        })
        .collect();

    let path = FieldPath::root().key("items");
    let items = document.at(&path).filter(|items| !items.value().is_null());
    if let Some(items) = &items
        && !items.value().is_array()
    {
        let diagnostic = Diagnostic::new("yaml/type", "wrong value for `items`");
        errors.push(diagnostic.at(document.location(&path), "expected a list of objects"));
    }
    let mut manifests = Vec::new();
    for item in items.iter().flat_map(Document::items) {
        match decode_object(&item, list_of) {
            Ok(decoded) => manifests.extend(decoded),
            Err(more) => errors.extend(more.0),
        }
    }
    Diagnostics::check(errors)?;
    Ok(manifests)
}

/// A field of type string at the root; `default` where it is absent.
fn text_field(
    document: &Document,
    name: &str,
    default: Option<&str>,
) -> Result<String, Diagnostics> {
    let path = FieldPath::root().key(name);
    let value = match document.value() {
        Value::Object(fields) => fields.get(name).unwrap_or(&Value::Null),
        _ => {
            let diagnostic = Diagnostic::new("manifest/object", "this is no Kubernetes object");
            let place = document.location(&FieldPath::root());
            return Err(diagnostic
                .at(place, "expected a mapping with `apiVersion` and `kind`")
                .into());
        }
    };
    match (value, default) {
        (Value::String(text), _) => Ok(text.clone()),
        (Value::Null, Some(default)) => Ok(default.to_owned()),
        (Value::Null, None) => Err(Diagnostic::new(
            "manifest/object",
            format!("a Kubernetes object needs the field `{name}`"),
        )
        .at(document.key_location(&path), "")
        .into()),
        _ => Err(
            Diagnostic::new("yaml/type", format!("wrong value for `{name}`"))
                .at(document.location(&path), "expected a string")
                .into(),
        ),
    }
}

fn unknown_kind(document: &Document, name: &str) -> Diagnostic {
    let place = document.location(&FieldPath::root().key("kind"));
    let known = Kind::ALL.iter().map(|kind| kind.name);
    let label = nearest(name, known.clone().chain(PASSED_OVER.iter().copied()))
        .map(|near| format!("did you mean `{near}`?"));
    Diagnostic::new("manifest/kind", format!("unknown kind `{name}`"))
        .at(place, label.unwrap_or_default())
        .note(format!(
            "known kinds: {}, List",
            known.collect::<Vec<_>>().join(", ")
        ))
}

fn check_version(
    document: &Document,
    kind: &str,
    found: &str,
    expected: &str,
) -> Result<(), Diagnostics> {
    if found == expected {
        return Ok(());
    }
    Err(Diagnostic::new(
        "manifest/api-version",
        format!("there is no {kind} in `{found}`"),
    )
    .at(
        document.location(&FieldPath::root().key("apiVersion")),
        format!("it is `{expected}`"),
    )
    .into())
}
