//! The report as JUnit XML, in the dialect that Jenkins, GitLab and most others read: a suite per
//! scenario file, a case per step, the block for people as the text of a failure.

use std::{collections::BTreeMap, path::Path};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    Conclusion, RunReport, ScenarioReport, StepReport, WriteError,
    human::{self, Style, step_lines},
    write_file,
};

/// The report as XML.
pub fn render(report: &RunReport) -> String {
    let mut junit = Report::new("portcullis");
    junit.set_time(report.duration);
    junit.timestamp = report.started.to_string().parse().ok();
    let mut files: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for scenario in &report.scenarios {
        files
            .entry(&scenario.file)
            .or_insert_with(|| TestSuite::new(scenario.file.as_str()))
            .add_test_cases(cases(scenario));
    }
    junit.add_test_suites(files.into_values());
    junit
        .to_string()
        .expect("XML in memory cannot fail to be written, and names are cleaned by their type")
}

/// Writes the report to a file.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, report: &RunReport) -> Result<(), WriteError> {
    write_file(path, &render(report))
}

/// A case per step, and one for a scenario that ended before or outside its steps.
fn cases(scenario: &ScenarioReport) -> Vec<TestCase> {
    let mut cases: Vec<_> = scenario
        .steps
        .iter()
        .map(|step| step_case(scenario, step))
        .collect();
    let whole = match &scenario.conclusion {
        Conclusion::Skipped { reason } => Some(skipped(reason)),
        Conclusion::Inconclusive { .. } => Some(bad(scenario, NonSuccessKind::Failure)),
        Conclusion::Error { .. } => Some(bad(scenario, NonSuccessKind::Error)),
        Conclusion::Passed | Conclusion::Failed | Conclusion::JudgesDisagree => {
            cases.is_empty().then(TestCaseStatus::success)
        }
    };
    if let Some(status) = whole {
        let mut case = TestCase::new(title(scenario), status);
        case.set_classname(scenario.id.as_str())
            .set_time(scenario.duration);
        cases.push(case);
    }
    cases
}

fn title(scenario: &ScenarioReport) -> String {
    if scenario.title.is_empty() {
        scenario.id.clone()
    } else {
        scenario.title.clone()
    }
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn bad(scenario: &ScenarioReport, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_message(scenario.conclusion.reason().unwrap_or_default())
        .set_type(scenario.conclusion.label())
        .set_description(human::block(scenario));
    status
}

fn step_case(scenario: &ScenarioReport, step: &StepReport) -> TestCase {
    let status = if step.is_good() {
        TestCaseStatus::success()
    } else {
        let mut text = step_lines(scenario, step, Style::default()).join("\n");
        text += &format!("\n  again    {}\n", scenario.again());
        let agrees = step.failures.iter().all(|failure| failure.judges_agree);
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_message(message(step))
            .set_type(if agrees { "FAIL" } else { "DISAGREE" })
            .set_description(text);
        status
    };
    let mut case = TestCase::new(step.name.as_str(), status);
    let fabric = scenario.fabric.as_ref().map(|fabric| format!(".{fabric}"));
    let class = format!("{}{}", scenario.id, fabric.unwrap_or_default());
    case.set_classname(class)
        .set_time(step.duration)
        .set_assertions(step.checks);
    case
}

/// The first thing that went wrong, in one line.
fn message(step: &StepReport) -> String {
    if let Some(problem) = step.problems.first() {
        return problem.message.clone();
    }
    let Some(first) = step.failures.first() else {
        return String::new();
    };
    if first.is_as_expected() {
        return format!("the judges disagree about {}", first.cell);
    }
    format!("{} is {}", first.cell, first.actual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_suite_per_file_and_a_case_per_step() {
        let skipped = Conclusion::Skipped {
            reason: "this kernel has no SCTP".to_owned(),
        };
        let mut skipped = sample::scenario("sctp", skipped);
        skipped.steps.clear();
        skipped.file = "scenarios/sctp.yaml".to_owned();
        let error = Conclusion::Error {
            reason: "failed to add a veth: no memory".to_owned(),
        };
        let mut error = sample::scenario("broken", error);
        error.steps.clear();
        let report = sample::run(vec![
            sample::scenario("deny-all", Conclusion::Passed),
            sample::failing(),
            sample::disagreeing(),
            skipped,
            error,
        ]);
        insta::assert_snapshot!(render(&report));
    }
}
