//! Matrices as text for a terminal, readable without colour.

use super::{
    Matrix, Symbol,
    collapse::{Band, bands},
    grid::{Field, Grid, Heading},
};
use crate::{
    cell::{Cell, Endpoint, Port},
    paint::{Ink, Paint},
};

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// With or without colour.
    pub paint: Paint,
    /// How many characters fit into a line.
    pub width: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            paint: Paint::Plain,
            width: 100,
        }
    }
}

/// One matrix with its legend.
pub fn table(matrix: &Matrix, look: Look) -> String {
    let field = |source: &Endpoint, destination: &Endpoint| {
        let symbol = matrix.get(source, destination);
        Mark {
            text: symbol.as_char().to_string(),
            ink: ink_of(symbol),
            meaning: symbol.meaning(),
        }
    };
    let drawing = draw(&title(matrix), &matrix.rows(), &matrix.columns(), field);
    drawing.finish(drawing.grid.lines(look.paint, look.width))
}

/// A matrix before and after a change, side by side where both fit, else one below the other. In
/// the second, `+` is newly allowed and `!` newly denied.
pub fn change(before: &Matrix, after: &Matrix, look: Look) -> String {
    let rows = union(before.rows(), after.rows());
    let columns = union(before.columns(), after.columns());
    let marks = |source: &Endpoint, destination: &Endpoint| {
        let old = before.get(source, destination);
        (old, changed(old, after.get(source, destination)))
    };
    // Both are drawn with the same bands, so that a line of one is the same line in the other.
    let rows = bands(&rows, |source| {
        let field = |destination| fitting(source, destination, marks(source, destination));
        columns.iter().map(field).collect()
    });
    let columns = bands(&columns, |destination| {
        let field = |row: &Band| fitting_band(row, destination, marks);
        rows.iter().map(field).collect()
    });
    let half = |corner: String, pick: &dyn Fn((Symbol, Mark)) -> Mark| {
        let field = |source: &Endpoint, destination: &Endpoint| pick(marks(source, destination));
        draw_bands(&corner, &rows, &columns, field)
    };
    let old = half("before".to_owned(), &|(old, _)| plain(old));
    let new = half("after".to_owned(), &|(_, mark)| mark);
    let left = old.grid.lines(Paint::Plain, usize::MAX);
    let width = left
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    let right = new.grid.lines(Paint::Plain, usize::MAX);
    let right_width = right
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = vec![subject(after)];
    if width + right_width + 4 <= look.width {
        // Padded by the plain text, printed with colour.
        let painted = old.grid.lines(look.paint, usize::MAX);
        let right = new.grid.lines(look.paint, usize::MAX);
        for ((plain, painted), right) in left.iter().zip(painted).zip(right) {
            let gap = " ".repeat(width + 4 - plain.chars().count());
            lines.push(format!("{painted}{gap}{right}"));
        }
    } else {
        lines.extend(old.grid.lines(look.paint, look.width));
        lines.push(String::new());
        lines.extend(new.grid.lines(look.paint, look.width));
    }
    let legend = Drawing {
        legend: merged(old.legend, new.legend),
        ..new
    };
    legend.finish(lines)
}

/// What was expected against what happened, one table per port and family. A field that differs
/// reads `expected>actual`; only rows with such a field are shown.
pub fn difference(cells: impl IntoIterator<Item = (Cell, Symbol, Symbol)>, look: Look) -> String {
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    for (cell, wanted, seen) in cells {
        expected.push((cell.clone(), wanted));
        actual.push((cell, seen));
    }
    let pairs = Matrix::of(expected).into_iter().zip(Matrix::of(actual));
    let tables = pairs.filter_map(|(expected, actual)| one_difference(&expected, &actual, look));
    tables.collect::<Vec<_>>().join("\n")
}

fn one_difference(expected: &Matrix, actual: &Matrix, look: Look) -> Option<String> {
    let differs = |source: &Endpoint, destination: &Endpoint| {
        let wanted = expected.get(source, destination);
        wanted != Symbol::Either && wanted != actual.get(source, destination)
    };
    let columns = expected.columns();
    let has_any = |source: &Endpoint| columns.iter().any(|column| differs(source, column));
    let rows: Vec<_> = expected.rows().into_iter().filter(has_any).collect();
    let field = |source: &Endpoint, destination: &Endpoint| {
        let wanted = expected.get(source, destination);
        let seen = actual.get(source, destination);
        if differs(source, destination) {
            let text = format!("{}>{}", wanted.as_char(), seen.as_char());
            Mark {
                text,
                ink: Some(Ink::Bad),
                meaning: "",
            }
        } else {
            let mark = plain(wanted);
            Mark {
                ink: Some(Ink::Dim),
                ..mark
            }
        }
    };
    if rows.is_empty() {
        return None;
    }
    let mut drawing = draw(&title(expected), &rows, &columns, field);
    drawing.legend = Symbol::ALL
        .into_iter()
        .filter(|symbol| expected.count(*symbol) + actual.count(*symbol) > 0)
        .map(|symbol| (symbol.as_char().to_string(), symbol.meaning()))
        .collect();
    drawing
        .legend
        .push((".>X".to_owned(), "expected allowed, but denied"));
    Some(drawing.finish(drawing.grid.lines(look.paint, look.width)))
}

/// What is drawn into a field, and what the legend says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    text: String,
    ink: Option<Ink>,
    meaning: &'static str,
}

fn plain(symbol: Symbol) -> Mark {
    Mark {
        text: symbol.as_char().to_string(),
        ink: ink_of(symbol),
        meaning: symbol.meaning(),
    }
}

