//! Errors for people: one type, three looks.
//!
//! A [`Diagnostic`] says what is wrong, where, and what would be right. [`Diagnostic::render`] draws
//! it in rustc's style, in colour, or as one line for editors. Everything a user wrote and got
//! wrong is reported this way; bugs and failures of the machine are ordinary errors.

mod nearest;
mod render;

use std::fmt;

pub use self::{nearest::nearest, render::Render};
use crate::yaml::Location;

/// An error in something a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable name of the kind of error, `area/what`.
    pub code: &'static str,
    /// What is wrong, without a full stop.
    pub message: String,
    /// The place of the error.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub secondary: Vec<Label>,
    /// What else to know.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
}

/// A place and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub location: Location,
    /// What to write beside the caret; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error without a place so far.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Sets the place.
    #[must_use]
    pub fn at(mut self, location: Location, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            location,
            text: text.into(),
        });
        self
    }

    /// Adds another place that explains the error.
    #[must_use]
    pub fn also(mut self, location: Location, text: impl Into<String>) -> Self {
        self.secondary.push(Label {
            location,
            text: text.into(),
        });
        self
    }

    /// Adds something to know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds something to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// One or more errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing if the list is empty.
    ///
    /// # Errors
    ///
    /// The list, if anything is in it.
    pub fn check(list: Vec<Diagnostic>) -> Result<(), Self> {
        if list.is_empty() {
            Ok(())
        } else {
            Err(Self(list))
        }
    }

    /// All of them, one after the other.
    pub fn render(&self, how: Render) -> String {
        let separator = match how {
            Render::Short => "\n",
            Render::Plain | Render::Color => "\n\n",
        };
        let rendered: Vec<_> = self.0.iter().map(|d| d.render(how)).collect();
        rendered.join(separator)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Render::Plain))
    }
}

impl std::error::Error for Diagnostics {}
