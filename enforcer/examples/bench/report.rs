//! What a benchmark found: tables for people, figures for scripts, a plot.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::plot::Plot;

/// How every benchmark is told what to print.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Output {
    /// A few seconds: shows that it works, not how fast it is.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print JSON instead.
    #[arg(long)]
    json: bool,
    /// Write a plot there, as one SVG file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Everything that one run found.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    figures: Vec<Figure>,
    notes: Vec<String>,
    plot: Option<Plot>,
    is_answered: bool,
}

/// One measured thing.
#[derive(Debug)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

/// Rows under a title. The first column is left-aligned, the others are figures.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let longest = cells
                    .chain([&self.columns[column]])
                    .map(|c| c.chars().count());
                longest.max().unwrap_or(0)
            })
            .collect();
        let mut text = format!("{}\n", self.title);
        let has_head = self.columns.iter().any(|column| !column.is_empty());
        for row in has_head
            .then_some(&self.columns)
            .into_iter()
            .chain(&self.rows)
        {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let written = if column == 0 {
                    write!(line, "{cell:<width$}")
                } else {
                    write!(line, "  {cell:>width$}")
                };
                written.expect("a string takes everything");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Report {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            figures: Vec::new(),
            notes: Vec::new(),
            plot: None,
            is_answered: false,
        }
    }

    /// Shows a table at once: somebody may be waiting. Machines do not read tables.
    pub(crate) fn table(&self, table: &Table) {
        if !self.output.json {
            print(&format!("{}\n", table.text()));
        }
    }

    /// The answer of a process that was started to measure, in place of everything else.
    pub(crate) fn answer(&mut self, line: &str) {
        self.is_answered = true;
        print(&format!("{line}\n"));
    }

    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let name = name.into();
        self.figures.push(Figure { name, value, unit });
    }

    /// The same, if it could be measured.
    pub(crate) fn figure_if(
        &mut self,
        name: impl Into<String>,
        value: Option<f64>,
        unit: &'static str,
    ) {
        if let Some(value) = value {
            self.figure(name, value, unit);
        }
    }

    /// Something to know about the figures.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(crate) fn plot(&mut self, plot: Plot) {
        self.plot = Some(plot);
    }

    /// Prints the rest, the figures last, and writes the plot.
    ///
    /// # Errors
    /// There is no plot, or it cannot be written.
    pub(crate) fn finish(&self, machine: &Machine) -> Result<()> {
        if self.is_answered {
            return Ok(());
        }
        if let Some(path) = &self.output.svg {
            let plot = self
                .plot
                .as_ref()
                .context("write a plot: this benchmark has none")?;
            write_file(path, &plot.svg())?;
        }
        print(&if self.output.json {
            format!("{:#}\n", self.json(machine))
        } else {
            self.text(machine)
        });
        Ok(())
    }

    fn text(&self, machine: &Machine) -> String {
        let mut text = String::new();
        if cfg!(debug_assertions) {
            text.push_str("Not optimised: these figures say that it works, not how fast it is.\n");
        }
        for note in &self.notes {
            text.push_str(note);
            text.push('\n');
        }
        text.push_str(&machine.text());
        text.push_str("\n\n");
        for Figure { name, value, unit } in &self.figures {
            text.push_str(&format!("{name} {value:.3} {unit}\n"));
        }
        text
    }

    fn json(&self, machine: &Machine) -> Value {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|f| json!({"name": f.name, "value": f.value, "unit": f.unit}))
            .collect();
        json!({"machine": machine.json(), "notes": self.notes, "figures": figures})
    }
}

/// On what it was measured, and how busy that was with other things.
#[derive(Debug)]
pub(crate) struct Machine {
    processors: usize,
    kernel: String,
    load_before: String,
}

impl Machine {
    /// As it is now; to be called before there is any load of ours.
    pub(crate) fn look() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: release.trim().to_owned(),
            load_before: load(),
        }
    }

    fn text(&self) -> String {
        format!(
            "Linux {}, {} processors; load {} before and {} after.",
            self.kernel,
            self.processors,
            self.load_before,
            load()
        )
    }

    fn json(&self) -> Value {
        json!({
            "kernel": self.kernel,
            "isOptimised": !cfg!(debug_assertions),
            "processors": self.processors,
            "loadBefore": self.load_before,
            "loadAfter": load(),
        })
    }
}

/// Of the last minute.
fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = averages.split_whitespace().next();
    first.unwrap_or("unknown").to_owned()
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Three digits, in the unit that suits.
pub(crate) fn time(milliseconds: f64) -> String {
    let (value, unit) = if milliseconds >= 1_000.0 {
        (milliseconds / 1_000.0, "s")
    } else if milliseconds >= 1.0 {
        (milliseconds, "ms")
    } else {
        (milliseconds * 1_000.0, "µs")
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// What is not there is a dash.
pub(crate) fn or_dash(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// What a person sees while it runs.
#[expect(clippy::print_stderr, reason = "for the person who waits")]
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// The figures are the artefact. Whoever has read enough may close the other end.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Table, time};

    #[rstest]
    #[case(0.0123, "12.3 µs")]
    #[case(1.5, "1.50 ms")]
    #[case(999.0, "999 ms")]
    #[case(12_345.0, "12.3 s")]
    fn times_have_three_digits(#[case] milliseconds: f64, #[case] shown: &str) {
        assert_eq!(time(milliseconds), shown);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("A title", &["change", "p50"]);
        table.row(vec!["pod added".into(), "12.3 µs".into()]);
        insta::assert_snapshot!(table.text(), @r"
        A title
        change         p50
        pod added  12.3 µs
        ");
    }
}
