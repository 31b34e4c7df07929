//! The report as JSON: the model as it is (see [`SCHEMA`](super::SCHEMA)), and what follows from it.

use std::path::Path;

use serde::Serialize;

use super::{Counts, Exit, RunReport, WriteError, write_file};

/// The model, and what follows from it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a RunReport,
    counts: Counts,
    exit_code: u8,
}

/// The report as indented JSON with a final newline.
pub fn render(report: &RunReport) -> String {
    let document = Document {
        report,
        counts: report.counts(),
        exit_code: Exit::of(report) as u8,
    };
    let mut text = serde_json::to_string_pretty(&document)
        .expect("the model has only string keys and serialisable values");
    text.push('\n');
    text
}

/// Writes the report to a file.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, report: &RunReport) -> Result<(), WriteError> {
    write_file(path, &render(report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_shape_is_stable() {
        let report = sample::run(vec![sample::failing()]);
        insta::assert_snapshot!(render(&report));
    }
}
