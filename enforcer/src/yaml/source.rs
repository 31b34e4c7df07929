//! Files and places in them.

use std::{fmt, ops::Range, sync::Arc};

/// A text file as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path as the user typed it, or another name to show.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// A source to share between locations.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
        })
    }

    /// The place that the YAML parser names. Its syntax errors count characters, everything else
    /// bytes.
    pub(super) fn location_of(self: &Arc<Self>, place: &serde_saphyr::Location) -> Location {
        let span = place.span();
        let range = byte_range(span).unwrap_or_else(|| {
            let start = usize::try_from(span.offset()).unwrap_or(usize::MAX);
            let byte = |character| {
                self.text
                    .char_indices()
                    .nth(character)
                    .map_or(self.text.len(), |(byte, _)| byte)
            };
            byte(start)..byte(start.saturating_add(1))
        });
        Location::new(self, range)
    }
}

/// The text would drown whatever is printed.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

/// The byte range of a span, where the parser knows it.
pub(super) fn byte_range(span: serde_saphyr::Span) -> Option<Range<usize>> {
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    Some(start..start + length)
}

/// A place in a file. Displays as `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub source: Arc<Source>,
    /// The bytes of the file that are meant.
    pub span: Range<usize>,
}

impl Location {
    /// A place; a range outside the text is cut down to it.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let start = boundary(&source.text, span.start);
        let end = boundary(&source.text, span.end).max(start);
        Self {
            source: Arc::clone(source),
            span: start..end,
        }
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        let before = self.before();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        before[line_start..]
            .chars()
            .filter(|c| *c != '\u{feff}')
            .count()
            + 1
    }

    /// The text that is meant.
    pub fn text(&self) -> &str {
        &self.source.text[self.span.clone()]
    }

    fn before(&self) -> &str {
        &self.source.text[..self.span.start]
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line(), self.column())
    }
}

/// The nearest character boundary at or before `byte`.
fn boundary(text: &str, byte: usize) -> usize {
    text.floor_char_boundary(byte.min(text.len()))
}
