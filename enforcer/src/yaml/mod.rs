//! YAML that people write, with the place of every value.
//!
//! All YAML and JSON input of the project goes through [`parse`]. It yields [`Document`]s: a JSON
//! value beside the byte range of each node and each key, so that every later error, however late it
//! is found, can point at file, line and column through [`Document::location`].
//! [`Document::decode`] turns a document into a type and reports misspelt fields and wrong types at
//! their place.
//!
//! Reading rules: YAML 1.2 booleans (only `true` and `false`, so that a namespace may be called
//! `y`), duplicate keys refused, anchors and merge keys resolved, numbers with leading zeros are
//! strings, nesting and size limited. [`Document::as_kubectl_reads_it`] applies the older rules of
//! kubectl to manifests.

mod decode;
mod document;
mod kubectl;
mod misfit;
mod path;
mod source;
mod tree;

use std::sync::Arc;

use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

pub use self::{
    document::Document,
    path::{FieldPath, Segment},
    source::{Location, Source},
};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// Parses all documents of a file. Empty documents are skipped.
///
/// # Errors
///
/// One diagnostic, at the place where the text stops being acceptable YAML.
pub fn parse(source: &Arc<Source>) -> Result<Vec<Document>, Diagnostics> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    let trees = serde_saphyr::from_multiple_with_options::<tree::Tree>(&source.text, options)
        .map_err(|error| syntax_error(source, &error))?;
    Ok(trees
        .into_iter()
        .map(|tree| {
            let (value, node) = tree.finish(&source.text);
            Document::new(Arc::clone(source), value, node)
        })
        .collect())
}

fn syntax_error(source: &Arc<Source>, error: &Error) -> Diagnostics {
    let error = error.without_snippet();
    let (code, message) = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            ("yaml/duplicate-key", format!("duplicate key `{key}`"))
        }
        other => (
            "yaml/syntax",
            UserMessageFormatter.format_message(other).into_owned(),
        ),
    };
    let diagnostic = Diagnostic::new(code, message);
    Diagnostics::from(match error.location() {
        Some(location) => diagnostic.at(source.location_of(&location), ""),
        None => diagnostic.note(format!("in {}", source.name)),
    })
}
