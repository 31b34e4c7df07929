//! The results of a run.
//!
//! The model serialises to JSON as it is: durations are seconds, times are RFC 3339 in UTC, keys
//! are camelCase. [`SCHEMA`] names the shape; it changes when a key changes its meaning or goes.

use std::{
    iter,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use enforcer::options::Options;
use k8s_openapi::jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::cell::{Cell, Outcome};

/// The name and version of the JSON shape.
pub const SCHEMA: &str = "portcullis.dev/report/v1alpha1";

/// A whole run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// When it began.
    #[serde(serialize_with = "time")]
    pub started: Timestamp,
    /// How long it took, in seconds.
    #[serde(rename = "durationSeconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// Where it ran.
    pub environment: Environment,
    /// In the order of their files.
    pub scenarios: Vec<ScenarioReport>,
}

impl RunReport {
    /// An empty report of a run that begins now.
    pub fn begin(environment: Environment) -> Self {
        Self {
            schema: SCHEMA,
            started: now(),
            duration: Duration::ZERO,
            environment,
            scenarios: Vec::new(),
        }
    }

    /// How many scenarios ended how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for scenario in &self.scenarios {
            counts.add(scenario);
        }
        counts
    }
}

/// What a result can depend on beside the scenario.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// The version of this program.
    pub version: String,
    /// What the scenarios were played on, `sim` for the simulator.
    pub backend: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// How many scenarios were played at a time.
    pub workers: usize,
    /// Whether the run had root's privileges.
    pub root: bool,
}

/// One scenario, played once.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioReport {
    /// Its name with the values of `forEach`: `except-is-not-deny[ipv4]`.
    pub id: String,
    /// What it shows, in words.
    pub title: String,
    /// Its file, as the user named it.
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Its tags.
    pub tags: Vec<String>,
    /// The lines of the semantics list that it covers.
    pub covers: Vec<u16>,
    /// What it needs beside pods and namespaces, as `requires:` names it.
    pub requires: Vec<String>,
    /// `bridge` or `routed`; nothing on a real cluster.
    pub fabric: Option<String>,
    /// `ipv4`, `ipv6` or `dual`.
    pub family: String,
    /// What the enforcers chose where the specification leaves it open.
    #[serde(serialize_with = "options")]
    pub options: Options,
    /// How it ended.
    pub conclusion: Conclusion,
    /// How long it took, in seconds.
    #[serde(rename = "durationSeconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// The steps that were played, in order.
    pub steps: Vec<StepReport>,
    /// Commands that show more of a failure, such as a shell in a cluster that was kept.
    pub look: Vec<String>,
}

impl ScenarioReport {
    /// How many connections were checked.
    pub fn checks(&self) -> usize {
        self.steps.iter().map(|step| step.checks).sum()
    }

    /// How many of them failed.
    pub fn failed_checks(&self) -> usize {
        self.steps.iter().map(|step| step.failures.len()).sum()
    }

    /// The command that plays just this scenario again.
    pub fn again(&self) -> String {
        let fabric = self.fabric.as_ref();
        let fabric = fabric.map(|fabric| format!(" --fabric {fabric}"));
        let usual = choices(Options::default());
        let unusual = iter::zip(choices(self.options), usual).filter(|(one, usual)| one != usual);
        let choices: String = unusual
            .map(|((choice, value), _)| format!(" --{choice}={value}"))
            .collect();
        format!(
            "portcullis test {} -k '{}'{}{choices}",
            self.file,
            self.id,
            fabric.unwrap_or_default()
        )
    }
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Conclusion {
    /// Everything was as expected, and the judges agree.
    Passed,
    /// Something was not as expected.
    Failed,
    /// It shows nothing: connections were missing before any policy was applied.
    Inconclusive {
        /// What was missing.
        reason: String,
    },
    /// It was not played.
    Skipped {
        /// What it needs and is not here.
        reason: String,
    },
    /// Oracle, compiled plan and kernel do not say the same: a bug of ours.
    JudgesDisagree,
    /// It could not be played to its end.
    Error {
        /// What went wrong, with its causes.
        reason: String,
    },
}

impl Conclusion {
    /// The word for it in front of a line, at most 12 letters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Passed => "PASS",
            Self::Failed => "FAIL",
            Self::Inconclusive { .. } => "INCONCLUSIVE",
            Self::Skipped { .. } => "SKIP",
            Self::JudgesDisagree => "DISAGREE",
            Self::Error { .. } => "ERROR",
        }
    }

    /// Why, where the word does not say it all.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed | Self::Failed | Self::JudgesDisagree => None,
            Self::Inconclusive { reason } | Self::Skipped { reason } | Self::Error { reason } => {
                Some(reason)
            }
        }
    }

    /// Neither passed nor skipped.
    pub fn is_bad(&self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped { .. })
    }
}

/// One step of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// How many connections and other things were checked.
    pub checks: usize,
    /// How the connections came out.
    pub outcomes: Outcomes,
    /// Connections that were answered only when they were tried once more, with more patience: the
    /// machine was busy.
    pub slow: usize,
    /// How long it took, in seconds.
    #[serde(rename = "durationSeconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// From the first change until everything that may take its time was as expected, in seconds;
    /// nothing if the step has no such expectation.
    #[serde(rename = "convergedSeconds", serialize_with = "maybe_seconds")]
    pub converged: Option<Duration>,
    /// Every connection, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<CellReport>,
    /// The connections that were not as expected, or about which the judges disagree.
    pub failures: Vec<CellFailure>,
    /// Everything else that was not as expected.
    pub problems: Vec<Problem>,
}

