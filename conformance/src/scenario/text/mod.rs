//! The small languages inside strings: [flows](flow), [endpoint selectors](endpoint),
//! [matrices](matrix), [templates](template) and [durations](duration).
//!
//! They are pure: text in, value or [`SyntaxError`] out. An error knows which bytes of the text it
//! is about, so that the caret can stand under them inside the YAML string.

pub mod duration;
pub mod endpoint;
pub mod flow;
pub mod listen;
pub mod matrix;
pub mod template;

use std::ops::Range;

/// A text that is not in its language, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// The bytes of the text that are wrong.
    pub span: Range<usize>,
    /// What is wrong with them.
    pub message: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

impl SyntaxError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same error in a text in which this one begins at `offset`.
    #[must_use]
    pub(crate) fn shifted(mut self, offset: usize) -> Self {
        self.span = self.span.start + offset..self.span.end + offset;
        self
    }

    /// The error on one line, its help included: for parsers that take only a message.
    pub(crate) fn line(&self) -> String {
        match &self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.clone(),
        }
    }
}

/// A part of a text and where it stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The bytes of the text.
    pub span: Range<usize>,
    /// What they mean.
    pub value: T,
}

/// `text[range]` without surrounding blanks, and where that is.
pub(crate) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}
