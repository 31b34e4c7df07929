//! What the API server demands of `metadata`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    error::FieldError,
    name::{self, NameRule},
    selector::validate_labels,
};
use crate::yaml::FieldPath;

/// The most bytes of all annotations together.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

/// Validates name, namespace, labels and annotations (semantics 229). Names are generated before
/// validation, so a missing one is an error here.
pub(super) fn validate_metadata(
    metadata: &ObjectMeta,
    is_namespaced: bool,
    name_rule: NameRule,
) -> Vec<FieldError> {
    let path = FieldPath::root().key("metadata");
    let mut errors = Vec::new();

    match metadata.name.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(
            path.key("name"),
            "name or generateName is required",
        )),
        value => {
            for reason in name_rule(value) {
                errors.push(FieldError::invalid(path.key("name"), value, reason));
            }
        }
    }

    match (
        metadata.namespace.as_deref().unwrap_or_default(),
        is_namespaced,
    ) {
        ("", true) => errors.push(FieldError::required(path.key("namespace"), "")),
        ("", false) => {}
        (value, true) => {
            for reason in name::dns_1123_label(value) {
                errors.push(FieldError::invalid(path.key("namespace"), value, reason));
            }
        }
        (_, false) => errors.push(FieldError::forbidden(
            path.key("namespace"),
            "not allowed on this type",
        )),
    }

    errors.extend(validate_labels_and_annotations(metadata, &path));
    errors
}

/// Validates a change: name, namespace and uid stay, labels and annotations may change.
pub(super) fn validate_metadata_update(old: &ObjectMeta, new: &ObjectMeta) -> Vec<FieldError> {
    let path = FieldPath::root().key("metadata");
    let mut errors = Vec::new();
    for (field, old, new) in [
        ("name", &old.name, &new.name),
        ("namespace", &old.namespace, &new.namespace),
        ("uid", &old.uid, &new.uid),
    ] {
        let new = new.as_deref().unwrap_or_default();
        if old.as_deref().unwrap_or_default() != new {
            errors.push(FieldError::invalid(
                path.key(field),
                new,
                "field is immutable",
            ));
        }
    }
    errors.extend(validate_labels_and_annotations(new, &path));
    errors
}

fn validate_labels_and_annotations(metadata: &ObjectMeta, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = validate_labels(metadata.labels.iter().flatten(), &path.key("labels"));
    let annotations_path = path.key("annotations");
    let mut bytes = 0;
    for (key, value) in metadata.annotations.iter().flatten() {
        bytes += key.len() + value.len();
        for reason in name::label_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid(
                annotations_path.clone(),
                key.as_str(),
                reason,
            ));
        }
    }
    if bytes > MOST_ANNOTATION_BYTES {
        errors.push(FieldError::too_long(
            annotations_path,
            MOST_ANNOTATION_BYTES,
        ));
    }
    errors
}
