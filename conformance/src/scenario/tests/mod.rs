//! Scenarios read as a whole: what comes of good ones, and how mistakes look.

mod connections;
mod mistakes;
mod plays;
mod readme;
mod schema;
mod specification;
mod story;

use super::{ExpectedCell, Options, Scenario, load_text};
use crate::cell::Family;

/// A policy that isolates all pods of namespace x.
const DENY: &str = "policies:
  deny: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: x, name: deny}}
";

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

/// What a step expects over IPv4, one line per connection.
fn expected(play: &Scenario, step: usize) -> Vec<String> {
    let cells = play.steps[step].expectations.iter().flat_map(|e| &e.cells);
    lines(cells.filter(|cell| cell.cell.family == Family::Ipv4))
}

fn lines<'a>(cells: impl Iterator<Item = &'a ExpectedCell>) -> Vec<String> {
    let line = |it: &ExpectedCell| {
        let cell = &it.cell;
        format!(
            "{} -> {}:{} {}",
            cell.source, cell.destination, cell.port, it.expected
        )
    };
    cells.map(line).collect()
}

/// What happens in a step, in order.
fn changes(play: &Scenario, step: usize) -> Vec<String> {
    play.steps[step]
        .changes
        .iter()
        .map(ToString::to_string)
        .collect()
}
