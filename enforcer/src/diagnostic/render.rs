//! The looks of a diagnostic.

use std::{ops::Range, sync::Arc};

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Label};
use crate::yaml::{Location, Source};

/// How to draw a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Render {
    /// rustc's style without escape sequences.
    Plain,
    /// rustc's style in the colours of a terminal.
    Color,
    /// One line, `file:line:column: error[code]: message`.
    Short,
}

impl Diagnostic {
    /// Draws the diagnostic, without a newline at the end.
    pub fn render(&self, how: Render) -> String {
        match how {
            Render::Short => self.short(),
            Render::Plain => Renderer::plain().render(&[self.group()]),
            Render::Color => Renderer::styled().render(&[self.group()]),
        }
    }

    fn short(&self) -> String {
        let Self { code, message, .. } = self;
        match &self.primary {
            Some(Label { location, text }) if text.is_empty() => {
                format!("{location}: error[{code}]: {message}")
            }
            Some(Label { location, text }) => {
                format!("{location}: error[{code}]: {message}: {text}")
            }
            None => format!("error[{code}]: {message}"),
        }
    }

    fn group(&self) -> Group<'_> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&self.message).id(self.code));
        for (source, annotations) in self.by_source() {
            group = group.element(
                Snippet::source(source.text.as_str())
                    .path(source.name.as_str())
                    .annotations(annotations),
            );
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note));
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(help));
        }
        group
    }

    /// The labels by file, the file of the primary one first.
    fn by_source(&self) -> Vec<(&Arc<Source>, Vec<Annotation<'_>>)> {
        let primary = self.primary.iter().map(|l| (AnnotationKind::Primary, l));
        let secondary = self.secondary.iter().map(|l| (AnnotationKind::Context, l));
        let mut by_source: Vec<(&Arc<Source>, Vec<Annotation<'_>>)> = Vec::new();
        for (kind, label) in primary.chain(secondary) {
            let mut annotation = kind.span(first_line(&label.location));
            if !label.text.is_empty() {
                annotation = annotation.label(&label.text);
            }
            let source = &label.location.source;
            match by_source.iter_mut().find(|(s, _)| Arc::ptr_eq(s, source)) {
                Some((_, annotations)) => annotations.push(annotation),
                None => by_source.push((source, vec![annotation])),
            }
        }
        by_source
    }
}

/// The part of a place that lies on its first line: carets under a whole mapping hide more than
/// they show.
fn first_line(location: &Location) -> Range<usize> {
    let line = location.text().lines().next().unwrap_or("");
    location.span.start..location.span.start + line.trim_end().len()
}