impl StepReport {
    /// Whether everything was as expected.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.problems.is_empty()
    }
}

/// How many connections came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// They passed.
    pub allowed: usize,
    /// Nothing came back.
    pub denied: usize,
    /// They were refused.
    pub refused: usize,
    /// The network said that there is no way.
    pub unreachable: usize,
}

impl Outcomes {
    /// Counts one connection in.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Allowed => &mut self.allowed,
            Outcome::Denied => &mut self.denied,
            Outcome::Refused => &mut self.refused,
            Outcome::Unreachable => &mut self.unreachable,
        } += 1;
    }
}

/// A connection in short.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CellReport {
    /// The connection.
    #[serde(serialize_with = "cell")]
    pub cell: Cell,
    /// Any of these would have been right.
    pub expected: Vec<Outcome>,
    /// What the kernel did.
    pub actual: Outcome,
    /// What the specification says, per way that the connection can take: one for most, more for a
    /// Service with several endpoints.
    pub oracle_allows: Vec<bool>,
    /// Likewise, what the compiled plans say.
    pub plan_allows: Vec<bool>,
    /// Whether oracle, plans and kernel say the same.
    pub judges_agree: bool,
}

/// A connection that was not as expected, or about which the judges disagree.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CellFailure {
    /// The connection.
    #[serde(serialize_with = "cell")]
    pub cell: Cell,
    /// Any of these would have been right.
    pub expected: Vec<Outcome>,
    /// What the kernel did.
    pub actual: Outcome,
    /// Where the expectation is written: `file:line:column`.
    pub expected_at: Option<String>,
    /// Which place answered.
    pub served_by: Option<String>,
    /// Which source address the server saw.
    pub source_seen: Option<String>,
    /// What the specification says.
    pub oracle: Opinion,
    /// What the compiled plans say.
    pub plan: Opinion,
    /// Whether oracle, plans and kernel say the same.
    pub judges_agree: bool,
    /// Lines for people: what isolates the pod, which rule came nearest and why it did not match.
    pub explanation: Vec<String>,
}

impl CellFailure {
    /// Whether the kernel did what was expected; then only the judges disagree.
    pub fn is_as_expected(&self) -> bool {
        self.expected.contains(&self.actual)
    }
}

/// What a judge without packets says about a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opinion {
    /// What it holds possible: several where a Service's endpoints differ, none if it has no
    /// opinion.
    pub outcomes: Vec<Outcome>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

/// Something other than a connection that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What, in one line.
    pub message: String,
    /// Where the expectation is written: `file:line:column`.
    pub at: Option<String>,
    /// More lines.
    pub details: Vec<String>,
}

/// How many scenarios ended how, and how many connections were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Inconclusive.
    pub inconclusive: usize,
    /// Skipped.
    pub skipped: usize,
    /// About which the judges disagree.
    pub disagreeing: usize,
    /// Not played to their end.
    pub errors: usize,
    /// Connections checked.
    pub checks: usize,
    /// Connections that failed.
    pub failed_checks: usize,
}

impl Counts {
    /// Counts one scenario in.
    pub fn add(&mut self, scenario: &ScenarioReport) {
        let count = match scenario.conclusion {
            Conclusion::Passed => &mut self.passed,
            Conclusion::Failed => &mut self.failed,
            Conclusion::Inconclusive { .. } => &mut self.inconclusive,
            Conclusion::Skipped { .. } => &mut self.skipped,
            Conclusion::JudgesDisagree => &mut self.disagreeing,
            Conclusion::Error { .. } => &mut self.errors,
        };
        *count += 1;
        self.checks += scenario.checks();
        self.failed_checks += scenario.failed_checks();
    }

    /// All scenarios.
    pub fn scenarios(&self) -> usize {
        self.passed + self.skipped + self.bad()
    }

    /// All that neither passed nor were skipped.
    pub fn bad(&self) -> usize {
        self.failed + self.inconclusive + self.disagreeing + self.errors
    }
}

/// The time of day to the second; 1970 on a machine whose clock stands before it.
fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default()
}

fn time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// The choices by their names.
fn choices(options: Options) -> [(&'static str, &'static str); 3] {
    [
        ("established", options.established.name()),
        ("unprogrammed", options.unprogrammed.name()),
        ("deny", options.deny.name()),
    ]
}

fn options<S: Serializer>(options: &Options, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(choices(*options))
}

fn maybe_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}

fn cell<S: Serializer>(cell: &Cell, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Cell", 5)?;
    fields.serialize_field("source", &cell.source.to_string())?;
    fields.serialize_field("destination", &cell.destination.to_string())?;
    fields.serialize_field("protocol", &cell.port.protocol.to_string())?;
    fields.serialize_field("port", &cell.port.number)?;
    fields.serialize_field("family", &cell.family)?;
    fields.end()
}

#[cfg(test)]
mod tests {
    use enforcer::options::Deny;

    use super::*;
    use crate::report::sample;

    #[test]
    fn a_scenario_is_played_again_as_it_was() {
        let mut scenario = sample::scenario("shop[ipv4]", Conclusion::Failed);
        let usual = "portcullis test scenarios/shop.yaml -k 'shop[ipv4]' --fabric bridge";
        assert_eq!(scenario.again(), usual);
        scenario.options.deny = Deny::Reject;
        assert_eq!(scenario.again(), format!("{usual} --deny=reject"));
    }
}
