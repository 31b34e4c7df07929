//! Refused objects: from the causes of a `metav1.Status` to the errors that validation gives.

use enforcer::{
    api::{FieldError, FieldErrorKind},
    yaml::FieldPath,
};
use kube::core::{Status, response::StatusCause};

/// What a server objects to. A server that gives no causes gives one: its message.
pub(super) fn errors(status: &Status) -> Vec<FieldError> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let errors: Vec<FieldError> = causes.map(error).collect();
    if !errors.is_empty() {
        return errors;
    }
    vec![FieldError {
        path: FieldPath::root(),
        kind: FieldErrorKind::Invalid,
        value: None,
        detail: status.message.clone(),
    }]
}

/// The message of a cause is the whole error without its field: `Invalid value: 0: must be …`.
fn error(cause: &StatusCause) -> FieldError {
    let kinds = [
        ("FieldValueRequired", FieldErrorKind::Required),
        ("FieldValueNotSupported", FieldErrorKind::NotSupported),
        ("FieldValueForbidden", FieldErrorKind::Forbidden),
        ("FieldValueTooLong", FieldErrorKind::TooLong),
    ];
    let mut kinds = kinds.into_iter();
    let kind = kinds.find(|(reason, _)| *reason == cause.reason);
    let kind = kind.map_or(FieldErrorKind::Invalid, |(_, kind)| kind);
    let begin = kind.to_string();
    let detail = cause.message.strip_prefix(&begin).unwrap_or(&cause.message);
    FieldError {
        path: path(&cause.field),
        kind,
        value: None,
        detail: detail.trim_start_matches(": ").to_owned(),
    }
}

/// Reads `spec.ingress[0].from[1].ipBlock.cidr`.
fn path(text: &str) -> FieldPath {
    let mut path = FieldPath::root();
    for part in text.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
            path = path.key(key);
        }
        for piece in pieces {
            let inner = piece.trim_end_matches(']');
            path = match inner.parse() {
                Ok(index) => path.index(index),
                Err(_) => path.key(inner),
            };
        }
    }
    path
}

/// All of them in one line.
pub(super) fn sentences(errors: &[FieldError]) -> String {
    let sentence = |error: &FieldError| match error.path.is_root() {
        true => error.detail.clone(),
        false => error.to_string(),
    };
    errors.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(reason: &str, message: &str, field: &str) -> StatusCause {
        StatusCause {
            reason: reason.to_owned(),
            message: message.to_owned(),
            field: field.to_owned(),
        }
    }

    #[rstest::rstest]
    #[case::invalid(
        cause(
            "FieldValueInvalid",
            "Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ingress[0].ports[0].port"
        ),
        "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"
    )]
    #[case::required(
        cause(
            "FieldValueRequired",
            "Required value",
            "spec.ingress[1].from[0].ipBlock.cidr"
        ),
        "spec.ingress[1].from[0].ipBlock.cidr: Required value"
    )]
    #[case::forbidden(
        cause(
            "FieldValueForbidden",
            "Forbidden: may not specify both ipBlock and another peer",
            "spec.ingress[0].from[0]"
        ),
        "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"
    )]
    fn a_cause_reads_as_the_server_prints_it(#[case] cause: StatusCause, #[case] text: &str) {
        assert_eq!(error(&cause).to_string(), text);
    }

    #[test]
    fn a_path_finds_the_same_field() {
        let own = FieldPath::root().key("spec").key("ingress").index(0);
        assert_eq!(path("spec.ingress[0].from[1]"), own.key("from").index(1));
    }
}
