//! Text in columns: a corner, headings, rows, with a wider gap between groups.

use crate::paint::{Ink, Paint};

/// Headings longer than this are cut.
const LONGEST_COLUMN: usize = 14;
/// Row labels longer than this are cut.
const LONGEST_ROW: usize = 28;

/// A heading of a row or a column.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    pub(super) label: String,
    /// Neighbours of another group are set apart.
    pub(super) group: String,
}

/// One field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) ink: Option<Ink>,
}

/// A table of text, not laid out yet.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Upper left: what the columns are.
    pub(super) corner: String,
    pub(super) columns: Vec<Heading>,
    pub(super) rows: Vec<(Heading, Vec<Field>)>,
}

impl Grid {
    /// The table as lines. Where it is wider than `width` characters, the columns go on below with
    /// the row labels repeated.
    pub(super) fn lines(&self, paint: Paint, width: usize) -> Vec<String> {
        let labels: Vec<_> = self
            .rows
            .iter()
            .map(|(row, _)| cut(&row.label, LONGEST_ROW))
            .collect();
        let widest = labels
            .iter()
            .map(|label| "from ".len() + label.chars().count());
        let margin = widest
            .chain([self.corner.chars().count()])
            .max()
            .unwrap_or(0);
        let mut lines = Vec::new();
        for block in self.blocks(width.saturating_sub(margin)) {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.push(self.heading(&block, margin, paint));
            for (index, label) in labels.iter().enumerate() {
                lines.push(self.row(index, label, &block, margin, paint));
            }
        }
        lines
    }

    /// The columns side by side in each block of at most `room` characters, at least one.
    fn blocks(&self, room: usize) -> Vec<Vec<usize>> {
        let mut blocks: Vec<Vec<usize>> = Vec::new();
        let mut used = 0;
        for column in 0..self.columns.len() {
            let needed = self.gap(column).len() + self.width(column);
            match blocks.last_mut() {
                Some(block) if used + needed <= room => block.push(column),
                _ => {
                    blocks.push(vec![column]);
                    used = 0;
                }
            }
            used += needed;
        }
        blocks
    }

    fn heading(&self, block: &[usize], margin: usize, paint: Paint) -> String {
        let mut line = format!("{:margin$}", self.corner);
        for &column in block {
            let label = cut(&self.columns[column].label, LONGEST_COLUMN);
            line += self.gap(column);
            line += &format!("{label:^width$}", width = self.width(column));
        }
        paint.ink(Ink::Strong, line.trim_end())
    }

    fn row(
        &self,
        index: usize,
        label: &str,
        block: &[usize],
        margin: usize,
        paint: Paint,
    ) -> String {
        let (_, fields) = &self.rows[index];
        let word = if index == 0 { "from" } else { "" };
        let mut line = format!("{:margin$}", format!("{word:4} {label}"));
        let mut blank = 0;
        for &column in block {
            let field = &fields[column];
            let width = self.width(column);
            let length = field.text.chars().count();
            let left = (width - length) / 2;
            line += &" ".repeat(blank + self.gap(column).len() + left);
            line += &field
                .ink
                .map_or_else(|| field.text.clone(), |ink| paint.ink(ink, &field.text));
            blank = width - length - left;
        }
        line.trim_end().to_owned()
    }

    fn gap(&self, column: usize) -> &'static str {
        let starts_group =
            column == 0 || self.columns[column - 1].group != self.columns[column].group;
        if starts_group { "  " } else { " " }
    }

    fn width(&self, column: usize) -> usize {
        let label = self.columns[column]
            .label
            .chars()
            .count()
            .min(LONGEST_COLUMN);
        let fields = self
            .rows
            .iter()
            .map(|(_, fields)| fields[column].text.chars().count());
        fields.chain([label]).max().unwrap_or(label)
    }
}

/// The text, or its beginning and end with `~` between where it is too long: names of one
/// namespace differ at the end, names of pods in their beginning.
fn cut(text: &str, longest: usize) -> String {
    let length = text.chars().count();
    if length <= longest {
        return text.to_owned();
    }
    let tail = longest / 3;
    let head: String = text.chars().take(longest - tail - 1).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}~{tail}")
}
