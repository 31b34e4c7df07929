//! What GitHub Actions shows of a run: annotations at the failing lines, and a page of Markdown.
//!
//! Both are pure text. The caller prints [`annotations`] to standard output when `GITHUB_ACTIONS`
//! is set, and lets [`append_summary`] add to the file that `GITHUB_STEP_SUMMARY` names.

use std::{fs::OpenOptions, io::Write, path::Path};

use super::{
    RunReport, ScenarioReport, WriteError, escape,
    human::{self, Style},
};

/// GitHub shows ten annotations of a kind per step and drops the rest.
const MOST_ANNOTATIONS: usize = 10;
/// GitHub refuses a summary of more than 1 MiB (counted in bytes); some is left for others.
const LONGEST_SUMMARY: usize = 900 * 1024;

/// Workflow commands, one per line, for at most ten failures.
pub fn annotations(report: &RunReport) -> String {
    let bad = report.scenarios.iter().filter(|s| s.conclusion.is_bad());
    let all = bad.flat_map(annotations_of);
    all.take(MOST_ANNOTATIONS).map(|line| line + "\n").collect()
}

fn annotations_of(scenario: &ScenarioReport) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &scenario.steps {
        let title = format!("{}: {}", scenario.id, step.name);
        for problem in &step.problems {
            let at = problem.at.as_deref();
            lines.push(annotation(
                scenario,
                step.line,
                at,
                &title,
                &problem.message,
            ));
        }
        for failure in &step.failures {
            let what = if failure.is_as_expected() {
                "and the judges disagree"
            } else {
                "which is not what is expected"
            };
            let mut message = format!("{} is {}, {what}", failure.cell, failure.actual);
            for line in &failure.explanation {
                message += "\n";
                message += line;
            }
            let at = failure.expected_at.as_deref();
            lines.push(annotation(scenario, step.line, at, &title, &message));
        }
    }
    if let (Some(reason), true) = (scenario.conclusion.reason(), lines.is_empty()) {
        lines.push(annotation(
            scenario,
            scenario.line,
            None,
            &scenario.id,
            reason,
        ));
    }
    lines
}

/// One workflow command. `at` is `file:line:column`; without it the line of the scenario's file.
fn annotation(
    scenario: &ScenarioReport,
    line: usize,
    at: Option<&str>,
    title: &str,
    message: &str,
) -> String {
    let place = at.and_then(place).map_or_else(
        || format!("file={},line={line}", property(&scenario.file)),
        |(file, line, column)| format!("file={},line={line},col={column}", property(file)),
    );
    format!(
        "::error {place},title={}::{}",
        property(title),
        data(message)
    )
}

/// `file:line:column`, from its end, because a file may contain colons.
fn place(at: &str) -> Option<(&str, usize, usize)> {
    let (rest, column) = at.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some((file, line.parse().ok()?, column.parse().ok()?))
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The run as Markdown: the verdict first, then a table of what did not pass, then the details.
pub fn summary(report: &RunReport) -> String {
    let verdict = human::summary(report, Style::default());
    let mut text = format!(
        "### {}\n",
        verdict.trim_start().trim_start_matches("Summary ")
    );
    let bad: Vec<_> = report
        .scenarios
        .iter()
        .filter(|s| s.conclusion.is_bad())
        .collect();
    for (told, scenario) in bad.iter().enumerate() {
        let block = format!(
            "\n<details><summary>{} {}</summary>\n\n```text\n{}```\n\n</details>\n",
            scenario.conclusion.label(),
            escape(&scenario.id),
            human::block(scenario).replace("```", "'''"),
        );
        if text.len() + block.len() > LONGEST_SUMMARY {
            text += &format!("\n… and {} more\n", bad.len() - told);
            break;
        }
        text += &block;
    }
    text
}

/// Adds the run to a file of summaries.
///
/// # Errors
/// If the file cannot be written.
pub fn append_summary(path: &Path, report: &RunReport) -> Result<(), WriteError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(summary(report).as_bytes()))
        .map_err(|source| WriteError {
            path: path.display().to_string(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::report::{Conclusion, sample};

    #[test]
    fn failures_are_annotated_where_they_are_expected() {
        let report = sample::run(vec![
            sample::scenario("deny-all", Conclusion::Passed),
            sample::failing(),
            sample::refusing(),
            sample::scenario(
                "broken",
                Conclusion::Error {
                    reason: "no memory".to_owned(),
                },
            ),
        ]);
        insta::assert_snapshot!(annotations(&report));
    }

    #[test]
    fn there_are_at_most_ten() {
        let report = sample::run((0..20).map(|_| sample::failing()).collect());
        assert_eq!(annotations(&report).lines().count(), 10);
    }

    #[rstest]
    #[case("100%\n", "100%25%0A")]
    fn data_is_escaped(#[case] text: &str, #[case] escaped: &str) {
        assert_eq!(data(text), escaped);
    }

    #[rstest]
    #[case("a,b:c", "a%2Cb%3Ac")]
    fn properties_are_escaped_further(#[case] text: &str, #[case] escaped: &str) {
        assert_eq!(property(text), escaped);
    }

    #[test]
    fn the_summary_begins_with_the_verdict() {
        let report = sample::run(vec![sample::failing()]);
        insta::assert_snapshot!(summary(&report));
    }

    #[test]
    fn the_summary_stays_below_the_limit() {
        let mut scenario = sample::failing();
        scenario.look.push("x".repeat(LONGEST_SUMMARY / 2));
        let text = summary(&sample::run(vec![
            scenario.clone(),
            scenario.clone(),
            scenario,
        ]));
        assert!(text.len() < 1024 * 1024);
        assert!(text.ends_with("… and 2 more\n"));
    }
}
