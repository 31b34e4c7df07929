//! How the API server refuses an object, and whether that is what a scenario means.

use enforcer::{
    api::FieldError,
    diagnostic::Diagnostics,
    yaml::{FieldPath, Location},
};

use crate::scenario::{PolicySource, Refusal};

/// A refusal.
pub(super) struct Answer {
    /// In the server's words.
    pub(super) text: String,
    fields: Vec<Field>,
}

/// What one objection is about.
enum Field {
    /// A rule of validation: the server names the field.
    Named(FieldPath, String),
    /// The object cannot even be read: the place in the file.
    At(Location, String),
}

impl Answer {
    /// Rules of validation that are broken.
    pub(super) fn of(errors: &[FieldError]) -> Self {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let paths = errors.iter().map(|error| error.path.clone());
        Self {
            text: texts.join("; "),
            fields: paths
                .zip(texts)
                .map(|(path, text)| Field::Named(path, text))
                .collect(),
        }
    }

    /// A value of the wrong type, or a field that does not exist.
    pub(super) fn unreadable(object: &PolicySource, diagnostics: &Diagnostics) -> Self {
        let messages = diagnostics
            .0
            .iter()
            .map(|diagnostic| diagnostic.message.clone());
        let place = |diagnostic: &enforcer::diagnostic::Diagnostic| {
            let label = diagnostic.primary.as_ref();
            label.map_or_else(|| object.location(), |label| label.location.clone())
        };
        let places = diagnostics.0.iter().map(place);
        Self {
            text: messages.clone().collect::<Vec<_>>().join("; "),
            fields: places
                .zip(messages)
                .map(|(at, text)| Field::At(at, text))
                .collect(),
        }
    }

    /// Whether one of its objections is the one that is meant.
    pub(super) fn means(&self, object: &PolicySource, refusal: &Refusal) -> bool {
        let says = |text: &str| {
            let wanted = refusal.message.as_ref();
            wanted.is_none_or(|wanted| text.contains(wanted.as_str()))
        };
        self.fields.iter().any(|field| match field {
            Field::Named(path, text) => *path == refusal.field && says(text),
            Field::At(location, text) => {
                let value = object.document.location(&refusal.field);
                let key = object.document.key_location(&refusal.field);
                let starts_at = |place: &Location| place.span.start == location.span.start;
                (starts_at(&value) || starts_at(&key)) && says(text)
            }
        })
    }
}
