//! The report for people: one line per scenario, a block per failure, one line for the run.

use std::time::Duration;

use super::{CellFailure, Conclusion, Opinion, Problem, RunReport, ScenarioReport, StepReport};
use crate::{
    cell::Outcome,
    matrix::{
        Symbol,
        render::{Look, difference},
    },
    paint::{Ink, Paint},
};

/// Failing connections of a step that are told in full; of more, a matrix shows the rest.
const TOLD: usize = 3;
/// Where the column of words begins and ends.
const MARGIN: &str = "           ";

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With or without colour.
    pub paint: Paint,
    /// Every failing connection in full, and always what each judge says.
    pub verbose: bool,
    /// Nothing about scenarios that pass or are skipped.
    pub quiet: bool,
}

/// One line: how the scenario ended, how long it took, and why where the word does not say it.
pub fn line(scenario: &ScenarioReport, style: Style) -> String {
    let label = format!("{:>12}", scenario.conclusion.label());
    let label = style.paint.ink(ink_of(&scenario.conclusion), &label);
    let name = name(scenario);
    if let Conclusion::Skipped { reason } = &scenario.conclusion {
        return format!("{label}             {name}: {reason}");
    }
    let time = scenario.duration.as_secs_f64();
    let checks = match (scenario.failed_checks(), scenario.checks()) {
        (0, all) => checks(all),
        (failed, all) => format!("{failed} of {}", checks(all)),
    };
    let note = scenario
        .conclusion
        .reason()
        .map(|reason| format!(": {reason}"));
    format!(
        "{label} [{time:>8.3}s] {name}{}  ({checks})",
        note.unwrap_or_default()
    )
}

/// The failure of a scenario without colour, as reports for machines and test harnesses carry it.
pub fn block(scenario: &ScenarioReport) -> String {
    failure(scenario, Style::default())
}

/// Everything about a scenario that did not pass: expected against actual for its connections,
/// what explains it, how to play it again.
pub fn failure(scenario: &ScenarioReport, style: Style) -> String {
    let mut lines = Vec::new();
    let label = scenario.conclusion.label();
    let label = style.paint.ink(ink_of(&scenario.conclusion), label);
    lines.push(format!(
        "{label} {}  {}:{}",
        name(scenario),
        scenario.file,
        scenario.line
    ));
    if !scenario.title.is_empty() {
        lines.push(format!("  {}", scenario.title));
    }
    if let Some(reason) = scenario.conclusion.reason() {
        lines.push(format!("  {:9}{reason}", "because"));
    }
    for step in scenario.steps.iter().filter(|step| !step.is_good()) {
        lines.extend(step_lines(scenario, step, style));
    }
    lines.push(format!("  {:9}{}", "again", scenario.again()));
    lines.extend(
        scenario
            .look
            .iter()
            .map(|command| format!("  {:9}{command}", "look")),
    );
    lines.join("\n") + "\n"
}

/// A connection about which the judges disagree, with the reasons of all three, without colour.
pub fn disagreement(failure: &CellFailure) -> String {
    cell_lines(failure, Style::default()).join("\n") + "\n"
}

