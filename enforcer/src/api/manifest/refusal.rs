//! The API server's refusals as diagnostics.

use serde_json::Value;

use crate::{
    api::FieldError,
    diagnostic::Diagnostic,
    yaml::{Document, FieldPath, Location},
};

/// The server's own text at the place of the value.
pub(super) fn refusal(document: &Document, kind: &str, error: &FieldError) -> Diagnostic {
    Diagnostic::new("manifest/refused", error.to_string()).at(
        place(document, error),
        format!("the API server refuses this {kind}"),
    )
}

fn place(document: &Document, error: &FieldError) -> Location {
    let Some(part) = document.at(&error.path) else {
        // Something is missing: the key under which it should stand.
        return document.key_location(&error.path);
    };
    match (part.value(), &error.value) {
        // Of labels and annotations the server names the whole map and the bad key or value.
        (Value::Object(entries), Some(Value::String(bad))) => {
            let root = FieldPath::root();
            if entries.contains_key(bad) {
                return part.key_location(&root.key(bad));
            }
            entries
                .iter()
                .find(|(_, value)| value.as_str() == Some(bad))
                .map_or_else(
                    || part.location(&root),
                    |(key, _)| part.location(&root.key(key)),
                )
        }
        _ => part.location(&FieldPath::root()),
    }
}
