//! Validation errors in the API server's words.

use std::fmt;

use serde_json::Value;

use crate::yaml::FieldPath;

/// One reason for which the API server refuses an object. Displays exactly as the server prints it:
/// `spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct FieldError {
    /// The field, from the object on.
    pub path: FieldPath,
    /// What kind of rule it breaks.
    pub kind: FieldErrorKind,
    /// The value that breaks it, for kinds that show it.
    pub value: Option<Value>,
    /// The rule; may be empty.
    pub detail: String,
}

/// The kinds of error of apimachinery's `field` package that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldErrorKind {
    /// A value is needed and missing.
    Required,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value is not one of a fixed set.
    NotSupported,
    /// The value may not stand here.
    Forbidden,
    /// The value is too long.
    TooLong,
}

impl FieldError {
    pub(crate) fn required(path: FieldPath, detail: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Required, None, detail)
    }

    pub(crate) fn invalid(
        path: FieldPath,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(path, FieldErrorKind::Invalid, Some(value.into()), detail)
    }

    pub(crate) fn not_supported(path: FieldPath, value: &str, supported: &[&str]) -> Self {
        let supported: Vec<_> = supported.iter().map(|s| format!("{s:?}")).collect();
        Self::new(
            path,
            FieldErrorKind::NotSupported,
            Some(value.into()),
            format!("supported values: {}", supported.join(", ")),
        )
    }

    pub(crate) fn forbidden(path: FieldPath, detail: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Forbidden, None, detail)
    }

    pub(crate) fn too_long(path: FieldPath, most_bytes: usize) -> Self {
        let detail = format!("must have at most {most_bytes} bytes");
        Self::new(path, FieldErrorKind::TooLong, None, detail)
    }

    fn new(
        path: FieldPath,
        kind: FieldErrorKind,
        value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            path,
            kind,
            value,
            detail: detail.into(),
        }
    }

    /// The message without the path.
    pub fn body(&self) -> String {
        let mut body = self.kind.to_string();
        if let Some(value) = &self.value {
            body += ": ";
            body += &printed(value);
        }
        if !self.detail.is_empty() {
            body += ": ";
            body += &self.detail;
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl fmt::Display for FieldErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
        })
    }
}

/// A value as Go prints it. The only list in these errors is that of policy types.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(printed).collect();
            format!("[]networking.PolicyType{{{}}}", items.join(", "))
        }
        other => other.to_string(),
    }
}
