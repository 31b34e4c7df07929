//! The scenario language: one YAML file, one readable story about network policies.
//!
//! | module | what is in it |
//! |---|---|
//! | [`model`] | a scenario as a runner plays it: start here to play one |
//! | [`world`] | what exists at one moment, as Kubernetes objects |
//! | [`policy`] | policies, whose address templates are filled when they are applied |
//! | [`text`] | the small languages inside strings: flows, selectors, matrices, templates |
//! | `written` | the file as data types, from which the JSON Schema is generated |
//! | `read` | from the file to the model: names looked up, connections spelled out, mistakes found |
//!
//! [`load`] is all a runner needs. The language is described in `scenarios/README.md`, with every
//! diagnostic by its code. What must never happen: a key that is accepted and ignored, and an
//! expectation that nobody could fail.

pub mod model;
pub mod policy;
mod read;
pub mod text;
pub mod world;
mod written;

use std::{fs, path::Path};

use enforcer::{
    diagnostic::{Diagnostic, Diagnostics},
    yaml::{self, FieldPath, Source},
};

pub use self::{
    model::*,
    policy::{PolicySource, Resolve},
    text::template::{Template, Wanted},
    world::{
        AddressChoice, External, Named, Namespace, Node, ObjectName, Phase, Pod, Service,
        ServicePort, World, target_port,
    },
};

/// What a person can choose when scenarios are loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The families of scenarios that leave them open; both if nothing is chosen.
    pub families: Option<Families>,
}

/// Reads a scenario file: one scenario for every combination of its parameters.
///
/// # Errors
/// Every mistake that can be found without playing it, with its place.
pub fn load(path: &Path) -> Result<Vec<Scenario>, Diagnostics> {
    load_with(path, &Options::default())
}

/// [`load`], with choices.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, options: &Options) -> Result<Vec<Scenario>, Diagnostics> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Diagnostic::new("scenario/file", format!("`{name}` cannot be read: {error}"))
    })?;
    load_text(&name.to_string(), &text, options)
}

/// Reads a scenario from a text. Paths in it start at the folder of `name`.
///
/// # Errors
/// As [`load`].
pub fn load_text(name: &str, text: &str, options: &Options) -> Result<Vec<Scenario>, Diagnostics> {
    let source = Source::new(name, text);
    let documents = yaml::parse(&source).map_err(with_usual_causes)?;
    match &documents[..] {
        [one] => {
            let folder = Path::new(name).parent().unwrap_or(Path::new(""));
            read::read(one, folder, options)
        }
        [] => Err(Diagnostic::new("scenario/file", format!("`{name}` is empty")).into()),
        [_, second, ..] => Err(Diagnostic::new(
            "scenario/file",
            format!("`{name}` has {} documents", documents.len()),
        )
        .at(
            second.location(&FieldPath::root()),
            "a file is one scenario",
        )
        .into()),
    }
}

/// What is usually meant by two things that YAML takes for something else.
fn with_usual_causes(errors: Diagnostics) -> Diagnostics {
    let helped = errors.0.into_iter().map(|error| {
        let Some(place) = error.primary.as_ref().map(|label| &label.location) else {
            return error;
        };
        let (before, after) = place.source.text.split_at(place.span.start);
        let is_star = after.starts_with('*');
        let is_in_matrix = before.lines().rev().take(12).any(|line| line.trim_end().ends_with("matrix: |"));
        if error.code != "yaml/syntax" {
            error
        } else if is_star {
            error.help("in YAML a `*` at the beginning is an alias: quote the text, as in \"* -> x/a\"")
        } else if is_in_matrix {
            error.help("the first line of a matrix begins with its corner, `*` or a port, and no line with more blanks than it")
        } else {
            error
        }
    });
    Diagnostics(helped.collect())
}

/// The JSON Schema of scenario files.
pub fn schema() -> serde_json::Value {
    let schema = schemars::schema_for!(written::File);
    schema.to_value()
}

/// The JSON Schema as it stands in `scenarios/scenario.schema.json`.
pub fn schema_text() -> String {
    let text = serde_json::to_string_pretty(&schema()).expect("a JSON value can be printed");
    text + "\n"
}

/// Whether a file is YAML by its name.
pub(crate) fn is_yaml(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    matches!(extension, Some("yaml" | "yml"))
}

/// Whether a word in `apply` or `delete` is a path and not the name of a policy.
pub(crate) fn is_yaml_path(text: &str) -> bool {
    text.ends_with('/') || is_yaml(Path::new(text))
}

#[cfg(test)]
mod tests;
