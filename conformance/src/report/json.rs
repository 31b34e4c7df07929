//! The report as JSON: the model as it is (see [`SCHEMA`](super::SCHEMA)).

use std::path::Path;

use super::{RunReport, WriteError, write_file};

/// The report as indented JSON with a final newline.
pub fn render(report: &RunReport) -> String {
    let mut text = serde_json::to_string_pretty(report)
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
