//! What came of a run, and how people and machines are told.
//!
//! - `run` is the model: [`RunReport`] and its parts, which the runner fills in;
//! - `exit` picks the process's exit code;
//! - [`human`] writes blocks for people, [`progress`] keeps them company meanwhile;
//! - [`json`], [`junit`] and [`github`] write for machines, [`evidence`] a folder for everybody.
//!
//! Everything but the file writers is a pure function of the model. Standard output gets the
//! artefact, standard error everything else; which is which is the caller's to say.

pub mod evidence;
mod exit;
pub mod github;
pub mod human;
pub mod json;
pub mod junit;
pub mod progress;
mod run;
#[cfg(test)]
mod sample;

pub use self::{
    exit::Exit,
    run::{
        CellFailure, CellReport, Conclusion, Counts, Environment, Opinion, Outcomes, Problem,
        RunReport, SCHEMA, ScenarioReport, StepReport,
    },
};

/// A report file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {path}")]
pub struct WriteError {
    /// The file.
    pub path: String,
    /// Why.
    pub source: std::io::Error,
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn write_file(path: &std::path::Path, text: &str) -> Result<(), WriteError> {
    std::fs::write(path, text).map_err(|source| WriteError {
        path: path.display().to_string(),
        source,
    })
}
