//! What did not fit when a document was decoded, in words for people.

use std::{fmt, ops::Range, sync::Arc};

use serde::de::{self, Expected, Unexpected};
use serde_json::Value;

use super::{FieldPath, Location, Segment, Source, decode::Cursor, tree::Entry};
use crate::diagnostic::{Diagnostic, nearest};

/// What did not fit, and where.
#[derive(Debug)]
pub(super) struct DecodeError {
    problem: Problem,
    span: Option<Range<usize>>,
    /// From the place up to the document.
    path: Vec<Segment>,
}

#[derive(Debug)]
enum Problem {
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    MissingField(&'static str),
    UnknownVariant {
        variant: String,
        known: &'static [&'static str],
    },
    WrongType {
        found: String,
        expected: String,
        /// Whether quotes would make it right.
        needs_quotes: bool,
    },
    Other(String),
}

impl DecodeError {
    /// A value that is neither the name of a variant nor a mapping with that as its only key.
    pub(super) fn no_variant(value: &Value, variants: &[&str]) -> Self {
        Self::new(Problem::WrongType {
            found: match value {
                Value::Object(values) => format!("a mapping of {} entries", values.len()),
                other => description(&unexpected(other)),
            },
            expected: format!("one of {}", variants.join(", ")),
            needs_quotes: false,
        })
    }

    fn new(problem: Problem) -> Self {
        Self {
            problem,
            span: None,
            path: Vec::new(),
        }
    }

    /// Sets the place, unless a deeper one is known. A mapping that lacks a field is shown by its
    /// key: its own first line is about another field.
    pub(super) fn at(mut self, cursor: Cursor<'_>) -> Self {
        if self.span.is_none() {
            let span = match (&self.problem, cursor.key_span) {
                (Problem::MissingField(_), Some(key_span)) => key_span,
                _ => &cursor.node.span,
            };
            self.span = Some(span.clone());
        }
        self
    }

    pub(super) fn at_key(mut self, entry: &Entry) -> Self {
        self.span.get_or_insert_with(|| entry.key_span.clone());
        self
    }

    pub(super) fn below(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }
}

/// The error for people.
pub(super) fn diagnostic(source: &Arc<Source>, error: DecodeError) -> Diagnostic {
    let path: FieldPath = error.path.into_iter().rev().collect();
    let location = Location::new(source, error.span.unwrap_or_default());
    let place = |preposition: &str| {
        if path.is_root() {
            String::new()
        } else {
            format!(" {preposition} `{path}`")
        }
    };
    match error.problem {
        Problem::UnknownField { field, known } => Diagnostic::new(
            "yaml/unknown-field",
            format!("unknown field `{field}`{}", place("in")),
        )
        .at(location, did_you_mean(&field, known))
        .note(one_of("known fields", known)),
        Problem::MissingField(field) => Diagnostic::new(
            "yaml/missing-field",
            format!("missing field `{field}`{}", place("in")),
        )
        .at(location, ""),
        Problem::UnknownVariant { variant, known } => Diagnostic::new(
            "yaml/value",
            format!("unknown value `{variant}`{}", place("for")),
        )
        .at(location, did_you_mean(&variant, known))
        .note(one_of("known values", known)),
        Problem::WrongType {
            found,
            expected,
            needs_quotes,
        } => {
            let written = location.text().to_owned();
            let diagnostic = Diagnostic::new("yaml/type", format!("wrong value{}", place("for")))
                .at(location, format!("expected {expected}, found {found}"));
            if !needs_quotes {
                return diagnostic;
            }
            let help = format!("quote it: \"{written}\"");
            match found.strip_prefix("the boolean ") {
                Some(boolean) if boolean != written.to_lowercase() => diagnostic
                    .note(format!("kubectl takes a bare `{written}` for `{boolean}`"))
                    .help(help),
                _ => diagnostic.help(help),
            }
        }
        Problem::Other(message) => Diagnostic::new("yaml/value", message).at(location, ""),
    }
}

fn did_you_mean(word: &str, known: &'static [&'static str]) -> String {
    nearest(word, known.iter().copied())
        .map(|near| format!("did you mean `{near}`?"))
        .unwrap_or_default()
}

fn one_of(what: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("there are no {what}")
    } else {
        format!("{what}: {}", known.join(", "))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = humanised(&expected.to_string());
        let is_bare = matches!(
            found,
            Unexpected::Bool(_)
                | Unexpected::Unsigned(_)
                | Unexpected::Signed(_)
                | Unexpected::Float(_)
        );
        Self::new(Problem::WrongType {
            found: description(&found),
            needs_quotes: is_bare && expected == "a string",
            expected,
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::WrongType {
            found: description(&found),
            expected: humanised(&expected.to_string()),
            needs_quotes: false,
        })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(Problem::WrongType {
            found: format!("{length} entries"),
            expected: humanised(&expected.to_string()),
            needs_quotes: false,
        })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownVariant {
            variant: variant.to_owned(),
            known,
        })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownField {
            field: field.to_owned(),
            known,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::MissingField(field))
    }
}

/// What stands in the file.
fn description(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the boolean {value}"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the string \"{}\"", shortened(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= LONGEST && line.len() == text.len() {
        text.to_owned()
    } else {
        let start: String = line.chars().take(LONGEST).collect();
        format!("{start}…")
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// What serde's visitors expect, in words for people who know no Rust.
fn humanised(expected: &str) -> String {
    let integer = |first: &dyn fmt::Display, last: &dyn fmt::Display| {
        format!("an integer from {first} to {last}")
    };
    match expected {
        "u8" => integer(&u8::MIN, &u8::MAX),
        "u16" => integer(&u16::MIN, &u16::MAX),
        "u32" => integer(&u32::MIN, &u32::MAX),
        "u64" | "usize" => "an integer of at least 0".to_owned(),
        "i32" => integer(&i32::MIN, &i32::MAX),
        "i64" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" | "bool" => "true or false".to_owned(),
        "a string" | "a borrowed string" | "string" | "str" => "a string".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "unit" => "nothing".to_owned(),
        // The names that k8s-openapi gives.
        "IntOrString" => "an integer or a string".to_owned(),
        "Quantity" => "a quantity such as 100m or 1Gi".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other if other.starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("a mapping ({other})")
        }
        other => other.to_owned(),
    }
}
