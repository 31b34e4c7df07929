//! Label selectors: what the API server refuses, and what they mean.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{error::FieldError, name};
use crate::{
    policy::{Requirement, Selector},
    yaml::FieldPath,
};

/// Which values may stand in the expressions of a selector. Those of `matchLabels` must always be
/// values that a label can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LabelValues {
    /// Only values that a label can have.
    #[default]
    Good,
    /// Any (semantics 244).
    Any,
}

/// Validates a selector (semantics 243, 244).
pub(super) fn validate_selector(
    selector: &LabelSelector,
    path: &FieldPath,
    values: LabelValues,
) -> Vec<FieldError> {
    let mut errors: Vec<_> = validate_labels(
        selector.match_labels.iter().flatten(),
        &path.key("matchLabels"),
    );
    let expressions = path.key("matchExpressions");
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        errors.extend(validate_requirement(
            requirement,
            &expressions.index(index),
            values,
        ));
    }
    errors
}

fn validate_requirement(
    requirement: &LabelSelectorRequirement,
    path: &FieldPath,
    allowed: LabelValues,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" => {
            if values.is_empty() {
                errors.push(FieldError::required(
                    path.key("values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                ));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                errors.push(FieldError::forbidden(
                    path.key("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ));
            }
        }
        other => errors.push(FieldError::invalid(
            path.key("operator"),
            other,
            "not a valid selector operator",
        )),
    }
    for reason in name::label_key(&requirement.key) {
        errors.push(FieldError::invalid(
            path.key("key"),
            requirement.key.as_str(),
            reason,
        ));
    }
    if allowed == LabelValues::Any {
        return errors;
    }
    for (index, value) in values.iter().enumerate() {
        for reason in name::label_value(value) {
            errors.push(FieldError::invalid(
                path.key("values").index(index),
                value.as_str(),
                reason,
            ));
        }
    }
    errors
}

/// Validates labels; the server names the whole map as the place of every error.
pub(super) fn validate_labels<'a>(
    labels: impl Iterator<Item = (&'a String, &'a String)>,
    path: &FieldPath,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        for reason in name::label_key(key) {
            errors.push(FieldError::invalid(path.clone(), key.as_str(), reason));
        }
        for reason in name::label_value(value) {
            errors.push(FieldError::invalid(path.clone(), value.as_str(), reason));
        }
    }
    errors
}

/// What a selector means. Keys and values that no label can have are no obstacle: servers tolerate
/// them on update (semantics 244), and they match or miss like any other text.
///
/// # Errors
///
/// The first requirement whose meaning is unknown.
pub(super) fn read_selector(
    selector: &LabelSelector,
    path: &FieldPath,
) -> Result<Selector, FieldError> {
    let mut requirements: Vec<Requirement> = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| Requirement::In(key.as_str().into(), vec![value.as_str().into()]))
        .collect();
    let expressions = path.key("matchExpressions");
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = expressions.index(index);
        let key: Arc<str> = expression.key.as_str().into();
        let values: Vec<Arc<str>> = expression
            .values
            .iter()
            .flatten()
            .map(|value| value.as_str().into())
            .collect();
        requirements.push(match (expression.operator.as_str(), values.is_empty()) {
            ("In", false) => Requirement::In(key, values),
            ("NotIn", false) => Requirement::NotIn(key, values),
            ("Exists", true) => Requirement::Exists(key),
            ("DoesNotExist", true) => Requirement::DoesNotExist(key),
            _ => return Err(unreadable(expression, &path)),
        });
    }
    Ok(Selector::new(requirements))
}

/// The server's words for an expression that [`read_selector`] does not understand.
fn unreadable(expression: &LabelSelectorRequirement, path: &FieldPath) -> FieldError {
    validate_requirement(expression, path, LabelValues::Any)
        .into_iter()
        .next()
        .unwrap_or_else(|| {
            FieldError::invalid(
                path.key("operator"),
                expression.operator.as_str(),
                "not a valid selector operator",
            )
        })
}
