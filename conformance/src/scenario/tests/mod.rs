//! Scenarios read as a whole: what comes of good ones, and how mistakes look.

mod good;
mod mistakes;
mod schema;

use super::{Options, Scenario, load_text};

/// The plays of a scenario of which only `spec` is given.
fn plays(spec: &str) -> Vec<Scenario> {
    match load_text("s.yaml", &file(spec), &Options::default()) {
        Ok(plays) => plays,
        Err(errors) => panic!("{errors}"),
    }
}

/// What is wrong with a scenario of which only `spec` is given.
fn mistakes(spec: &str) -> String {
    match load_text("s.yaml", &file(spec), &Options::default()) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

fn file(spec: &str) -> String {
    let lines = spec.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n{}",
        lines.collect::<String>()
    )
}