fn ink_of(symbol: Symbol) -> Option<Ink> {
    match symbol {
        Symbol::Allowed => None,
        Symbol::Denied => Some(Ink::Bad),
        Symbol::Refused | Symbol::Unreachable => Some(Ink::Warn),
        Symbol::NotProbed | Symbol::Either | Symbol::Itself => Some(Ink::Dim),
    }
}

/// The field of the matrix after a change.
fn changed(before: Symbol, after: Symbol) -> Mark {
    let is_probed = before != Symbol::NotProbed && after != Symbol::NotProbed;
    let (text, ink, meaning) = match (before, after) {
        _ if !is_probed => return plain(after),
        (Symbol::Allowed, Symbol::Denied) => ("!", Ink::Bad, "newly denied"),
        (Symbol::Denied, Symbol::Allowed) => ("+", Ink::Good, "newly allowed"),
        _ => return plain(after),
    };
    Mark {
        text: text.to_owned(),
        ink: Some(ink),
        meaning,
    }
}

/// A field for comparing lines: an endpoint's field with itself fits any other.
fn fitting<T>(source: &Endpoint, destination: &Endpoint, value: T) -> Option<T> {
    (source != destination).then_some(value)
}

/// The field of a band of sources and one destination. A band's members agree but for the fields
/// with themselves, so the first of the others speaks for all.
fn fitting_band<T>(
    row: &Band,
    destination: &Endpoint,
    value: impl Fn(&Endpoint, &Endpoint) -> T,
) -> Option<T> {
    let other = row.members.iter().find(|source| *source != destination)?;
    Some(value(other, destination))
}

/// A grid with what belongs below it.
struct Drawing {
    grid: Grid,
    /// Symbols that occur, with their meanings.
    legend: Vec<(String, &'static str)>,
    /// Labels that stand for several endpoints.
    keys: Vec<String>,
}

fn draw(
    corner: &str,
    rows: &[Endpoint],
    columns: &[Endpoint],
    field: impl Fn(&Endpoint, &Endpoint) -> Mark,
) -> Drawing {
    let rows = bands(rows, |source| {
        let field = |destination| fitting(source, destination, field(source, destination));
        columns.iter().map(field).collect()
    });
    let columns = bands(columns, |destination| {
        rows.iter()
            .map(|row| fitting_band(row, destination, &field))
            .collect()
    });
    draw_bands(corner, &rows, &columns, field)
}

fn draw_bands(
    corner: &str,
    rows: &[Band],
    columns: &[Band],
    field: impl Fn(&Endpoint, &Endpoint) -> Mark,
) -> Drawing {
    let mut legend: Vec<(String, &'static str)> = Vec::new();
    let mut drawn = Vec::new();
    for row in rows {
        let mut fields = Vec::new();
        for column in columns {
            let mark = mark_of(row, column, &field);
            let entry = (mark.text.clone(), mark.meaning);
            if !mark.meaning.is_empty() && !legend.contains(&entry) {
                legend.push(entry);
            }
            fields.push(Field {
                text: mark.text,
                ink: mark.ink,
            });
        }
        drawn.push((heading(row), fields));
    }
    legend.sort_by_key(|(text, _)| position(text));
    let bands = rows.iter().chain(columns);
    let mut keys: Vec<_> = bands.filter_map(Band::key).collect();
    keys.sort();
    keys.dedup();
    Drawing {
        grid: Grid {
            corner: corner.to_owned(),
            columns: columns.iter().map(heading).collect(),
            rows: drawn,
        },
        legend,
        keys,
    }
}

/// The field where two bands cross: that of any two different endpoints, else of one with itself.
fn mark_of(row: &Band, column: &Band, field: impl Fn(&Endpoint, &Endpoint) -> Mark) -> Mark {
    let others = column
        .members
        .iter()
        .find_map(|destination| fitting_band(row, destination, &field));
    others.unwrap_or_else(|| field(&row.members[0], &column.members[0]))
}

fn heading(band: &Band) -> Heading {
    Heading {
        label: band.label(),
        group: band.group(),
    }
}

impl Drawing {
    /// The lines with keys and legend below them.
    fn finish(&self, mut lines: Vec<String>) -> String {
        lines.extend(self.keys.iter().map(|key| format!("     {key}")));
        let entries = self
            .legend
            .iter()
            .map(|(text, meaning)| format!("{text} {meaning}"));
        lines.push(format!("     {}", entries.collect::<Vec<_>>().join("   ")));
        lines.join("\n") + "\n"
    }
}

fn title(matrix: &Matrix) -> String {
    format!("{} to", subject(matrix))
}

fn subject(matrix: &Matrix) -> String {
    let Port { number, protocol } = matrix.port();
    let number = number
        .map(|number| format!(" {number}"))
        .unwrap_or_default();
    format!("{protocol}{number} over {}", matrix.family())
}

/// Where a symbol stands in a legend; marks of a change come last.
fn position(text: &str) -> usize {
    let symbols = Symbol::ALL.map(|symbol| symbol.as_char().to_string());
    let known = symbols.iter().position(|symbol| symbol == text);
    known.unwrap_or_else(|| symbols.len() + usize::from(text == "!"))
}

fn union(mut one: Vec<Endpoint>, other: Vec<Endpoint>) -> Vec<Endpoint> {
    one.extend(other);
    one.sort();
    one.dedup();
    one
}

fn merged(
    mut one: Vec<(String, &'static str)>,
    other: Vec<(String, &'static str)>,
) -> Vec<(String, &'static str)> {
    one.extend(other);
    one.sort_by_key(|(text, _)| position(text));
    one.dedup();
    one
}

#[cfg(test)]
mod tests;
