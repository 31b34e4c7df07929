//! Label and field selectors.

use serde_json::Value;

use super::status::Status;

/// What a list or watch is restricted to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    fields: Vec<(String, bool, String)>,
    labels: Vec<Requirement>,
}

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

const FIELDS: [&str; 4] = [
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "status.phase",
];

impl Selection {
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, Status> {
        Ok(Self {
            fields: parse_fields(fields)?,
            labels: parse_labels(labels)?,
        })
    }

    /// Whether nothing is left out.
    pub(crate) fn is_everything(&self) -> bool {
        self.fields.is_empty() && self.labels.is_empty()
    }

    /// The one name that is asked for, if there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = self.fields.iter();
        named
            .filter(|(field, equal, _)| *equal && field == "metadata.name")
            .map(|(_, _, name)| name.as_str())
            .next()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.fields.iter().all(|(field, equal, value)| {
            let found = field
                .split('.')
                .fold(object, |at, key| &at[key])
                .as_str()
                .unwrap_or_default();
            (found == value) == *equal
        }) && self
            .labels
            .iter()
            .all(|requirement| requirement.matches(object))
    }
}

impl Requirement {
    fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        match self {
            Self::In(key, values) => label(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(key, values) => label(key).is_none_or(|v| !values.iter().any(|w| w == v)),
            Self::Exists(key) => label(key).is_some(),
            Self::Absent(key) => label(key).is_none(),
        }
    }
}

fn parse_fields(text: &str) -> Result<Vec<(String, bool, String)>, Status> {
    let mut parsed = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
            (field, false, value)
        } else if let Some((field, value)) = part.split_once("==") {
            (field, true, value)
        } else if let Some((field, value)) = part.split_once('=') {
            (field, true, value)
        } else {
            return Err(Status::bad_request(format!(
                "invalid field selector: {part}"
            )));
        };
        if !FIELDS.contains(&field) {
            return Err(Status::bad_request(format!(
                "field label not supported: {field}"
            )));
        }
        parsed.push((field.to_owned(), equal, value.to_owned()));
    }
    Ok(parsed)
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, Status> {
    let mut parsed = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        let set = |rest: &str| -> Vec<String> {
            let inner = rest.trim().trim_start_matches('(').trim_end_matches(')');
            inner
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect()
        };
        parsed.push(if let Some(key) = part.strip_prefix('!') {
            Requirement::Absent(key.trim().to_owned())
        } else if let Some((key, rest)) = part.split_once(" notin ") {
            Requirement::NotIn(key.trim().to_owned(), set(rest))
        } else if let Some((key, rest)) = part.split_once(" in ") {
            Requirement::In(key.trim().to_owned(), set(rest))
        } else if let Some((key, value)) = part.split_once("!=") {
            Requirement::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
        } else if let Some((key, value)) = part.split_once('=') {
            let value = value.trim_start_matches('=').trim().to_owned();
            Requirement::In(key.trim().to_owned(), vec![value])
        } else if part.contains(' ') {
            return Err(Status::bad_request(format!(
                "unable to parse requirement: {part}"
            )));
        } else {
            Requirement::Exists(part.to_owned())
        });
    }
    Ok(parsed)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}
