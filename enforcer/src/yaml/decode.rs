//! From a document to a type, with the place of the first thing that does not fit.

use std::{fmt, ops::Range, sync::Arc};

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor, value::StrDeserializer,
};
use serde_json::Value;

use super::{
    FieldPath, Location, Segment, Source,
    tree::{Children, Entry, Node},
};
use crate::diagnostic::{Diagnostic, nearest};

/// A value of a document, about to be read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) value: &'a Value,
    pub(super) node: &'a Node,
    pub(super) key_span: Option<&'a Range<usize>>,
}

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
    fn new(problem: Problem) -> Self {
        Self {
            problem,
            span: None,
            path: Vec::new(),
        }
    }

    /// Sets the place, unless a deeper one is known. A mapping that lacks a field is shown by its
    /// key: its own first line is about another field.
    fn at(mut self, cursor: Cursor<'_>) -> Self {
        if self.span.is_none() {
            let span = match (&self.problem, cursor.key_span) {
                (Problem::MissingField(_), Some(key_span)) => key_span,
                _ => &cursor.node.span,
            };
            self.span = Some(span.clone());
        }
        self
    }

    fn at_key(mut self, entry: &Entry) -> Self {
        self.span.get_or_insert_with(|| entry.key_span.clone());
        self
    }

    fn below(mut self, segment: Segment) -> Self {
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
            needs_quotes: is_bare && expected.contains("a string"),
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

impl Cursor<'_> {
    fn refuse_unknown(&self, fields: &'static [&'static str]) -> Result<(), DecodeError> {
        entries(&self.node.children)
            .iter()
            .find(|entry| !fields.contains(&entry.key.as_str()))
            .map_or(Ok(()), |entry| {
                Err(<DecodeError as de::Error>::unknown_field(&entry.key, fields).at_key(entry))
            })
    }
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match (self.value, &self.node.children) {
            (Value::Null, _) => visitor.visit_unit(),
            (Value::Bool(value), _) => visitor.visit_bool(*value),
            (Value::Number(number), _) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            (Value::String(text), _) => visitor.visit_str(text),
            (Value::Array(values), children) => visitor.visit_seq(Items {
                values,
                children,
                next: 0,
            }),
            (Value::Object(values), children) => visitor.visit_map(Entries {
                values,
                entries: entries(children),
                current: None,
            }),
        }
        .map_err(|error| error.at(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|error| error.at(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| error.at(self))
    }

    /// Fields that the type does not have are errors, whether it denies them or not: ignoring what
    /// someone wrote is never right.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.refuse_unknown(fields)?;
        self.deserialize_any(visitor)
    }

    /// A variant is its name alone, or a mapping with its name as the only key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match (self.value, entries(&self.node.children)) {
            (Value::String(text), _) => visitor.visit_enum(text.as_str().into_deserializer()),
            (Value::Object(values), [entry]) => match values.get(&entry.key) {
                Some(value) => visitor.visit_enum(Variant {
                    entry,
                    cursor: Cursor {
                        value,
                        node: &entry.node,
                        key_span: Some(&entry.key_span),
                    },
                }),
                None => Err(de::Error::unknown_variant(&entry.key, variants)),
            },
            _ => Err(DecodeError::new(Problem::WrongType {
                found: match self.value {
                    Value::Object(values) => format!("a mapping of {} entries", values.len()),
                    other => description(&unexpected(other)),
                },
                expected: format!("one of {}", variants.join(", ")),
                needs_quotes: false,
            })),
        }
        .map_err(|error| error.at(self))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn entries(children: &Children) -> &[Entry] {
    match children {
        Children::Entries(entries) => entries,
        Children::None | Children::Items(_) => &[],
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

struct Items<'a> {
    values: &'a [Value],
    children: &'a Children,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let index = self.next;
        let (Some(value), Children::Items(nodes)) = (self.values.get(index), self.children) else {
            return Ok(None);
        };
        self.next += 1;
        let cursor = Cursor {
            value,
            node: &nodes[index],
            key_span: None,
        };
        seed.deserialize(cursor)
            .map(Some)
            .map_err(|error| error.at(cursor).below(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() - self.next)
    }
}

struct Entries<'a> {
    values: &'a serde_json::Map<String, Value>,
    entries: &'a [Entry],
    current: Option<(&'a Entry, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some((entry, rest)) = self.entries.split_first() else {
            return Ok(None);
        };
        self.entries = rest;
        self.current = self.values.get(&entry.key).map(|value| (entry, value));
        let key: StrDeserializer<'_, DecodeError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at_key(entry))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let (entry, value) = self
            .current
            .take()
            .ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let cursor = Cursor {
            value,
            node: &entry.node,
            key_span: Some(&entry.key_span),
        };
        seed.deserialize(cursor)
            .map_err(|error| error.at(cursor).below(Segment::Key(entry.key.clone())))
    }
}

struct Variant<'a> {
    entry: &'a Entry,
    cursor: Cursor<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let name: StrDeserializer<'_, DecodeError> = self.entry.key.as_str().into_deserializer();
        let name = seed
            .deserialize(name)
            .map_err(|error| error.at_key(self.entry))?;
        Ok((name, self))
    }
}

impl Variant<'_> {
    fn below(&self, error: DecodeError) -> DecodeError {
        error
            .at(self.cursor)
            .below(Segment::Key(self.entry.key.clone()))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        de::Deserialize::deserialize(self.cursor).map_err(|error| self.below(error))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.cursor)
            .map_err(|error| self.below(error))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.cursor
            .deserialize_seq(visitor)
            .map_err(|error| self.below(error))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.cursor
            .deserialize_struct("", fields, visitor)
            .map_err(|error| self.below(error))
    }
}
