//! Errors, as `metav1.Status`.

use serde_json::{Value, json};

use super::kind::Kind;

/// Why a request was refused.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
    pub(crate) metadata: Value,
}

impl Status {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
            metadata: json!({}),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} \"{name}\" not found", kind.qualified()),
        )
        .of(kind, name)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Self::new(409, "AlreadyExists", message).of(kind, name)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            kind.qualified()
        );
        Self::new(409, "Conflict", message).of(kind, name)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn forbidden(
        user: &str,
        verb: &str,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Self {
        let one = if name.is_empty() {
            String::new()
        } else {
            format!(" \"{name}\"")
        };
        let scope = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        let message = format!(
            "{}{one} is forbidden: User \"{user}\" cannot {verb} resource \"{}\" in API group \
             \"{}\" {scope}",
            kind.qualified(),
            kind.plural,
            kind.group
        );
        Self::new(403, "Forbidden", message).of(kind, name)
    }

    /// `errors` are (field, message).
    pub(crate) fn invalid(kind: &Kind, name: &str, errors: &[(String, String)]) -> Self {
        let list: Vec<_> = errors
            .iter()
            .map(|(field, message)| format!("{field}: {message}"))
            .collect();
        let all = match &list[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{}.{} \"{name}\" is invalid: {all}", kind.kind, kind.group);
        let mut status = Self::new(422, "Invalid", message.replace(". \"", " \"")).of(kind, name);
        status.details["causes"] = errors
            .iter()
            .map(|(field, message)| {
                json!({"reason": "FieldValueInvalid", "message": message, "field": field})
            })
            .collect();
        status
    }

    fn of(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({"kind": kind.plural});
        for (field, value) in [("name", name), ("group", kind.group)] {
            if !value.is_empty() {
                self.details[field] = json!(value);
            }
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": self.metadata, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            value["details"] = self.details.clone();
        }
        value
    }
}