/// The last line of a run.
pub fn summary(report: &RunReport, style: Style) -> String {
    let counts = report.counts();
    let part = |count: usize, word: &str, ink: Ink| {
        (count > 0).then(|| style.paint.ink(ink, &format!("{count} {word}")))
    };
    let parts = [
        part(counts.passed, "passed", Ink::Good),
        part(counts.failed, "failed", Ink::Bad),
        part(counts.disagreeing, "with disagreeing judges", Ink::Bad),
        part(counts.inconclusive, "inconclusive", Ink::Bad),
        part(counts.errors, "not playable", Ink::Bad),
        part(counts.skipped, "skipped", Ink::Warn),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let parts = if parts.is_empty() {
        "nothing played".to_owned()
    } else {
        parts.join(", ")
    };
    let failed = match counts.failed_checks {
        0 => String::new(),
        failed => style.paint.ink(Ink::Bad, &format!(", {failed} failed")),
    };
    format!(
        "{} [{:>8.3}s] {}: {parts} · {}{failed}",
        style.paint.ink(Ink::Strong, &format!("{:>12}", "Summary")),
        report.duration.as_secs_f64(),
        scenarios(counts.scenarios()),
        checks(counts.checks),
    )
}

/// All failures once more, each after a rule, in the order of the files.
pub fn failures(report: &RunReport, style: Style) -> String {
    let bad = report.scenarios.iter().filter(|s| s.conclusion.is_bad());
    bad.map(|scenario| format!("{RULE}\n{}", failure(scenario, style)))
        .collect()
}

/// What stands between blocks.
pub(super) const RULE: &str = "────────────";

/// `3 scenarios`.
pub(super) fn scenarios(count: usize) -> String {
    plural(count, "scenario")
}

fn checks(count: usize) -> String {
    plural(count, "check")
}

fn plural(count: usize, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {word}{ending}")
}

/// The id, with the fabric where there is one.
fn name(scenario: &ScenarioReport) -> String {
    match &scenario.fabric {
        Some(fabric) => format!("{} on {fabric}", scenario.id),
        None => scenario.id.clone(),
    }
}

/// A step's failures, as in [`failure`].
pub(super) fn step_lines(
    scenario: &ScenarioReport,
    step: &StepReport,
    style: Style,
) -> Vec<String> {
    let mut lines = vec![format!(
        "  step     {}  {}:{}",
        step.name, scenario.file, step.line
    )];
    lines.extend(step.problems.iter().flat_map(problem_lines));
    let is_long = step.failures.len() > TOLD;
    if is_long {
        let cells = step.failures.iter().map(|failure| {
            let expected = Symbol::of_expected(&failure.expected);
            (failure.cell.clone(), expected, Symbol::from(failure.actual))
        });
        let look = Look {
            paint: style.paint,
            ..Look::default()
        };
        lines.extend(
            difference(cells, look)
                .lines()
                .map(|line| format!("  {line}")),
        );
    }
    let told = if style.verbose {
        step.failures.len()
    } else {
        TOLD
    };
    for failure in step.failures.iter().take(told) {
        lines.extend(cell_lines(failure, style));
    }
    if step.failures.len() > told {
        lines.push(format!(
            "  … and {} more like these",
            step.failures.len() - told
        ));
    }
    lines
}

fn problem_lines(problem: &Problem) -> Vec<String> {
    let at = problem.at.as_ref().map(|at| format!("  {at}"));
    let mut lines = vec![format!(
        "  {:9}{}{}",
        "but",
        problem.message,
        at.unwrap_or_default()
    )];
    lines.extend(
        problem
            .details
            .iter()
            .map(|detail| format!("{MARGIN}{detail}")),
    );
    lines
}

fn cell_lines(failure: &CellFailure, style: Style) -> Vec<String> {
    let at = failure.expected_at.as_ref().map(|at| format!("  {at}"));
    let expected = match failure.expected.as_slice() {
        [] | [_, _, _, _] => "anything".to_owned(),
        outcomes => words(outcomes),
    };
    let actual = failure.actual.to_string().to_uppercase();
    let width = expected.len().max(actual.len());
    let mut lines = vec![format!(
        "  expected {:width$}  {}{}",
        expected,
        failure.cell,
        at.unwrap_or_default()
    )];
    let details: Vec<_> = [
        failure
            .served_by
            .as_ref()
            .map(|place| format!("served by {place}")),
        failure
            .source_seen
            .as_ref()
            .map(|source| format!("which saw {source}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (word, ink) = if failure.is_as_expected() {
        ("and", Ink::Good)
    } else {
        ("but", Ink::Bad)
    };
    let actual = format!(
        "{}{}",
        style.paint.ink(ink, &actual),
        " ".repeat(width - actual.len())
    );
    let line = format!("  {word:8} {actual}  {}", details.join(", "));
    lines.push(line.trim_end().to_owned());
    if !failure.judges_agree || style.verbose {
        lines.extend(judges(failure, style));
    }
    lines.extend(
        failure
            .explanation
            .iter()
            .map(|line| format!("{MARGIN}{line}")),
    );
    lines
}

/// The three answers below each other.
fn judges(failure: &CellFailure, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if !failure.judges_agree {
        let text = "the judges disagree: this is a bug of the tool or of the enforcer";
        lines.push(format!("  judges   {}", style.paint.ink(Ink::Bad, text)));
    }
    let kernel = failure.actual.to_string().to_uppercase();
    lines.push(format!("  kernel   {kernel}"));
    lines.extend(opinion_lines("oracle", &failure.oracle));
    // On a cluster nobody tells plans.
    if failure.oracle.outcomes.is_empty() || !failure.plan.outcomes.is_empty() {
        lines.extend(opinion_lines("plan", &failure.plan));
    }
    lines
}

fn opinion_lines(judge: &str, opinion: &Opinion) -> Vec<String> {
    let outcome = match opinion.outcomes.as_slice() {
        [] => "no opinion".to_owned(),
        outcomes => words(outcomes),
    };
    let mut lines = vec![format!("  {judge:9}{outcome}")];
    lines.extend(
        opinion
            .reasons
            .iter()
            .map(|reason| format!("{MARGIN}{reason}")),
    );
    lines
}

fn words(outcomes: &[Outcome]) -> String {
    let words: Vec<_> = outcomes
        .iter()
        .map(|o| o.to_string().to_uppercase())
        .collect();
    words.join(" or ")
}

fn ink_of(conclusion: &Conclusion) -> Ink {
    match conclusion {
        Conclusion::Passed => Ink::Good,
        Conclusion::Skipped { .. } => Ink::Warn,
        Conclusion::Failed
        | Conclusion::Inconclusive { .. }
        | Conclusion::JudgesDisagree
        | Conclusion::Error { .. } => Ink::Bad,
    }
}

/// Seconds with three digits, for status lines.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn skipped() -> ScenarioReport {
        let reason = "this kernel has no SCTP".to_owned();
        sample::scenario("sctp-port-range", Conclusion::Skipped { reason })
    }

    #[test]
    fn a_run_ends_with_failures_and_a_summary() {
        let report = sample::run(vec![
            sample::scenario("deny-all", Conclusion::Passed),
            sample::failing(),
            skipped(),
            sample::refusing(),
        ]);
        let style = Style::default();
        let lines: Vec<_> = report.scenarios.iter().map(|s| line(s, style)).collect();
        let text = format!(
            "{}\n{}{}",
            lines.join("\n"),
            failures(&report, style),
            summary(&report, style)
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_disagreement_names_what_each_judge_says() {
        insta::assert_snapshot!(block(&sample::disagreeing()));
    }

    #[test]
    fn many_failures_are_drawn() {
        let mut scenario = sample::failing();
        let clients = ["ops/a", "ops/b", "web/a", "web/b", "web/c"];
        let failures = clients.map(|client| sample::denied(client, "shop/db"));
        scenario.steps[1].failures.extend(failures);
        insta::assert_snapshot!(block(&scenario));
    }

    #[test]
    fn what_shows_nothing_says_why() {
        let reason = "before the first policy: x/a -> y/b:80/TCP over IPv4 is denied".to_owned();
        let mut scenario = sample::scenario("probe", Conclusion::Inconclusive { reason });
        scenario.steps.clear();
        scenario.look.push("portcullis sim shell x/a".to_owned());
        insta::assert_snapshot!(block(&scenario));
    }

    #[test]
    fn an_empty_run_says_so() {
        let text = summary(&sample::run(Vec::new()), Style::default());
        assert_eq!(
            text,
            "     Summary [   2.400s] 0 scenarios: nothing played · 0 checks"
        );
    }
}
